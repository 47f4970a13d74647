"""What a release is compared with over time is read once, and is the same as if it were read each time."""

from __future__ import annotations

import random
from datetime import timedelta

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from metrics import history, retention, watching
from metrics.models import History, Signal
from tests import make

pytestmark = pytest.mark.usefixtures("days")

NOW = timezone.now().replace(minute=0, second=0, microsecond=0)
BEGAN = NOW - timedelta(hours=30)


@pytest.fixture
def release(shop):
    make.release(shop, "1.0", at=BEGAN - timedelta(days=9))
    return make.release(shop, "2.0", at=BEGAN)


def used(shop, since, until, name="checkout", n=100, **fields):
    rng, events, at = random.Random(f"{since} {name}"), [], since
    while at < until:
        version = "2.0" if at >= BEGAN else "1.0"
        bad = sum(rng.random() < 0.05 for _use in range(n))
        events.append(make.event(name=name, at=at.timestamp() + 1, release=version, user="", n=n, bad=bad, **fields))
        at += timedelta(minutes=5)
    make.counted(shop, events)


def read(release, after: timedelta) -> history.Past:
    return history.read(release, "production", BEGAN, BEGAN + after)


def uses(past: history.Past) -> float:
    """Before the release."""
    return sum(table[0, : past.cut].sum() for table in past.counts.values())


def same(one: history.Past, other: history.Past) -> None:
    assert (one.since, one.cut, one.buckets) == (other.since, other.cut, other.buckets)
    for mine, theirs in ((one.counts, other.counts), (one.p95, other.p95)):
        assert mine.keys() == theirs.keys()
        for signal, row in mine.items():
            np.testing.assert_array_equal(row, theirs[signal])


def fresh(release, after: timedelta) -> history.Past:
    History.objects.all().delete()
    return read(release, after)


def test_what_came_since_is_added(shop, release):
    used(shop, BEGAN - timedelta(days=4), BEGAN + timedelta(minutes=20), value=120.0)
    read(release, timedelta(minutes=20))
    kept = History.objects.get()
    used(shop, BEGAN + timedelta(minutes=20), BEGAN + timedelta(minutes=50), value=300.0)
    used(shop, BEGAN + timedelta(minutes=30), BEGAN + timedelta(minutes=40), name="search")
    used(shop, BEGAN - timedelta(minutes=25), BEGAN, n=7)  # late
    added = read(release, timedelta(minutes=50))
    assert History.objects.get().made_at == kept.made_at
    assert added.counts.keys() == set(Signal.objects.values_list("pk", flat=True))
    same(added, fresh(release, timedelta(minutes=50)))


def test_what_is_late_by_hours_is_counted_when_it_is_read_anew(shop, release):
    used(shop, BEGAN - timedelta(days=4), BEGAN + timedelta(hours=3))
    before = read(release, timedelta(minutes=30))
    used(shop, BEGAN - timedelta(hours=9), BEGAN - timedelta(hours=8))
    same(before, read(release, timedelta(minutes=30)))
    after = read(release, timedelta(hours=2))
    assert uses(after) > uses(before)


def test_after_a_day_nothing_is_read_but_what_is_kept(shop, release):
    used(shop, BEGAN - timedelta(days=4), NOW)
    last = read(release, timedelta(hours=26))
    assert last.buckets == last.cut + 288
    with CaptureQueriesContext(connection) as captured:
        same(last, read(release, timedelta(hours=29)))
    assert len(captured) == 1


def test_it_is_not_kept_for_ever(shop, release):
    used(shop, BEGAN - timedelta(days=4), NOW)
    read(release, timedelta(hours=26))
    retention.sweep(BEGAN + timedelta(days=7))
    assert History.objects.exists()
    retention.sweep(BEGAN + timedelta(days=9))
    assert not History.objects.exists()


def test_a_look_into_the_past_reads_anew(shop, release):
    used(shop, BEGAN - timedelta(days=4), NOW)
    read(release, timedelta(hours=26))
    assert read(release, timedelta(hours=2)).buckets == read(release, timedelta(hours=26)).cut + 24


def test_too_little_is_not_kept(shop, release):
    used(shop, BEGAN - timedelta(days=2), NOW)
    past = read(release, timedelta(hours=2))
    assert not past.is_long
    assert past.counts.keys() == set(Signal.objects.values_list("pk", flat=True))
    assert not History.objects.exists()


def test_a_minute_without_durations_is_not_a_fast_one(shop, release):
    used(shop, BEGAN - timedelta(days=4), BEGAN + timedelta(minutes=15), value=100.0)
    used(shop, BEGAN + timedelta(minutes=15), BEGAN + timedelta(minutes=30))
    row = next(iter(read(release, timedelta(minutes=30)).p95.values()))
    assert np.isnan(row[-3:]).all()
    assert row[-4] == pytest.approx(100, rel=0.03)


def test_what_nobody_uses_any_more_since_the_release_is_told(shop, release):
    used(shop, BEGAN - timedelta(days=4), BEGAN + timedelta(hours=1))
    used(shop, BEGAN - timedelta(days=4), BEGAN, name="export")
    verdict = watching.judge(release, "production", BEGAN + timedelta(hours=1))
    gone = [trace for trace in verdict.trace if trace["name"] == "export" and trace["measure"] == "volume"]
    assert [trace["status"] for trace in gone] == ["worse"]
    assert verdict.verdict in {"watch", "regressed"}
