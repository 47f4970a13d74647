"""What comes back from the spool: everything that is missing, nothing that is there."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from metrics.counting import drain
from metrics.intake import stored
from metrics.intake.event import Event
from metrics.intake.inbox import InboxRow
from metrics.intake.returning import bring_back
from metrics.intake.spool import Record
from metrics.models import Inbox, Outcome, RollupMinute
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
