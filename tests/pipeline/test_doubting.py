"""Worse from the moment of a deploy, but not by it: said so, with why; and never said of what the release did."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from activity.models import Event
from incidents import attending
from incidents.models import Incident
from metrics import comparing, doubting, watching, words
from metrics.models import Regression, Signal
from productops.health import page
from releases.models import Feature
from tests import make

from .conftest import traffic

pytestmark = pytest.mark.usefixtures("days")

NOW = timezone.now().replace(second=0, microsecond=0)
BEGAN = NOW - timedelta(minutes=15)
GOOD, BAD = 0.03, 0.2


@pytest.fixture
def release(shop):
    """Two and a half quiet hours, then a deploy."""
    make.release(shop, "1.0", at=BEGAN - timedelta(days=9))
    return make.release(shop, "2.0", at=BEGAN)


def days(shop, bad_from: datetime) -> None:
    """Four days of steady use, told in fives of minutes; from a moment on it fails."""
    rng, events, at = random.Random(6), [], BEGAN - timedelta(days=4)
    while at < NOW:
        bad = sum(rng.random() < (BAD if at >= bad_from else GOOD) for _number in range(200))
        version = "2.0" if at >= BEGAN else "1.0"
        events.append(make.event(at=at.timestamp() + 1, release=version, user="", n=200, bad=bad))
        at += timedelta(minutes=5)
    make.counted(shop, events)


def judged(release):
    verdict = watching.judge(release, "production", NOW)
    assert verdict
    return verdict, Regression.objects.filter(measure="failure_rate").first()


def test_what_the_release_did_is_not_doubted(shop, release):
    traffic(shop, "1.0", BEGAN - timedelta(minutes=150), 150, GOOD, per_minute=100)
    traffic(shop, "2.0", BEGAN, 15, BAD, per_minute=100)
    verdict, finding = judged(release)
    assert (verdict.verdict, finding.evidence["method"], finding.evidence["doubts"]) == ("regressed", "short_history", [])
    assert "Probably" not in words.sentence(finding.evidence, "2.0")


def test_it_began_before_the_deploy(shop, release):
    days(shop, bad_from=BEGAN - timedelta(minutes=45))
    verdict, finding = judged(release)
    assert finding.evidence["method"] == "before_after"
    assert [doubt["code"] for doubt in finding.evidence["doubts"]] == ["began_before"]
    assert verdict.verdict == "watch"
    assert page.headline(release, verdict) == "Checkout got worse, probably not by 2.0"
    told = words.sentence(finding.evidence, "2.0")
    assert told.endswith("Probably not 2.0: it began in the hour before the deploy.")


def test_after_days_of_use_what_begins_with_the_deploy_is_not_doubted(shop, release):
    days(shop, bad_from=BEGAN)
    verdict, finding = judged(release)
    assert (verdict.verdict, finding.evidence["method"], finding.evidence["doubts"]) == ("regressed", "before_after", [])


def test_older_versions_that_got_as_bad_but_hold_little_of_it_clear_nobody(shop, release):
    traffic(shop, "1.0", BEGAN - timedelta(minutes=60), 60, GOOD, per_minute=200)
    traffic(shop, "2.0", BEGAN, 15, BAD, per_minute=400)
    traffic(shop, "1.0", BEGAN, 15, BAD, per_minute=15, seed=3)
    _verdict, finding = judged(release)
    assert finding.evidence["doubts"] == []


def test_a_small_share_of_a_common_trouble(shop, release):
    traffic(shop, "1.0", BEGAN - timedelta(minutes=60), 60, GOOD, per_minute=200)
    traffic(shop, "1.0", BEGAN, 15, BAD, per_minute=200, seed=3)
    traffic(shop, "2.0", BEGAN, 15, BAD, per_minute=100)
    verdict, finding = judged(release)
    assert [doubt["code"] for doubt in finding.evidence["doubts"]] == ["older_versions"]
    assert finding.evidence["doubts"][0]["share"] > 0.6
    assert verdict.verdict == "watch"


def test_another_product_of_the_workspace_suffers_from_the_same_time(shop, release):
    other = make.product(shop.workspace, "Billing")
    make.release(other, "5.0", at=BEGAN - timedelta(days=30))
    for product, version in ((shop, "1.0"), (other, "5.0")):
        traffic(product, version, BEGAN - timedelta(minutes=150), 150, GOOD, per_minute=60)
    traffic(other, "5.0", BEGAN, 15, BAD, per_minute=60, seed=5)
    traffic(shop, "2.0", BEGAN, 15, BAD, per_minute=100)
    verdict, finding = judged(release)
    assert finding.evidence["doubts"] == [{"code": "other_products", "names": ["Billing"]}]
    assert verdict.verdict == "watch"
    assert attending.open_incidents(NOW) >= 1  # customers suffer all the same
    incident = Incident.objects.get(regression=finding)
    assert "it came at the same time in Billing" in words.sentence(incident.regression.evidence, "2.0")


def test_another_product_with_a_deploy_of_its_own_explains_itself(shop, release):
    other = make.product(shop.workspace, "Billing")
    make.release(other, "5.1", at=BEGAN)
    for product, version in ((shop, "1.0"), (other, "5.0")):
        traffic(product, version, BEGAN - timedelta(minutes=150), 150, GOOD, per_minute=60)
    traffic(other, "5.1", BEGAN, 15, BAD, per_minute=60, seed=5)
    traffic(shop, "2.0", BEGAN, 15, BAD, per_minute=100)
    assert judged(release)[1].evidence["doubts"] == []


def test_another_workspace_tells_nothing(shop, release):
    elsewhere = make.product(make.workspace("Elsewhere"), "Billing")
    traffic(elsewhere, "5.0", BEGAN - timedelta(minutes=150), 150, GOOD, per_minute=60)
    traffic(elsewhere, "5.0", BEGAN, 15, BAD, per_minute=60, seed=5)
    traffic(shop, "1.0", BEGAN - timedelta(minutes=150), 150, GOOD, per_minute=100)
    traffic(shop, "2.0", BEGAN, 15, BAD, per_minute=100)
    assert judged(release)[1].evidence["doubts"] == []


def test_too_few_use_it(shop, release):
    """One use in fifty is of the new version, and everything fails everywhere."""
    traffic(shop, "1.0", BEGAN - timedelta(minutes=150), 150, GOOD, per_minute=200)
    traffic(shop, "1.0", BEGAN, 15, BAD, per_minute=200, seed=3)
    traffic(shop, "2.0", BEGAN, 15, BAD, per_minute=4)
    finding = next(f for f in _found(release) if f.measure == "failure_rate")
    told = doubting._of_adoption(_scene(release), finding)
    assert told["code"] == "adoption"
    assert 0.01 < told["share"] < 0.03


def test_enough_use_it(shop, release):
    traffic(shop, "1.0", BEGAN - timedelta(minutes=150), 150, GOOD, per_minute=200)
    traffic(shop, "2.0", BEGAN, 15, BAD, per_minute=200)
    finding = next(f for f in _found(release) if f.measure == "failure_rate")
    assert doubting._of_adoption(_scene(release), finding) is None


@pytest.mark.parametrize(("percentage", "is_doubted"), [(10, True), (50, False), (None, False)])
def test_a_tenth_of_the_users_cannot_take_away_two_thirds_of_the_use(shop, percentage, is_doubted):
    make.release(shop, "1.0", at=BEGAN - timedelta(days=9))
    release = make.release(shop, "2.0", at=BEGAN - timedelta(hours=2), percentage=percentage)
    rng, events, at = random.Random(6), [], BEGAN - timedelta(days=4)
    while at < NOW:
        n = (30 if at >= BEGAN - timedelta(hours=2) else 100) + rng.randrange(10)
        events.append(make.event(at=at.timestamp() + 1, release="1.0", user="", n=n))
        at += timedelta(minutes=5)
    make.counted(shop, events)
    verdict = watching.judge(release, "production", NOW)
    volume = next(trace for trace in verdict.trace if trace["measure"] == "volume")
    assert volume["status"] == "worse"
    assert [doubt["code"] for doubt in volume["doubts"] if doubt["code"] == "adoption"] == ["adoption"] * is_doubted
    if is_doubted:
        assert "only 10\u202f% of the traffic is on it" in words.sentence(volume, "2.0")


def test_it_touches_something_else(shop, release, carol):
    days(shop, bad_from=BEGAN)
    signal = Signal.objects.get(name="checkout")
    signal.feature = Feature.objects.create(product=shop, name="Checkout")
    signal.save()
    other = Feature.objects.create(product=shop, name="Search")
    assert release.touch([other], carol)
    assert not release.touch([other], carol)
    verdict, finding = judged(release)
    assert finding.evidence["doubts"] == [{"code": "untouched", "names": ["Search"]}]
    assert verdict.verdict == "watch"
    assert words.sentence(finding.evidence, "2.0").endswith("Probably not 2.0: it touches only Search.")
    attending.open_incidents(NOW)
    assert Incident.objects.exists()  # customers suffer all the same
    release.touch([other, signal.feature], carol)
    verdict, finding = judged(release)
    assert (verdict.verdict, finding.evidence["doubts"]) == ("regressed", [])


def test_what_a_release_touches_is_said_in_the_browser_and_by_the_api(shop, release, carol, bob, as_, client):
    checkout, search = (Feature.objects.create(product=shop, name=name) for name in ("Checkout", "Search"))
    foreign = Feature.objects.create(product=make.product(make.workspace("Elsewhere")), name="Theirs")
    address = reverse("releases:touch", args=[shop.workspace.slug, release.pk])
    assert "Checkout" in as_(carol).get(address).content.decode()
    assert as_(bob).get(address).status_code == 403
    as_(carol).post(address, {"features": [checkout.pk]})
    assert "touches Checkout" in as_(carol).get(
        reverse("releases:health", args=[shop.workspace.slug, release.pk])
    ).content.decode()
    assert as_(carol).post(address, {"features": [foreign.pk]}).status_code == 200
    as_(carol).post(address, {})
    assert not release.features.exists()
    bearer = {"Authorization": f"Bearer {make.token(carol, shop.workspace)}"}
    ask = {"content_type": "application/json", "headers": bearer}
    told = client.post("/api/v1/releases", {"version": "2.0", "features": ["Search", "Checkout"]}, **ask)
    assert told.json()["features"] == ["Checkout", "Search"]
    assert client.post("/api/v1/releases", {"version": "2.0", "features": ["Theirs"]}, **ask).status_code == 400
    assert client.post("/api/v1/releases", {"version": "2.0", "features": "Search"}, **ask).status_code == 400
    assert {feature.pk for feature in release.features.all()} == {checkout.pk, search.pk}
    assert client.post("/api/v1/releases", {"version": "2.0"}, **ask).json()["features"] == ["Checkout", "Search"]
    assert Event.objects.filter(verb="release.touched").count() == 3


def _scene(release):
    return comparing.scene(release, "production", BEGAN, NOW)


def _found(release):
    return comparing.compare(_scene(release))
