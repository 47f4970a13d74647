"""The steps of bin/test, in .venv: every check, then pytest, whose closing line stays the last one."""

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import _chromium
import _servers

from productops.lib.embedded import Unavailable

ROOT = Path(__file__).resolve().parent.parent
MANAGE = [sys.executable, "manage.py"]
#: Seconds that all tests may take, three times what they take on four cores.
LONGEST = 40 * 60


USAGE = """usage: bin/test [--servers] [--pytest-only] [PATH or pytest option ...]

Runs every check and all tests; with a path or an option of pytest, only those tests.

  --servers      use the PostgreSQL and Redis of DATABASE_URL and REDIS_URL, or of this machine's
                 standard ports (without it: those of the environment, else servers of its own)
  --pytest-only  all tests, and no other check"""


def main(argv: list[str]) -> int:
    if {"-h", "--help"} & set(argv):
        print(USAGE)
        return 0
    passed_on = [word for word in argv if word not in {"--servers", "--pytest-only"}]
    is_whole = not passed_on or "--pytest-only" in argv
    # A closed terminal or a cancelled job unwinds like Ctrl-C, so the servers end with us.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    os.chdir(ROOT)
    failed = []
    chromium = _chromium.find()
    if not chromium:
        print(_chromium.FIX, flush=True)
        failed.append("Chromium")
        passed_on += ["-m", "not browser"]
    with _servers.servers("--servers" in argv) as places:
        env = {**os.environ, **places, **base(), "CHROMIUM": chromium or ""}
        if is_whole and "--pytest-only" not in argv:
            failed += [name for name, argv, more in checks() if not step(name, argv, {**env, **more})]
        if failed:
            print(f"Failed before pytest: {', '.join(failed)}", flush=True)
        code = pytest(passed_on, env, is_whole)
    return code or (1 if failed else 0)


def base() -> dict[str, str]:
    return {
        "SECRET_KEY": secrets.token_urlsafe(64),
        "BASE_URL": "http://127.0.0.1:8000",
        "DEBUG": "0",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": "",
    }


def checks() -> list[tuple[str, list[str], dict[str, str]]]:
    """Name, command, and what differs in its environment."""
    live = {"BASE_URL": "https://hub.example.com"}
    tool = [sys.executable, "-m"]
    return [
        ("ruff", [*tool, "ruff", "check", "--quiet", "."], {}),
        ("mypy", [*tool, "mypy", "--no-error-summary", "."], {}),
        ("migrations", [*MANAGE, "makemigrations", "--check", "--dry-run"], {}),
        ("messages", [*MANAGE, "messages", "--check"], {}),
        ("deployment", [*MANAGE, "check", "--deploy", "--fail-level", "WARNING"], live),
        ("static files", [*MANAGE, "collectstatic", "--noinput", "-v", "0"], live),
    ]


def step(name: str, argv: list[str], env: dict[str, str]) -> bool:
    """Runs one check; what it said is shown when it failed."""
    began = time.monotonic()
    done = subprocess.run(
        argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    passed = done.returncode == 0
    print(f"  {name:<40} {time.monotonic() - began:5.1f} s{'' if passed else '  FAILED'}", flush=True)
    if not passed:
        sys.stdout.buffer.write(done.stdout)
        sys.stdout.flush()
    return passed


def pytest(passed_on: list[str], env: dict[str, str], is_whole: bool) -> int:
    # The collected files are for the check only: the tests serve what is in the tree.
    env = {name: value for name, value in env.items() if name != "STATIC_ROOT"}
    argv = [sys.executable, "-m", "pytest", *passed_on]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if is_whole and cores > 1:
        argv += ["-n", str(min(cores, 8)), "--dist", "worksteal"]
    process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL)
    try:
        return process.wait(LONGEST)
    except subprocess.TimeoutExpired:
        print(f"The tests did not end within {LONGEST // 60} minutes.", flush=True)
        return 1
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C would; a run that does not unwind is killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except Unavailable as error:
        sys.exit(str(error))
