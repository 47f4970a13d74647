"""Who is told of what, why, once, and in their language."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership
from activity.models import Event
from incidents import notifying
from incidents.models import Incident, Report, Update
from notices.models import Notice, Watch, Watching
from tests import make


def tell() -> None:
    """As the worker does, with everything weighed."""
    Incident.objects.filter(weighed_at=None).update(weighed_at=timezone.now())
    while notifying.notify(timezone.now()):
        pass


def told(user, **which) -> list[tuple[str, str]]:
    return list(Notice.objects.filter(user=user, **which).order_by("pk").values_list("reason", "text"))


@pytest.fixture
def incident(tienda, alice):
    incident = make.incident(tienda, by=alice)
    tell()
    Notice.objects.all().delete()
    return incident


class TestReasons:
    def test_nobody_hears_of_their_own_acts(self, incident, alice, carol):
        incident.accept(carol)
        tell()
        assert told(carol) == []
        assert told(alice) == [("watching", "Carol accepted it")]  # she opened it

    def test_assigned(self, incident, alice, carol):
        incident.set_severity(alice, "critical")
        incident.assign(alice, carol)
        tell()
        assert told(carol)[-1] == ("assigned", "Alice assigned it to Carol")
        assert Notice.objects.filter(user=carol).latest("pk").is_urgent

    def test_mentioned_is_stronger_than_watching(self, incident, alice, carol):
        Update.objects.comment(incident, carol, "@alice see *this*")
        tell()
        assert told(alice) == [("mentioned", "Carol commented: @alice see this")]

    def test_whoever_takes_part_hears_more(self, incident, bob, carol):
        Update.objects.comment(incident, bob, "A customer wrote again.")
        tell()
        incident.accept(carol)
        tell()
        assert told(bob) == [("watching", "Carol accepted it")]

    def test_the_agent_of_the_customer_hears_what_customers_hear(self, incident, tienda, bob, carol, alice):
        owner = make.member(tienda, "agent", name="Olga")
        Membership.objects.filter(user=owner).update(new_incidents="none")
        customer = make.customer(tienda, owner=owner)
        Report.objects.join(incident, make.complaint(tienda, customer=customer, by=bob), alice)
        tell()
        Update.objects.say(incident, carol, "We know, and mend it.", "customers")
        Update.objects.say(incident, carol, "It is the cache.", "internal")
        incident.accept(carol)
        incident.resolve(carol, None)
        tell()
        wanted = [("customer", "Carol told customers: We know, and mend it."), ("customer", "Carol resolved it without code")]
        assert told(owner) == wanted
        assert told(bob, reason="customer") == wanted

    def test_the_release_one_watches(self, tienda, shop, alice, carol):
        agent = make.member(tienda, "agent")
        release = make.release(shop, "2.0")
        Watch.objects.set(tienda, agent, release, Watching.WATCHING)
        make.incident(tienda, "New", by=alice, product=shop, release=release)
        tell()
        assert told(agent) == [("release", "Alice opened it")]

    @pytest.mark.parametrize(("role", "choice", "severity", "hears"), [
        ("pm", "", "low", True), ("manager", "", "low", False), ("manager", "", "high", True), ("agent", "", "critical", False),
        ("agent", "all", "low", True), ("pm", "none", "critical", False), ("pm", "severe", "medium", False),
    ])  # fmt: skip
    def test_new_incidents_by_role_and_choice(self, tienda, alice, role, choice, severity, hears):
        person = make.member(tienda, role)
        Membership.objects.filter(user=person).update(new_incidents=choice)
        incident = make.incident(tienda, "New", by=alice)
        Incident.objects.filter(pk=incident.pk).update(severity=severity)
        tell()
        assert bool(told(person, reason="triage")) is hears

    def test_who_muted_it_hears_only_what_is_theirs(self, incident, alice, carol, as_):
        page = reverse("incidents:watch", args=[incident.workspace.slug, incident.number])
        as_(alice).post(page)  # she watches, since she opened it
        incident.accept(carol)
        Update.objects.comment(incident, carol, "x")
        tell()
        assert told(alice) == []
        Update.objects.comment(incident, carol, "@Alice")
        tell()
        assert [reason for reason, _t in told(alice)] == ["mentioned"]
        as_(alice).post(page)
        incident.start(carol)
        tell()
        assert told(alice)[-1] == ("watching", "Carol started work")

    def test_who_left_hears_nothing(self, incident, alice, carol):
        Membership.objects.get(user=alice).remove()
        incident.accept(carol)
        tell()
        assert told(alice) == []

    def test_becoming_severe_is_news_for_managers(self, incident, alice, carol):
        alice.memberships.update(new_incidents="severe")
        Watch.objects.all().delete()
        incident.set_severity(carol, "low")
        incident.set_severity(carol, "critical")
        tell()
        assert told(alice) == [("triage", "Carol set severity to critical")]


class TestOnce:
    def test_in_the_readers_language(self, incident, alice, carol):
        alice.language = "es"
        alice.save()
        incident.accept(carol)
        tell()
        assert told(alice) == [("watching", "Carol la aceptó")]

    def test_asking_again_tells_nothing_new(self, incident, alice, carol):
        incident.accept(carol)
        tell()
        Event.objects.update(is_untold=True)
        tell()
        assert len(told(alice)) == 1

    def test_what_is_not_weighed_waits(self, tienda, alice, carol):
        make.incident(tienda, "New", by=alice)
        assert notifying.notify(timezone.now()) == 0
        assert notifying.notify(timezone.now() + notifying.WEIGHING) == 1

    def test_another_workspace_hears_nothing(self, incident, carol, mallory):
        incident.accept(carol)
        tell()
        assert told(mallory) == []


@pytest.mark.django_db(transaction=True)
def test_eight_workers_tell_of_each_event_once():
    workspace = make.workspace()
    carol = make.member(workspace, "pm", name="Carol")
    watcher = make.member(workspace, "viewer")
    incident = make.incident(workspace, by=carol)
    Watch.objects.set(workspace, watcher, incident, Watching.WATCHING)
    for n in range(30):
        Update.objects.comment(incident, carol, f"{n}")
    Incident.objects.update(weighed_at=timezone.now())

    def work() -> None:
        try:
            for _ in range(3):
                notifying.notify(timezone.now())
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while notifying.notify(timezone.now()):
        pass
    assert Notice.objects.filter(user=watcher, text__startswith="Carol commented").count() == 30
    assert Membership.objects.get(user=watcher).unread == Notice.objects.filter(user=watcher).count()


class TestStorm:
    def open(self, tienda, by, n):
        for at in range(n):
            make.incident(tienda, f"Problem {at}", by=by)

    def test_one_notice_for_each_person_which_grows(self, tienda, alice, carol):
        self.open(tienda, alice, notifying.STORM + 5)
        tell()
        assert [n.text for n in Notice.objects.filter(user=carol)] == [
            "25 new incidents at once. It is one notice, however many come."
        ]
        Notice.objects.update(read_at=timezone.now())
        self.open(tienda, alice, 3)
        tell()
        notice = Notice.objects.get(user=carol)
        assert (notice.text[:2], notice.read_at) == ("28", None)
        assert Membership.objects.get(user=carol).unread == 1

    def test_a_few_are_told_one_by_one(self, tienda, alice, carol):
        self.open(tienda, alice, notifying.STORM)
        tell()
        assert Notice.objects.filter(user=carol).count() == notifying.STORM

    def test_what_is_mine_is_told_all_the_same(self, tienda, alice, carol):
        self.open(tienda, alice, notifying.STORM + 1)
        Incident.objects.first().assign(alice, carol)
        tell()
        assert sorted(reason for reason, _t in told(carol)) == ["assigned", "triage"]


class TestInbox:
    @pytest.fixture
    def page(self, tienda):
        return reverse("notices:index", args=[tienda.slug])

    def test_grouped_by_thing_and_read_when_it_is_opened(self, incident, tienda, alice, carol, as_, page):
        Update.objects.comment(incident, carol, "One")
        Update.objects.comment(incident, carol, "Two")
        tell()
        shown = as_(alice).get(page)
        (group,) = shown.context["groups"]
        assert (group.count, group.unread, group.latest.text) == (2, 2, "Carol commented: Two")
        assert shown.headers["X-Unread"] == "2"
        as_(alice).get(reverse("incidents:detail", args=[tienda.slug, incident.number]))
        assert Membership.objects.get(user=alice).unread == 0
        assert as_(alice).get(page).context["groups"] == []
        assert len(as_(alice).get(page + "?show=all").context["groups"]) == 1

    def test_read_all_one_and_unread_again(self, incident, alice, carol, as_, page):
        Update.objects.comment(incident, carol, "One")
        tell()
        read = reverse("notices:read", args=[incident.workspace.slug])
        one = {"type": "incidents.incident", "id": str(incident.pk)}
        as_(alice).post(read, one)
        assert Membership.objects.get(user=alice).unread == 0
        as_(alice).post(read, {**one, "again": "1"})
        assert Membership.objects.get(user=alice).unread == 1
        as_(alice).post(read)
        assert Membership.objects.get(user=alice).unread == 0

    def test_nobody_reads_anothers(self, incident, alice, carol, as_, page):
        Update.objects.comment(incident, carol, "One")
        tell()
        as_(carol).post(reverse("notices:read", args=[incident.workspace.slug]))
        assert Membership.objects.get(user=alice).unread == 1

    @pytest.mark.parametrize("wrong", [{"type": "x\x00", "id": "1"}, {"type": "x", "id": "9" * 40}, {"id": "-1"}])
    def test_odd_things_read_nothing_else(self, incident, alice, carol, as_, page, wrong):
        Update.objects.comment(incident, carol, "One")
        tell()
        as_(alice).post(reverse("notices:read", args=[incident.workspace.slug]), {**wrong, "type": wrong.get("type", "y")})
        assert Membership.objects.get(user=alice).unread in {0, 1}

    def test_the_page_stays_the_same_until_something_comes(self, incident, alice, carol, as_, page):
        stamp = as_(alice).get(page).headers["X-Stamp"]
        headers = {"HX-Request": "true"}
        assert as_(alice).get(f"{page}?stamp={stamp}", headers=headers).status_code == 204
        Update.objects.comment(incident, carol, "One")
        tell()
        assert as_(alice).get(f"{page}?stamp={stamp}", headers=headers).status_code == 200

    def test_settings(self, tienda, carol, as_):
        as_(carol).post(reverse("notices:settings", args=[tienda.slug]), {"new_incidents": "severe", "mail": "none"})
        carol.refresh_from_db()
        assert (carol.mail, carol.memberships.get().new_incidents) == ("none", "severe")


def test_watchers_go_with_a_duplicate_and_come_back(tienda, alice, bob, carol):
    one, two = make.incident(tienda, "One", by=alice), make.incident(tienda, "Two", by=bob)
    tell()
    Watch.objects.set(tienda, carol, one, Watching.WATCHING)
    Watch.objects.set(tienda, carol, two, Watching.WATCHING)
    before = set(Watch.objects.values_list("user", "subject_id", "state"))
    event = two.duplicate(carol, one)
    assert set(Watch.objects.filter(subject_id=one.pk).values_list("user", flat=True)) >= {alice.pk, bob.pk, carol.pk}
    two.undo(event, carol)
    assert set(Watch.objects.values_list("user", "subject_id", "state")) == before


def test_old_notices_go(incident, alice, carol):
    Update.objects.comment(incident, carol, "One")
    tell()
    Notice.objects.update(at=timezone.now() - timedelta(days=200))
    Notice.objects.forget(timezone.now())
    assert not Notice.objects.exists()
    assert Membership.objects.get(user=alice).unread == 0


def test_an_event_that_cannot_be_told_is_in_nobodys_way(incident, alice, carol):
    incident.assign(alice, carol)
    Event.objects.create(  # of a timer that does not say which
        workspace=incident.workspace, verb="incident.timer_late", subject_type="incidents.incident",
        subject_id=incident.pk, at=timezone.now(), detail={}, is_untold=True,
    )  # fmt: skip
    incident.set_severity(alice, "critical", "Nobody can pay.")
    tell()
    assert [text for _reason, text in told(carol)] == [
        "Alice assigned it to Carol", "Alice set severity to critical: Nobody can pay."
    ]  # fmt: skip
    assert not Event.objects.filter(is_untold=True).exists()
