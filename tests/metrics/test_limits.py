"""The limit of a product on the Data page and over the API, and spike protection."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from activity.models import Event as Activity
from metrics import guarding, ledger
from metrics.intake.inbox import hour_of
from metrics.models import Limit, Outcome
from tests import make

NOON = datetime(2026, 11, 18, 12, 30, tzinfo=UTC)


def accepted(product, hour, n):
    key = {"product_id": product.pk, "hour": hour_of(hour), "protocol": "sentry", "category": "use"}
    row, _new = Outcome.objects.get_or_create(**key, outcome="accepted", reason="", defaults={"n": 0})
    Outcome.objects.filter(**key, outcome="accepted", reason="").update(n=row.n + n)


# The page and the API


def test_a_limit_is_set_changed_and_taken_away(tienda, shop, carol, as_):
    url = reverse("metrics:limit", args=[tienda.slug, shop.pk])
    assert as_(carol).post(url, {"per_month": "1000000", "per_minute": ""}).status_code == 302
    assert (Limit.of(shop).per_month, Limit.of(shop).per_minute) == (1_000_000, None)
    assert as_(carol).get(url).content.count(b'value="1000000"') == 1
    as_(carol).post(url, {"per_month": "", "per_minute": "60"})
    assert (Limit.of(shop).per_month, Limit.of(shop).per_minute) == (None, 60)
    as_(carol).post(url, {"per_month": "", "per_minute": ""})
    assert not Limit.of(shop).is_set
    told = Activity.objects.filter(verb="limit.set", by=carol).order_by("pk").first()
    assert told.detail == {"per_month": 1_000_000, "per_minute": None}


@pytest.mark.parametrize("wrong", ["0", "-1", "1.5", "many", "1e3", str(10**13)])
def test_a_wrong_limit_is_told_and_changes_nothing(tienda, shop, carol, as_, wrong):
    Limit.put(shop, 5, 7, timezone.now())
    answer = as_(carol).post(reverse("metrics:limit", args=[tienda.slug, shop.pk]), {"per_month": wrong})
    assert answer.status_code == 200
    assert b"error-text" in answer.content
    assert (Limit.of(shop).per_minute, Limit.of(shop).per_month) == (5, 7)


def test_what_was_sent_before_the_limit_counts(shop):
    now = timezone.now()
    make.counted(shop, [make.event() for _number in range(5)])
    make.batch(shop, [make.event() for _number in range(2)])
    limit = Limit.put(shop, None, 100, now)
    assert (limit.in_month, limit.used(now)) == (7, 7)
    assert limit.used(now + timedelta(days=40)) == 0


@pytest.mark.parametrize(("used", "word"), [(79, None), (80, b"notice warn"), (100, b"notice bad")])
def test_the_page_warns_before_it_is_used_up(tienda, shop, carol, as_, used, word):
    accepted(shop, timezone.now(), used)
    Limit.put(shop, None, 100, timezone.now())
    page = as_(carol).get(reverse("metrics:data", args=[tienda.slug])).content
    assert word in page if word else b'class="notice' not in page


def test_who_may_not_change_it_sees_it(tienda, shop, bob, as_):
    Limit.put(shop, 60, 1000, timezone.now())
    page = as_(bob).get(reverse("metrics:data", args=[tienda.slug])).content.decode()
    assert "0 of 1,000 events" in page.replace("\xa0", " ").replace("\u202f", ",") or "events (" in page
    assert reverse("metrics:limit", args=[tienda.slug, shop.pk]) not in page


def test_by_api(client, tienda, shop, carol):
    given = {"headers": {"Authorization": f"Bearer {make.token(carol, tienda)}"}, "content_type": "application/json"}
    answer = client.put("/api/v1/limits", {"per_minute": None, "per_month": 500}, **given)
    assert answer.status_code == 200
    assert answer.json() == client.get("/api/v1/limits", **given).json()
    assert answer.json()["per_month"] == 500
    for wrong in ({}, {"per_month": 5}, {"per_minute": 0, "per_month": None}, {"per_minute": "x", "per_month": None}):
        assert client.put("/api/v1/limits", wrong, **given).status_code == 400
    assert Limit.of(shop).per_month == 500


# Spikes


@pytest.mark.parametrize(
    ("rate", "usual", "was", "is_now"),
    [
        (7_000, 600, False, True),
        (5_999, 100, False, False),  # little, however quiet it was
        (60_000, 6_000, False, False),
        (60_001, 6_000, False, True),
        (30_001, 6_000, True, True),  # it ends later than it began
        (30_000, 6_000, True, False),
        (1e9, None, False, False),  # not enough history to say
    ],
)
def test_what_a_spike_is(rate, usual, was, is_now):
    assert guarding.is_spike(rate, usual, was) is is_now


def test_usual_needs_history():
    assert guarding.usual([600, 0, 0, 0, 0, 0, 600]) is None
    assert guarding.usual([600, 0, 0, 1200, 0, 1800, 600]) == 10


def test_a_spike_begins_and_ends(shop):
    for day in range(1, 8):
        accepted(shop, NOON - timedelta(days=day), 60 * 100)
    accepted(shop, NOON, 10)
    guarding.guard(NOON)
    assert Limit.of(shop).spike_since is None
    accepted(shop, NOON, 3_000)
    at = NOON + timedelta(seconds=15)
    guarding.guard(at)
    limit = Limit.of(shop)
    assert (limit.spike_since, limit.spike_usual, limit.spike_rate) == (at, 100, 12_000)
    assert ledger.allowance(shop, at).times == 120
    for second in (30, 45):
        guarding.guard(NOON + timedelta(seconds=second))
    assert Limit.of(shop).spike_since is None


def test_a_backlog_is_no_spike(shop):
    """A worker that was away counts at once what was sent over an hour."""
    for day in range(1, 8):
        accepted(shop, NOON - timedelta(days=day), 6_000)
    guarding.guard(NOON)
    accepted(shop, NOON, 13_000)
    waiting = make.batch(shop, [make.event()], received_at=NOON - timedelta(minutes=9))
    guarding.guard(NOON + timedelta(minutes=1))
    assert Limit.of(shop).spike_since is None
    waiting.delete()
    accepted(shop, NOON, 13_000)
    guarding.guard(NOON + timedelta(minutes=2))
    assert Limit.of(shop).spike_since == NOON + timedelta(minutes=2)


def test_the_turn_of_the_hour_is_no_spike(shop):
    for day in range(1, 8):
        accepted(shop, NOON - timedelta(days=day, minutes=-30), 60 * 1_000)
    end = NOON + timedelta(minutes=29, seconds=50)
    accepted(shop, end, 50_000)
    guarding.guard(end)
    accepted(shop, end, 200)  # the last of this hour, and the first of the next
    accepted(shop, end + timedelta(seconds=15), 50)
    guarding.guard(end + timedelta(seconds=15))
    limit = Limit.of(shop)
    assert limit.spike_since is None
    assert limit.counted == 50
