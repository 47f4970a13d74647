"""The hub on a Citus cluster. CITUS_URL names a database on its coordinator, with the extension and at least one node
that takes shards; the tests empty it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psycopg2
import pytest

from metrics.distributing import TABLES
from productops.bench.hub import Hub

URL = os.environ.get("CITUS_URL", "")
pytestmark = [
    pytest.mark.live,
    pytest.mark.scale,
    pytest.mark.skipif(not URL, reason="CITUS_URL names no Citus cluster"),
]
PRODUCTS, REQUESTS, EACH = 6, 40, 25


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with closing(psycopg2.connect(URL)) as link:
        link.autocommit = True
        cursor = link.cursor()
        cursor.execute(
            "SELECT format('%I', relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE IF EXISTS {table} CASCADE")
    with Hub(URL, database=urlsplit(URL).path.lstrip("/")) as made:
        yield made


@pytest.fixture(scope="module")
def keys(hub) -> dict[int, str]:
    """Of several products: id -> ingest key."""
    found = {hub.product_id: hub.key}
    for number in range(1, PRODUCTS):
        given = ["--workspace", f"Team {number}", "--product", "Shop", "--email", f"o{number}@example.com"]
        told = json.loads(hub.manage("provision", "--json", "--password", "correct horse battery", *given))
        found[told["product_id"]] = told["ingest_key"]
    return found


def test_a_dry_run_changes_nothing(hub):
    planned = hub.manage("distribute", "--dry-run")
    assert planned.count("create_distributed_table") == len(TABLES)
    assert hub.value("SELECT count(*) FROM pg_dist_partition") == 0


def test_distributed_once_and_again(hub):
    send(hub, {hub.product_id: hub.key}, 2)  # tables that hold something
    drain(hub)
    before = counted(hub)
    assert hub.manage("distribute", "--shards", "8").count("create_distributed_table") == len(TABLES)
    assert hub.manage("distribute") == ""
    assert counted(hub) == before
    placed = dict(hub.rows("SELECT logicalrelid::text, colocationid FROM pg_dist_partition WHERE partmethod = 'h'"))
    assert len({placed[table] for table in TABLES}) == 1


def test_what_is_sent_is_counted_once(hub, keys):
    before = counted(hub)
    hub.start_web()
    hub.start_worker(2)
    hub.start_beat()
    sent = send(hub, keys, REQUESTS, is_up=True)
    hub.wait_drained(60)
    hub.wait(lambda: counted(hub) - before == sent, "all events in the rollups", 60)
    outcomes = dict(hub.rows("SELECT outcome, sum(n)::int FROM metrics_outcome GROUP BY 1"))
    assert outcomes["accepted"] == counted(hub)
    assert hub.value("SELECT count(*) FROM metrics_quarantine") == 0
    assert hub.value("SELECT sum(n)::int FROM metrics_event") == counted(hub)


def test_a_product_is_read_from_one_node(hub):
    sql = "EXPLAIN SELECT sum(n) FROM metrics_rollup_hour WHERE product_id = %s AND bucket > now() - interval '1 day'"
    plan = "\n".join(row[0] for row in hub.rows(sql, hub.product_id))
    assert "Task Count: 1" in plan, plan


def test_partitions_made_later_are_distributed(hub):
    code = (
        "from datetime import timedelta; from django.utils import timezone; from metrics import partitions\n"
        "later = timezone.now() + timedelta(days=2); partitions.ensure(later); print(len(partitions.drop_old(later)))"
    )
    assert int(hub.manage("shell", "-v", "0", "-c", code).split()[-1]) > 0
    loose = hub.rows(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'metrics_event'::regclass"
        " AND inhrelid NOT IN (SELECT logicalrelid FROM pg_dist_partition)"
    )
    assert loose == []


def test_pages_and_jobs_work(hub):
    with httpx.Client(timeout=30) as client:
        ready = client.get(f"{hub.url}/ready").json()
        headers = {"Authorization": f"Bearer {hub.token}"}
        for path in ("outcomes", "rollups?product=shop", "regressions", "limits?product=shop"):
            assert client.get(f"{hub.url}/api/v1/{path}", headers=headers).status_code == 200, path
    assert ready["status"] == "ok"


def send(hub: Hub, keys: dict[int, str], requests: int, is_up: bool = False) -> int:
    """Events sent, each with an id of its own."""
    if not is_up:
        hub.start_web()
    n = 0
    with httpx.Client(timeout=30) as client:
        for number in range(requests):
            for key in keys.values():
                rows = [{"name": f"s{i % 3}", "user": f"u{i}", "customer": f"c{i % 4}", "duration_ms": i} for i in range(EACH)]
                answer = client.post(
                    f"{hub.url}/api/v1/events", json=rows, headers={"Authorization": f"Bearer {key}", **_once(number)}
                )
                assert answer.status_code == 200, answer.text
                n += EACH
    if not is_up:
        hub.stop("web")
    return n


def _once(number: int) -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex} if number % 2 else {}


def drain(hub: Hub) -> None:
    hub.manage("shell", "-c", "from metrics.counting import drain; drain.run()")


def counted(hub: Hub) -> int:
    return hub.value("SELECT coalesce(sum(n), 0)::int FROM metrics_rollup_hour WHERE slice = ''")
