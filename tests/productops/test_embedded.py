"""The packaged PostgreSQL and Redis start, survive what happens to them, and end."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import time

import psycopg2
import pytest
import redis

from productops.lib import embedded
from productops.lib.embedded import Unavailable, start_postgres, start_redis
from productops.lib.supervisor_guard import members

pytestmark = pytest.mark.live


@contextlib.contextmanager
def postgres(folder, **options):
    server = start_postgres(folder, **{"is_durable": False, **options})
    try:
        yield server
    finally:
        server.stop()


def ask(url: str, sql: str):
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone() if cursor.description else None


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cluster that was made and stopped; tests copy it."""
    folder = tmp_path_factory.mktemp("made") / "postgres"
    with postgres(folder, is_durable=True) as server:
        settings = "fsync synchronous_commit full_page_writes max_connections data_checksums timezone"
        said = {name: ask(server.url, f"SHOW {name}")[0] for name in settings.split()}
        said["lower"] = ask(server.url, "SELECT lower('ÑÁ')")[0]
        said["encoding"] = ask(server.url, "SHOW server_encoding")[0]
        ask(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        group = server.child.group.id
    return folder, said, group


@pytest.fixture
def cluster(made, tmp_path):
    shutil.copytree(made[0], tmp_path / "postgres")
    return tmp_path / "postgres"


def test_settings_keep_what_was_accepted(made):
    assert made[1] == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "max_connections": "100",
        "data_checksums": "on",
        "timezone": "UTC",
        "lower": "ñá",
        "encoding": "UTF8",
    }


def test_nobody_else_gets_in(made):
    assert stat.S_IMODE(made[0].stat().st_mode) == 0o700
    rules = [
        line.split() for line in (made[0] / "pg_hba.conf").read_text().splitlines() if line[:1].isalpha()
    ]
    assert {(kind, rest[-1]) for kind, *rest in rules} == {("local", "trust"), ("host", "reject")}


def test_stopping_leaves_no_process(made):
    assert members(made[2]) == []
    assert not (made[0] / "postmaster.pid").exists()


def test_a_second_start_finds_the_first_ones_rows(cluster):
    with postgres(cluster) as server:
        assert ask(server.url, "SELECT answer FROM kept") == (42,)


def test_killed_server_recovers(cluster):
    with postgres(cluster, is_durable=True) as server:
        ask(server.url, "INSERT INTO kept VALUES (43)")
        os.kill(server.child.group.id, signal.SIGKILL)
        server.child.process.wait()
        assert (cluster / "postmaster.pid").exists()
    with postgres(cluster) as server:
        assert ask(server.url, "SELECT count(*) FROM kept") == (2,)


def test_pid_file_of_a_stranger_is_no_obstacle(cluster):
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        lines = [str(stranger.pid), str(cluster), "0", "5432", str(cluster), "", "0 0", "ready"]
        (cluster / "postmaster.pid").write_text("\n".join(lines))
        with postgres(cluster) as server:
            assert ask(server.url, "SELECT 1") == (1,)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_server_that_an_earlier_run_left_is_ended_first(cluster):
    with postgres(cluster) as left:
        pid = left.child.group.id
        with postgres(cluster) as server:
            assert left.child.process.wait(10) == 0
            assert server.child.group.id != pid
            assert ask(server.url, "SELECT answer FROM kept") == (42,)


def test_an_interrupted_initdb_is_done_again(tmp_path):
    torn = tmp_path / "postgres.new"
    torn.mkdir()
    (torn / "PG_VERSION").write_text("18\n")
    with postgres(tmp_path / "postgres") as server:
        assert ask(server.url, "SELECT 1") == (1,)
    assert not torn.exists()


def test_folder_of_another_version_is_refused(cluster):
    (cluster / "PG_VERSION").write_text("12\n")
    with pytest.raises(Unavailable, match="was made by PostgreSQL 12"):
        start_postgres(cluster)


def test_no_package_names_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "postgres_binaries", dict)
    with pytest.raises(Unavailable, match="Set DATABASE_URL"):
        start_postgres(tmp_path / "postgres")


