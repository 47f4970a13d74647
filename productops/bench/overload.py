"""More than the hub can take: what it refuses, what it weighs, when it has caught up, and what a neighbour notices."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import nullcontext

import httpx

from productops.bench import bodies, load
from productops.bench.figures import Figure
from productops.bench.hub import Hub
from productops.bench.pipeline import EACH, JSON, Rss, cores

#: Requests under way at once: far more than saturate it.
CONNECTIONS = 1_000
#: Events a minute that the noisy product may send, and how many times as many it sends.
ALLOWED, TIMES = 60_000, 20
#: The neighbour is alone and beside it in turns of a whole minute, for the allowance of a minute goes in its first
#: seconds: a shorter turn would hold too much of them, or none.
TURNS, MINUTE = 4, 60


def run(server: str, seconds: float) -> Iterator[Figure]:
    yield from _flood(server, seconds)
    yield from _neighbour(server)


def _flood(server: str, seconds: float) -> Iterator[Figure]:
    with Hub(server) as hub:
        shots = _shots(hub, hub.key)
        hub.start_web(cores())
        hub.start_worker(cores())
        hub.start_beat()
        load.run(hub.url, shots, 2, 8)
        hub.wait_drained(60)
        before = _counted(hub)
        weight = Rss(hub)
        result = load.run(hub.url, shots, seconds, CONNECTIONS)
        weight.close()
        began = time.monotonic()
        hub.wait_drained(300)
        caught_up = time.monotonic() - began
        taken, counted = round(result.rate * seconds) * EACH, _counted(hub) - before
        note = f"{seconds:.0f} s of {CONNECTIONS} connections: {taken} events taken, {result.failed} requests refused"
        yield Figure("overload", "largest web process", weight.most, "MB", 250, is_ceiling=True, note=note)
        yield Figure("overload", "until the backlog was counted", caught_up, "s", 120, is_ceiling=True)
        # What was under way when the generator ended was stored, but its answer was not waited for.
        lost = max(0, taken - counted)
        yield Figure("overload", "acknowledged and not counted", lost, "events", 0, is_ceiling=True, note=f"{counted}")


def _neighbour(server: str) -> Iterator[Figure]:
    with Hub(server) as hub:
        hub.start_web(cores())
        hub.start_worker(1)
        hub.start_beat()
        given = ["--workspace", "Quiet", "--product", "Quiet", "--email", "quiet@example.com"]
        quiet = json.loads(hub.manage("provision", "--json", *given, "--password", "correct horse battery"))
        hub.manage(
            "shell", "-c",
            "from django.utils import timezone; from metrics.models import Limit; from releases.models import Product\n"
            f"Limit.put(Product.objects.get(pk={hub.product_id}), {ALLOWED}, None, timezone.now())",
        )  # fmt: skip
        _ask(hub, quiet["ingest_key"], 5.0)  # until every process knows the limit, and all is warm
        shots = _shots(hub, hub.key)
        lasted: dict[bool, list[float]] = {False: [], True: []}
        refused = 0
        for turn in range(2 * TURNS):
            is_beside = turn % 2 == 1
            time.sleep(-time.time() % MINUTE)
            noise = load.Paced(hub.url, shots, ALLOWED / 60 * TIMES / EACH, 4) if is_beside else nullcontext()
            with noise:
                took, more = _ask(hub, quiet["ingest_key"], MINUTE - 1.0)
            lasted[is_beside] += took
            refused += more
        sent = hub.value(f"SELECT sum(n)::bigint FROM metrics_outcome WHERE product_id = {hub.product_id}")
        alone, beside = _p95(lasted[False]), _p95(lasted[True])
        note = f"p95 {alone:.2f} ms alone, {beside:.2f} ms beside one that sends {sent} events in {TURNS} minutes"
        yield Figure("overload", "a neighbour's p95", beside / alone, "times", 1.2, is_ceiling=True, note=note)
        yield Figure("overload", "a neighbour's requests refused", refused, "requests", 0, is_ceiling=True)


def _p95(lasted: list[float]) -> float:
    return sorted(lasted)[int(len(lasted) * 0.95)]


def _ask(hub: Hub, key: str, seconds: float) -> tuple[list[float], int]:
    """(ms of each of small requests at 100 a second, how many were refused)."""
    lasted, refused, until = [], 0, time.monotonic() + seconds
    with httpx.Client(timeout=10, headers={"Authorization": f"Bearer {key}"}) as http:
        while time.monotonic() < until:
            began = time.perf_counter()
            answer = http.post(f"{hub.url}/api/v1/events", json=[{"name": "pay"}])
            lasted.append((time.perf_counter() - began) * 1e3)
            refused += answer.status_code != 200
            time.sleep(max(0.0, 0.01 - lasted[-1] / 1e3))
    return lasted, refused


def _shots(hub: Hub, key: str) -> list[list[bytes]]:
    rng = random.Random(7)
    return [load.request("/batch/", bodies.posthog(key, EACH, rng), hub.url[7:], **JSON) for _number in range(60)]


def _counted(hub: Hub) -> int:
    return int(hub.value("SELECT coalesce(sum(n), 0) FROM metrics_outcome WHERE outcome IN ('accepted', 'duplicate')"))
