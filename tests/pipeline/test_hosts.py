"""Workers on several hosts, each with an address and a network of its own; one is cut off in the middle of its work."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from metrics.counting import chunks
from productops.bench.hub import ROOT, Hub

from .proxy import Network

pytestmark = pytest.mark.live

#: Batches, and events of each.
BATCHES, EACH = 120, 200
#: Counts one batch after another, so that it is cut off in the middle of one.
WORK = """
import django, sys, time
django.setup()
from metrics.counting import drain
drain.EVENTS, drain.FEWEST, drain.MOST = 400, 2, 2
real = drain.write_outcomes
def slowly(*given):
    time.sleep(0.05)
    return real(*given)
drain.write_outcomes = slowly
print("ready", flush=True)
while True:
    try:
        drain.run(1)
    except Exception as error:
        print("failed", type(error).__name__, flush=True)
    time.sleep(0.05)
"""


class Host:
    """A process on an address of its own, with its own folder and its own way to the database."""

    def __init__(self, hub: Hub, number: int, folder: Path) -> None:
        self.network = Network(hub.server, f"127.0.0.{number}")
        url = self.network.address_of(hub.database, "-c%20idle_in_transaction_session_timeout=2s")
        env = {**hub.env, "DATABASE_URL": url, "DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "productops.settings"}
        self.log = folder / "host.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-c", WORK], cwd=ROOT, env=env, stdout=log, stderr=log)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self.network.close()


@pytest.fixture
def hosts(hub: Hub, tmp_path: Path) -> Iterator[list[Host]]:
    made = []
    for number in (2, 3):
        (tmp_path / str(number)).mkdir()
        made.append(Host(hub, number, tmp_path / str(number)))
    yield made
    for host in made:
        host.stop()


@pytest.fixture
def hub(empty_hub: Hub) -> Iterator[Hub]:
    with Hub(empty_hub.server, like=empty_hub, has_redis=False) as made:
        yield made


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address only")
def test_a_host_that_is_cut_off_in_the_middle_loses_nothing(hub, hosts):
    first, second = hosts
    hub.wait(lambda: all(b"ready" in host.log.read_bytes() for host in hosts), "two hosts")
    hub.start_web()
    sent = {uuid4().hex for _number in range(BATCHES * EACH)}
    ids = list(sent)
    headers = {"Authorization": f"Bearer {hub.key}"}
    with httpx.Client(timeout=20) as http:
        for start in range(0, len(ids), EACH):
            rows = [{"name": "pay", "id": id_, "user": id_[:3]} for id_ in ids[start : start + EACH]]
            assert http.post(f"{hub.url}/api/v1/events", json=rows, headers=headers).status_code == 200
    hub.wait(lambda: busy(hub, first) and busy(hub, second), "both at work")
    first.network.cut()
    stood = counted(hub)
    hub.wait(lambda: counted(hub) > stood + 20 * EACH, "the other host going on", 20)
    # What it held is given to the others when its lease is over; that is now.
    time.sleep(2.5)
    hub.execute("UPDATE metrics_inbox SET lease_until = now() WHERE lease_until > now()")
    first.network.mend()
    hub.wait_drained(60)
    second.stop()
    more = [{"name": "pay", "id": uuid4().hex, "user": ids[0][:3]} for _number in range(EACH)]
    assert httpx.post(f"{hub.url}/api/v1/events", json=more, headers=headers).status_code == 200
    sent |= {row["id"] for row in more}
    hub.wait_drained(60)  # by the one that was cut off, which never ended
    found = [e.id for (body,) in hub.rows("SELECT body FROM metrics_event") for e in chunks.unpack(bytes(body))]
    assert len(found) == len(sent)
    assert set(found) == sent
    assert counted(hub) == hub.value("SELECT sum(n)::int FROM metrics_rollup_minute WHERE slice = ''") == len(sent)
    assert hub.value("SELECT sum(users)::int FROM metrics_rollup_hour WHERE slice = ''") == len({i[:3] for i in ids})
    assert hub.value("SELECT count(*)::int FROM metrics_quarantine") == 0


def busy(hub: Hub, host: Host) -> bool:
    """In the middle of a transaction."""
    port = f"SELECT count(*)::int FROM pg_stat_activity WHERE datname = '{hub.database}' AND xact_start IS NOT NULL"
    return host.process.poll() is None and hub.value(f"{port} AND pid <> pg_backend_pid()") >= 2


def counted(hub: Hub) -> int:
    return int(hub.value("SELECT coalesce(sum(n), 0) FROM metrics_outcome WHERE outcome = 'accepted'"))