def test_broken_cluster_says_why(cluster):
    (cluster / "global" / "pg_control").unlink()
    with pytest.raises(Unavailable, match="pg_control"):
        start_postgres(cluster)


def test_long_paths_and_odd_names(made, tmp_path):
    folder = tmp_path / ("a long, 'quoted' naïve % name " * 4) / "postgres"
    shutil.copytree(made[0], folder)
    with postgres(folder) as server:
        assert ask(server.url, "SELECT answer FROM kept") == (42,)
    with postgres(folder) as server:
        assert ask(server.url, "SELECT answer FROM kept") == (42,)


@pytest.mark.parametrize("name", ["o'd % ñ", 'a "b', "one, two"])
def test_odd_names_that_are_short_enough(cluster, tmp_path, name):
    (tmp_path / name).mkdir()
    cluster.rename(tmp_path / name / "pg")
    with postgres(tmp_path / name / "pg") as server:
        assert ask(server.url, "SELECT answer FROM kept") == (42,)


@pytest.fixture
def broker(tmp_path):
    server = start_redis(tmp_path / "redis")
    if not server:
        pytest.skip("no Redis on this machine")
    yield server
    server.stop()


def test_redis_needs_its_password_and_keeps_what_it_is_told(broker):
    with redis.Redis.from_url(broker.url) as client:
        wanted = ("appendonly", "appendfsync", "maxmemory-policy", "bind")
        assert [client.config_get(name)[name] for name in wanted] == [
            "yes",
            "everysec",
            "noeviction",
            "127.0.0.1",
        ]
    stranger = redis.Redis(port=client.connection_pool.connection_kwargs["port"])
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_password_is_in_a_private_file_and_on_no_command_line(broker, tmp_path):
    assert stat.S_IMODE((tmp_path / "redis" / "redis.conf").stat().st_mode) == 0o600
    password = broker.url.split(":")[2].split("@")[0]
    assert not [word for word in broker.child.program.argv if password in word]


def test_redis_keeps_its_keys_over_a_restart(broker, tmp_path):
    with redis.Redis.from_url(broker.url) as client:
        client.set("doorbell", "rung")
    broker.stop()
    again = start_redis(tmp_path / "redis")
    try:
        with redis.Redis.from_url(again.url) as client:
            assert client.get("doorbell") == b"rung"
    finally:
        again.stop()


def test_redis_that_an_earlier_run_left_is_ended_first(broker, tmp_path):
    again = start_redis(tmp_path / "redis")
    try:
        assert broker.child.process.wait(10) is not None
        with redis.Redis.from_url(again.url) as client:
            assert client.ping()
    finally:
        again.stop()


def test_redis_starts_empty_when_its_files_are_broken(broker, tmp_path):
    broker.stop()
    for file in (tmp_path / "redis").rglob("*"):
        if file.is_file():
            file.write_bytes(b"REDIS9999 nonsense")
    again = start_redis(tmp_path / "redis")
    try:
        with redis.Redis.from_url(again.url) as client:
            assert client.dbsize() == 0
    finally:
        again.stop()


def test_no_redis_on_the_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "redis_server", lambda: None)
    assert start_redis(tmp_path / "redis") is None


def test_an_old_redis_is_passed_over(tmp_path, monkeypatch):
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.14 sha=0'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = embedded.redis_server()
    assert found is None or found[0] != old


def test_databases_end_with_a_killed_owner(tmp_path):
    code = f"""
import time
from pathlib import Path
from productops.lib.embedded import start_postgres, start_redis
postgres = start_postgres(Path({str(tmp_path / "postgres")!r}), is_durable=False)
redis = start_redis(Path({str(tmp_path / "redis")!r}))
print(postgres.child.group.id, redis.child.group.id if redis else 0, flush=True)
time.sleep(600)
"""
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    groups = [int(word) for word in owner.stdout.readline().split()]
    owner.kill()
    owner.wait()
    deadline = time.monotonic() + 15
    while any(members(group) for group in groups if group):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()
