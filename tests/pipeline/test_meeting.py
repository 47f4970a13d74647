"""Another drain counts one of the same new events at this moment: no failure of what is counted."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, time, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from metrics.counting import drain, store
from metrics.models import Inbox
from tests import make

pytestmark = pytest.mark.usefixtures("days")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("size", [1, 16])
def test_a_meeting_is_no_failure(shop, monkeypatch, size):
    shared = make.event()
    for place in range(size):
        make.batch(shop, [shared if place == size // 2 else make.event(), make.event()])
    inside, calls, count = threading.Event(), [], drain.count

    def other():
        with transaction.atomic(), connection.cursor() as cursor:
            store.unseen(cursor, shop.pk, [shared.id], timezone.now().date())
            inside.set()
            threading.Event().wait(1.5)
        connections.close_all()

    def counting(lease, part):
        calls.append(len(part))
        return count(lease, part)

    monkeypatch.setattr(drain, "count", counting)
    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    n = drain.drain_product(shop.pk)
    thread.join()
    left = list(Inbox.objects.values_list("attempts", "error"))
    assert (n, calls, left) == (2 * size - 1, [size, size], [])


@pytest.mark.django_db(transaction=True)
def test_the_same_event_on_either_side_of_midnight_counts_once(shop, monkeypatch):
    """The two write different keys, so none of them would be told by its own."""
    tomorrow = timezone.now().astimezone(UTC).date() + timedelta(days=1)
    midnight = datetime.combine(tomorrow, time(), UTC)
    event = make.event()
    rows = []
    for _drain in range(2):
        make.batch(shop, [event])
        lease = uuid4()
        rows.append((lease, next(drain._parts(shop.pk, drain._claim(shop.pk, lease, 1)))))
    inside, forget, found = threading.Event(), drain._forget, []

    def slowly(cursor, batches):
        inside.set()
        threading.Event().wait(1.0)
        forget(cursor, batches)

    def first():
        found.append(drain.count(*rows[0], now=midnight - timedelta(seconds=1)))
        connections.close_all()

    monkeypatch.setattr(drain, "_forget", slowly)
    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    found.append(drain.count(*rows[1], now=midnight + timedelta(seconds=1)))
    thread.join()
    assert sorted(found) == [0, 1]


@pytest.mark.parametrize(
    ("at", "is_near"),
    [("23:57:29", False), ("23:57:31", True), ("00:00:00", True), ("00:02:29", True), ("00:02:31", False), ("12:00:00", False)],
)
def test_one_after_the_other_only_around_midnight(at, is_near):
    assert drain._is_near_midnight(datetime.fromisoformat(f"2026-03-04T{at}+00:00")) is is_near


@pytest.mark.django_db
def test_a_claim_takes_no_more_than_it_asked_for(shop):
    """With statistics of an empty queue, as a quiet night leaves them."""
    for _request in range(20):
        make.batch(shop, [make.event()])
    Inbox.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE metrics_inbox")
    start = uuid4().int & ~0xFFFF
    for number in range(60):
        make.batch(shop, [make.event()], batch_id=UUID(int=start + number))
    assert len(drain._claim(shop.pk, uuid4(), 7)) == 7
    assert Inbox.objects.filter(lease=None).count() == 53
