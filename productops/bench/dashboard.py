"""What a dashboard costs after ten million events, against the same one after a hundred thousand: nothing more, because
it reads what it shows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median
from urllib.request import Request, urlopen

from productops.bench import drain
from productops.bench.figures import Figure
from productops.bench.hub import Hub
from productops.bench.pages import Browser

FEW, MANY, STEP = 100_000, 10_000_000, 500_000
#: Hours over which the events lie: short enough that few events make the same rows as many.
HOURS = 1
TIMES = 60


def run(server: str, many: int = MANY) -> Iterator[Figure]:
    """Two hubs, asked in turns, so that both meet the same moments of the machine."""
    with Hub(server, has_redis=False) as small, Hub(server, has_redis=False) as large:
        until = time.time()
        for size in (FEW, *[STEP] * ((many - FEW) // STEP)):
            _receive(large, size, until)
        _receive(small, FEW, until)
        sides = [_Side(hub) for hub in (small, large)]
        rows = [hub.value("SELECT count(*)::int FROM metrics_rollup_minute") for hub in (small, large)]
        events = [hub.value("SELECT sum(n)::int FROM metrics_rollup_hour WHERE slice = ''") for hub in (small, large)]
        for name in sides[0].addresses:
            few, much = _measure(sides, name)
            note = (
                f"{few:.1f} ms at {events[0]} events in {rows[0]} rows, {much:.1f} ms at {events[1]} in {rows[1]};"
                f" median of {TIMES}"
            )
            yield Figure("dashboard", name, much / few, "times", 1.1, is_ceiling=True, note=note)


def _receive(hub: Hub, events: int, until: float) -> None:
    drain.fill(hub, events, HOURS * 3600, until)
    drain.drained(hub)


class _Side:
    """One of the two hubs, with somebody signed in."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        hub.execute("VACUUM ANALYZE")  # as it is after a minute anyway
        hub.start_web()
        self.browser = Browser(hub.url)
        self.browser.sign_in("owner@example.com", "correct horse battery")
        self.addresses = _addresses(hub)


def _addresses(hub: Hub) -> dict[str, str]:
    release = hub.value("SELECT id FROM releases_release WHERE version = 'shop@2.5.0'")
    signal = hub.value("SELECT id FROM metrics_signal WHERE name = 'checkout'")
    page = f"/w/bench/releases/{release}/"
    return {
        "release health": page,
        "chart of adoption": f"{page}adoption.json",
        "chart of failures": f"{page}signals/{signal}/failure_rate.json",
        "chart of slow requests": f"{page}signals/{signal}/latency_p95.json",
        "rollups over the API, 3 h of minutes": "/api/v1/rollups?resolution=minute",
    }


def _measure(sides: list[_Side], name: str) -> list[float]:
    """Milliseconds of each."""
    for _warming in range(5):
        for side in sides:
            _ask(side, name)
    asked = [[_ask(side, name) for side in sides] for _number in range(TIMES)]
    return [median(times) for times in zip(*asked, strict=True)]


def _ask(side: _Side, name: str) -> float:
    path = side.addresses[name]
    if not path.startswith("/api/"):
        return side.browser.time(path)
    request = Request(side.hub.url + path, headers={"Authorization": f"Bearer {side.hub.token}"})  # noqa: S310
    began = time.perf_counter()
    with urlopen(request, timeout=30) as answer:  # noqa: S310
        answer.read()
    return (time.perf_counter() - began) * 1e3
