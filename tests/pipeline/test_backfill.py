"""History from files and requests: every row once, however often it is cut off; what is wrong is named."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import httpx
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from metrics import backfilling
from metrics.intake import own, table
from metrics.intake.event import HISTORY_LIMIT, Refused
from metrics.models import Backfill, CustomerDay, Inbox, Outcome, RollupHour, RollupMinute, UserDay
from tests import make

from .conftest import kept, sums

pytestmark = pytest.mark.usefixtures("days")

LONG_AGO = datetime.now(UTC).replace(hour=12, minute=5, second=0, microsecond=0) - timedelta(days=400)


def row(number: int, **fields) -> dict:
    at = (LONG_AGO + timedelta(minutes=number)).isoformat()
    return {"name": "checkout", "at": at, "user": f"u{number % 7}", "customer": "acme", "ok": number % 10 != 0, **fields}


def lines(path: Path, rows: list) -> Path:
    path.write_text("".join(f"{json.dumps(each) if type(each) is dict else each}\n" for each in rows))
    return path


def load(path: Path, **options) -> str:
    told = StringIO()
    call_command("backfill", str(path), product="shop", stdout=told, **options)
    return told.getvalue()


def test_old_events_have_hours_and_customers_but_no_minutes(shop, tmp_path):
    told = load(lines(tmp_path / "old.ndjson", [row(n, duration_ms=n) for n in range(120)]))
    assert "120 rows read, 120 events stored, 0 refused" in told
    assert sums(RollupHour)["n"] == 120
    assert sums(RollupHour)["bad"] == 12
    assert sums(RollupHour)["timed"] == 120
    assert set(RollupHour.objects.values_list("bucket", flat=True)) >= {LONG_AGO.replace(minute=0)}
    assert not RollupMinute.objects.exists()
    assert not UserDay.objects.exists()
    assert not kept()
    day = CustomerDay.objects.get(customer="acme")
    assert (day.day, day.uses, day.failures) == (LONG_AGO.date(), 120, 12)
    assert Outcome.objects.get(protocol="backfill", outcome="accepted").n == 120


def test_recent_history_is_like_what_arrives(shop, tmp_path):
    now = timezone.now()
    load(lines(tmp_path / "new.ndjson", [row(n, at=(now - timedelta(days=3)).isoformat()) for n in range(20)]))
    assert sums(RollupMinute) == sums(RollupHour)
    assert sums(RollupMinute)["users"] == 7
    assert len(kept()) == 20


def test_the_same_file_is_read_once(shop, tmp_path):
    path = lines(tmp_path / "a.ndjson", [row(n) for n in range(10)])
    load(path)
    assert "was read already" in load(path.rename(tmp_path / "b.ndjson"))
    assert sums(RollupHour)["n"] == 10


def test_cut_off_it_goes_on(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(backfilling, "STEP", 7)
    path = lines(tmp_path / "a.ndjson", [row(n) for n in range(50)])
    read = []

    def cut(found: Backfill) -> None:
        read.append(found.rows)
        if len(read) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backfilling.run(backfilling.begin(shop, path), path, cut)
    assert "Goes on after row 21" in load(path)
    assert sums(RollupHour)["n"] == 50
    assert Backfill.objects.get().accepted == 50


@pytest.mark.django_db(transaction=True)
def test_killed_it_goes_on(shop, tmp_path, settings):
    """Whatever the moment: the rows and how far they were read are one transaction."""
    path = lines(tmp_path / "a.ndjson", [row(n) for n in range(400)])
    database = settings.DATABASES["default"]
    host = f"?host={database['HOST']}&port={database['PORT']}" if str(database["HOST"]).startswith("/") else ""
    place = "" if host else f"{database['HOST']}:{database['PORT'] or 5432}"
    url = f"postgres://{database['USER']}{':' + database['PASSWORD'] if database['PASSWORD'] else ''}@{place}/{database['NAME']}{host}"
    for after in (1, 3):
        code = (
            "import os, django; django.setup(); from metrics import backfilling as b; from releases.models import Product\n"
            "from pathlib import Path; b.STEP = 50; steps = []\n"
            f"def kill(found): steps.append(1); len(steps) == {after} and os.kill(os.getpid(), 9)\n"
            f"path = Path({str(path)!r}); b.run(b.begin(Product.objects.get(pk={shop.pk}), path), path, kill)"
        )
        env = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "productops.settings"}
        assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == -9
    load(path)
    assert sums(RollupHour)["n"] == 400
    assert not Inbox.objects.exists()


def test_wrong_rows_are_named_and_the_rest_is_taken(shop, tmp_path):
    rows = [row(1), "{broken", row(3, n=-1), "[]", "x" * 2_000_000, row(6, name=""), row(7), '{"name": "a", "at": "then"}']
    told = load(lines(tmp_path / "a.ndjson", rows))
    assert "8 rows read, 2 events stored, 6 refused" in told
    assert "row 2: Broken JSON" in told
    assert 'row 3: "n" must be a whole number' in told
    assert 'row 6: "name" is required.' in told
    assert Outcome.objects.get(outcome="invalid").n == 6


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_table(shop, tmp_path, delimiter, packed):
    out = StringIO()
    write = csv.writer(out, delimiter=delimiter).writerow
    write(["name", "at", "user", "ok", "n", "duration_ms", "plan", "colour"])
    for number in range(30):
        moment = (LONG_AGO + timedelta(minutes=number)).isoformat()
        write(["checkout", moment, f"u{number}", "yes" if number % 3 else "No", 2, "12.5", "Free", 'red, "or"\nso'])
    raw = b"\xef\xbb\xbf" + out.getvalue().encode()
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    path.write_bytes(gzip.compress(raw) if packed else raw)
    assert "30 rows read, 30 events stored" in load(path)
    assert (sums(RollupHour)["n"], sums(RollupHour)["bad"], sums(RollupHour)["total"]) == (60, 20, 375)
    assert sums(RollupHour, slice="plan=Free")["n"] == 60


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"a,b\n1,2\n", "one of them is `name`"),
        (b"", "one of them is `name`"),
        (b"name,name\na,b\n", "different names"),
        (b"name\n\xff\xfe\n", "not UTF-8"),
        (b"name," + b",".join(b"c%d" % n for n in range(300)) + b"\n", "different names, 200 at most"),
    ],
)
def test_a_table_that_is_none(shop, tmp_path, body, why):
    with pytest.raises(Refused, match=why):
        table.rows(body)
    path = tmp_path / "a.csv"
    path.write_bytes(body)
    with pytest.raises(CommandError, match=why):
        load(path)
    assert not Inbox.objects.exists()


@pytest.mark.parametrize(("row", "why"), [(b"a,1,2", "has more cells"), (b'"a" b,1', "expected after"), (b"a,x", "whole number")])
def test_a_row_that_is_none_is_told_and_the_others_come(shop, tmp_path, row, why):
    path = tmp_path / "a.csv"
    path.write_bytes(b"name,n\na,1\n" + row + b"\nc,3\n")
    said = load(path)
    assert "3 rows read, 2 events stored, 1 refused" in said
    [[number, told]] = Backfill.objects.get().faults
    assert (number, why in told) == (2, True), told
    assert sums(RollupHour)["n"] == 4
    if why != "whole number":
        with pytest.raises(Refused, match=why):
            table.rows(path.read_bytes())


def test_odd_files_and_products(shop, tmp_path):
    with pytest.raises(CommandError, match="is not a file"):
        load(tmp_path / "none.ndjson")
    with pytest.raises(CommandError, match="no product nothing"):
        call_command("backfill", str(lines(tmp_path / "a.ndjson", [])), product="nothing")
    (tmp_path / "torn.ndjson.gz").write_bytes(gzip.compress(b'{"name":"a"}\n' * 99)[:-9])
    with pytest.raises(CommandError, match="After row 0"):
        load(tmp_path / "torn.ndjson.gz")
    make.product(make.workspace("Another"), "Shop")
    with pytest.raises(CommandError, match="more than one product shop"):
        load(tmp_path / "a.ndjson")
    assert "0 rows read" in load(tmp_path / "a.ndjson", workspace=shop.workspace.slug)


def test_history_beyond_two_years_is_told_to_be_now():
    now = timezone.now().timestamp()
    assert own.read({"name": "a", "at": now - HISTORY_LIMIT - 10}, "1", now, HISTORY_LIMIT).at == now
    assert own.read({"name": "a", "at": now - HISTORY_LIMIT + 10}, "1", now, HISTORY_LIMIT).at == now - HISTORY_LIMIT + 10


@pytest.mark.live
def test_by_curl(hub):
    """In parts, each with a key of its own: sent again it counts once."""
    body = "name,at,ok\n" + "".join(f"old thing,{(LONG_AGO + timedelta(minutes=n)).isoformat()},true\n" for n in range(25))
    headers = {"Authorization": f"Bearer {hub.key}", "Content-Type": "text/csv", "Idempotency-Key": "history-part-1"}
    for _time in range(2):
        answer = httpx.post(f"{hub.url}/api/v1/events?history=1", content=body, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"accepted": 25})
    sql = (
        "SELECT coalesce(sum(n), 0)::int FROM metrics_rollup_hour JOIN metrics_signal s ON s.id = signal_id"
        " WHERE s.name = 'old thing' AND slice = '' AND bucket < now() - interval '300 days'"
    )
    hub.wait(lambda: hub.value(sql) == 25, "25 old events", 30)
    clamped = httpx.post(f"{hub.url}/api/v1/events", content=body, headers={**headers, "Idempotency-Key": "other"})
    assert clamped.status_code == 200
