"""What happens to requests when PostgreSQL or Redis is away, or a worker dies in the middle."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from productops.bench.hub import Hub
from productops.lib import embedded

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def private(tmp_path_factory) -> Iterator[tuple[Hub, embedded.Postgres]]:
    """A hub on a PostgreSQL of its own, which may be stopped."""
    server = embedded.start_postgres(tmp_path_factory.mktemp("pg") / "postgres")
    try:
        with Hub(server.url) as hub:
            hub.start_web()
            yield hub, server
    finally:
        server.stop()


def send(client: httpx.Client, hub: Hub, count: int = 1) -> httpx.Response:
    rows = [{"name": "pay", "id": uuid4().hex} for _number in range(count)]
    return client.post(f"{hub.url}/api/v1/events", json=rows, headers={"Authorization": f"Bearer {hub.key}"})


def counted(hub: Hub) -> int:
    return hub.value("SELECT coalesce(sum(n), 0)::int FROM metrics_rollup_hour WHERE slice = ''")


def test_without_postgresql_everything_is_spooled(private):
    """Frozen: no answer before the commit. Gone: kept on the disk, also when the web is killed meanwhile."""
    hub, server = private
    accepted = 0
    with httpx.Client(timeout=15) as client:
        assert send(client, hub).status_code == 200
        accepted += 1
        freeze(server, signal.SIGSTOP)
        try:
            with ThreadPoolExecutor(8) as pool:
                waiting = [pool.submit(send, client, hub) for _number in range(8)]
                time.sleep(1.0)
                assert not any(answer.done() for answer in waiting)  # not committed, so not answered
                freeze(server, signal.SIGCONT)
                accepted += sum(answer.result().status_code == 200 for answer in waiting)
        finally:
            freeze(server, signal.SIGCONT)
        server.stop()
        assert [send(client, hub).status_code for _number in range(10)] == [200] * 10
        hub.kill("web")
        hub.start_web(wait_for="/live")
        assert [send(client, hub).status_code for _number in range(10)] == [200] * 10
        broken = client.post(f"{hub.url}/api/v1/events", content=b"{", headers={"Authorization": f"Bearer {hub.key}"})
        assert broken.status_code == 400
        unknown = client.post(f"{hub.url}/api/v1/events", json=[], headers={"Authorization": f"Bearer {'f' * 32}"})
        assert (unknown.status_code, unknown.headers["retry-after"]) == (503, "2")  # nobody can say whose it is
        accepted += 20
        server.child.start()
        hub.wait(lambda: not list((hub.folder / "data" / "spool").iterdir()), "an empty spool", 20)
        assert send(client, hub).status_code == 200
        accepted += 1
    assert hub.value("SELECT sum(events)::int FROM metrics_inbox") == accepted
    hub.start_worker()
    hub.manage("shell", "-c", "from metrics.counting import drain; drain.run()")
    hub.wait_drained()
    assert counted(hub) == accepted
    assert dict(hub.rows("SELECT outcome, sum(n)::int FROM metrics_outcome GROUP BY 1")) == {
        "accepted": accepted,
        "invalid": 1,
    }


def test_a_full_spool_promises_nothing(private):
    hub, server = private
    hub.stop("web")
    hub.env["SPOOL_MB"] = "0"
    hub.start_web()
    with httpx.Client(timeout=15) as client:
        assert send(client, hub).status_code == 200
        before = hub.value("SELECT sum(events)::int FROM metrics_inbox")
        server.stop()
        refused = [send(client, hub) for _number in range(10)]
        assert {(a.status_code, a.headers["retry-after"]) for a in refused} == {(503, "2")}
        server.child.start()
        hub.wait(lambda: send(client, hub).status_code == 200, "PostgreSQL again", 20)
    assert hub.value("SELECT sum(events)::int FROM metrics_inbox") == before + 1
    shed = "SELECT sum(n)::int FROM metrics_outcome WHERE outcome = 'shed'"
    hub.wait(lambda: hub.value(shed) >= 10, "the count of what was shed", 5)  # and maybe tries while it came up


def freeze(server: embedded.Postgres, number: int) -> None:
    """The whole family of the server's processes."""
    pid = server.child.process.pid
    children = [
        int(entry)
        for entry in os.listdir("/proc")
        if entry.isdigit() and _parent(entry) == pid
    ]
    for each in (pid, *children):
        os.kill(each, number)


def _parent(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def test_without_redis_the_door_answers_and_nothing_is_lost(empty_hub):
    with Hub(empty_hub.server, like=empty_hub) as hub, httpx.Client(timeout=10) as client:
        hub.start_web()
        assert send(client, hub).status_code == 200
        hub.redis.stop()
        began = time.monotonic()
        assert [send(client, hub).status_code for _number in range(20)] == [200] * 20
        assert time.monotonic() - began < 5
        assert hub.value("SELECT count(*) FROM metrics_inbox") == 21
        hub.redis.child.start()
        hub.start_worker()
        hub.start_beat()
        hub.wait_drained(30)  # no ring is left: the sweep finds them
        assert counted(hub) == 21


def test_a_worker_killed_before_the_effect_counts_nothing_twice(empty_hub):
    """The claim is committed, the effect is not: when the lease is over, the next worker counts it once."""
    with Hub(empty_hub.server, like=empty_hub, has_redis=False) as hub, httpx.Client(timeout=10) as client:
        hub.start_web()
        for _number in range(5):
            assert send(client, hub, 10).status_code == 200
        died = (
            "import os; from metrics.counting import drain, store\n"
            "store.add_rollups = lambda *_all: os.kill(os.getpid(), 9)\ndrain.run()"
        )
        with pytest.raises(RuntimeError):
            hub.manage("shell", "-c", died)
        assert counted(hub) == 0
        assert hub.rows("SELECT DISTINCT attempts FROM metrics_inbox") == [(1,)]
        drain = "from metrics.counting import drain; print(drain.run())"
        assert hub.manage("shell", "-v", "0", "-c", drain).split()[-1] == "0"
        hub.execute("UPDATE metrics_inbox SET lease_until = now() - interval '1 second'")
        assert hub.manage("shell", "-v", "0", "-c", drain).split()[-1] == "50"
        assert counted(hub) == 50
