"""A world with everything in it, and a real server that answers as in production."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.test import Client

from accounts.models import User
from metrics.models import IngestKey
from releases.models import Product
from tests import make
from tests.conftest import BEYOND_DJANGO
from tests.security import world as worlds
from tests.security.world import World

ROOT = Path(__file__).resolve().parent.parent.parent
#: Starts the hub with less patience for slow bodies than in production, so that nobody waits 15 s.
_START = (
    "import sys, uvicorn, productops.asgi; from metrics.intake import door; door.PATIENCE = 1.5;"
    "from productops import serving; serving.PATIENCE = 1.5; serving.HEAD = 20_000;"
    "from productops.lib import patience; patience.LONGEST = 1.5;"
    "uvicorn.run('productops.asgi:application', fd=int(sys.argv[1]), access_log=False, server_header=False, http=serving.Patient)"
)


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any, request: pytest.FixtureRequest) -> None:
    """Argon2 is slow on purpose; only the tests of signing in want it."""
    if "slow_passwords" not in request.fixturenames:
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def slow_passwords() -> None:
    """The hashers of production."""


@pytest.fixture
def world(db: None) -> World:
    return worlds.build()


@pytest.fixture
def elsewhere(db: None) -> World:
    """Another company on the same hub."""
    return worlds.build(say=lambda what, i, limit: f"elsewhere {what} {i}"[:limit], name="Elsewhere")


def browser(user: User | None = None, **more: Any) -> Client:
    """A client with an address of its own, so that limits per address do not add up over tests."""
    client = Client(REMOTE_ADDR=address(), **more)
    if user:
        client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def address() -> str:
    return f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"


@dataclass
class Hub:
    """A running server and what it knows: one product with its key, and another tenant's."""

    url: str
    product: Product
    key: str
    other: Product
    other_key: str
    owner: User
    token: str
    process: subprocess.Popen[bytes]
    log: Path

    def client(self, **more: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=10, trust_env=False, **more)

    @property
    def place(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)


def start(folder: Path, **env: str) -> tuple[subprocess.Popen[bytes], str, Path]:
    """A server on the tests' database. It gets an open socket, so no other process can take its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    database = settings.DATABASES["default"]
    query = f"?host={database['HOST']}" if str(database["HOST"]).startswith("/") else ""
    place = "" if query else f"{database['HOST']}:{database['PORT'] or 5432}"
    password = f":{database['PASSWORD']}" if database["PASSWORD"] else ""
    account = f"{database['USER']}{password}@" if database["USER"] else ""
    given = {
        **os.environ,
        "DATABASE_URL": f"postgres://{account}{place}/{database['NAME']}{query}",
        "REDIS_URL": "",
        "DATA_DIR": str(folder),
        "BASE_URL": f"http://127.0.0.1:{port}",
        "DEBUG": "0",
        "PAGE_THREADS": "4",
        "SECRET_KEY": settings.SECRET_KEY,
        "PYTHONDONTWRITEBYTECODE": "1",
        **env,
    }
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(listener.fileno())],
            cwd=ROOT,
            env=given,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            pass_fds=[listener.fileno()],
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(process, url, log)
    except BaseException:
        stop(process)
        raise
    finally:
        listener.close()
    return process, url, log


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            # Any answer will do: with an https BASE_URL this host is not the hub's.
            httpx.get(f"{url}/live", timeout=2, trust_env=False)
            return
        except httpx.HTTPError:
            time.sleep(0.05)
    pytest.fail(f"The server did not start:\n{log.read_text()[-2000:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


@pytest.fixture(scope="module")
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Runs what makes rows that another process shall see. They are taken away after the module."""
    from django.contrib.contenttypes.models import ContentType
    from django.db import connection

    def run(make_rows: Callable[[], Any]) -> Any:
        """On a connection of its own, so that no test's transaction is around it."""

        def work() -> Any:
            try:
                return make_rows()
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(work).result()

    with django_db_blocker.unblock():
        yield run
        tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False))
        tables |= set(BEYOND_DJANGO)
        tables -= {"django_migrations", ContentType._meta.db_table}
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {', '.join(sorted(tables))} RESTART IDENTITY CASCADE")
        connection.close()


@pytest.fixture(scope="module")
def hub(committed: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    def found() -> dict[str, Any]:
        workspace, other = make.workspace("Tienda"), make.workspace("Elsewhere")
        product, another = make.product(workspace, "Shop"), make.product(other, "Other shop")
        owner = workspace.memberships.get().user
        return {
            "product": product,
            "key": IngestKey.current(product).key,
            "other": another,
            "other_key": IngestKey.current(another).key,
            "owner": owner,
            "token": make.token(owner, workspace),
        }

    known = committed(found)
    process, url, log = start(tmp_path_factory.mktemp("hub"))
    yield Hub(url=url, process=process, log=log, **known)
    stop(process)
