"""Measures of people: crash-free users, active users, and of those, who uses a feature."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import attending
from incidents.models import Incident
from metrics import charts, watching, words
from metrics.models import Regression, Signal
from tests import make

pytestmark = pytest.mark.usefixtures("days")

#: No midnight lies in between: people are counted once a day.
NOW = timezone.now().replace(hour=12, minute=20, second=0, microsecond=0) - timedelta(days=1)
BEGAN = NOW - timedelta(hours=2)


@pytest.fixture
def release(shop):
    make.release(shop, "1.0", at=BEGAN - timedelta(days=9))
    return make.release(shop, "2.0", at=BEGAN, percentage=50)


def visits(shop, crashes: dict[str, float], buys: dict[str, float], people: int = 30, loops: int = 0) -> None:
    """Of each version, `people` a minute come once; some crash, some buy. `loops`: crashes of one single user."""
    rng, events, at = random.Random(3), [], BEGAN
    while at < NOW:
        for version in ("1.0", "2.0"):
            for number in range(people):
                given = {"at": at.timestamp() + number, "release": version, "user": f"{at:%H%M}-{version}-{number}"}
                bad = int(rng.random() < crashes[version])
                events.append(make.event("session", kind="session", bad=bad, **given))
                if rng.random() < buys[version]:
                    events.append(make.event("checkout", **given))
        if loops:
            given = {"at": at.timestamp(), "release": "2.0", "user": "loop", "n": loops, "bad": loops}
            events.append(make.event("session", kind="session", **given))
        at += timedelta(minutes=1)
    make.counted(shop, events)


def judged(release, kind: str, measure: str):
    verdict = watching.judge(release, "production", NOW)
    return next(trace for trace in verdict.trace if (trace["kind"], trace["measure"]) == (kind, measure))


SAME = {"1.0": 0.03, "2.0": 0.03}


def test_users_who_crash(shop, release):
    visits(shop, {"1.0": 0.02, "2.0": 0.06}, {"1.0": 0.0, "2.0": 0.0})
    told = judged(release, "session", "bad_users")
    assert (told["status"], told["method"]) == ("worse", "concurrent")
    assert told["n_new"] == 30 * 120
    assert told["low"] < 0.06 < told["high"]
    assert words.measure_name(told) == "Crash-free users"
    assert words.value(told, told["old"]).startswith("97.")
    assert words.change(told).startswith("−")


def test_one_user_who_crashes_all_the_time_is_one(shop, release):
    visits(shop, SAME, {"1.0": 0.0, "2.0": 0.0}, loops=4)
    told = judged(release, "session", "bad_users")
    assert told["status"] != "worse"
    assert told["bad_new"] < 0.05 * told["n_new"]


@pytest.mark.parametrize(("share", "status"), [(0.5, "same"), (0.25, "worse")])
def test_fewer_of_the_active_users_buy(shop, share, status):
    make.release(shop, "1.0", at=BEGAN - timedelta(days=9))
    release = make.release(shop, "2.0", at=BEGAN)
    rng, events, at = random.Random(5), [], BEGAN - timedelta(days=4)
    while at < NOW:
        version, buys = ("1.0", 0.5) if at < BEGAN else ("2.0", share)
        for number in range(40):
            given = {"at": at.timestamp() + number, "release": version, "user": f"{at:%d%H%M}-{number}"}
            events.append(make.event("session", kind="session", **given))
            if rng.random() < buys:
                events.append(make.event("checkout", **given))
        at += timedelta(minutes=5)
    make.counted(shop, events)
    told = judged(release, "use", "conversion")
    assert (told["status"], told["method"]) == (status, "before_after")
    assert told["old"] == pytest.approx(0.5, abs=0.02)
    assert told["new"] == pytest.approx(share, abs=0.05)
    assert told["places"] == []
    assert words.measure_name(told) == "Checkout conversion"
    assert words.title(told, "2.0").startswith("Checkout conversion ")


def test_who_moves_to_the_new_release_does_not_make_it_look_worse(shop, release):
    """Half of the people crash once a day; all move to the new release at noon."""
    events, middle = [], BEGAN + timedelta(minutes=60)
    for number in range(2_000):
        for version, at in (("1.0", BEGAN), ("2.0", middle)):
            given = {"release": version, "user": f"u{number}"}
            for visit in range(2):
                moment = at.timestamp() + (number * 7 + visit * 1700) % 3500
                bad = int(number % 2 and visit == 0)
                events.append(make.event("session", kind="session", at=moment, bad=bad, **given))
    make.counted(shop, events)
    assert judged(release, "session", "bad_users")["method"] != "concurrent"


def test_without_visits_there_is_no_conversion(shop, release):
    events = [make.event("checkout", at=(BEGAN + timedelta(minutes=m)).timestamp(), user=f"u{m}") for m in range(60)]
    make.counted(shop, events)
    verdict = watching.judge(release, "production", NOW)
    assert {trace["measure"] for trace in verdict.trace} == {"failure_rate", "volume"}


def test_fewer_people_come(shop):
    make.release(shop, "1.0", at=BEGAN - timedelta(days=9))
    release = make.release(shop, "2.0", at=BEGAN)
    events, at = [], BEGAN - timedelta(days=4)
    while at < NOW:
        people = 40 if at < BEGAN else 12
        version = "1.0" if at < BEGAN else "2.0"
        for number in range(people):
            fields = {"at": at.timestamp() + number, "release": version, "user": f"{at:%d%H%M}-{number}"}
            events.append(make.event("session", kind="session", **fields))
        at += timedelta(minutes=5)
    make.counted(shop, events)
    told = judged(release, "session", "users")
    assert (told["status"], told["method"]) == ("worse", "before_after")
    assert words.measure_name(told) == "Active users"
    assert "first visits" in words.footnote(told)


def test_one_problem_opens_one_incident(shop, release):
    visits(shop, {"1.0": 0.02, "2.0": 0.08}, SAME)
    watching.judge(release, "production", NOW)
    worse = set(Regression.objects.filter(is_active=True).values_list("measure", flat=True))
    assert worse == {"failure_rate", "bad_users"}
    attending.open_incidents(NOW)
    assert Incident.objects.count() == 1
    attending.open_incidents(NOW)
    assert Incident.objects.get().regression.measure in worse


def test_charts_of_people_count_each_once_a_day(shop, release):
    visits(shop, {"1.0": 0.02, "2.0": 0.06}, {"1.0": 0.3, "2.0": 0.15})
    at = charts.window(release, "production", NOW)
    sessions, checkout = (Signal.objects.get(kind=kind) for kind in ("session", "use"))
    last = charts.points(release, "production", sessions, "bad_users", at)[-1]
    assert last.new == pytest.approx(0.06, abs=0.02)
    last = charts.points(release, "production", checkout, "conversion", at)[-1]
    assert last.old == pytest.approx(0.3, abs=0.03)
    assert last.new_n == pytest.approx(30 * 120, rel=0.01)
