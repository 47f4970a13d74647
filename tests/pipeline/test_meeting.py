"""Another drain counts one of the same new events at this moment: no failure of what is counted."""

from __future__ import annotations

import threading

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
