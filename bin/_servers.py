"""PostgreSQL and Redis for one run of the tests, and no trace of them afterwards."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import redis

from productops.lib import embedded

LOCAL_POSTGRES = "postgres://postgres@127.0.0.1:5432/postgres"
LOCAL_REDIS = "redis://127.0.0.1:6379"


@contextlib.contextmanager
def servers(use_running: bool) -> Iterator[dict[str, str]]:
    """The environment that leads to the servers: those of the environment or, with `use_running`, of this
    machine's standard ports; else embedded ones in a temporary folder."""
    postgres, broker = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
    if use_running:
        postgres, broker = postgres or LOCAL_POSTGRES, broker or LOCAL_REDIS
    folder = Path(tempfile.mkdtemp(prefix="productops-test-"))
    name = f"test_productops_{os.getpid()}"
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if postgres:
            stack.callback(_drop_databases, postgres, name)
        else:
            server = embedded.start_postgres(folder / "postgres", is_durable=False)
            stack.callback(server.stop)
            postgres = server.url
        if broker:
            broker = stack.enter_context(_own_redis_database(broker))
        elif started := embedded.start_redis(folder / "redis"):
            stack.callback(started.stop)
            broker = started.url
        (folder / "data").mkdir(mode=0o700)
        yield {
            "DATABASE_URL": postgres,
            "REDIS_URL": broker or "",
            "DATA_DIR": str(folder / "data"),
            "STATIC_ROOT": str(folder / "static"),
            "TEST_DATABASE_NAME": name,
        }


@contextlib.contextmanager
def _own_redis_database(url: str) -> Iterator[str]:
    """The database the URL names, else the last empty one. Emptied afterwards, if it was empty."""
    named = urlsplit(url).path.strip("/")
    for number in [int(named)] if named else range(15, 0, -1):
        client = redis.Redis.from_url(url, db=number)
        with contextlib.closing(client):
            was_empty = not client.dbsize()
            if not was_empty and not named:
                continue
            try:
                yield urlsplit(url)._replace(path=f"/{number}").geturl()
            finally:
                if was_empty:
                    client.flushdb()
            return
    sys.exit("The Redis server has no empty database. Name one in REDIS_URL, for example redis://127.0.0.1/9")


def _drop_databases(url: str, name: str) -> None:
    """What an aborted run of Django's test runner left: the database and those of the parallel workers."""
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            wanted = [name, f"{name}\\_gw%"]
            cursor.execute("SELECT datname FROM pg_database WHERE datname = %s OR datname LIKE %s", wanted)
            for (found,) in cursor.fetchall():
                cursor.execute(f'DROP DATABASE IF EXISTS "{found}" WITH (FORCE)')
