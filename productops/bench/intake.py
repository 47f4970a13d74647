"""The door: how many requests a second are committed and answered."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from productops.bench import bodies, load
from productops.bench.figures import Figure
from productops.bench.hub import Hub

ECHO = "productops.bench.echo:application"
JSON = {"Content_Type": "application/json", "User_Agent": "posthog-python/7.91.1"}
SENTRY = {
    "Content_Type": "application/x-sentry-envelope",
    "Content_Encoding": "gzip",
    "User_Agent": "sentry.python/2.75.0",
}


def run(server: str, seconds: float) -> Iterator[Figure]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with Hub(server) as hub:
        one, hundred = _posthog(hub, 1, 2_000), _posthog(hub, 100, 60)
        errors = _sentry(hub, int(8_000 * seconds), cores)
        hub.start_web(cores, ECHO)
        kinds = ((one, 64), (hundred, 16), (errors, 32))
        limits = [_measure(hub, shots, 3, connections) for shots, connections in kinds]
        hub.stop("web")
        hub.start_web(cores)
        _measure(hub, one, 2, 16)  # the first requests of a process open its connections
        yield from _one(_measure(hub, one, seconds, 64), limits[0])
        yield _figure("100 events per request", _measure(hub, hundred, seconds, 16), 100, 150_000, limits[1])
        result = _measure(hub, errors, seconds, 32)
        yield _figure("one Sentry error per request, gzip", result, 1, 3_000, limits[2])
        yield Figure("intake", "one Sentry error per request, gzip: p99", result.p99, "ms", 50, is_ceiling=True)


def _one(result: load.Result, limit: load.Result) -> Iterator[Figure]:
    yield _figure("1 event per request", result, 1, 8_000, limit)
    yield Figure("intake", "1 event per request: p99", result.p99, "ms", 50, is_ceiling=True, limit=limit.p99)


def _figure(name: str, result: load.Result, events: int, goal: float, limit: load.Result) -> Figure:
    note = f"p50 {result.p50:.1f} ms, p99 {result.p99:.1f} ms; limit: an ASGI application that only reads and answers"
    if result.failed:
        note = f"{result.failed} refused; {note}"
    if result.is_repeated:
        note += "; bodies were sent more than once"
    value = 0.0 if result.failed else result.rate * events
    return Figure("intake", name, value, "events/s", goal, limit=limit.rate * events, note=note)


def _measure(hub: Hub, shots: list[list[bytes]], seconds: float, connections: int) -> load.Result:
    return load.run(hub.url, shots, seconds, connections)


def _posthog(hub: Hub, events: int, pool: int) -> list[list[bytes]]:
    rng = random.Random(7)
    return [
        load.request("/batch/", bodies.posthog(hub.key, events, rng), hub.url[7:], **JSON) for _number in range(pool)
    ]


def _sentry(hub: Hub, count: int, cores: int) -> list[list[bytes]]:
    """Compressed bodies cannot be given new ids on the way out, so each is made for its one request."""
    path = f"/api/{hub.product_id}/envelope/"
    auth = f"Sentry sentry_key={hub.key}, sentry_version=7, sentry_client=sentry.python/2.75.0"
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        made = [b for part in pool.map(_envelopes, [count // cores] * cores, range(cores)) for b in part]
    return [load.request(path, body, hub.url[7:], X_Sentry_Auth=auth, **SENTRY) for body in made]


def _envelopes(count: int, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    return [bodies.sentry(rng) for _number in range(count)]
