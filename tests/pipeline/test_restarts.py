"""A new version goes out while clients send: two web processes behind a balancer, each told to end in turn."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import Counter
from uuid import uuid4

import pytest

from productops import serving
from productops.bench.hub import Hub, free_port
from productops.run_ready import obstacle

pytestmark = pytest.mark.live

RESTARTS, RATE = 6, 300


@pytest.fixture
def hub(empty_hub):
    with Hub(empty_hub.server, like=empty_hub) as made:
        yield made


class Balancer:
    """Asks the next process where one does not take a connection, as nginx does; anything else is the client's."""

    def __init__(self, hub: Hub, ports: list[int]) -> None:
        self.hub, self.turn, self.ports = hub, itertools.cycle(ports), ports
        self.answers: Counter[int] = Counter()
        self.broken: list[str] = []
        self.ids: set[str] = set()

    async def send(self) -> None:
        id_ = uuid4().hex
        body = f'[{{"name":"pay","id":"{id_}"}}]'
        # As a balancer by default: a connection for each request upstream.
        head = f"POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.hub.key}\r\n"
        head += f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        for _try in range(40):
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", next(self.turn))
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
                continue
            try:
                writer.write((head + body).encode())
                answer = await reader.read()
                self.answers[int(answer.split()[1])] += 1
                self.ids.add(id_)
            except (OSError, IndexError) as error:
                self.broken.append(repr(error))
            finally:
                writer.close()
            return
        self.broken.append("nobody listened")

    async def run(self, is_over: threading.Event) -> None:
        tasks = set()
        began, sent = time.monotonic(), 0
        while not is_over.is_set():
            while sent < (time.monotonic() - began) * RATE:
                tasks.add(asyncio.create_task(self.send()))
                sent += 1
            await asyncio.sleep(0.005)
        await asyncio.gather(*tasks)


def start(hub: Hub, name: str, port: int, workers: int) -> None:
    hub._start(name, serving.words(port, workers=workers))
    hub.wait(lambda: not obstacle(f"127.0.0.1:{port}", hub.url), f"{name} ready", 60)


@pytest.mark.parametrize("workers", [1, 2])
def test_restarts_in_turn_are_not_noticed(hub, workers):
    ports = {"web-1": free_port(), "web-2": free_port()}
    for name, port in ports.items():
        start(hub, name, port, workers)
    hub.start_worker(1)
    balancer, is_over = Balancer(hub, list(ports.values())), threading.Event()
    sending = threading.Thread(target=lambda: asyncio.run(balancer.run(is_over)))
    sending.start()
    try:
        for _round, (name, port) in zip(range(RESTARTS), itertools.cycle(ports.items()), strict=False):
            time.sleep(0.3)
            hub.stop(name, 20)  # SIGTERM
            start(hub, name, port, workers)
    finally:
        is_over.set()
        sending.join(60)
    assert balancer.broken == []
    assert set(balancer.answers) == {200}
    assert len(balancer.ids) > RATE
    hub.wait_drained(60)
    assert hub.value("SELECT sum(n)::int FROM metrics_rollup_hour WHERE slice = ''") == len(balancer.ids)
