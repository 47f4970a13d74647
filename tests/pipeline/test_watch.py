"""Rows in, verdict and incident out: found when it is there, quiet when it is not, and once."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from incidents import attending, ledger
from incidents.models import Incident, Status
from metrics import watching
from metrics.models import Regression, Verdict
from releases.models import Product, Release
from tests import make

from .conftest import together, traffic

pytestmark = pytest.mark.usefixtures("days")

OLD, NEW = 0.05, 0.15


@pytest.fixture
def canary(shop: Product) -> tuple[Release, datetime]:
    """A new release beside the old one for twenty minutes; and the moment after."""
    now = timezone.now().replace(second=0, microsecond=0)
    began = now - timedelta(minutes=20)
    make.release(shop, "1.0", at=began - timedelta(days=9))
    return make.release(shop, "2.0", at=began, percentage=50), now


def look(release: Release, now: datetime) -> Verdict:
    verdict = watching.judge(release, "production", now)
    assert verdict is not None
    return verdict


def test_a_worse_release_is_found_beside_the_old_one(shop, canary):
    release, now = canary
    traffic(shop, "1.0", now - timedelta(minutes=20), 20, OLD)
    traffic(shop, "2.0", now - timedelta(minutes=20), 20, NEW)
    verdict = look(release, now)
    assert verdict.verdict == "regressed"
    assert verdict.share == pytest.approx(0.5)
    finding = Regression.objects.get()
    assert (finding.measure, finding.is_active) == ("failure_rate", True)
    assert finding.evidence["method"] == "concurrent"
    assert finding.evidence["new"] == pytest.approx(NEW, abs=0.03)
    assert finding.evidence["old"] == pytest.approx(OLD, abs=0.02)
    assert finding.started_at < now - timedelta(minutes=12)


def test_the_same_release_twice_is_healthy(shop, canary):
    release, now = canary
    traffic(shop, "1.0", now - timedelta(minutes=20), 20, OLD)
    traffic(shop, "2.0", now - timedelta(minutes=20), 20, OLD)
    assert look(release, now).verdict == "healthy"
    assert not Regression.objects.exists()


def test_an_instant_switch_with_a_short_past_is_found(shop):
    now = timezone.now().replace(second=0, microsecond=0)
    began = now - timedelta(minutes=8)
    make.release(shop, "1.0", at=began - timedelta(hours=1))
    release = make.release(shop, "2.0", at=began)
    traffic(shop, "1.0", began - timedelta(minutes=30), 30, OLD)
    traffic(shop, "2.0", began, 8, NEW)
    assert look(release, now).verdict == "regressed"
    assert Regression.objects.get().evidence["method"] == "short_history"


def test_looking_again_finds_nothing_new(shop, canary):
    release, now = canary
    traffic(shop, "1.0", now - timedelta(minutes=20), 20, OLD)
    traffic(shop, "2.0", now - timedelta(minutes=20), 20, NEW)
    for minutes in (8, 10, 12, 16, 20, 20):
        look(release, now - timedelta(minutes=20 - minutes))
    finding = Regression.objects.get()
    assert finding.found_at <= now - timedelta(minutes=8)
    assert finding.looked_at == now
    assert Verdict.objects.count() == 1


def test_a_look_judges_only_releases_that_are_watched(shop, canary):
    release, now = canary
    traffic(shop, "1.0", now - timedelta(minutes=20), 20, OLD)
    traffic(shop, "2.0", now - timedelta(minutes=20), 20, NEW)
    assert watching.look(now) == 1
    assert watching.look(now + timedelta(hours=80)) == 0
    assert Regression.objects.get().release == release


def test_what_waits_in_the_inbox_is_not_judged(shop, canary):
    release, now = canary
    traffic(shop, "1.0", now - timedelta(minutes=20), 20, OLD)
    make.batch(shop, [make.event()], received_at=now - timedelta(minutes=5))
    assert look(release, now).data_up_to == now - timedelta(minutes=5)


@pytest.mark.django_db(transaction=True)
def test_racing_workers_open_one_incident(shop, canary):
    release, now = canary
    traffic(shop, "1.0", now - timedelta(minutes=20), 20, OLD)
    traffic(shop, "2.0", now - timedelta(minutes=20), 20, NEW)
    together(*[lambda: look(release, now)] * 4)
    opened = together(*[lambda: attending.open_incidents(now)] * 6)
    assert Regression.objects.count() == 1
    incident = Incident.objects.get()
    assert sum(opened) == 1
    assert attending.open_incidents(now) == 0
    assert (incident.number, incident.release, incident.status) == (1, release, Status.NEW)
    assert incident.severity != "unset"  # suggested from who was touched
    assert incident.impact["silent"] == 25


@pytest.mark.django_db(transaction=True)
def test_a_recovered_finding_does_not_open_another_incident(shop, canary):
    release, now = canary
    finding = make.regression(release)
    assert attending.open_incidents(now) == 1
    Incident.objects.get().decline(make.member(shop.workspace, "pm"), "A load test")
    Regression.objects.filter(pk=finding.pk).update(is_active=False)
    Regression.objects.filter(pk=finding.pk).update(is_active=True)
    assert attending.open_incidents(now) == 0
    assert Incident.objects.get().status == Status.DECLINED


def test_severity_is_suggested_and_a_persons_word_stands(shop, canary, carol):
    release, now = canary
    finding = make.regression(release, started_at=now - timedelta(minutes=30))
    traffic(shop, "2.0", now - timedelta(minutes=20), 20, 0.3)
    assert attending.open_incidents(now) == 1
    incident = Incident.objects.get(regression=finding)
    assert incident.severity == "critical"
    assert incident.impact["share"] == pytest.approx(0.3, abs=0.05)
    incident.set_severity(carol, "low", "Only the test shop")
    ledger.weigh(incident, now)
    incident.refresh_from_db()
    assert (incident.severity, incident.is_severity_forced) == ("low", True)


def test_a_snoozed_incident_wakes_when_its_time_has_come(tienda, carol):
    incident = make.incident(tienda)
    until = timezone.now() + timedelta(hours=1)
    incident.snooze(carol, until)
    assert attending.wake_snoozed(until - timedelta(seconds=1)) == 0
    assert attending.wake_snoozed(until) == 1
    assert attending.wake_snoozed(until) == 0
    incident.refresh_from_db()
    assert (incident.status, incident.snoozed_until) == (Status.NEW, None)
