"""What does not arrive is neither a drop nor healthy."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from metrics import silence, watching
from metrics.models import Verdict
from productops.health import page
from tests import make

pytestmark = pytest.mark.usefixtures("days")

NOW = timezone.now().replace(minute=0, second=0, microsecond=0)
BEGAN = NOW - timedelta(hours=5)
FOUR_DAYS = NOW - timedelta(days=4, hours=5)


@pytest.fixture
def release(shop):
    make.release(shop, "1.0", at=BEGAN - timedelta(days=9))
    return make.release(shop, "2.0", at=BEGAN)


def used(shop, since: datetime, until: datetime, but: tuple[datetime, datetime] | None = None, n: int = 400) -> None:
    rng, events, at = random.Random(1), [], since
    while at < until:
        if but is None or not but[0] <= at < but[1]:
            version = "2.0" if at >= BEGAN else "1.0"
            many = n + rng.randrange(n // 5)
            for name in ("checkout", "search"):
                bad = max(0, round(rng.gauss(0.05 * many, (0.05 * 0.95 * many) ** 0.5)))
                events.append(make.event(name, at=at.timestamp() + 1, release=version, user="", n=many, bad=bad))
        at += timedelta(minutes=5)
    make.counted(shop, events)


def volumes(verdict: Verdict) -> set[str]:
    return {trace["status"] for trace in verdict.trace if trace["measure"] == "volume"}


def test_nothing_arrives_any_more(shop, release):
    used(shop, FOUR_DAYS, NOW - timedelta(minutes=25))
    verdict = watching.judge(release, "production", NOW)
    assert (verdict.verdict, verdict.silent_since) == ("watch", NOW - timedelta(minutes=29))
    assert page.headline(release, verdict).startswith("Nothing has arrived since ")
    assert volumes(verdict) == {"same"}


def test_it_arrives_again(shop, release):
    used(shop, FOUR_DAYS, NOW - timedelta(minutes=25))
    watching.judge(release, "production", NOW)
    used(shop, NOW - timedelta(minutes=5), NOW)
    verdict = watching.judge(release, "production", NOW)
    assert (verdict.verdict, verdict.silent_since) == ("healthy", None)
    assert volumes(verdict) == {"same"}


def test_a_gap_is_no_drop(shop, release):
    """Nothing arrived for two hours, while the collector was away."""
    used(shop, FOUR_DAYS, NOW, but=(BEGAN + timedelta(hours=1), BEGAN + timedelta(hours=3)))
    verdict = watching.judge(release, "production", NOW)
    assert volumes(verdict) == {"same"}
    assert verdict.verdict == "healthy"


def test_a_gap_of_yesterday_hides_no_drop_of_today(shop, release):
    used(shop, FOUR_DAYS, BEGAN, but=(BEGAN - timedelta(hours=24), BEGAN - timedelta(hours=20)))
    used(shop, BEGAN, NOW, n=160)
    assert volumes(watching.judge(release, "production", NOW)) == {"worse"}


def test_the_last_bucket_is_still_filling(shop, release):
    used(shop, FOUR_DAYS, NOW)
    make.counted(shop, [make.event(at=NOW.timestamp() + 1, release="2.0", user="", n=3)])
    assert volumes(watching.judge(release, "production", NOW + timedelta(minutes=1))) == {"same"}


def test_a_night_is_no_silence(shop, release):
    for day in range(6):
        used(shop, NOW - timedelta(days=day, hours=8), NOW - timedelta(days=day, minutes=30))
    assert silence.since(shop.pk, "production", NOW) is None


def test_who_has_no_yesterday_is_not_silent(shop, release):
    used(shop, NOW - timedelta(hours=3), NOW - timedelta(minutes=30))
    assert silence.since(shop.pk, "production", NOW) is None
    assert silence.since(shop.pk, "staging", NOW) is None


def test_silence_is_looked_at_too(shop, release):
    used(shop, FOUR_DAYS, NOW - timedelta(minutes=25))
    watching.judge(release, "production", NOW - timedelta(minutes=16))
    assert watching.look(NOW - timedelta(minutes=14)) == 0
    assert watching.look(NOW) == 1
    assert Verdict.objects.get().silent_since
