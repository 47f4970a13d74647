"""Complaints are counted like anything else, by release and day, and judged per active user."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from django.utils import timezone

from feedback.models import Complaint
from incidents import attending
from incidents.models import Incident
from metrics import charts, watching, words
from metrics.models import Regression, RollupHour, RollupMinute, Signal
from tests import make

pytestmark = pytest.mark.usefixtures("days")

#: No midnight lies in between: people are counted once a day.
NOW = timezone.now().replace(hour=12, minute=20, second=0, microsecond=0) - timedelta(days=1)
BEGAN = NOW - timedelta(hours=6)


@pytest.fixture
def release(shop):
    make.release(shop, "1.0", at=BEGAN - timedelta(days=9))
    return make.release(shop, "2.0", at=BEGAN, percentage=50)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Tests never commit; what waits for a commit is done at once."""
    monkeypatch.setattr("django.db.transaction.on_commit", lambda job, **_kwargs: job())


def counted(table=RollupHour) -> dict[int, tuple[int, int]]:
    """release -> (complaints, customers)."""
    found: dict[int, tuple[int, int]] = {}
    for row in table.objects.filter(signal_id=Signal.objects.get(kind="complaint").pk):
        n, users = found.get(row.release_id, (0, 0))
        found[row.release_id] = n + row.n, users + row.users
    return found


def complain(shop, release=None, at=None, **fields) -> Complaint:
    at = at or NOW - timedelta(minutes=30)
    return Complaint.objects.log(shop.workspace, "It fails.", product=shop, release=release, at=at, **fields)


def test_counted_by_release_and_customer(shop, release):
    acme = make.customer(shop.workspace, "Acme")
    for _number in range(3):
        complain(shop, release, customer=acme)
    complain(shop, release)
    complain(shop, release)
    complain(shop)
    complain(shop, release, kind="praise")
    assert counted() == counted(RollupMinute) == {release.pk: (5, 3), 0: (1, 1)}


def test_a_correction_moves_it(shop, release):
    told, owner = complain(shop), make.user()
    told.correct(owner, release=release)
    assert counted() == {release.pk: (1, 1)}
    other = make.product(shop.workspace, "Other")
    told.correct(owner, product=other, release=None)
    assert {row.product_id: row.n for row in RollupHour.objects.all()} == {other.pk: 1}
    told.correct(owner, kind="praise")
    assert not RollupHour.objects.exists()


def test_of_long_ago_there_are_hours_only(shop, release):
    complain(shop, release, at=NOW - timedelta(days=90))
    assert counted() == {release.pk: (1, 1)}
    assert counted(RollupMinute) == {}


def test_without_a_product_nothing_is_counted(tienda):
    Complaint.objects.log(tienda, "It fails.")
    assert not Signal.objects.exists()


def visits(shop, people: int) -> None:
    events = [
        make.event("session", kind="session", at=(BEGAN + timedelta(minutes=m, seconds=n % 60)).timestamp(),
                   release=version, user=f"{version} {m} {n}")
        for m in range(0, 360, 5) for version in ("1.0", "2.0") for n in range(people)
    ]  # fmt: skip
    make.counted(shop, events)


def test_a_release_that_is_complained_about(shop, release):
    visits(shop, 40)
    old, rng = release.previous(), random.Random(1)
    for version, complaints in ((old, 4), (release, 40)):
        for _number in range(complaints):
            complain(shop, version, at=BEGAN + timedelta(minutes=rng.randrange(350)))
    trace = watching.judge(release, "production", NOW).trace
    told = next(each for each in trace if each["measure"] == "complaints")
    assert (told["status"], told["method"]) == ("worse", "concurrent")
    assert (told["n_new"], told["bad_new"], told["bad_old"]) == (40 * 72, 40, 4)
    assert words.title(told, "2.0") == "Complaints per 1,000 active users 1.4 → 13.9"
    assert words.change(told).startswith("+")
    assert words.interval(told) == "10.2–18.9"
    signal = Signal.objects.get(kind="complaint")
    point = charts.points(release, "production", signal, "complaints", charts.window(release, "production", NOW))[-1]
    assert point.new == pytest.approx(40 / (40 * 72), rel=0.05)
    assert Regression.objects.filter(measure="complaints", is_active=True).exists()
    attending.open_incidents(NOW)
    assert not Incident.objects.filter(regression__measure="complaints").exists()


def test_as_many_complaints_are_no_news(shop, release):
    visits(shop, 40)
    for version in (release.previous(), release):
        for number in range(30):
            complain(shop, version, at=BEGAN + timedelta(minutes=10 * number))
    trace = watching.judge(release, "production", NOW).trace
    assert [each["status"] for each in trace if each["measure"] == "complaints"] != ["worse"]


def test_nobody_is_active_where_nothing_counts_visits(shop, release):
    make.counted(shop, [make.event(at=(BEGAN + timedelta(minutes=m)).timestamp()) for m in range(60)])
    complain(shop, release)
    assert not [t for t in watching.judge(release, "production", NOW).trace if t["measure"] == "complaints"]
