"""A claimed fix: verified, reopened with the evidence, or told what it lacks. Old versions never decide."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from activity.models import Event
from incidents import attending, proving, telling, timeline
from incidents.models import Incident, Report, Status
from metrics import watching
from metrics.models import Signal
from releases.models import Product, Release
from tests import make

from .conftest import traffic

pytestmark = [pytest.mark.usefixtures("days"), pytest.mark.django_db]


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def claimed(shop: Product, carol, now) -> Incident:
    """Checkout failures rose from 4.1 to 12.9 % with 2.0; resolved in 2.1, an hour ago, out for 59 minutes."""
    make.release(shop, "1.0", at=now - timedelta(days=9))
    broken = make.release(shop, "2.0", at=now - timedelta(hours=2))
    make.regression(broken, started_at=now - timedelta(hours=2))
    attending.open_incidents(now)
    incident = Incident.objects.get()
    incident.accept(carol)
    incident.resolve(carol, make.release(shop, "2.1", at=now - timedelta(minutes=59)))
    Incident.objects.filter(pk=incident.pk).update(resolved_at=now - timedelta(hours=1))
    incident.refresh_from_db()
    return incident


def looked(incident: Incident, at: datetime) -> Incident:
    attending.verify_resolved(at)
    incident.refresh_from_db()
    return incident


def fixed_traffic(shop: Product, now: datetime, rate: float, per_minute: int = 40, version: str = "2.1") -> None:
    traffic(shop, version, now - timedelta(minutes=30), 29, rate, per_minute)


@pytest.mark.parametrize(
    ("rate", "per_minute", "answer", "status"),
    [
        (0.03, 40, proving.FIXED, Status.VERIFIED),
        (0.13, 40, proving.BROKEN, Status.TRIAGED),
        (0.03, 5, proving.NOT_ENOUGH, Status.RESOLVED),
        (0.13, 3, proving.NOT_ENOUGH, Status.RESOLVED),
    ],
)
def test_the_numbers_decide(shop, claimed, now, rate, per_minute, answer, status):
    fixed_traffic(shop, now, rate, per_minute)
    looked(claimed, now)
    assert (claimed.proof["answer"], claimed.status) == (answer, status)
    assert claimed.proof["n"] == 29 * per_minute
    assert claimed.proof["low"] <= claimed.proof["rate"] <= claimed.proof["high"]
    assert claimed.cycle == (2 if answer == proving.BROKEN else 1)


def test_what_the_hub_did_says_why(shop, claimed, now):
    fixed_traffic(shop, now, 0.13)
    looked(claimed, now)
    entry = next(e for e in timeline.tell(claimed) if e.text == "reopened it")
    assert entry.is_hub
    assert "1,160" in entry.why
    assert "4.1" in entry.why
    assert "still worse" in entry.why
    told = Event.objects.about(claimed).get(verb="incident.reopened").detail["why"]
    assert told["rule"] == "still_broken"


def test_a_fix_that_is_not_out_yet_waits(shop, claimed, now, carol):
    coming = Release.objects.create_version(shop, "2.2", "api")[0]
    Incident.objects.filter(pk=claimed.pk).update(fix_release=coming)
    looked(claimed, now)
    assert (claimed.proof["answer"], claimed.status) == (proving.NOT_SHIPPED, Status.RESOLVED)
    coming.deploy("staging", at=now - timedelta(minutes=5))
    assert looked(claimed, now).proof["answer"] == proving.NOT_SHIPPED
    coming.deploy("production", at=now - timedelta(minutes=5))
    assert looked(claimed, now).proof["answer"] == proving.SMALL_SHARE


def test_a_small_share_is_not_judged(shop, claimed, now):
    fixed_traffic(shop, now, 0.13, 10)
    fixed_traffic(shop, now, 0.04, 200, "2.0")
    looked(claimed, now)
    assert (claimed.proof["answer"], claimed.status) == (proving.SMALL_SHARE, Status.RESOLVED)
    assert claimed.proof["share"] == pytest.approx(10 / 210)


def test_later_releases_carry_the_fix_too(shop, claimed, now):
    make.release(shop, "2.2", at=now - timedelta(minutes=31))
    fixed_traffic(shop, now, 0.03, 20)
    fixed_traffic(shop, now, 0.03, 20, "2.2")
    assert looked(claimed, now).status == Status.VERIFIED
    assert claimed.proof["n"] == 29 * 40


def test_old_versions_decide_nothing_and_are_listed(shop, claimed, now):
    fixed_traffic(shop, now, 0.03)
    fixed_traffic(shop, now, 0.5, 40, "2.0")
    looked(claimed, now)
    assert claimed.status == Status.VERIFIED
    behind = proving.behind(claimed)
    assert 0 < len(behind) <= 25
    assert sum(row["bad"] for row in behind) == pytest.approx(29 * 40 / 2, rel=0.2)
    watching.look(now)
    attending.open_incidents(now)
    assert Incident.objects.filter(signal__name="checkout", regression__measure="failure_rate").count() == 1


def test_customers_who_meet_it_before_it_was_resolved_are_not_behind(shop, claimed, now):
    traffic(shop, "2.0", now - timedelta(minutes=100), 20, 0.5, 40)
    assert proving.behind(claimed) == []


def complain(incident: Incident, at: datetime, release: Release | None = None, name: str = "Acme") -> None:
    workspace = incident.workspace
    customer = make.customer(workspace, name)
    said = make.complaint(workspace, customer=customer, at=at, release=release, product=incident.product)
    Report.objects.join(incident, said, None)


def test_it_is_not_verified_before_complaints_have_stopped(shop, claimed, now):
    complain(claimed, now - timedelta(hours=2))
    complain(claimed, now - timedelta(hours=1, minutes=30), name="Globex")
    fixed_traffic(shop, now, 0.03)
    looked(claimed, now)
    assert (claimed.proof["answer"], claimed.status) == (proving.QUIET, Status.RESOLVED)
    # Two in the hour before it was out: three would have come by an hour and a half after.
    until = datetime.fromisoformat(claimed.proof["quiet_until"])
    out = datetime.fromisoformat(claimed.proof["since"])
    assert timedelta(minutes=85) < until - out < timedelta(minutes=95)
    assert looked(claimed, until).status == Status.VERIFIED


def test_one_complaint_with_the_fix_delays_and_two_customers_reopen(shop, claimed, now):
    fixed_traffic(shop, now, 0.03)
    complain(claimed, now - timedelta(minutes=5), claimed.fix_release)
    assert looked(claimed, now).proof["answer"] == proving.QUIET
    complain(claimed, now - timedelta(minutes=4), claimed.fix_release, "Acme again")
    assert looked(claimed, now).proof["answer"] == proving.COMPLAINED
    assert claimed.status == Status.TRIAGED


def test_complaints_about_the_old_version_reopen_nothing(shop, claimed, now):
    for number in range(5):
        complain(claimed, now - timedelta(minutes=5), claimed.release, f"Customer {number}")
    fixed_traffic(shop, now, 0.03)
    assert looked(claimed, now).status == Status.VERIFIED


def test_a_person_who_takes_the_reopening_back_is_right(shop, claimed, now, carol):
    fixed_traffic(shop, now, 0.13)
    looked(claimed, now)
    claimed.undo(Event.objects.about(claimed).get(verb="incident.reopened"), carol)
    assert claimed.status == Status.RESOLVED
    looked(claimed, now + timedelta(minutes=1))
    assert (claimed.status, claimed.proof["answer"]) == (Status.RESOLVED, proving.BROKEN)


def test_no_code_change_is_judged_by_all_releases(shop, claimed, now):
    Incident.objects.filter(pk=claimed.pk).update(fix_release=None)
    fixed_traffic(shop, now, 0.03, 40, "2.0")
    looked(claimed, now)
    assert (claimed.proof["answer"], claimed.status) == (proving.FIXED, Status.VERIFIED)
    assert proving.behind(claimed) == []


def test_slowness_is_measured_by_slow_uses(shop, claimed, now):
    evidence = {**claimed.regression.evidence, "measure": "latency_p95", "old": 200.0, "new": 900.0, "margin": 0.25}
    claimed.regression.measure = "latency_p95"
    claimed.regression.evidence = evidence
    claimed.regression.save()
    start = (now - timedelta(minutes=30)).timestamp()
    make.counted(shop, [make.event(at=start + n, release="2.1", value=100.0 if n % 50 else 2_000.0) for n in range(1_500)])
    looked(claimed, now)
    assert (claimed.proof["answer"], claimed.status) == (proving.FIXED, Status.VERIFIED)
    assert claimed.proof["rate"] == pytest.approx(0.02)
    assert "slow" in telling.body(claimed.proof)


def test_errors_are_counted_per_use(shop, claimed, now):
    errors = Signal.objects.create(product=shop, kind="error", name="error")
    evidence = {**claimed.regression.evidence, "measure": "error_rate", "kind": "error", "old": 0.01, "new": 0.08}
    claimed.regression.measure, claimed.regression.signal, claimed.regression.evidence = "error_rate", errors, evidence
    claimed.regression.save()
    Incident.objects.filter(pk=claimed.pk).update(signal=errors)
    fixed_traffic(shop, now, 0.0)
    start = (now - timedelta(minutes=20)).timestamp()
    events = [make.event("error", kind="error", at=start + n, release="2.1", bad=1, user=f"u{n}") for n in range(12)]
    make.counted(shop, events)
    looked(claimed, now)
    assert claimed.proof["n"] == 29 * 40 + 12
    assert claimed.proof["rate"] == pytest.approx(12 / 1172)
    assert claimed.status == Status.VERIFIED


@pytest.mark.parametrize("measure", ["volume", "users"])
def test_what_cannot_be_told_is_not(claimed, now, measure):
    claimed.regression.evidence = {**claimed.regression.evidence, "measure": measure}
    claimed.regression.save()
    assert looked(claimed, now).proof == {}
    assert claimed.status == Status.RESOLVED


def test_every_answer_has_words_in_three_languages(claimed, now):
    from django.utils import translation

    claimed.proof = proof = {
        "at": (now + timedelta(minutes=1)).isoformat(), "environment": "production", "release": "2.1", "version": 1,
        "measure": "failure_rate", "rate": 0.03, "low": 0.02, "high": 0.04, "n": 1160.0, "baseline": 0.041,
        "broken": 0.129, "share": 0.05, "needed": 300, "complained": 2, "quiet_until": now.isoformat(),
        "limit": 0.045, "halfway": 0.076, "evidence_fixed": 1e6, "evidence_broken": 0.1,
    }  # fmt: skip
    answers = (
        proving.FIXED, proving.BROKEN, proving.COMPLAINED, proving.NOT_SHIPPED, proving.SMALL_SHARE, proving.NOT_ENOUGH,
        proving.QUIET,
    )  # fmt: skip
    heads = set()
    for language in ("en", "es", "pt-br"):
        with translation.override(language):
            for answer in answers:
                proof["answer"] = answer
                told = telling.proof(claimed)
                heads.add(told["head"])
                assert "%(" not in told["head"] + told["body"] + told["why"]
    assert len(heads) == 3 * len(answers)


def test_an_old_answer_is_not_shown_for_a_new_claim(claimed, now, shop, carol):
    fixed_traffic(shop, now, 0.13)
    looked(claimed, now)
    claimed.resolve(carol, claimed.release)
    assert telling.proof(claimed)["head"] == "The numbers are looked at within a minute."
