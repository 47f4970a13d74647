"""Links that can be taken back, what the hub suggests, and what came back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from activity.models import Event
from incidents import likeness, suggesting
from incidents.likeness import Facts
from incidents.models import Incident, Link, Review, Suggestion
from productops.lib.text import fold, grams
from tests import make

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def facts(pk: int, title: str = "", **given) -> Facts:
    return Facts(pk, given.pop("opened_at", NOON), frozenset(grams(fold(title))), **given)


class TestLikeness:
    def test_the_same_words_and_feature_belong_together(self):
        a, b = facts(1, "Checkout fails with Pix", feature=7), facts(2, "Pix checkout fails", feature=7)
        score, why = likeness.compare(a, b)
        assert score >= likeness.LEAST
        assert set(why["matched"]) == {"text", "feature", "time"}
        assert likeness.compare(b, a)[0] == score

    def test_a_bad_day_alone_is_no_reason(self):
        a = facts(1, "Login is slow", release=3)
        assert likeness.best(a, [facts(2, "Invoices are blank", release=3)]) == []

    def test_at_most_a_few_the_best_first(self):
        a = facts(1, "Checkout fails", feature=7, signal=1)
        others = [facts(n, "Checkout fails", feature=7, signal=1 if n > 6 else None) for n in range(1, 10)]
        found = likeness.best(a, others)
        assert [other.pk for _s, other, _w in found] == [7, 8, 9]
        assert all(score <= 1 for score, _o, _w in found)

    @pytest.mark.parametrize(("days", "is_again"), [(0, True), (89, True), (90, True), (91, False), (-1, False)])
    def test_within_ninety_days(self, days, is_again):
        before = facts(1, signal=4, measure="failure_rate", resolved_at=NOON)
        again = facts(2, signal=4, measure="failure_rate", opened_at=NOON + timedelta(days=days))
        assert (likeness.earlier(again, [before]) is not None) is is_again

    def test_another_measure_or_environment_is_another_problem(self):
        before = facts(1, signal=4, measure="failure_rate", environment="production", resolved_at=NOON)
        for given in ({"measure": "p95"}, {"environment": "staging"}, {"signal": 5}, {"measure": "", "signal": 4}):
            again = {"signal": 4, "measure": "failure_rate", "environment": "production", **given}
            assert likeness.earlier(facts(2, opened_at=NOON + timedelta(days=1), **again), [before]) is None

    def test_two_bugs_of_one_feature_with_the_same_words(self):
        before = facts(1, "Search finds nothing with accents", kind="bug", feature=2, resolved_at=NOON)
        later = NOON + timedelta(days=9)
        again = facts(2, "Search with accents finds nothing", kind="bug", feature=2, opened_at=later)
        other = facts(3, "Search is slow on phones", kind="bug", feature=2, opened_at=later)
        assert likeness.earlier(again, [before]) == (before, 9)
        assert likeness.earlier(other, [before]) is None


@pytest.fixture
def feature(shop):
    return shop.features.create(name="Checkout")


def reported(tienda, shop, feature, title, by, days=0.0) -> Incident:
    incident = make.incident(tienda, title, by=by, product=shop, feature=feature)
    moment = timezone.now() - timedelta(days=days, minutes=1)
    Incident.objects.filter(pk=incident.pk).update(opened_at=moment, cycle_started_at=moment)
    incident.refresh_from_db()
    return incident


class TestSuggestions:
    @pytest.fixture
    def two(self, tienda, shop, feature, carol):
        first = reported(tienda, shop, feature, "Pix payment times out", carol)
        second = reported(tienda, shop, feature, "Payment by Pix times out", carol)
        suggesting.compare_new(timezone.now())
        return first, second

    def test_made_once_with_the_reason(self, two, carol, as_):
        first, second = two
        assert suggesting.compare_new(timezone.now()) == 0
        suggestion = Suggestion.objects.get()
        assert (suggestion.incident, suggestion.other) == (second, first)
        page = as_(carol).get(reverse("incidents:detail", args=[second.workspace.slug, second.number])).content.decode()
        assert "similar words, the same feature, about the same time" in page

    @pytest.mark.parametrize(("said", "state"), [
        ("related", "accepted"), ("caused_by", "accepted"), ("duplicate", "accepted"), ("dismiss", "dismissed")
    ])  # fmt: skip
    def test_answered(self, two, carol, as_, said, state):
        first, second = two
        pk = Suggestion.objects.get().pk
        page = reverse("incidents:answer", args=[second.workspace.slug, second.number, pk])
        assert as_(carol).post(page, {"as": said}).status_code == 302
        assert Suggestion.objects.get().state == state
        second.refresh_from_db()
        assert (second.original == first) is (said == "duplicate")
        assert Link.objects.count() == (said in {"related", "caused_by"})
        told = as_(carol).get(reverse("incidents:times", args=[second.workspace.slug])).context["suggested"]
        assert (told["n"], told["accepted"]) == (1, state == "accepted")

    def test_what_cannot_be_leaves_it_open(self, two, carol, as_):
        _first, second = two
        second.accept(carol)
        second.start(carol)
        second.mitigate(carol)
        page = reverse("incidents:answer", args=[second.workspace.slug, second.number, Suggestion.objects.get().pk])
        answer = as_(carol).post(page, {"as": "duplicate"}, headers={"HX-Request": "true"})
        assert answer.status_code == 409
        assert Suggestion.objects.get().state == "open"
        assert as_(carol).post(page, {"as": "x"}, headers={"HX-Request": "true"}).status_code == 400


class TestLinks:
    def test_both_ends_tell_and_it_is_taken_back(self, tienda, carol, as_):
        a, b = make.incident(tienda, "A", by=carol), make.incident(tienda, "B", by=carol)
        page = reverse("incidents:link", args=[tienda.slug, a.number])
        assert as_(carol).post(page, {"kind": "caused_by", "other": f"INC-{b.number}"}).status_code == 302
        detail = [
            as_(carol).get(reverse("incidents:detail", args=[tienda.slug, i.number])).context["beside"] for i in (a, b)
        ]
        assert [(d.links[0].said, d.links[0].number) for d in detail] == [("caused by", b.number), ("cause of", a.number)]
        pk = Link.objects.get().pk
        as_(carol).post(reverse("incidents:unlink", args=[tienda.slug, b.number, pk]))
        assert not Link.objects.exists()
        verbs = [e.verb for e in Event.objects.about(a).order_by("pk")][1:]
        assert verbs == ["incident.linked", "incident.unlinked"]

    def test_twice_is_once_and_related_holds_both_ways(self, tienda, carol):
        a, b = make.incident(tienda, "A", by=carol), make.incident(tienda, "B", by=carol)
        Link.objects.link(a, b, "related", carol)
        assert Link.objects.link(b, a, "related", carol)[1] is None
        assert Link.objects.count() == 1

    def test_no_circle_of_two_no_loop_and_nobody_elses(self, tienda, carol, mallory):
        a, b = make.incident(tienda, "A", by=carol), make.incident(tienda, "B", by=carol)
        theirs = make.incident(mallory.memberships.get().workspace, "C", by=mallory)
        Link.objects.link(a, b, "caused_by", carol)
        for source, target, kind in ((b, a, "caused_by"), (a, a, "related"), (a, theirs, "related"), (a, b, "likes")):
            with pytest.raises(ValidationError):
                Link.objects.link(source, target, kind, carol)
        assert Link.objects.count() == 1


class TestRecurrence:
    @pytest.fixture
    def again(self, tienda, shop, feature, carol):
        first = reported(tienda, shop, feature, "Search with accents finds nothing", carol, days=30)
        first.accept(carol)
        first.resolve(carol, None)
        Incident.objects.filter(pk=first.pk).update(resolved_at=timezone.now() - timedelta(days=20, minutes=5))
        review = Review.objects.begin(first, carol, "")
        review.write(carol, "", "No tests with accents.", "", True, None)
        second = reported(tienda, shop, feature, "Search finds nothing with accents", carol)
        suggesting.compare_new(timezone.now())
        return first, second

    def test_days_count_from_its_end_however_old_it_is(self, tienda, shop, feature, carol):
        first = reported(tienda, shop, feature, "Search with accents finds nothing", carol, days=300)
        first.accept(carol)
        first.resolve(carol, None)
        Incident.objects.filter(pk=first.pk).update(resolved_at=timezone.now() - timedelta(days=80))
        second = reported(tienda, shop, feature, "Search finds nothing with accents", carol)
        suggesting.compare_new(timezone.now())
        assert Link.objects.get().kind == "recurs"
        assert {Link.objects.get().source, Link.objects.get().target} == {first, second}

    def test_shown_with_why_and_the_review_failed(self, again, carol, as_):
        first, second = again
        link = Link.objects.get()
        assert (link.source, link.target, link.kind, link.by) == (second, first, "recurs", None)
        page = as_(carol).get(reverse("incidents:detail", args=[second.workspace.slug, second.number])).content.decode()
        assert "came back after" in page
        assert "The same came back 20 days after it was resolved, within 90 days" in page
        assert Review.objects.get().failed_by == second
        old = as_(carol).get(reverse("incidents:detail", args=[first.workspace.slug, first.number])).content.decode()
        assert f"ineffective: it came back as INC-{second.number}" in old
        found = as_(carol).get(reverse("incidents:index", args=[second.workspace.slug]) + "?q=is:recurring")
        assert [i for g in found.context["page"].groups for i in g.incidents] == [second]

    def test_a_person_says_it_is_not_the_same(self, again, carol, as_):
        _first, second = again
        as_(carol).post(reverse("incidents:unlink", args=[second.workspace.slug, second.number, Link.objects.get().pk]))
        assert Review.objects.get().failed_by is None


def test_another_workspaces_incidents_are_never_compared(tienda, shop, feature, carol, mallory):
    reported(tienda, shop, feature, "Pix payment times out", carol)
    elsewhere = mallory.memberships.get().workspace
    theirs = make.incident(elsewhere, "Pix payment times out", by=mallory)
    Incident.objects.filter(pk=theirs.pk).update(opened_at=timezone.now() - timedelta(minutes=1))
    suggesting.compare_new(timezone.now())
    assert not Suggestion.objects.exists()
