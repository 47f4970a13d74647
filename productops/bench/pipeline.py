"""The whole way, all processes on this machine: how much goes through for minutes with a flat backlog, how late it is
counted at half of that, what the web process weighs, and what an event costs on the disk."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

from productops.bench import bodies, load
from productops.bench.drain import copied
from productops.bench.figures import Figure
from productops.bench.hub import Hub

EACH = 100
#: Requests under way at once: enough that no web process waits for a commit with nothing else to do.
CONNECTIONS = 64
#: Events that may wait; above, the senders pause, so that the backlog is flat.
BACKLOG = 300_000
#: Rows for the limit.
COPIED = 800_000
#: Seconds between two looks at the backlog, for which every waiting request is read; and between two sweeps.
LOOK, SWEEP = 1.0, 20.0
JSON = {"Content_Type": "application/json", "User_Agent": "posthog-python/7.91.1"}
_KEPT = ("metrics_event", "metrics_event_seen")
_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint FROM pg_inherits
WHERE inhparent = ANY(%s::regclass[])
"""


def run(server: str, seconds: float) -> Iterator[Figure]:
    with Hub(server) as hub:
        limit = copied(hub, COPIED)
        rng = random.Random(7)
        shots = [load.request("/batch/", bodies.posthog(hub.key, EACH, rng), hub.url[7:], **JSON) for _n in range(60)]
        hub.start_web(cores())
        hub.start_worker(cores())
        hub.start_beat()
        load.run(hub.url, shots, 3, 8)
        hub.wait_drained(60)
        rate = yield from _sustained(hub, shots, seconds, limit)
        yield from _lag(hub, shots, rate / 2, min(60.0, seconds))
        yield from _storage(hub)


def _sustained(hub: Hub, shots: list[list[bytes]], seconds: float, limit: float) -> Generator[Figure, None, float]:
    rss = Rss(hub)
    before, began = _counted(hub), time.monotonic()
    most, paused, looks, swept = 0, 0, 0, began
    is_swept = hub.value("SHOW autovacuum") == "on"
    with load.Stream(hub.url, shots, CONNECTIONS) as stream:
        while time.monotonic() - began < seconds:
            waiting = _waiting(hub)
            most = max(most, waiting)
            looks, paused = looks + 1, paused + (waiting >= BACKLOG)
            stream.pause(waiting >= BACKLOG)
            if not is_swept and time.monotonic() - swept > SWEEP:  # what a server of one's own does by itself
                hub.execute("VACUUM metrics_inbox")
                swept = time.monotonic()
            time.sleep(LOOK)
    rate = (_counted(hub) - before) / (time.monotonic() - began)
    left = _waiting(hub)
    rss.close()
    note = f"{seconds:.0f} s; at most {most} waiting, {left} at the end; senders paused {paused / looks:.0%}"
    what = f"accepted to rolled up, {EACH} events per request"
    yield Figure("pipeline", what, rate, "events/s", 120_000, limit=limit, note=note)
    yield Figure("pipeline", "share of indexed COPY", rate / limit, "", 0.3)
    yield Figure("pipeline", "largest web process under that load", rss.most, "MB", 250, is_ceiling=True)
    hub.wait_drained(120)
    return rate


def _lag(hub: Hub, shots: list[list[bytes]], rate: float, seconds: float) -> Iterator[Figure]:
    """The age of the oldest request that is not counted, asked ten times a second while `rate` is sent."""
    ages: list[float] = []
    is_over = threading.Event()

    def ask() -> None:
        sql = "SELECT coalesce(extract(epoch FROM now() - min(received_at)), 0)::float FROM metrics_inbox"
        while not is_over.wait(0.1):
            ages.append(hub.value(sql))

    asking = threading.Thread(target=ask)
    asking.start()
    before, began, sent = _counted(hub), time.monotonic(), 0
    with load.Stream(hub.url, shots, 4) as stream:
        while (passed := time.monotonic() - began) < seconds:
            sent = _counted(hub) + _waiting(hub) - before
            stream.pause(sent > rate * passed)
            time.sleep(0.1)
    is_over.set()
    asking.join()
    hub.wait_drained(60)
    ages.sort()
    p99 = ages[int(len(ages) * 0.99)]
    note = f"p50 {ages[len(ages) // 2]:.1f} s, {sent / seconds:.0f} events/s sent"
    yield Figure("pipeline", "lag until counted at half load: p99", p99, "s", 3, is_ceiling=True, note=note)


def _storage(hub: Hub) -> Iterator[Figure]:
    events = hub.value("SELECT sum(n) FROM metrics_event")
    for name in _KEPT:
        share = hub.value(_SIZE, [name]) / events
        note = f"{events} events, indexes included"
        yield Figure("pipeline", f"{name}: bytes an event", share, "bytes", note=note)
    whole = hub.value(_SIZE, list(_KEPT)) / events
    yield Figure("pipeline", "storage of an event that is kept", whole, "bytes", 160, is_ceiling=True)
    middle = "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY pg_column_size(r.*)) FROM metrics_rollup_minute r"
    row = hub.value(middle)
    yield Figure("pipeline", "row of a minute rollup: median", row, "bytes", 300, is_ceiling=True)


def _waiting(hub: Hub) -> int:
    return int(hub.value("SELECT coalesce(sum(events), 0) FROM metrics_inbox"))


def _counted(hub: Hub) -> int:
    return int(hub.value("SELECT coalesce(sum(n), 0) FROM metrics_outcome WHERE outcome = 'accepted'"))


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Rss(threading.Thread):
    """The largest resident set of a process of the web's family so far, in MB."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(daemon=True)
        self.group, self.most, self._closing = hub.processes["web"].pid, 0.0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._closing.wait(0.5):
            self.most = max([self.most, *(_rss(pid) for pid in _members(self.group))])

    def close(self) -> None:
        self._closing.set()
        self.join()


def _members(group: int) -> list[int]:
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(each.name)) == group:
                found.append(int(each.name))
        except ProcessLookupError:
            continue
    return found


def _rss(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), 0.0)
