"""What comes back from the spool: everything that is missing, nothing that is there."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from metrics.counting import drain
from metrics.intake import returning, stored
from metrics.intake.event import Event
from metrics.intake.inbox import InboxRow
from metrics.intake.returning import bring_back
from metrics.intake.spool import Record, Spool
from metrics.intake.writer import connect
from metrics.models import Inbox, Limit, Outcome, RollupMinute
from metrics.models.limit import first_of_month, next_month
from tests import make

from .conftest import sums

pytestmark = pytest.mark.usefixtures("days")


def record(product, events: list[Event], is_maybe_stored: bool = False, digest: bytes = b"") -> Record:
    row = InboxRow(product.pk, uuid4(), "sentry", len(events), stored.pack(events, {}), timezone.now(), digest)
    return Record(row, is_maybe_stored)


def back(*records: Record) -> int:
    with connection.cursor() as cursor:
        return bring_back(cursor.cursor, list(records))


def test_a_broken_commit_that_was_stored_and_counted_comes_once(shop):
    events = [make.event(), make.event()]
    make.counted(shop, events)
    plain = record(shop, [make.event()])
    assert back(record(shop, events, is_maybe_stored=True), plain) == 1
    assert Inbox.objects.get().batch_id == plain.row.batch


def test_a_broken_commit_with_one_event_that_came_before_keeps_the_other(shop):
    known = make.event()
    make.counted(shop, [known])
    assert back(record(shop, [known, make.event()], is_maybe_stored=True)) == 1
    assert drain.run() == 1
    assert sums(RollupMinute)["n"] == 2


def test_a_key_sent_twice_comes_once_and_is_told(shop):
    first = record(shop, [make.event()], digest=b"d" * 16)
    assert back(first, Record(first.row._replace())) == 1
    assert back(first) == 0
    assert Outcome.objects.get(outcome="duplicate").n == 2


def test_two_bodies_under_one_key_are_told_apart(shop):
    first = record(shop, [make.event()], digest=b"d" * 16)
    other = Record(first.row._replace(digest=b"e" * 16))
    assert back(first, other) == 1
    assert back(other) == 0
    assert Outcome.objects.get(outcome="invalid", reason="key_reused").n == 2


@pytest.mark.parametrize(("month", "in_month", "then"), [(-1, 50, 2), (0, 50, 52), (1, 50, 50)])
def test_the_month_of_what_comes_back(shop, month, in_month, then):
    """The limit may not have been asked for since the month began; and what was sent last month is of no matter."""
    now = first_of_month(timezone.now())
    of = {-1: first_of_month(now_at(now) - timedelta(days=1)), 0: now, 1: next_month(now_at(now))}[month]
    Limit.objects.create(product=shop, per_month=100, month=of, in_month=in_month)
    assert back(record(shop, [make.event(), make.event()])) == 1
    assert Limit.objects.get().in_month == then


def now_at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@pytest.fixture
def link(db):
    """A connection as the door has it; what it commits is taken away by `days`."""
    made = connect()
    yield made
    made.close()


def spooled(folder: Path, records: list[Record]) -> Path:
    keeper = Spool(folder, 2**30)
    keeper.add(records)
    keeper.let_go()
    [path] = folder.glob("*.spool")
    return path


@pytest.mark.django_db(transaction=True)
def test_cut_off_between_two_parts_each_comes_once(shop, link, tmp_path, monkeypatch):
    monkeypatch.setattr(returning, "TOGETHER_BYTES", 1)
    counts = record(shop, [])
    counts = Record(counts.row._replace(body=stored.pack([], {("use", "invalid", "x"): 3})))
    path = spooled(tmp_path, [record(shop, [make.event()]), counts, record(shop, [make.event()])])
    real, calls = returning.bring_back, iter(range(9))

    def cut_off(*given):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(returning, "bring_back", cut_off)
    with pytest.raises(KeyboardInterrupt):
        returning.bring_all_back(link, path)
    monkeypatch.setattr(returning, "bring_back", real)
    link.rollback()
    assert drain.run() == 1  # what came is counted, and so gone from the inbox
    assert returning.bring_all_back(link, path) == 1
    assert drain.run() == 1
    assert not path.exists()
    assert dict(Outcome.objects.values_list("outcome", "n")) == {"accepted": 2, "invalid": 3}


@pytest.mark.django_db(transaction=True)
def test_a_broken_file_is_kept_for_a_person(shop, link, tmp_path):
    path = spooled(tmp_path, [record(shop, [make.event()]) for _number in range(3)])
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    assert returning.bring_all_back(link, path) == 1
    assert [each.suffix for each in tmp_path.iterdir()] == [".broken"]
    assert Inbox.objects.count() == 1
