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
#: Hours over which the events lie: the same rows are there in both states.
HOURS = 3
TIMES = 60


def run(server: str, many: int = MANY) -> Iterator[Figure]:
    with Hub(server, has_redis=False) as hub:
        _receive(hub, FEW)
        hub.start_web()
        browser = Browser(hub.url)
        browser.sign_in("owner@example.com", "correct horse battery")
        addresses = _addresses(hub)
        before = {name: _measure(hub, browser, path) for name, path in addresses.items()}
        for _time in range(max(1, (many - FEW) // STEP)):
            _receive(hub, STEP)
        got = hub.value("SELECT sum(n)::bigint FROM metrics_rollup_hour WHERE slice = ''")
        for name, path in addresses.items():
            after = _measure(hub, browser, path)
            note = f"{before[name]:.1f} ms at {FEW} events, {after:.1f} ms at {got}; median of {TIMES}"
            yield Figure("dashboard", name, after / before[name], "times", 1.1, is_ceiling=True, note=note)


def _receive(hub: Hub, events: int) -> None:
    drain.fill(hub, events, HOURS * 3600)
    drain.drained(hub)


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


def _measure(hub: Hub, browser: Browser, path: str) -> float:
    hub.execute("VACUUM ANALYZE")  # as it is after a minute anyway
    for _warming in range(5):
        _ask(hub, browser, path)
    return median(_ask(hub, browser, path) for _number in range(TIMES))


def _ask(hub: Hub, browser: Browser, path: str) -> float:
    """Milliseconds."""
    if not path.startswith("/api/"):
        return browser.time(path)
    request = Request(hub.url + path, headers={"Authorization": f"Bearer {hub.token}"})  # noqa: S310
    began = time.perf_counter()
    with urlopen(request, timeout=30) as answer:  # noqa: S310
        answer.read()
    return (time.perf_counter() - began) * 1e3
