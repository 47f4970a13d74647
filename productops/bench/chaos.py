"""Kills web, worker, beat, Redis (with everything in it) and PostgreSQL under load, and compares what was acknowledged
with what was counted. Seeded: the same seed kills the same things in the same order."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import orjson

from metrics.counting import chunks
from productops.bench.figures import Figure
from productops.bench.hub import Hub
from productops.lib import embedded
from productops.lib.supervisor import Child

#: Events a request, and clients that send at once.
EACH, CLIENTS = 50, 16
#: Seconds between two kills.
PAUSE = (0.4, 1.2)
#: Until everything is counted afterwards.
LONGEST_DRAIN = 150.0


@dataclass
class Report:
    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)
    requests: int = 0
    refused: int = 0  # 503, or no answer
    in_minutes: int = 0
    in_hours: int = 0
    kept: int = 0
    quarantined: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def lost(self) -> int:
        return len(self.acknowledged - self.stored)

    @property
    def doubled(self) -> int:
        """Beyond once, wherever it is counted."""
        counts = (self.in_minutes, self.in_hours, self.kept, self.outcomes["accepted"])
        return max(abs(n - len(self.stored)) for n in counts)


class Client:
    """Sends batches until it is told to stop, each again until it is acknowledged, and remembers which were."""

    def __init__(self, hub: Hub, seed: int, report: Report) -> None:
        self.hub, self.rng, self.report = hub, random.Random(seed), report

    async def run(self, http: httpx.AsyncClient, events: int, is_over: threading.Event) -> None:
        sent = 0
        while sent < events or not is_over.is_set():
            ids = [uuid4().hex for _event in range(EACH)]
            body = orjson.dumps([{"name": f"s{n % 5}", "id": id_, "user": f"u{n}"} for n, id_ in enumerate(ids)])
            headers = {"Authorization": f"Bearer {self.hub.key}"}
            if self.rng.random() < 0.5:
                headers["Idempotency-Key"] = ids[0]
            await self._send(http, body, headers)
            self.report.acknowledged.update(ids)
            sent += EACH
            if self.rng.random() < 0.05:  # a client that did not hear the answer
                await self._send(http, body, headers)

    async def _send(self, http: httpx.AsyncClient, body: bytes, headers: dict[str, str]) -> None:
        while True:
            self.report.requests += 1
            with suppress(httpx.HTTPError):
                answer = await http.post(f"{self.hub.url}/api/v1/events", content=body, headers=headers)
                if answer.status_code == 200:
                    return
                if answer.status_code != 503:
                    raise AssertionError(answer.text)
            self.report.refused += 1
            await asyncio.sleep(0.1)


class Killer:
    """Ends one of the five with SIGKILL and starts it again."""

    def __init__(self, hub: Hub, postgres: embedded.Postgres, workers: int, seed: int) -> None:
        self.hub, self.postgres, self.workers, self.rng = hub, postgres, workers, random.Random(seed)
        self.kinds: dict[str, Callable[[], None]] = {
            "web": self._web, "worker": self._worker, "beat": self._beat, "redis": self._redis,
            "postgres": self._postgres,
        }  # fmt: skip

    def kill(self, times: int) -> Counter[str]:
        """Each of the five about equally often, in an order that the seed chooses."""
        order = [kind for _round in range(times // len(self.kinds) + 1) for kind in self.kinds][:times]
        self.rng.shuffle(order)
        for kind in order:
            time.sleep(self.rng.uniform(*PAUSE))
            self.kinds[kind]()
        return Counter(order)

    def _web(self) -> None:
        self.hub.kill("web")
        self.hub.start_web(wait_for="/live")

    def _worker(self) -> None:
        self.hub.kill("worker")
        self.hub.start_worker(self.workers)

    def _beat(self) -> None:
        self.hub.kill("beat")
        self.hub.start_beat()

    def _redis(self) -> None:
        """It loses everything it held."""
        if self.hub.redis is None:
            return
        _end(self.hub.redis.child)
        shutil.rmtree(self.hub.folder / "redis" / "appendonlydir", ignore_errors=True)
        time.sleep(self.rng.uniform(0, 1))
        self.hub.redis.child.start()

    def _postgres(self) -> None:
        """Its backends notice by themselves that it is gone; until then a new one refuses to start."""
        child = self.postgres.child
        _end(child)
        time.sleep(self.rng.uniform(0, 2))
        for _time in range(60):
            child.start()
            time.sleep(0.5)
            if child.is_alive():
                return
        raise RuntimeError("PostgreSQL did not start again.")


def _end(child: Child) -> None:
    """The whole family at once, like a power cut."""
    if child.process:
        os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait(10)
        child.stop()


def run(events: int, kills: int, seed: int = 3, workers: int = 2, is_patient: bool = True) -> Report:
    """On servers of its own, which are made and ended here. Without patience, what dead workers held is given to
    the living at the end, instead of when its lease is over."""
    folder = Path(tempfile.mkdtemp(prefix="productops-chaos-"))
    postgres = embedded.start_postgres(folder / "postgres")
    try:
        with Hub(postgres.url, PAGE_THREADS="1") as hub:
            hub.start_web()
            hub.start_worker(workers)
            hub.start_beat()
            return _run(hub, Killer(hub, postgres, workers, seed), events, kills, is_patient)
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _run(hub: Hub, killer: Killer, events: int, kills: int, is_patient: bool) -> Report:
    report, is_over = Report(), threading.Event()
    clients = [Client(hub, killer.rng.randrange(2**32), report) for _number in range(CLIENTS)]
    failed: list[BaseException] = []

    def send() -> None:
        try:
            asyncio.run(_send(clients, events // CLIENTS, is_over))
        except BaseException as error:
            failed.append(error)

    sending = threading.Thread(target=send)
    began = time.monotonic()
    sending.start()
    try:
        report.kills = killer.kill(kills)
    finally:
        is_over.set()
        sending.join(LONGEST_DRAIN)
    if failed or sending.is_alive():
        raise RuntimeError("The clients did not come to an end.") from (failed[0] if failed else None)
    _settle(hub, is_patient)
    report.seconds = time.monotonic() - began
    _count(hub, report)
    return report


async def _send(clients: list[Client], each: int, is_over: threading.Event) -> None:
    async with httpx.AsyncClient(timeout=20, limits=httpx.Limits(max_keepalive_connections=4)) as http:
        await asyncio.gather(*(client.run(http, each, is_over) for client in clients))


def _settle(hub: Hub, is_patient: bool) -> None:
    """What was spooled is back, and what dead workers held is counted."""
    spool = hub.folder / "data" / "spool"
    hub.wait(lambda: not spool.exists() or not list(spool.iterdir()), "an empty spool", 30)
    if not is_patient:
        hub.execute("UPDATE metrics_inbox SET lease_until = now(), attempts = least(attempts, 2)")
    hub.wait_drained(LONGEST_DRAIN)


def _count(hub: Hub, report: Report) -> None:
    kept = [event.id for (body,) in hub.rows("SELECT body FROM metrics_event") for event in chunks.unpack(bytes(body))]
    report.kept, report.stored = len(kept), set(kept)
    report.in_minutes = hub.value("SELECT sum(n)::int FROM metrics_rollup_minute WHERE slice = ''")
    report.in_hours = hub.value("SELECT sum(n)::int FROM metrics_rollup_hour WHERE slice = ''")
    report.quarantined = hub.value("SELECT count(*)::int FROM metrics_quarantine")
    report.outcomes = dict(hub.rows("SELECT outcome, sum(n)::int FROM metrics_outcome GROUP BY 1"))


def bench(events: int = 1_000_000, kills: int = 50) -> Iterator[Figure]:
    found = run(events, kills, workers=4)
    what = ", ".join(f"{n} × {kind}" for kind, n in sorted(found.kills.items()))
    note = f"{len(found.stored)} events, {sum(found.kills.values())} kills ({what}), {found.requests} requests"
    yield Figure("chaos", "acknowledged and lost", found.lost, "events", 0, is_ceiling=True, note=note)
    yield Figure("chaos", "counted more or less than once", found.doubled, "events", 0, is_ceiling=True)
    yield Figure("chaos", "in quarantine", found.quarantined, "requests", 0, is_ceiling=True)
    share = found.refused / found.requests * 100
    yield Figure("chaos", "tries without an answer of 200", share, "%", note="web and PostgreSQL killed meanwhile")
    yield Figure("chaos", "until everything was counted", found.seconds, "s")
