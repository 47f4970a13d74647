"""What had to be refused is a signal: a release that sends broken events is told of."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from incidents import attending, ledger, proving
from incidents.models import Incident
from metrics import charts, refusing, series, watching
from metrics.intake.event import REFUSAL
from metrics.intake.inbox import hour_of
from metrics.models import Outcome, RollupHour, RollupMinute, Signal
from productops.health import page
from tests import make

pytestmark = pytest.mark.usefixtures("days")

NOW = timezone.now().replace(minute=30, second=0, microsecond=0) - timedelta(hours=1)
BEGAN = NOW - timedelta(hours=3)


def refuse(product: int, n: int, at=NOW, outcome: str = "invalid", reason: str = "bad_json") -> None:
    row, _new = Outcome.objects.get_or_create(
        product_id=product, hour=hour_of(at), protocol="sentry", category="other", outcome=outcome, reason=reason,
        defaults={"n": 0},
    )  # fmt: skip
    Outcome.objects.filter(product_id=product, hour=row.hour, outcome=outcome, reason=reason).update(n=row.n + n)


def test_the_signal_says_what_the_ledger_says(shop):
    refuse(shop.pk, 3)
    refuse(shop.pk, 2, outcome="too_large", reason="too_large")
    refuse(shop.pk, 50, outcome="rate_limited", reason="spike")
    refuse(shop.pk, 70, outcome="accepted", reason="")
    refuse(0, 9)
    assert refusing.count(NOW) == 5
    assert refusing.count(NOW) == 0
    refuse(shop.pk, 4)
    assert refusing.count(NOW + timedelta(minutes=2)) == 4
    signal = Signal.objects.get(kind=REFUSAL)
    minutes = RollupMinute.objects.filter(signal_id=signal.pk).order_by("bucket")
    assert [(row.bucket, row.n, row.bad) for row in minutes] == [(NOW, 5, 5), (NOW + timedelta(minutes=2), 4, 4)]
    assert RollupHour.objects.get(signal_id=signal.pk).n == 9
    # What the ledger learns of an hour after its end lies in its last minute.
    refuse(shop.pk, 1)
    assert refusing.count(NOW + timedelta(hours=1)) == 1
    assert minutes.last().bucket == hour_of(NOW) + timedelta(minutes=59)


def story(shop, after: int, days: int = 4) -> None:
    """Steady use; of old a request is refused now and then, since the release `after` in five minutes."""
    rng, events, at = random.Random(2), [], BEGAN - timedelta(days=days)
    signal = Signal.objects.create(product=shop, kind=REFUSAL, name="refusals")
    while at < NOW:
        version = "2.0" if at >= BEGAN else "1.0"
        events.append(make.event(at=at.timestamp() + 1, release=version, user="", n=400 + rng.randrange(40), bad=8))
        refused = max(0, round(rng.gauss(after if at >= BEGAN else 4, 1.5)))
        for table in ("metrics_rollup_minute", "metrics_rollup_hour"):
            if refused:
                refusing._add(signal, table, at if "minute" in table else hour_of(at), refused)
        at += timedelta(minutes=5)
    make.counted(shop, events)


@pytest.fixture
def release(shop):
    make.release(shop, "1.0", at=BEGAN - timedelta(days=9))
    return make.release(shop, "2.0", at=BEGAN)


def told(verdict):
    return next(trace for trace in verdict.trace if trace["kind"] == REFUSAL)


def test_a_release_that_sends_what_is_no_event(shop, release, as_, carol):
    story(shop, after=60)
    verdict = watching.judge(release, "production", NOW)
    trace = told(verdict)
    assert (trace["status"], trace["measure"]) == ("worse", "error_rate")
    assert trace["method"] == "before_after"
    assert 0.005 < trace["old"] < 0.02 < 0.1 < trace["new"] < 0.16
    assert verdict.verdict == "regressed"
    assert page.headline(release, verdict) == "2.0 made refused requests worse"
    # An incident of which no customer is known to be hit, and which no release's numbers can prove.
    attending.open_incidents(NOW)
    incident = Incident.objects.get(signal__kind=REFUSAL)
    assert ledger.weigh(incident, NOW).share < 0.2
    incident.accept(carol)
    incident.start(carol)
    incident.resolve(carol, release)
    assert proving.prove(incident, NOW) is None
    signal = Signal.objects.get(kind=REFUSAL)
    args = [shop.workspace.slug, release.pk, signal.pk, "error_rate"]
    said = as_(carol).get(reverse("releases:signal", args=args)).content.decode()
    assert "Refused per use" in said
    points = charts.points(release, "production", signal, "error_rate", charts.window(release, "production", NOW))
    assert all(p.new is None for p in points if p.at < BEGAN - timedelta(hours=1))
    assert any(p.old for p in points)
    assert any(p.new for p in points)


def test_as_many_as_before(shop, release):
    story(shop, after=4)
    verdict = watching.judge(release, "production", NOW)
    assert told(verdict)["status"] == "same"
    assert verdict.verdict == "healthy"


def test_refusals_are_no_use_of_a_release(shop, release):
    story(shop, after=60)
    assert watching.share(release, "production", NOW) == 1.0
    assert Signal.objects.get(kind=REFUSAL).pk not in series.sent(shop.pk)
