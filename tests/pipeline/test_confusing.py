"""Sessions read out of kept events, features judged per release, and what is told of them."""

from __future__ import annotations

from datetime import UTC, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from activity.models import Event as Activity
from metrics import confusing
from metrics.detection.confusion import CONFUSING, NOT_ENOUGH, SAME
from metrics.models import Confusion, EventChunk, FeatureDay, SessionDay, Signal, Trial
from productops.health import confusion as page
from releases.models import Feature
from tests import make

pytestmark = pytest.mark.usefixtures("days")

#: Yesterday, so that no session spans midnight.
NOON = timezone.now().replace(hour=12, minute=20, second=0, microsecond=0) - timedelta(days=1)
NOW = NOON + timedelta(hours=3)
BEGAN = NOON - timedelta(days=2)


@pytest.fixture
def release(shop):
    make.release(shop, "1.0", at=BEGAN - timedelta(days=20))
    return make.release(shop, "2.0", at=BEGAN)


def visit(who: int, name: str, feature: str, extra=(), version: str = "2.0", at=NOON, **fields):
    """A user's visit: one use, then further events (name, seconds later, fields)."""
    start = at.timestamp() + who
    given = {"user": f"u{who}", "customer": f"c{who % 12}", "release": version, **fields}
    found = [make.event(name, feature=feature, at=start, **given)]
    for other, after, more in extra:
        found.append(make.event(other, at=start + after, **{**given, **more}))
    return found


def shop_visits(release, confused: int, calm: int, others: int = 120, extra=(("$rageclick", 20, {}),), **fields):
    events = [e for who in range(confused) for e in visit(who, "save_filter", "Filters", extra, **fields)]
    events += [e for who in range(confused, confused + calm) for e in visit(who, "save_filter", "Filters", **fields)]
    events += [e for who in range(1000, 1000 + others) for e in visit(who, "pay", "Checkout", **fields)]
    make.counted(release.product, events)


def of(release, feature: str):
    return next(each for each in confusing.load(release, "production") if each.feature.name == feature)


def test_a_feature_that_is_not_understood(release):
    shop_visits(release, confused=40, calm=20)
    assert confusing.read(NOW) == 1
    filters, checkout = of(release, "Filters"), of(release, "Checkout")
    assert (filters.told.status, checkout.told.status) == (CONFUSING, SAME)
    assert (filters.told.sums.n, filters.told.sums.k, filters.told.sums.accounts) == (60, 40, 12)
    assert filters.told.share.low < 40 / 60 < filters.told.share.high
    assert (filters.signs, checkout.signs) == ({"rage": 40}, {})
    assert confusing.judge(NOW) == 1
    noted = Confusion.objects.get()
    assert (noted.feature.name, noted.numbers["sessions"], noted.is_active) == ("Filters", 60, True)
    assert confusing.judge(NOW + timedelta(minutes=5)) == 1
    assert Confusion.objects.get().found_at == NOW


def test_sessions_with_errors_do_not_count(release):
    shop_visits(release, confused=40, calm=0, extra=(("$rageclick", 20, {}), ("pay", 30, {"bad": 1})))
    confusing.read(NOW)
    assert {each.feature.name for each in confusing.load(release, "production")} == {"Checkout"}
    day = SessionDay.objects.get()
    assert (day.sessions, day.failed) == (160, 40)


def test_an_error_of_another_client_is_the_same_session(release):
    """The browser sends clicks, the error comes from another SDK that knows the user only."""
    events = visit(1, "save_filter", "Filters", session="s1") + [
        make.event("errors", kind="error", user="u1", bad=1, at=NOON.timestamp() + 30, release="2.0")
    ]
    make.counted(release.product, events)
    confusing.read(NOW)
    assert not FeatureDay.objects.exists()


def test_too_little_says_nothing(release):
    shop_visits(release, confused=15, calm=14)
    confusing.read(NOW)
    assert of(release, "Filters").told.status == NOT_ENOUGH
    assert confusing.judge(NOW) == 0
    lonely = [e for who in range(60) for e in visit(who * 12, "export", "Export", (("$rageclick", 5, {}),), at=NOON)]
    make.counted(release.product, lonely)
    confusing.read(NOW)
    assert of(release, "Export").told.status == NOT_ENOUGH  # sixty sessions of one customer


