"""What is learned, and the work that has to ship."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from activity.models import Event
from incidents import notifying, reviewing
from incidents.models import ActionItem, Review, Update
from notices.models import Notice
from tests import make


@pytest.fixture
def incident(tienda, shop, carol, alice):
    incident = make.incident(tienda, by=alice, product=shop)
    incident.accept(carol)
    Update.objects.comment(incident, carol, "It is **the cache**.")
    incident.resolve(carol, None)
    return incident


@pytest.fixture
def review(incident, carol):
    return Review.objects.begin(incident, carol, "")


def page(incident, name="review", *args):
    return reverse(f"incidents:{name}", args=[incident.workspace.slug, incident.number, *args])


def test_the_story_is_filled_in_from_the_timeline(incident, carol, as_):
    story = as_(carol).get(page(incident)).context["form"].initial["story"]
    lines = story.splitlines()
    assert len(lines) == 4
    assert "Alice opened it" in lines[0]
    assert "Carol commented: It is the cache." in lines[2]
    assert not Review.objects.exists()  # looking begins nothing


def test_saving_begins_it_and_finishing_needs_a_cause(incident, carol, as_):
    assert as_(carol).post(page(incident, "write_review"), {"story": "So it was.", "finish": "1"}).status_code == 400
    as_(carol).post(page(incident, "write_review"), {"story": "So it was."})
    review = Review.objects.get()
    assert (review.story, review.finished_at) == ("So it was.", None)
    given = {"story": "So it was.", "cause": "No limit.", "finish": "1", "version": review.version}
    assert as_(carol).post(page(incident, "write_review"), given).status_code == 302
    review.refresh_from_db()
    assert review.finished_at is not None


def test_two_write_and_the_second_is_told(incident, review, carol, alice, as_):
    seen = review.version
    as_(alice).post(page(incident, "write_review"), {"story": "Alice's", "version": seen})
    answer = as_(carol).post(page(incident, "write_review"), {"story": "Carol's", "version": seen})
    assert answer.status_code == 409
    assert "Carol&#x27;s" in answer.content.decode()  # her words are not lost
    review.refresh_from_db()
    assert review.story == "Alice's"


def test_not_before_it_is_resolved(tienda, carol, as_):
    fresh = make.incident(tienda, by=carol)
    assert "A review comes after the incident is resolved." in as_(carol).get(page(fresh)).content.decode()
    assert as_(carol).post(page(fresh, "write_review"), {"story": "x"}).status_code == 400
    assert not Review.objects.exists()


class TestActionItems:
    def test_tied_to_the_release_that_must_ship_it(self, incident, review, shop, carol, as_):
        release = make.release(shop, "2.0")
        as_(carol).post(page(incident, "add_action"), {"title": "Limit it", "release": release.pk, "owner": carol.pk})
        item = ActionItem.objects.get()
        assert (item.release, item.owner, item.state) == (release, carol, "open")
        room = as_(carol).get(reverse("releases:watch", args=[incident.workspace.slug, release.pk])).content.decode()
        assert "Owed by this release" in room
        assert "Limit it" in room

    @pytest.mark.parametrize("wrong", [{"title": ""}, {"title": "x", "owner": "999999"}, {"title": "x", "release": "9"},
                                       {"title": "x" * 201}, {"title": "x", "due_on": "soon"}])  # fmt: skip
    def test_bad_ones_are_refused(self, incident, review, carol, as_, wrong):
        answer = as_(carol).post(page(incident, "add_action"), wrong, headers={"HX-Request": "true"})
        assert answer.status_code == 400
        assert not ActionItem.objects.exists()

    def test_nobody_from_elsewhere(self, incident, review, carol, mallory, as_):
        theirs = make.release(mallory.memberships.get().workspace.products.get(), "9")
        for wrong in ({"owner": mallory.pk}, {"release": theirs.pk}):
            answer = as_(carol).post(page(incident, "add_action"), {"title": "x", **wrong}, headers={"HX-Request": "true"})
            assert answer.status_code == 400
        assert not ActionItem.objects.exists()

    def test_dropping_needs_a_reason(self, incident, review, carol, as_):
        item = ActionItem.objects.add(review, carol, "Limit it")
        settle = page(incident, "settle_action", item.pk)
        for wrong in ({}, {"reason": " "}, {"reason": "a\x00b"}, {"reason": "x" * 501}, {"state": "gone", "reason": "x"}):
            told = {"state": "dropped", **wrong}
            assert as_(carol).post(settle, told, headers={"HX-Request": "true"}).status_code == 400
        item.refresh_from_db()
        assert item.state == "open"
        as_(carol).post(settle, {"state": "dropped", "reason": "Gone with the old checkout."})
        item.refresh_from_db()
        assert (item.state, item.done_by) == ("dropped", carol)

    def test_reminders_survive_closing(self, incident, review, carol, alice):
        today = timezone.now().date()
        soon = ActionItem.objects.add(review, alice, "Soon", carol, due_on=today + timedelta(days=1))
        ActionItem.objects.add(review, alice, "Later", carol, due_on=today + timedelta(days=9))
        incident.close(carol)
        now = timezone.now()
        assert [reviewing.remind(now), reviewing.remind(now)] == [1, 0]
        assert reviewing.remind(now + timedelta(days=reviewing.AGAIN)) == 1
        soon.settle(carol, "done")
        assert reviewing.remind(now + timedelta(days=2 * reviewing.AGAIN)) == 0
        while notifying.notify(now):
            pass
        told = Notice.objects.filter(user=carol, reason="asked", text__contains="“Soon”")
        assert told.exists()
        assert all(notice.is_urgent for notice in told)

    def test_a_release_that_is_out_without_it(self, incident, review, shop, carol):
        release = make.release(shop, "2.0", at=timezone.now() - timedelta(hours=1))
        ActionItem.objects.add(review, carol, "Limit it", carol, release)
        assert reviewing.remind(timezone.now()) == 1
        event = Event.objects.about(incident).latest("pk")
        assert (event.verb, event.detail["why"]["release"]) == ("incident.action_due", "2.0")
