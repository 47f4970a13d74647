"""How long it takes from the first bad event to an incident that can be seen."""

from __future__ import annotations

import json
import random
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from productops.bench.figures import Figure
from productops.bench.hub import Hub

OLD, NEW = 0.05, 0.15
#: Requests a second; each carries the events of its time.
REQUESTS = 10


@dataclass(frozen=True)
class Variant:
    """`before`: seconds of the old release alone; `share` of the traffic the new one gets then."""

    name: str
    before: float
    share: float


SPLIT = Variant("the new release has half of the traffic", 20.0, 0.5)
SWITCH = Variant("everybody is switched after 90 s", 90.0, 1.0)
LIMIT = 150.0


def run(server: str, rate: float = 100.0) -> Iterator[Figure]:
    for variant in (SPLIT, SWITCH):
        seconds = measure(server, variant, rate)
        note = f"{rate:.0f} events/s, failures {OLD:.0%} → {NEW:.0%}"
        yield Figure("loop", f"incident visible: {variant.name}", seconds, "s", 90, is_ceiling=True, note=note)


def measure(server: str, variant: Variant, rate: float, like: Hub | None = None) -> float:
    """Seconds from the first event of the bad release to the incident in the API; LIMIT when it never came."""
    with Hub(server, like=like) as hub:
        hub.start_web()
        hub.start_worker(2)
        hub.start_beat()
        traffic = Traffic(hub, rate)
        _ask(hub, "releases", {"version": "1.0"})
        _ask(hub, "releases/1.0/deploys", {})
        traffic.run(variant.before, 0.0)
        _ask(hub, "releases", {"version": "2.0"})
        _ask(hub, "releases/2.0/deploys", {"percentage": round(variant.share * 100)})
        began = time.monotonic()
        while time.monotonic() - began < LIMIT:
            traffic.run(0.5, variant.share)
            if _ask(hub, "incidents?release=2.0")["count"]:
                return time.monotonic() - began
        return LIMIT


class Traffic:
    """A steady stream of one operation's events: users stay on their release."""

    def __init__(self, hub: Hub, rate: float) -> None:
        self.hub, self.each, self.rng = hub, round(rate / REQUESTS), random.Random(11)
        self.due = time.monotonic()

    def run(self, seconds: float, share: float) -> None:
        until = time.monotonic() + seconds
        self.due = max(self.due, time.monotonic() - 1)
        while self.due < until:
            time.sleep(max(0.0, self.due - time.monotonic()))
            self.due += 1 / REQUESTS
            _ask(self.hub, "events", [self._event(share) for _number in range(self.each)], self.hub.key)

    def _event(self, share: float) -> dict[str, Any]:
        user = self.rng.randrange(2_000)
        is_new = user % 100 < share * 100
        return {
            "name": "checkout",
            "id": uuid4().hex,
            "release": "2.0" if is_new else "1.0",
            "user": f"user-{user}",
            "customer": f"customer-{user % 50}",
            "ok": self.rng.random() >= (NEW if is_new else OLD),
        }


def _ask(hub: Hub, path: str, body: Any = None, token: str = "") -> Any:
    """GET, or POST of a body, to the hub's API."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token or hub.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{hub.url}/api/v1/{path}", data, headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        return json.load(answer)