def test_users_without_a_customer_are_accounts(release):
    shop_visits(release, confused=40, calm=20, customer="")
    confusing.read(NOW)
    assert of(release, "Filters").told.sums.accounts == 60
    assert of(release, "Filters").told.status == CONFUSING


def test_nobody_is_no_session(release):
    shop_visits(release, confused=40, calm=20, user="")
    assert confusing.read(NOW) == 1
    assert not FeatureDay.objects.exists()
    assert page.headline(release, page.rows(release, "production")).startswith("Not enough sessions")


def test_a_signal_says_its_feature(release):
    """Clients that send no feature: a person, or another event, linked the signal once."""
    Signal.objects.create(product=release.product, kind="use", name="export", feature=_feature(release, "Export"))
    make.counted(release.product, visit(1, "export", "", (("help_opened", 30, {}),)))
    confusing.read(NOW)
    row = FeatureDay.objects.get()
    assert (Feature.objects.get(pk=row.feature_id).name, row.sessions, row.help) == ("Export", 1, 1)


def test_begun_and_not_finished(release, carol):
    both = (("wizard_finished", 40, {"feature": "Wizard"}),)
    events = [e for who in range(4) for e in visit(who, "wizard_started", "Wizard")]
    events += [e for who in range(4, 10) for e in visit(who, "wizard_started", "Wizard", both)]
    make.counted(release.product, events)
    confusing.read(NOW)
    assert sum(FeatureDay.objects.values_list("unfinished", flat=True)) == 4
    # The name misled: a person says so, and the day is read with it.
    Signal.objects.get(name="wizard_finished").tune(carol, part="none")
    confusing.read_day(release.product, NOON.date(), 16, NOW)
    assert sum(FeatureDay.objects.values_list("unfinished", flat=True)) == 0


def test_a_day_is_read_again_when_a_quarter_came_to_it_and_when_it_is_over(release):
    shop_visits(release, confused=0, calm=0, others=100)
    assert confusing.read(NOON) == 1
    assert confusing.read(NOON) == 0
    make.counted(release.product, [e for who in range(2000, 2010) for e in visit(who, "pay", "Checkout")])
    assert confusing.read(NOON) == 0
    assert confusing.read(NOON.replace(hour=0) + timedelta(days=1, hours=2)) == 1
    assert confusing.read(NOON.replace(hour=0) + timedelta(days=2)) == 0
    assert sum(FeatureDay.objects.values_list("sessions", flat=True)) == 110


def test_events_that_cannot_be_read_stop_nobody_else(release, tienda, caplog):
    make.counted(other := make.product(tienda, "Other"), visit(1, "pay", "Checkout"))
    make.counted(release.product, visit(1, "pay", "Checkout"))
    EventChunk.objects.filter(product_id=release.product_id).update(body=b"broken")
    assert confusing.read(NOW) == 1
    assert {row.product_id for row in FeatureDay.objects.all()} == {other.pk}
    assert "could not be read" in caplog.text
    assert confusing.read(NOW) == 0


def test_a_sample_of_a_day_with_too_much(release, monkeypatch):
    monkeypatch.setattr(confusing, "MOST", 100)
    shop_visits(release, confused=0, calm=0, others=60)
    shop_visits(release, confused=0, calm=0, others=60, at=NOON + timedelta(hours=1))
    confusing.read(NOW)
    day = SessionDay.objects.get()
    assert (day.every, day.events, day.sessions) == (2, 120, 60)  # of the hours 12 and 13 one


def test_versions_and_environments_apart(release):
    shop_visits(release, confused=40, calm=0)
    shop_visits(release, confused=0, calm=40, version="1.0", at=NOON - timedelta(hours=2))
    shop_visits(release, confused=0, calm=40, environment="staging")
    confusing.read(NOW)
    filters = of(release, "Filters")
    assert (filters.told.sums.n, filters.told.sums.k) == (40, 40)
    assert filters.told.change.low > 0.5  # it was understood with 1.0, and the checkout still is
    assert confusing.load(release, "staging") == []  # it was never deployed there


