"""Who is known to this process is not asked for again; the counts are the same."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from metrics.counting import drain, regulars
from metrics.models import Inbox, RollupHour, UserDay
from tests import make

from .conftest import sums

pytestmark = pytest.mark.usefixtures("days")


def people(found: CaptureQueriesContext) -> int:
    return sum("metrics_user_day" in query["sql"] for query in found)


def test_a_regular_is_counted_once_and_asked_for_once(shop):
    make.counted(shop, [make.event(user="ana")])
    with CaptureQueriesContext(connection) as asked:
        make.counted(shop, [make.event(user="ana")])
    assert people(asked) == 0
    make.counted(shop, [make.event(user="ana", bad=1)])
    make.counted(shop, [make.event(user="ana", bad=1), make.event(user="bo")])
    told = sums(RollupHour)
    assert (told["n"], told["users"], told["bad_users"], told["bad_sq"]) == (5, 2, 1, 4)
    assert UserDay.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_what_was_rolled_back_is_not_remembered(shop, monkeypatch):
    def fail(*_args: object) -> None:
        raise ValueError("no")

    with monkeypatch.context() as patch:
        patch.setattr(drain, "write_outcomes", fail)
        make.batch(shop, [make.event(user="ana")])
        drain.run()
    assert not UserDay.objects.exists()
    Inbox.objects.update(lease_until=None)
    assert drain.run() == 1
    assert UserDay.objects.count() == sums(RollupHour)["users"] == 1


def test_memory_is_bounded(shop, monkeypatch):
    monkeypatch.setattr(regulars, "MOST", 20)
    for start in range(0, 100, 10):
        make.counted(shop, [make.event(user=f"u{start + n}") for n in range(10)])
        assert sum(map(len, regulars._known.values())) <= 20
    assert sums(RollupHour)["users"] == 100


def test_another_process_does_the_same(shop):
    """What one remembers, another must ask the database for."""
    make.counted(shop, [make.event(user="ana")])
    regulars._known.clear()
    make.counted(shop, [make.event(user="ana")])
    assert sums(RollupHour)["users"] == 1
