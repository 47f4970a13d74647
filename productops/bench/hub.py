"""A hub of its own: a new database, and web, worker and beat as processes. For the benches and the live tests."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2

from productops import serving
from productops.lib import embedded
from productops.run_ready import obstacle

ROOT = Path(__file__).resolve().parents[2]
READY = 60.0
WORKER = "-m celery -A productops worker -Q ingest,default --without-gossip --without-mingle -l warning"
BEAT = "-m celery -A productops beat -l warning --pidfile= -s"


class Hub:
    """`with Hub(server_url) as hub:` gives an empty, provisioned hub; what was started ends with it.

    `like` is another hub on the same server that nothing is connected to: its database is copied, which is
    faster than making one. `database` is an empty one that is there already, and stays.
    """

    def __init__(
        self, server: str, *, like: Hub | None = None, database: str = "", has_redis: bool = True, **env: str
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="productops-hub-"))
        self.server, self.is_mine = server, not database
        self.database = database or f"productops_hub_{secrets.token_hex(5)}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.redis = embedded.start_redis(self.folder / "redis") if has_redis else None
        self.env: dict[str, str] = {
            **os.environ,
            "DATABASE_URL": urlsplit(server)._replace(path=f"/{self.database}").geturl(),
            "REDIS_URL": self.redis.url if self.redis else "",
            "BASE_URL": self.url,
            "DATA_DIR": str(self.folder / "data"),
            "SECRET_KEY": like.env["SECRET_KEY"] if like else secrets.token_hex(32),
            "DEBUG": "0",
            "PYTHONUNBUFFERED": "1",
            **env,
        }
        self.like, self.product_id, self.key, self.token = like, 0, "", ""

    @property
    def dsn(self) -> str:
        return self.url.replace("://", f"://{self.key}@") + f"/{self.product_id}"

    def __enter__(self) -> Hub:
        try:
            if self.like:
                _execute(self.server, f'CREATE DATABASE "{self.database}" TEMPLATE "{self.like.database}"')
                self.product_id, self.key, self.token = self.like.product_id, self.like.key, self.like.token
            else:
                if self.is_mine:
                    _execute(self.server, f'CREATE DATABASE "{self.database}"')
                self.manage("migrate", "--noinput", "-v", "0")
                self._provision()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_why: object) -> None:
        for name in list(self.processes):
            self.stop(name)
        if self.redis:
            self.redis.stop()
        with suppress(psycopg2.Error):  # the server may be gone on purpose
            if self.is_mine:
                _execute(self.server, f'DROP DATABASE IF EXISTS "{self.database}" WITH (FORCE)')
        shutil.rmtree(self.folder, ignore_errors=True)

    def _provision(self) -> None:
        given = ["--workspace", "Bench", "--product", "Shop", "--email", "owner@example.com"]
        found = json.loads(self.manage("provision", "--json", "--password", "correct horse battery", *given))
        self.product_id, self.key, self.token = found["product_id"], found["ingest_key"], found["api_token"]

    def manage(self, *argv: str, timeout: float = 300.0, wrap: tuple[str, ...] = ()) -> str:
        done = subprocess.run(  # noqa: S603
            [*wrap, sys.executable, "manage.py", *argv],
            cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"manage.py {argv[0]} failed:\n{done.stderr[-2000:]}")
        return done.stdout

    def sample(self, wrap: tuple[str, ...] = ()) -> dict[str, Any]:
        """Loads the sample workspace; what it tells."""
        said = self.manage("sample", "--json", wrap=wrap)
        found: dict[str, Any] = json.loads(said[said.index("{") :])
        return found

    def start_web(self, workers: int = 1, application: str = serving.APPLICATION, wait_for: str = "/ready") -> None:
        """Serves the hub, or another ASGI `application`, and waits until it answers."""
        self._start("web", serving.words(self.port, workers=workers, application=application))
        address = f"127.0.0.1:{self.port}"
        web = self.processes["web"]
        self.wait(
            lambda: web.poll() is not None or not obstacle(address, self.url, wait_for), "the web process", READY
        )
        if web.poll() is not None:
            raise RuntimeError(f"The web process ended:\n{self.log_of('web')}")

    def start_worker(self, processes: int = 1) -> None:
        self._start("worker", [*WORKER.split(), "-c", str(processes)])

    def start_beat(self) -> None:
        self._start("beat", [*BEAT.split(), str(self.folder / "beat")])

    def _start(self, name: str, argv: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(  # noqa: S603
                [sys.executable, *argv], cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def stop(self, name: str, seconds: float = 15.0) -> None:
        process = self.processes.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._kill_group(process)

    def kill(self, name: str) -> None:
        """Like a power cut for this process and its children."""
        self._kill_group(self.processes.pop(name))

    def _kill_group(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def log_of(self, name: str) -> str:
        file = self.folder / f"{name}.log"
        return file.read_text(errors="replace")[-4000:] if file.exists() else ""

    def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(self.env["DATABASE_URL"])) as link, link, link.cursor() as cursor:
            cursor.execute(sql, params)
            return cursor.fetchall() if cursor.description else []

    def value(self, sql: str, *params: Any) -> Any:
        return self.rows(sql, *params)[0][0]

    def execute(self, sql: str) -> None:
        _execute(self.env["DATABASE_URL"], sql)

    def wait_drained(self, seconds: float = 30.0) -> None:
        self.wait(lambda: self.value("SELECT count(*) FROM metrics_inbox") == 0, "an empty inbox", seconds)

    def wait(self, is_done: Callable[[], Any], what: str, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not is_done():
            if time.monotonic() > deadline:
                told = "\n".join(f"{name}:\n{self.log_of(name)}" for name in ("web", "worker", "beat"))
                raise TimeoutError(f"No {what} within {seconds:.0f} s.\n{told}")
            time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _execute(url: str, sql: str) -> None:
    with closing(psycopg2.connect(url)) as link:
        link.autocommit = True
        with link.cursor() as cursor:
            cursor.execute(sql)
