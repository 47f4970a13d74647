"""Where a release is worse, from rows: side by side, over time, for failures, errors and slowness."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from metrics import watching, words
from metrics.models import Regression
from releases.models import Product, Release
from tests import make

pytestmark = pytest.mark.usefixtures("days")

BAD = {"plan": "Free", "platform": "android", "country": "BR"}


def visits(product: Product, version: str, since: datetime, minutes: int, **broken: object) -> None:
    """Steady use on two plans, platforms and countries; `broken`: what an event of BAD's is made of instead."""
    rng, start, events = random.Random(version), since.timestamp(), []
    for minute in range(minutes):
        for _number in range(300):
            look = {
                "plan": rng.choice(["Free", "Pro"]), "platform": rng.choice(["web", "android"]),
                "country": rng.choice(["BR", "MX"]),
            }  # fmt: skip
            told: dict[str, object] = {"bad": int(rng.random() < 0.03), "value": rng.uniform(50, 150)}
            if broken and look == BAD and rng.random() < 0.6:
                told |= broken
            at = start + 60 * minute + rng.random() * 59
            events.append(
                make.event(at=at, release=version, user=f"u{rng.randrange(900)}", customer="c1", **look, **told)
            )
    make.counted(product, events)


def beside(shop: Product, **broken: object) -> Release:
    now = timezone.now().replace(second=0, microsecond=0)
    began = now - timedelta(minutes=15)
    make.release(shop, "1.0", at=began - timedelta(days=9))
    release = make.release(shop, "2.0", at=began, percentage=50)
    visits(shop, "1.0", began, 15)
    visits(shop, "2.0", began, 15, **broken)
    assert watching.judge(release, "production", now)
    return release


@pytest.mark.parametrize(("measure", "broken"), [("failure_rate", {"bad": 1}), ("latency_p95", {"value": 900.0})])
def test_side_by_side_the_slices_that_explain_it_are_named(shop, measure, broken):
    beside(shop, **broken)
    finding = Regression.objects.get(measure=measure)
    assert {place["name"] for place in finding.evidence["places"]} == {"plan=Free", "platform=android", "country=BR"}
    assert finding.slice == finding.evidence["places"][0]["name"]
    told = words.sentence(finding.evidence, "2.0", 31, 24)
    assert "on " in words.where(finding.evidence)
    assert all(name in told for name in ("plan Free", "Android", "country BR"))
    assert "31 customers, 24 of them silent." in told


def test_over_time_the_week_before_is_the_other_side(shop):
    now = timezone.now().replace(second=0, microsecond=0)
    began = now - timedelta(minutes=12)
    make.release(shop, "1.0", at=began - timedelta(hours=2))
    release = make.release(shop, "2.0", at=began)
    visits(shop, "1.0", began - timedelta(minutes=40), 40)
    visits(shop, "2.0", began, 12, bad=1)
    assert watching.judge(release, "production", now)
    finding = Regression.objects.get(measure="failure_rate")
    assert finding.evidence["method"] == "short_history"
    assert {place["name"] for place in finding.evidence["places"]} == {"plan=Free", "platform=android", "country=BR"}


def test_errors_are_counted_per_use_of_their_own_slice(shop):
    now = timezone.now().replace(second=0, microsecond=0)
    began = now - timedelta(minutes=15)
    make.release(shop, "1.0", at=began - timedelta(days=9))
    release = make.release(shop, "2.0", at=began, percentage=50)
    rng = random.Random(4)
    for version, many in (("1.0", 60), ("2.0", 600)):
        visits(shop, version, began, 15)
        make.counted(shop, [
            make.event(
                kind="error", name="errors", release=version, at=began.timestamp() + rng.random() * 890, bad=1,
                user=f"u{rng.randrange(5000)}", plan=rng.choice(["Free", "Pro"]),
                platform="web" if version == "2.0" or rng.random() < 0.5 else "android",
            )
            for _number in range(many)
        ])  # fmt: skip
    assert watching.judge(release, "production", now)
    finding = Regression.objects.get(measure="error_rate")
    assert [place["name"] for place in finding.evidence["places"]] == ["platform=web"]
    assert words.where(finding.evidence) == "on Web"


