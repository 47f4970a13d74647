"""The disk is full: the database's and the spool's. Nobody is told yes for what is not stored, and it mends by itself."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from productops.bench.hub import Hub
from productops.lib import embedded, embedded_root
from tests.pipeline.test_replica import run

pytestmark = pytest.mark.live

SIZE = "192m"
EACH = 50


@pytest.fixture
def small(tmp_path) -> Iterator[Path]:
    """A disk of SIZE."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0755", "tmpfs", folder], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("This user may not make a small disk.")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


class Client:
    def __init__(self, hub: Hub) -> None:
        self.hub, self.answers, self.taken = hub, Counter[int](), 0

    def send(self) -> int:
        rows = [{"name": "pay", "props": {"text": os.urandom(300).hex()}} for _number in range(EACH)]
        answer = httpx.post(
            f"{self.hub.url}/api/v1/events", json=rows, headers={"Authorization": f"Bearer {self.hub.key}"}, timeout=30
        )
        self.answers[answer.status_code] += 1
        self.taken += EACH * (answer.status_code == 200)
        assert answer.status_code == 200 or answer.headers["retry-after"]
        return answer.status_code


def fill(folder: Path) -> Path:
    """All but the last bytes of the disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 2**12):
            while True:
                try:
                    file.write(b"\0" * size)
                except OSError:
                    break
    return ballast


def check(folder: Path) -> None:
    """No page of a server that was stopped is torn."""
    program = next(iter(embedded.postgres_binaries().values())) / "pg_checksums"
    argv = [program, "--check", "-D", folder]
    found = subprocess.run(argv, capture_output=True, text=True, check=False, preexec_fn=embedded_root.demotion(), cwd="/")
    assert found.returncode == 0, found.stderr
    assert "Bad checksums:  0" in found.stdout


def test_a_full_disk_is_told_and_mends(small):
    server = embedded.start_postgres(small / "pg")
    try:
        run(server, "ALTER SYSTEM SET max_wal_size = '32MB'")
        run(server, "ALTER SYSTEM SET min_wal_size = '32MB'")
        run(server, "SELECT pg_reload_conf()")
        with Hub(server.url, has_redis=False, DATA_DIR=str(small / "data")) as hub:
            hub.start_web()
            client = Client(hub)
            assert [client.send() for _request in range(20)] == [200] * 20
            ballast = fill(small)
            until = time.monotonic() + 60
            while client.answers[503] < 20 and time.monotonic() < until:
                client.send()
            assert client.answers.keys() == {200, 503}, client.answers
            ballast.unlink()
            if not is_up(server):  # it could not write its log: whoever runs it starts it again
                server.stop()
                server = embedded.start_postgres(small / "pg")
            hub.wait(lambda: client.send() == 200, "room again", 60)
            hub.start_worker()
            hub.wait_drained(120)
            assert hub.value("SELECT sum(n)::int FROM metrics_rollup_hour WHERE slice = ''") == client.taken
            assert hub.value("SELECT count(*) FROM metrics_quarantine") == 0
            assert not list((small / "data" / "spool").glob("*.broken"))
    finally:
        server.stop()
    check(small / "pg")


def is_up(server: embedded.Postgres) -> bool:
    try:
        run(server, "CREATE TABLE IF NOT EXISTS is_up ()")
    except Exception:
        return False
    return True
