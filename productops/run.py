"""`bin/run`: PostgreSQL, Redis, web, worker and beat on one machine, under one supervisor."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from productops import serving
from productops.lib import embedded, supervisor
from productops.lib.supervisor import Child, GaveUp, Program, Stopped, Supervisor, pause
from productops.run_options import (
    ROOT,
    Refusal,
    check,
    check_port,
    in_use,
    is_running,
    make_data,
    parse,
    runner_of,
)
from productops.run_ready import obstacle

LOCK_WAIT = 60.0  # seconds for a killed run's databases to go down
STEP_LIMIT = 900.0  # seconds for a migration or the sample
READY_LIMIT = 120.0  # seconds until the web must answer


def say(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError:
        # Whoever read us is gone (a closed terminal, `| head`); the logs stay.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Run:
    """One start, from an empty folder to a ready address, and its end."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.data: Path = options.data
        self.port: int = check_port(options.host, options.port)
        self.supervisor = Supervisor(say)
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(options.host, options.host)  # noqa: S104
        self.address = (
            f"[{host}]:{self.port}" if ":" in host.strip("[]") and "[" not in host else f"{host}:{self.port}"
        )
        self.env = {
            **os.environ,
            "DATA_DIR": str(self.data),
            "SECRET_KEY": os.environ.get("SECRET_KEY") or _secret_key(self.data),
            "BASE_URL": os.environ.get("BASE_URL") or f"http://{self.address}",
            "DEBUG": os.environ.get("DEBUG") or "0",
            "PYTHONUNBUFFERED": "1",
        }

    def start(self) -> None:
        with _step() as done:
            done(self._start_postgres())
        with _step() as done:
            done(self._start_broker())
        with _step() as done:
            self._manage("migrate", "--noinput")
            done("Database migrated")
        sample: dict[str, Any] = {}
        if not self.options.empty:
            with _step() as done:
                sample = self._load_sample()
                done("Sample workspace")
        with _step() as done:
            self._start_programs()
            done("Web and workers")
        say(f"Ready: http://{self.address}")
        self._tell(sample)
        if self.options.live:
            self.supervisor.start(self._program("live", ["manage.py", "sample_live"]))

    def _start_postgres(self) -> str:
        if self.env.get("DATABASE_URL"):
            return "PostgreSQL of DATABASE_URL"
        server = embedded.start_postgres(self.data / "postgres", log=self._log("postgres"))
        self.supervisor.keep(server.child)
        self.env["DATABASE_URL"] = server.url
        return f"PostgreSQL {server.version}"

    def _start_broker(self) -> str:
        if self.env.get("REDIS_URL"):
            return "Redis of REDIS_URL"
        server = embedded.start_redis(self.data / "redis", log=self._log("redis"))
        if not server:
            self.env["REDIS_URL"] = ""
            return "No Redis here: tasks go through files"
        self.supervisor.keep(server.child)
        self.env["REDIS_URL"] = server.url
        return f"Redis {server.version}"

    def _start_programs(self) -> None:
        options = self.options
        serve = serving.words(self.port, options.host, options.workers)
        work = "-m celery -A productops worker -Q ingest,default -c 2 --without-gossip --without-mingle"
        beat = ["-m", "celery", "-A", "productops", "beat", "-s", str(self.data / "celerybeat-schedule")]
        web = self.supervisor.start(self._program("web", serve, is_vital=True))
        self.supervisor.start(self._program("worker", [*work.split(), "-l", "warning"]))
        self.supervisor.start(self._program("beat", [*beat, "-l", "warning", "--pidfile="]))
        deadline = time.monotonic() + READY_LIMIT
        while said := obstacle(self.address, self.env["BASE_URL"]):
            if time.monotonic() > deadline:
                lines = f"Lines of web:\n{web.last_lines()}"
                raise GaveUp(f"/ready did not answer 200 in {READY_LIMIT:.0f} s but: {said}. {lines}")
            self.supervisor.tick()
            pause(0.05)

    def _program(self, name: str, argv: list[str], *, is_vital: bool = False) -> Program:
        return Program(
            name, [sys.executable, *argv], self._log(name), self.env, cwd=ROOT, grace=12.0, is_vital=is_vital
        )

    def _manage(self, *argv: str) -> str:
        """What the command printed."""
        child = Child(self._program(f"manage.py {argv[0]}", ["manage.py", *argv]))
        with tempfile.TemporaryFile() as output:
            if code := child.start(output.fileno()).wait(STEP_LIMIT):
                raise GaveUp(f"{child.program.name} failed (exit {code}):\n{child.last_lines()}")
            output.seek(0)
            return output.read().decode(errors="replace")

    def _load_sample(self) -> dict[str, Any]:
        said = self._manage("sample", "--json")
        try:
            sample = json.loads(said[said.index("{") : said.rindex("}") + 1])
        except ValueError:
            raise GaveUp(f"manage.py sample --json printed no JSON object:\n{said[-500:]}") from None
        return dict(sample)

    def _log(self, name: str) -> Path:
        log = self.data / "log" / f"{name.removeprefix('manage.py ')}.log"
        supervisor.rotate(log)
        return log

    def _tell(self, sample: dict[str, Any]) -> None:
        if sample:
            place = f"http://{self.address}{sample.get('url_path', '/')}"
            say(f"\nSample workspace: {sample.get('workspace', '')}  {place}")
            for person in sample.get("sign_in", []):
                say(f"  {person['role']:<10} {person['email']:<28} {person['password']}")
            say(f"Send events to (DSN): {sample.get('dsn', '')}")
        else:
            say("\nNothing is in it yet: open the address to make the first account.")
        say(f"Data and logs: {self.data}   End: Ctrl-C\n")


@contextmanager
def _step() -> Iterator[Callable[[str], None]]:
    """Times a step; its line is printed when it is done."""
    began = time.monotonic()
    yield lambda line: say(f"  {line:<40} {time.monotonic() - began:5.1f} s")


def _secret_key(data: Path) -> str:
    """Made once. Written beside and renamed: a torn key would end every session."""
    file = data / "secret_key"
    if not file.exists():
        new = data / "secret_key.new"
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(secrets.token_urlsafe(64))
            out.flush()
            os.fsync(out.fileno())
        new.rename(file)
    return file.read_text().strip()


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    """One run per data folder. The guard of a killed run holds the lock until its databases are down."""
    with (data / "lock").open("a") as file:
        deadline = time.monotonic() + LOCK_WAIT
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                runner = runner_of(data) or ""
                if is_running(runner) or time.monotonic() > deadline:
                    raise Refusal(in_use(data, runner)) from None
            pause(0.1)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        supervisor.guard.hold(file.fileno())
        yield


def main(argv: list[str]) -> int:
    options = parse(argv)
    supervisor.listen()
    try:
        check(options)
        make_data(options.data)
        with _locked(options.data):
            return _serve(Run(options))
    except Stopped:
        return 0
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
    except OSError as error:
        print(f"Cannot start: {error}", file=sys.stderr)
    return 1


def _serve(run: Run) -> int:
    try:
        run.start()
        run.supervisor.watch()
    except Stopped:
        say("Stopping ...")
        return 0
    except (GaveUp, embedded.Unavailable, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        began = time.monotonic()
        run.supervisor.stop()
        say(f"Stopped in {time.monotonic() - began:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