def test_what_is_as_bad_everywhere_has_no_place(shop):
    now = timezone.now().replace(second=0, microsecond=0)
    began = now - timedelta(minutes=15)
    make.release(shop, "1.0", at=began - timedelta(days=9))
    release = make.release(shop, "2.0", at=began, percentage=50)
    rng = random.Random(5)
    for version, rate in (("1.0", 0.03), ("2.0", 0.15)):
        make.counted(shop, [
            make.event(
                at=began.timestamp() + rng.random() * 890, release=version, user=f"u{rng.randrange(900)}",
                plan=rng.choice(["Free", "Pro"]), platform=rng.choice(["web", "ios"]), bad=int(rng.random() < rate),
            )
            for _number in range(4000)
        ])  # fmt: skip
    assert watching.judge(release, "production", now)
    finding = Regression.objects.get(measure="failure_rate")
    assert (finding.slice, finding.evidence["places"], words.where(finding.evidence)) == ("", [], "")


def pays(shop: Product, revenues: list[object]) -> None:
    """Customers c0, c1, … and what events said they pay."""
    make.counted(shop, [
        make.event("identify", kind="identify", customer=f"c{i}", props={"traits": {"revenue": revenue}})
        for i, revenue in enumerate(revenues)
    ])  # fmt: skip


@pytest.mark.parametrize("is_beside", [True, False])
def test_the_customers_that_pay_most(shop, is_beside):
    """No plan, platform or country explains it; who pays does. Numbers may come as texts, and nonsense is no number."""
    pays(shop, [5000, "4000", *([100] * 18), *([0] * 19), "much"])
    now = timezone.now().replace(hour=13, minute=0, second=0, microsecond=0) - timedelta(days=1)
    began = now - timedelta(hours=1)
    make.release(shop, "1.0", at=began - timedelta(days=9))
    release = make.release(shop, "2.0", at=began, percentage=50 if is_beside else 100)
    rng = random.Random(6)
    for version, rate in (("1.0", 0.03), ("2.0", 0.5)):
        events = []
        since = began if is_beside or version == "2.0" else began - timedelta(days=1, hours=2)
        for _number in range(6000):
            who = rng.randrange(2) if rng.random() < 0.25 else rng.randrange(2, 40)
            bad = int(rng.random() < (rate if who < 2 else 0.03))
            at = since.timestamp() + rng.random() * 3500
            events.append(make.event(at=at, release=version, user=f"u{rng.randrange(900)}", customer=f"c{who}", bad=bad))
        make.counted(shop, events)
        if not is_beside and version == "1.0":
            near = [e._replace(id=make.event().id, at=began.timestamp() - 1 - k * 1.1) for k, e in enumerate(events)]
            make.counted(shop, near[:4000])
    assert watching.judge(release, "production", now)
    finding = Regression.objects.get(measure="failure_rate")
    assert [place["name"] for place in finding.evidence["places"]] == ["tier=top"]
    assert words.where(finding.evidence) == "on the customers that pay most"


def test_errors_of_one_feature(shop):
    now = timezone.now().replace(second=0, microsecond=0)
    began = now - timedelta(minutes=15)
    make.release(shop, "1.0", at=began - timedelta(days=9))
    release = make.release(shop, "2.0", at=began, percentage=50)
    rng = random.Random(7)
    for version, broken in (("1.0", 0.01), ("2.0", 0.2)):
        events = []
        for _number in range(6000):
            feature = rng.choice(["Checkout", "Search", "Cart"])
            told = {"at": began.timestamp() + rng.random() * 890, "release": version, "feature": feature,
                    "user": f"u{rng.randrange(3000)}", "customer": ""}  # fmt: skip
            events.append(make.event(feature.lower(), **told))
            if rng.random() < (broken if feature == "Cart" else 0.01):
                props = {"group": f"{hash(feature) % 10**8:032x}", "group_version": 1, "type": f"{feature}Error"}
                events.append(make.event("errors", kind="error", bad=1, props=props, **told))
        make.counted(shop, events)
    assert watching.judge(release, "production", now)
    finding = Regression.objects.get(measure="error_rate", signal__kind="error")
    assert [place["name"] for place in finding.evidence["places"]] == ["feature=Cart"]
    assert words.where(finding.evidence) == "on Cart"
