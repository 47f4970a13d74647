"""Running totals of metrics clients: what was added counts once, whatever restarts, repeats or comes late."""

from __future__ import annotations

import itertools
from uuid import uuid4

import pytest
from django.db.models import Sum
from django.utils import timezone

from metrics.counting import counters, drain, sketch
from metrics.intake.event import AGGREGATED
from metrics.models import Counter, RollupMinute
from tests import make

from .conftest import sums, together

pytestmark = pytest.mark.usefixtures("days")

BEGAN = 1_000_000.0
PROCESS, _ids = "a" * 32, itertools.count()


def point(count, at, *, series="b" * 32, start=BEGAN, timed=None, bad=False):
    """A running total of `count`, `at` seconds after the process began."""
    told = {"series": series, "process": PROCESS, "start": start, "at": BEGAN + at, "count": count, "timed": timed or {}}
    return make.event(
        "orders", id=uuid4().hex, n=0, at=timezone.now().timestamp() // 60 * 60, flags=AGGREGATED,
        props={"counter": told, **({"bad": True} if bad else {})},
    )  # fmt: skip


def send(shop, *points):
    for each in points:
        make.batch(shop, [each])
        drain.run()
    return sums(RollupMinute, slice="")["n"] or 0


def test_growth_counts(shop):
    assert send(shop, point(5, 10), point(9, 70), point(9, 130), point(30, 190)) == 30


def test_together_in_one_batch_and_in_any_order(shop):
    make.batch(shop, [point(30, 190), point(5, 10), point(9, 70)])
    drain.run()
    assert sums(RollupMinute, slice="")["n"] == 30


def test_a_series_that_ran_before_anybody_listened_counts_from_now_on(shop):
    assert send(shop, point(5_000, 3600)) == 0
    assert send(shop, point(5_010, 3660)) == 10


def test_a_new_series_of_a_watched_process_counts_from_zero(shop):
    """The first failure after days of success must not be taken for a baseline."""
    send(shop, point(5_000, 3600))
    assert send(shop, point(1, 3660, series="c" * 32, bad=True)) == 1
    assert sums(RollupMinute, slice="")["bad"] == 1


def test_a_restarted_process_counts_anew(shop):
    assert send(shop, point(50, 60), point(3, 180, start=BEGAN + 120), point(4, 240, start=BEGAN + 120)) == 54


def test_a_total_that_falls_without_a_restart_is_a_new_baseline(shop):
    assert send(shop, point(50, 60), point(20, 120), point(25, 180)) == 55


def test_a_late_point_adds_nothing(shop):
    assert send(shop, point(50, 60), point(70, 180), point(60, 120)) == 70


def test_durations_are_taken_off_too(shop):
    send(shop, point(3, 10, timed={"100": 3}), point(10, 70, timed={"100": 6, "900": 4}))
    rows = RollupMinute.objects.filter(slice="")
    assert rows.aggregate(n=Sum("timed"))["n"] == 10
    assert sum(sketch.dense(row.hist for row in rows)) == 10
    assert rows.aggregate(n=Sum("total"))["n"] == pytest.approx(6 * 100 + 4 * 900)


def test_props_of_clients_that_look_alike_do_nothing(shop):
    make.counted(shop, [make.event(props={"counter": {"series": 1}, "timed": "x"}, value=None, n=3)])
    assert sums(RollupMinute, slice="")["n"] == 3


def test_coarser_buckets_do_not_count_the_past_again(shop):
    send(shop, point(1000, 10, timed={"100": 1000}), point(1001, 70, timed={"150": 1001}), point(1003, 130, timed={"150": 1003}))
    rows = RollupMinute.objects.filter(slice="").aggregate(n=Sum("n"), timed=Sum("timed"))
    assert rows == {"n": 1003, "timed": 1002}


def test_series_of_a_product_are_bounded(shop, monkeypatch):
    monkeypatch.setattr(counters, "SERIES", 3)
    assert send(shop, *(point(5, 10 + n, series=f"{n:032x}") for n in range(1, 9))) <= 15
    assert Counter.objects.count() <= 4


@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side(shop):
    send(shop, point(0, 1))
    for number in range(1, 121):
        make.batch(shop, [point(number * 10, 10 * number), point(number, 10 * number, series="c" * 32)])
    together(*[drain.run] * 4)
    assert sums(RollupMinute, slice="")["n"] == 1200 + 120
