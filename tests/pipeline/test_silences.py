"""Customers who were hurt and said nothing: who is listed, why, and what came of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from activity.models import Event as Activity
from feedback import silences, words
from feedback.models import Silence
from metrics import confusing
from tests import make

pytestmark = pytest.mark.usefixtures("days")

NOON = timezone.now().replace(hour=12, minute=20, second=0, microsecond=0) - timedelta(days=1)
NOW = NOON + timedelta(hours=6)
BEGAN = NOON - timedelta(hours=5)


@pytest.fixture
def release(shop):
    make.release(shop, "1.0", at=BEGAN - timedelta(days=60))
    return make.release(shop, "2.0", at=BEGAN)


@pytest.fixture
def customers(shop):
    return [
        make.customer(shop.workspace, f"Customer {i}", external_id=f"c{i}", revenue=1000 - i, currency="EUR")
        for i in range(12)
    ]


def use(who: int, n: int, bad: int = 0, at=NOON, version: str = "2.0", name: str = "pay", **fields):
    """Uses of a customer, the first `bad` of them failed."""
    given = {"customer": f"c{who}", "release": version, "feature": "Checkout", **fields}
    return [
        make.event(name, at=at.timestamp() + k, user=f"u{who}", bad=int(k < bad), **given) for k in range(n)
    ]  # fmt: skip


def before(shop, n: int = 20):
    """Five uses in a hundred failed."""
    events = [e for who in range(12) for e in use(who, n, int(who == 0) + n // 20, NOON - timedelta(days=3), "1.0")]
    make.counted(shop, events)


def listed(**wanted) -> dict[str, list]:
    return {row.customer.external_id: row.reasons for row in Silence.objects.open().filter(**wanted)}


def test_failures_beyond_the_usual(shop, release, customers):
    before(shop)
    make.counted(shop, [*use(1, 10, 6), *use(2, 40, 2), *use(3, 4, 2), *use(4, 10)])
    silences.find_touched(NOW)
    found = listed()
    assert found.keys() == {"c1"}  # 2 of 40 is usual, 2 of 4 too few
    told = found["c1"][0]
    assert (told["code"], told["signal"], told["failures"], told["uses"]) == ("errors", "pay", 6, 10)
    assert words.reason(told) == "Pay failed 6 of 10 times, normally 5.4\u202f%"


def test_who_wrote_is_not_silent(shop, release, customers):
    before(shop)
    make.counted(shop, [*use(1, 10, 6), *use(2, 10, 7), *use(3, 10, 8)])
    make.complaint(shop.workspace, customer=customers[1], at=BEGAN + timedelta(hours=1))
    make.complaint(shop.workspace, customer=customers[2], at=BEGAN + timedelta(hours=1), kind="praise")
    make.complaint(shop.workspace, customer=customers[3], at=BEGAN - timedelta(days=2))
    silences.find_touched(NOW)
    assert listed().keys() == {"c2", "c3"}


def test_who_writes_later_was_rightly_listed(shop, release, customers):
    before(shop)
    make.counted(shop, use(1, 10, 6))
    silences.find_touched(NOW)
    make.complaint(shop.workspace, customer=customers[1], at=NOW + timedelta(hours=2))
    silences.note_heard(NOW + timedelta(hours=3))
    row = Silence.objects.get()
    assert row.heard_at == NOW + timedelta(hours=2)
    assert listed() == {}
    assert Silence.objects.of(shop.workspace).proven(NOW) == (1, 1)
    silences.find_touched(NOW + timedelta(hours=4))
    assert listed() == {}


def test_confusion_hurts_too(shop, release, customers):
    angry = [make.event("$rageclick", at=NOON.timestamp() + 3600 * k + 5, user="u1", customer="c1", release="2.0")
             for k in range(2)]  # fmt: skip
    calm = [e for k in range(2) for e in use(1, 1, at=NOON + timedelta(hours=k))]
    once = [*use(2, 1), make.event("$rageclick", at=NOON.timestamp() + 5, user="u2", customer="c2", release="2.0")]
    make.counted(shop, [*angry, *calm, *once])
    confusing.read(NOW)
    silences.find_touched(NOW)
    assert listed() == {"c1": [{"code": "confusion", "feature": "Checkout", "confused": 2, "sessions": 2}]}
    assert words.reason(listed()["c1"][0]) == "Struggled with Checkout in 2 of 2 sessions"


def regular(shop, days: range, n: int = 12, who: range = range(12), version: str = "1.0", at=NOON):
    make.counted(shop, [e for d in days for w in who for e in use(w, n, at=at - timedelta(days=d), version=version)])


def test_use_that_fell_away_since_the_release(shop, customers):
    release = make.release(shop, "2.0", at=NOON - timedelta(days=5))
    regular(shop, range(5, 31), version="1.0")
    regular(shop, range(1, 5), who=range(2, 12), version="2.0")
    regular(shop, range(1, 5), n=5, who=range(1), version="2.0")  # less than half
    regular(shop, range(1, 5), n=6, who=range(1, 2), version="2.0")  # just half
    silences.find_fallen(NOON)
    found = listed(release=release)
    assert found == {"c0": [{"code": "drop", "uses": 20, "usual": 48.0, "days": 4}]}


def test_two_quiet_weeks(shop, customers):
    regular(shop, range(1, 31), n=2, who=range(1, 12))
    regular(shop, range(15, 31), n=2, who=range(1))
    regular(shop, range(1, 15), n=1, who=range(0, 1), at=NOON - timedelta(hours=1))
    silences.find_fallen(NOON)
    assert listed() == {}  # half of the usual is not below half
    regular(shop, range(1, 31), n=10, who=range(0, 1), at=NOON - timedelta(days=14, hours=2))
    silences.find_fallen(NOON)
    assert {who: told[0]["code"] for who, told in listed(release=None).items()} == {"c0": "quiet"}


def test_what_did_not_arrive_from_anybody_is_no_silence(shop, customers):
    """Four of fourteen days nothing came at all: the collector was away, or the shop was closed."""
    regular(shop, range(5, 31))
    assert silences._fallen(shop, [NOON.date() - timedelta(days=n) for n in range(14, 0, -1)], "quiet") == {}


def test_a_shop_that_is_closed_on_sundays_is_not_quiet_on_sundays():
    from metrics.detection import touched

    assert touched.median([10.0, 12.0], 4) == 5.0
    assert touched.median([], 4) == 0.0


def test_who_left(shop, release, customers):
    before(shop)
    make.counted(shop, [*use(1, 10, 6), *use(2, 10, 7)])
    silences.find_touched(NOW)
    later = NOW + timedelta(days=15)
    silences._note_left(shop, later)
    assert not Silence.objects.exclude(left_at=None).exists()  # nothing arrived from anybody
    make.counted(shop, use(2, 1, at=NOW))
    from metrics.models import CustomerDay

    CustomerDay.objects.filter(customer="c2").update(last_at=later)
    silences._note_left(shop, later)
    assert [row.customer.external_id for row in Silence.objects.exclude(left_at=None)] == ["c1"]
    assert Silence.objects.of(shop.workspace).proven(later) == (1, 1)


def test_listed_for_a_month_without_anything_was_wrong(shop, release, customers):
    before(shop)
    make.counted(shop, use(1, 10, 6))
    silences.find_touched(NOW)
    ours = Silence.objects.of(shop.workspace)
    assert ours.proven(NOW + timedelta(days=29)) == (0, 0)
    assert ours.proven(NOW + timedelta(days=31)) == (1, 0)


def test_who_is_hurt_no_more_leaves_the_list(shop, release, customers):
    before(shop)
    make.counted(shop, use(1, 10, 6))
    silences.find_touched(NOW)
    make.counted(shop, [e for k in range(4) for e in use(1, 100, at=NOON + timedelta(hours=k))])
    silences.find_touched(NOW + timedelta(hours=5))
    assert listed() == {}
    assert Silence.objects.get().reasons == []


def test_the_list(shop, release, customers, as_, bob, carol):
    before(shop)
    make.counted(shop, [*use(3, 10, 6), *use(1, 10, 7), *use(2, 10, 8)])
    client, address = as_(bob), reverse("feedback:silent", args=[shop.workspace.slug])
    assert "Nobody suffers in silence" in client.get(address).content.decode()
    silences.find_touched(NOW)
    said = client.get(f"{address}?release={release.pk}").content.decode()
    assert "3 customers were hit by 2.0 and did not write" in said
    assert said.index("Customer 1") < said.index("Customer 2") < said.index("Customer 3")  # by revenue
    row = Silence.objects.get(customer=customers[1])
    answer = reverse("feedback:answer_silent", args=[shop.workspace.slug, row.pk])
    part = client.post(answer, {"result": "problem"}, headers={"HX-Request": "true"}).content.decode()
    assert 'value="problem" aria-pressed="true"' in part
    row.refresh_from_db()
    assert (row.result, row.result_by) == ("problem", bob)
    assert "2 customers were hit" in client.get(address).content.decode()
    assert "Customer 1" in client.get(f"{address}?show=asked").content.decode()
    client.post(answer, {"result": "problem"})  # once more takes it back
    row.refresh_from_db()
    assert (row.result, row.result_at) == ("", None)
    assert [e.detail["after"] for e in Activity.objects.filter(verb="silence.answered")] == ["problem", ""]
    assert client.post(answer, {"result": "maybe"}, headers={"HX-Request": "true"}).status_code == 400


def test_one_answer_is_for_all_releases_of_a_customer(shop, release, customers, bob):
    rows = [
        Silence.objects.create(workspace=shop.workspace, product=shop, customer=customers[0], release=of,
                               reasons=[{"code": "x"}], listed_at=NOW, looked_at=NOW)
        for of in (release, None)
    ]  # fmt: skip
    assert rows[0].answer(bob, "fine")
    assert not rows[0].answer(bob, "fine")
    assert set(Silence.objects.values_list("result", flat=True)) == {"fine"}
    assert Silence.objects.of(shop.workspace).proven(NOW) == (1, 0)  # one customer, however many rows
    assert rows[0].answer(bob, "")
    assert set(Silence.objects.values_list("result", flat=True)) == {""}
    assert Silence.objects.of(shop.workspace).proven(NOW) == (0, 0)


def test_over_the_api(shop, release, customers, bob, client):
    before(shop)
    make.counted(shop, use(1, 10, 6))
    silences.find_touched(NOW)
    bearer = {"Authorization": f"Bearer {make.token(bob, shop.workspace)}"}
    told = client.get("/api/v1/silent-customers?release=2.0", headers=bearer).json()["results"]
    assert [(row["customer"], row["release"], row["result"]) for row in told] == [("c1", "2.0", "")]
    one = f"/api/v1/silent-customers/{told[0]['id']}"
    kind = {"content_type": "application/json", "headers": bearer}
    assert client.patch(one, {"result": "no_answer"}, **kind).json()["result"] == "no_answer"
    assert client.patch(one, {"result": "nonsense"}, **kind).status_code == 400
    assert client.patch(one, {}, **kind).status_code == 400
    assert client.get("/api/v1/silent-customers?release=1.0", headers=bearer).json()["count"] == 0
    assert client.get("/api/v1/silent-customers", headers=bearer).json()["count"] == 0
