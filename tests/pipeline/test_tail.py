"""What arrived last: a few of each drain, whatever comes, with what the door did to it."""

from __future__ import annotations

import pytest
from django.db.models import Count
from django.utils import timezone

from metrics import tail
from metrics.counting import arrivals, drain
from metrics.intake.event import AGGREGATED, CLAMPED, SCRUBBED
from metrics.models import Arrival, Refusal
from tests import make

pytestmark = pytest.mark.usefixtures("days")
HX = {"HTTP_HX_REQUEST": "true"}


def lines(shop, show="all", mark=""):
    return tail.tail(shop, mark, show, timezone.now())


def refuse(product, detail="Broken JSON", **fields):
    given = {"protocol": "sentry", "status": 400, "reason": "bad_json", "client": "me", **fields}
    return Refusal.objects.create(product_id=product, at=timezone.now(), detail=detail, **given)


def test_an_event_is_shown_as_it_was_kept(shop):
    make.counted(shop, [make.event("pay", user="u1", release="2.0", bad=1, flags=SCRUBBED | CLAMPED, props={"a": "[scrubbed]"})])
    [line] = lines(shop)
    assert (line.title, line.kind, line.is_bad) == ("pay", "use", True)
    assert line.notes == ["u1", "c1", "2.0", "production"]
    assert line.marks == ["secret taken out", "time corrected"]
    assert '"a": "[scrubbed]"' in line.detail


def test_of_two_with_the_same_id_one_was_sent_again(shop):
    event = make.event("pay")
    make.counted(shop, [event, event])
    assert sorted(Arrival.objects.values_list("outcome", flat=True)) == ["accepted", "duplicate"]
    make.counted(shop, [event])
    assert sorted(line.marks for line in lines(shop)) == [[], ["sent again"], ["sent again"]]


def test_a_drain_notes_few_however_many_came(shop):
    make.counted(shop, [make.event() for _number in range(3_000)])
    assert Arrival.objects.count() == arrivals.NOTED


def test_a_rare_kind_is_noted_and_stays(shop):
    rare = make.event("feedback", kind="feedback", props={"text": "hm"})
    make.counted(shop, [rare, *(make.event() for _number in range(500))])
    for _turn in range(14):
        make.counted(shop, [make.event() for _number in range(arrivals.NOTED)])
    kinds = dict(Arrival.objects.values_list("kind").annotate(n=Count("pk")))
    assert kinds == {"use": arrivals.KEPT, "feedback": 1}


def test_a_large_event_is_noted_without_its_properties(shop):
    make.counted(shop, [make.event("pay", props={"a": "x" * 100_000})])
    assert len(lines(shop)[0].detail) < 1_000


def test_another_product_keeps_its_own(tienda, shop):
    other = make.product(tienda, "Other")
    make.counted(other, [make.event("theirs")])
    for _turn in range(12):
        make.counted(shop, [make.event() for _number in range(arrivals.NOTED)])
    assert [line.title for line in lines(other)] == ["theirs"]


def test_refused_requests_stand_among_the_events(shop):
    make.counted(shop, [make.event("pay")])
    refuse(shop.pk)
    refuse(0, "No key", client="me")
    refuse(0, "Of somebody else", client="other")
    assert [line.title for line in lines(shop, mark="me")] == ["No key", "Broken JSON", "pay"]
    assert [line.title for line in lines(shop, "refused", "me")] == ["No key", "Broken JSON"]
    assert [line.is_refused for line in lines(shop, mark="me")] == [True, True, False]


def test_only_what_the_door_changed(shop):
    make.counted(shop, [make.event("plain"), make.event("many", flags=AGGREGATED), make.event("late", flags=CLAMPED)])
    refuse(shop.pk)
    assert [line.title for line in lines(shop, "changed")] == ["late"]


def test_the_page_says_when_nothing_is_new(tienda, shop, carol, as_):
    address = f"/w/{tienda.slug}/data/live/"
    page = as_(carol).get(address)
    assert "Nothing has arrived yet" in page.text
    make.counted(shop, [make.event("<script>alert(1)</script>")])
    part = as_(carol).get(address, {"stamp": page["X-Stamp"]}, **HX)
    assert part.status_code == 200
    assert "&lt;script&gt;" in part.text
    assert "<script" not in part.text
    assert as_(carol).get(address, {"stamp": part["X-Stamp"]}, **HX).status_code == 204
    assert "Nothing was refused" in as_(carol).get(address, {"show": "refused"}).text
    assert as_(carol).get(address, {"product": "nobody"}).status_code == 404


def test_a_workspace_without_products_is_led_to_its_data(tienda, carol, as_):
    assert as_(carol).get(f"/w/{tienda.slug}/data/live/")["Location"] == f"/w/{tienda.slug}/data/"


@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side_do_not_wait_for_the_tail(shop):
    from .conftest import together

    for _number in range(40):
        make.batch(shop, [make.event() for _each in range(30)])
    assert sum(together(*[drain.run] * 4)) == 1_200
    assert 0 < Arrival.objects.count() <= arrivals.KEPT + 1


def test_what_each_client_tells_and_leaves_out(tienda, shop, carol, as_):
    make.counted(shop, [make.event("old", customer=""), make.event("pay", user="", value=0.0, plan="Pro", feature="Checkout")])
    make.counted(shop, [make.event("errors", kind="error", release="", customer="")])
    error, use = tail.mapped(shop)
    assert (use.kind, use.title) == ("use", "pay")
    assert (use.said, use.missing) == (["customer", "release", "feature", "plan", "duration"], ["user", "platform", "session"])
    assert error.missing == ["customer", "release", "platform"]
    assert "What each client tells" in as_(carol).get(f"/w/{tienda.slug}/data/").text
