"""Charts and rollups come from a real streaming replica while it is fresh, and from the database when it is not."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg2
import pytest

from productops.bench.hub import Hub
from productops.lib import embedded, embedded_root

pytestmark = pytest.mark.live

#: Seconds the replica may be behind in this test.
MOST = 3
SESSION = """
from time import time
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.sessions.backends.db import SessionStore
user = get_user_model().objects.get()
made = SessionStore()
made[SESSION_KEY], made[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
made[BACKEND_SESSION_KEY] = "allauth.account.auth_backends.AuthenticationBackend"
made["began"] = made["seen"] = int(time())
made.save()
print(made.session_key)
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Iterator[tuple[Hub, embedded.Postgres]]:
    folder = tmp_path_factory.mktemp("pair")
    first = embedded.start_postgres(folder / "first")
    second = None
    try:
        with Hub(first.url, has_redis=False, REPLICA_MOST_BEHIND=str(MOST)) as hub:
            second = copy(first, folder / "second")
            hub.env["DATABASE_REPLICA_URL"] = urlsplit(second.url)._replace(path=f"/{hub.database}").geturl()
            hub.start_web()
            yield hub, second
    finally:
        if second:
            second.stop()
        first.stop()


def copy(first: embedded.Postgres, folder: Path) -> embedded.Postgres:
    """A replica of all its databases, which goes on to stream."""
    programs = next(iter(embedded.postgres_binaries().values()))
    folder.mkdir(mode=0o700)
    embedded_root.own(folder)
    [socket] = parse_qs(urlsplit(first.url).query)["host"]
    argv = [programs / "pg_basebackup", "-h", socket, "-p", "5432", "-U", "postgres", "-D", folder, "-R", "-X", "stream"]
    subprocess.run([*map(str, argv), "-c", "fast"], check=True, preexec_fn=embedded_root.demotion(), cwd="/")
    (folder / ".s.PGSQL.5432.lock").unlink(missing_ok=True)  # the first one's socket lies in its folder
    return embedded.start_postgres(folder)


def run(replica: embedded.Postgres, sql: str) -> None:
    link = psycopg2.connect(replica.url)
    link.autocommit = True
    with link.cursor() as cursor:
        cursor.execute(sql)
    link.close()


def send(hub: Hub, n: int) -> None:
    rows = [{"name": "pay", "release": "1.0"}] * n
    answer = httpx.post(f"{hub.url}/api/v1/events", json=rows, headers={"Authorization": f"Bearer {hub.key}"})
    assert answer.status_code == 200
    hub.manage("shell", "-c", "from metrics.counting import drain; drain.run()")


def told(hub: Hub) -> tuple[int, float | None]:
    """(events the API tells of, seconds it says that it is behind)."""
    answer = httpx.get(f"{hub.url}/api/v1/rollups", headers={"Authorization": f"Bearer {hub.token}"}, timeout=20)
    assert answer.status_code == 200, answer.text
    age = answer.headers.get("x-data-age")
    return sum(row["n"] for row in answer.json()["results"]), None if age is None else float(age)


def test_a_replica_is_read_while_it_is_fresh(pair):
    hub, replica = pair
    send(hub, 5)
    hub.wait(lambda: told(hub)[0] == 5 and told(hub)[1] is not None, "the replica's answer")
    page = f"{hub.url}/w/bench/releases/{hub.value('SELECT id FROM releases_release')}/"
    cookies = {"sid": hub.manage("shell", "-c", SESSION).strip().splitlines()[-1]}
    run(replica, "SELECT pg_wal_replay_pause()")
    send(hub, 3)
    n, age = told(hub)
    assert (n, age is not None) == (5, True)  # it does not know of the three yet, and says so
    assert age <= MOST
    shown = httpx.get(page, cookies=cookies, follow_redirects=True)
    assert shown.status_code == 200
    assert " s behind" in shown.text or told(hub)[1] is None  # on a slow machine the time may be over already
    time.sleep(MOST)
    assert told(hub) == (8, None)  # too far behind: the database itself is asked
    shown = httpx.get(page, cookies=cookies, follow_redirects=True)
    assert " s behind" not in shown.text
    assert httpx.get(f"{hub.url}/ready").json()["replica_behind_s"] > MOST
    run(replica, "SELECT pg_wal_replay_resume()")
    send(hub, 1)
    hub.wait(lambda: told(hub)[0] == 9 and told(hub)[1] is not None, "the replica's answer again")


def test_without_its_replica_the_hub_goes_on(pair):
    hub, replica = pair
    before = told(hub)[0]
    replica.stop()
    send(hub, 1)
    assert told(hub) == (before + 1, None)
    assert httpx.get(f"{hub.url}/ready").status_code == 200


def test_a_replica_is_only_read(pair):
    """Also by a mistake of ours."""
    hub, _replica = pair
    code = "from django.db import connections; print(connections['replica'].settings_dict['OPTIONS']['options'])"
    assert "default_transaction_read_only=on" in hub.manage("shell", "-c", code)
