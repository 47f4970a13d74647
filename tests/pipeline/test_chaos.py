"""Web and worker are killed, over and over, under load: nothing acknowledged is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from uuid import uuid4

import httpx
import orjson
import pytest

from productops.bench.hub import Hub

pytestmark = pytest.mark.live

KILLS = 10
EVENTS = 100_000
EACH = 50
CLIENTS = 16


class Client:
    """Sends batches until it is told to stop, each again until it is acknowledged, and remembers which were."""

    def __init__(self, hub: Hub, seed: int) -> None:
        self.hub, self.rng, self.acknowledged, self.tries = hub, random.Random(seed), set(), 0

    async def run(self, http: httpx.AsyncClient, batches: int, killed: threading.Event) -> None:
        while len(self.acknowledged) < batches * EACH or not killed.is_set():
            ids = [uuid4().hex for _event in range(EACH)]
            body = orjson.dumps([{"name": f"s{n % 5}", "id": id_, "user": f"u{n}"} for n, id_ in enumerate(ids)])
            headers = {"Authorization": f"Bearer {self.hub.key}"}
            if self.rng.random() < 0.5:
                headers["Idempotency-Key"] = ids[0]
            await self.send(http, body, headers)
            self.acknowledged.update(ids)
            if self.rng.random() < 0.05:  # a client that did not hear the answer
                await self.send(http, body, headers)

    async def send(self, http: httpx.AsyncClient, body: bytes, headers: dict[str, str]) -> None:
        while True:
            self.tries += 1
            try:
                answer = await http.post(f"{self.hub.url}/api/v1/events", content=body, headers=headers)
            except httpx.HTTPError:
                await asyncio.sleep(0.1)
                continue
            if answer.status_code == 200:
                return
            assert answer.status_code == 503, answer.text
            await asyncio.sleep(0.1)


def test_kills_lose_nothing_and_double_nothing(empty_hub):
    with Hub(empty_hub.server, like=empty_hub, PAGE_THREADS="1") as hub:
        logging.getLogger("httpx").setLevel(logging.WARNING)
        hub.start_web()
        hub.start_worker(2)
        clients = [Client(hub, seed) for seed in range(CLIENTS)]
        killed = threading.Event()
        sending = threading.Thread(target=lambda: asyncio.run(_send(clients, killed)))
        sending.start()
        try:
            _kill(hub)
        finally:
            killed.set()
            sending.join(120)
        assert not sending.is_alive()
        # Leases of the dead would run out by themselves after a while.
        hub.execute("UPDATE metrics_inbox SET lease_until = NULL, attempts = least(attempts, 2)")
        hub.manage("shell", "-c", "from metrics.counting import drain; drain.run(60)")
        hub.wait_drained(60)
        acknowledged = {id_ for client in clients for id_ in client.acknowledged}
        stored = {row[0] for row in hub.rows("SELECT replace(event_id::text, '-', '') FROM metrics_event_seen")}
        n = hub.value("SELECT sum(n)::int FROM metrics_rollup_minute WHERE slice = ''")
        told = dict(hub.rows("SELECT outcome, sum(n)::int FROM metrics_outcome GROUP BY 1"))
        print(f"{n} counted, {sum(c.tries for c in clients)} requests, {KILLS} kills, {told}")
        assert len(acknowledged) >= EVENTS
        assert stored == acknowledged  # every batch was acknowledged in the end
        assert n == len(acknowledged)
        assert n == hub.value("SELECT sum(n)::int FROM metrics_rollup_hour WHERE slice = ''")
        assert n == hub.value("SELECT count(*)::int FROM metrics_event") == told["accepted"]
        assert hub.value("SELECT count(*) FROM metrics_quarantine") == 0


async def _send(clients: list[Client], killed: threading.Event) -> None:
    async with httpx.AsyncClient(timeout=20, limits=httpx.Limits(max_keepalive_connections=4)) as http:
        await asyncio.gather(*(client.run(http, EVENTS // EACH // CLIENTS, killed) for client in clients))


def _kill(hub: Hub) -> None:
    rng = random.Random(3)
    for number in range(KILLS):
        time.sleep(rng.uniform(0.4, 1.2))
        if number % 2:
            hub.kill("worker")
            hub.start_worker(2)
        else:
            hub.kill("web")
            hub.start_web()
