"""Events that come again, told by the key where none came lately, and by asking where some did."""

from __future__ import annotations

import pytest
from django.db.models import Sum

from metrics.counting import drain, repeats
from metrics.models import Inbox, Outcome
from tests import make

from .conftest import seen

pytestmark = [pytest.mark.usefixtures("days"), pytest.mark.django_db]


@pytest.fixture
def calls(monkeypatch):
    """How many batches each transaction was given, from a state in which nothing came again."""
    monkeypatch.setattr(repeats, "_until", {})
    found, count = [], drain.count

    def counting(lease, part):
        found.append(len(part))
        return count(lease, part)

    monkeypatch.setattr(drain, "count", counting)
    return found


def outcomes():
    return dict(Outcome.objects.values_list("outcome").annotate(n=Sum("n")))


def test_the_first_repeat_is_told_by_the_key_and_the_next_by_asking(shop, calls):
    first, second, third = make.event(), make.event(), make.event()
    make.counted(shop, [first])
    make.counted(shop, [first, second])
    assert calls == [1, 1, 1]  # the second batch twice: written, then asked for
    make.counted(shop, [second, third])
    assert calls == [1, 1, 1, 1]
    assert seen() == 3
    assert outcomes() == {"accepted": 3, "duplicate": 2}
    assert not Inbox.objects.exists()


def test_after_a_while_without_repeats_nothing_is_asked(shop, calls, monkeypatch):
    event = make.event()
    make.counted(shop, [event])
    make.counted(shop, [event])
    assert repeats.are_likely(shop.pk)
    monkeypatch.setattr(repeats, "_until", {key: at - repeats.CAREFUL for key, at in repeats._until.items()})
    assert not repeats.are_likely(shop.pk)
    make.counted(shop, [event])
    assert calls == [1, 1, 1, 1, 1]
    assert outcomes() == {"accepted": 1, "duplicate": 2}


def test_repeats_within_one_transaction_need_no_asking(shop, calls):
    event = make.event()
    make.batch(shop, [event, event])
    make.batch(shop, [event])
    drain.run()
    assert calls == [2]
    assert outcomes() == {"accepted": 1, "duplicate": 2}


def test_another_product_is_not_asked_for(shop, calls):
    repeats.note(shop.pk + 1)
    assert not repeats.are_likely(shop.pk)


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(repeats, "_until", {})
    for number in range(repeats.MOST + 50):
        repeats.note(number)
    assert len(repeats._until) <= repeats.MOST + 1
    assert repeats.are_likely(repeats.MOST + 49)