def test_who_came_back(release):
    """Ten tried it three weeks ago, six of them again within a fortnight; who came last week is not told of yet."""
    first = NOON - timedelta(days=20)
    events = [e for who in range(10) for e in visit(who, "export", "Export", at=first)]
    events += [e for who in range(6) for e in visit(who, "export", "Export", at=first + timedelta(days=13))]
    events += [e for who in range(6, 10) for e in visit(who, "export", "Export", at=first + timedelta(days=15))]
    events += visit(11, "export", "Export", at=NOON - timedelta(days=7))
    make.counted(release.product, events)
    confusing.follow(NOW)
    trial = Trial.objects.get()
    assert (trial.accounts, trial.once) == (10, 4)
    assert (trial.until, trial.since) == (
        (NOW.astimezone(UTC) - timedelta(days=14)).date(), (NOW.astimezone(UTC) - timedelta(days=42)).date()
    )  # fmt: skip
    Trial.objects.update(counted_at=NOW - timedelta(hours=1), accounts=0)
    confusing.follow(NOW)
    assert Trial.objects.get().accounts == 0  # once a day


def test_the_page(release, shop, as_, carol, bob):
    client, address = as_(carol), reverse("releases:confusion", args=[shop.workspace.slug, release.pk])
    assert "No sessions yet" in client.get(address).content.decode()
    shop_visits(release, confused=40, calm=20)
    confusing.look(NOW)
    said = client.get(address).content.decode()
    assert "Filters is not understood" in said
    assert "angry clicks in 40 sessions" in said
    health = client.get(reverse("releases:health", args=[shop.workspace.slug, release.pk])).content.decode()
    assert "Filters is not understood, though nothing is broken." in health
    noted = Confusion.objects.get()
    answer = reverse("releases:answer_confusion", args=[shop.workspace.slug, noted.pk])
    assert client.post(answer, {"right": "maybe"}).status_code == 302
    assert as_(bob).post(answer, {"right": "yes"}).status_code == 403
    client.post(answer, {"right": "no"})
    noted.refresh_from_db()
    assert (noted.is_right, noted.answered_by) == (False, carol)
    assert page.proven(shop.workspace, NOW) == page.Proven(1, 0)
    client.post(answer, {"right": "no"})
    noted.refresh_from_db()
    assert noted.is_right is None
    assert [e.detail["after"] for e in Activity.objects.filter(verb="confusion.answered")] == [False, None]


def test_how_often_it_was_right(release, shop, monkeypatch):
    shop_visits(release, confused=40, calm=20)
    confusing.look(NOW)
    noted = Confusion.objects.get()
    assert page.proven(shop.workspace, NOW) == page.Proven(0, 0)
    make.complaint(shop.workspace, product=shop, feature=noted.feature, kind="bug", at=NOW + timedelta(days=1))
    make.complaint(shop.workspace, product=shop, feature=noted.feature, kind="question", at=NOW - timedelta(days=1))
    assert page.proven(shop.workspace, NOW + timedelta(days=29)) == page.Proven(0, 0)
    assert page.proven(shop.workspace, NOW + timedelta(days=31)) == page.Proven(1, 0)
    make.complaint(shop.workspace, product=shop, feature=noted.feature, kind="not_understood", at=NOW + timedelta(days=3))
    assert page.proven(shop.workspace, NOW + timedelta(days=31)) == page.Proven(1, 1)
    monkeypatch.setattr(page, "ENOUGH", 1)
    assert page.Proven(1, 1).share.low < 0.5


def test_over_the_api(release, shop, carol, client):
    shop_visits(release, confused=40, calm=20)
    confusing.look(NOW)
    bearer = {"Authorization": f"Bearer {make.token(carol, shop.workspace)}"}
    told = client.get("/api/v1/releases/2.0/confusion", headers=bearer).json()
    assert told["headline"] == "Filters is not understood"
    first = told["features"][0]
    assert (first["feature"], first["status"], first["sessions"], first["confused"]) == ("Filters", "confusing", 60, 40)
    assert first["share"]["low"] < first["share"]["value"] < first["share"]["high"]
    assert client.get("/api/v1/releases/9.9/confusion", headers=bearer).status_code == 404


def _feature(release, name: str):
    return Feature.objects.create(product=release.product, name=name)
