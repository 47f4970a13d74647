from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import close_old_connections, connection
from django.utils import timezone

from activity.models import Event
from incidents.models import Incident, Report
from incidents.models.incident import Stale
from tests import make


def test_numbers_have_no_holes_and_no_doubles(tienda, carol) -> None:
    assert [make.incident(tienda, by=carol).number for _ in range(3)] == [1, 2, 3]
    other = make.workspace("Other")
    assert make.incident(other).number == 1


def test_reopening_needs_a_reason_and_starts_a_new_cycle(tienda, carol) -> None:
    incident = make.incident(tienda)
    incident.accept(carol)
    incident.resolve(carol, None)
    with pytest.raises(ValidationError):
        incident.reopen(carol, "   ")
    incident.reopen(carol, "still broken")
    assert (incident.status, incident.cycle, incident.resolved_at) == ("triaged", 2, None)


def test_resolving_in_a_foreign_release_is_refused(tienda, carol, mallory) -> None:
    foreign = make.release(mallory.memberships.get().workspace.products.get(), "9.9")
    incident = make.incident(tienda)
    incident.accept(carol)
    with pytest.raises(ValidationError):
        incident.resolve(carol, foreign)
    incident.refresh_from_db()
    assert incident.status == "triaged"


def test_assigning_outside_the_workspace_is_refused(tienda, carol, mallory) -> None:
    incident = make.incident(tienda)
    with pytest.raises(ValidationError):
        incident.assign(carol, mallory)
    incident.refresh_from_db()
    assert incident.assignee is None


def test_a_duplicate_hands_its_complaints_over_and_undo_brings_them_back(tienda, carol) -> None:
    original, twin = make.incident(tienda), make.incident(tienda)
    reports = [Report.objects.join(twin, make.complaint(tienda), carol) for _ in range(2)]
    event = twin.duplicate(carol, original)
    assert set(original.reports.values_list("pk", flat=True)) == {r.pk for r in reports}
    twin.undo(event, carol)
    assert set(twin.reports.values_list("pk", flat=True)) == {r.pk for r in reports}
    assert twin.status == "new"
    assert twin.original is None


def test_a_complaint_for_a_duplicate_joins_the_original(tienda, carol) -> None:
    original, twin = make.incident(tienda), make.incident(tienda)
    twin.duplicate(carol, original)
    report = Report.objects.join(twin, make.complaint(tienda), carol)
    assert report.incident == original


def test_a_complaint_joins_one_incident_once(tienda, carol) -> None:
    incident, other, complaint = make.incident(tienda), make.incident(tienda), make.complaint(tienda)
    assert Report.objects.join(incident, complaint, carol) == Report.objects.join(incident, complaint, carol)
    with pytest.raises(ValidationError):
        Report.objects.join(other, complaint, carol)


def test_undo_gives_back_every_value(tienda, carol, bob) -> None:
    incident = make.incident(tienda)
    incident.assign(carol, bob)
    event = incident.set_severity(carol, "high", "two big customers")
    assert incident.is_severity_forced
    incident.undo(event, carol)
    assert (incident.severity, incident.is_severity_forced, incident.assignee) == ("unset", False, bob)


def test_undo_gives_back_times(tienda, carol) -> None:
    incident = make.incident(tienda)
    until = timezone.now() + timedelta(days=1)
    first = incident.snooze(carol, until)
    woken = incident.wake(carol)
    incident.undo(woken, carol)
    assert incident.snoozed_until == until
    incident.undo(first, carol)
    assert incident.status == "new"
    assert incident.snoozed_until is None


def test_undo_is_refused_once_something_else_changed_it(tienda, carol, alice) -> None:
    incident = make.incident(tienda)
    event = incident.accept(carol)
    incident.start(alice)
    with pytest.raises(Stale):
        incident.undo(event, carol)
    incident.refresh_from_db()
    assert incident.status == "in_progress"


def test_undo_of_another_incidents_event_is_refused(tienda, carol) -> None:
    incident, other = make.incident(tienda), make.incident(tienda)
    event = other.accept(carol)
    with pytest.raises(ValidationError):
        incident.undo(event, carol)


def test_a_stale_save_is_refused(tienda, carol, alice) -> None:
    incident = make.incident(tienda)
    seen = incident.version
    incident.accept(alice)
    with pytest.raises(Stale) as stale:
        Incident.objects.get(pk=incident.pk).decline(carol, "no", expected=seen)
    assert stale.value.incident.status == "triaged"


@pytest.mark.django_db(transaction=True)
def test_two_people_accept_at_once_and_one_does(tienda, carol, alice) -> None:
    incident = make.incident(tienda)
    done: list[str] = []

    def act(user) -> None:
        close_old_connections()
        try:
            Incident.objects.get(pk=incident.pk).accept(user)
            done.append("did")
        except Exception as refused:
            done.append(type(refused).__name__)
        finally:
            connection.close()

    threads = [threading.Thread(target=act, args=(u,)) for u in (carol, alice) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done.count("did") == 1
    assert set(done) == {"did", "IllegalMove"}
    assert Event.objects.about(incident).filter(verb="incident.accepted").count() == 1


@pytest.mark.django_db(transaction=True)
def test_racing_workers_open_one_incident_for_a_regression(tienda, shop) -> None:
    from incidents import attending

    make.regression(make.release(shop, "2.0", at=timezone.now()))
    opened: list[int] = []

    def act() -> None:
        close_old_connections()
        try:
            opened.append(attending.open_incidents(timezone.now()))
        finally:
            connection.close()

    threads = [threading.Thread(target=act) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(opened) == 1
    assert Incident.objects.of(tienda).count() == 1
    assert Event.objects.filter(verb="incident.opened").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_people_who_act_on_the_same_many_neither_wait_for_ever_nor_do_it_twice(tienda, carol, alice) -> None:
    from incidents import bulk
    from incidents.models import acts

    for n in range(30):
        make.incident(tienda, f"Number {n}")
    done: list[int] = []

    def act(user, numbers: list[int]) -> None:
        close_old_connections()
        try:
            done.extend(bulk.act(tienda, user, acts.accept(), numbers).done)
        finally:
            connection.close()

    orders = [(carol, list(range(1, 31))), (alice, list(range(30, 0, -1)))] * 4
    threads = [threading.Thread(target=act, args=order) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(done) == list(range(1, 31))
    assert Event.objects.filter(verb="incident.accepted").count() == 30


def test_a_chain_of_duplicates_leads_to_its_root(tienda, carol) -> None:
    from incidents.models import Report

    first, second, third = (make.incident(tienda, name) for name in ("First", "Second", "Third"))
    third.duplicate(carol, second)
    second.duplicate(carol, first)
    third.refresh_from_db()
    assert third.root == first
    assert Report.objects.join(third, make.complaint(tienda), carol).incident == first


def test_a_person_s_severity_is_never_recomputed_over(tienda, carol, shop) -> None:
    from incidents import ledger

    incident, _new = Incident.objects.open_for(make.regression(make.release(shop, at=timezone.now())), timezone.now())
    incident.set_severity(carol, "low", "known")
    make.counted(shop, [make.event(bad=1, customer=f"c{n}", user=f"u{n}") for n in range(60)])
    ledger.weigh(incident, timezone.now())
    incident.refresh_from_db()
    assert incident.severity == "low"
    assert incident.impact["silent"] == 60


def test_the_hub_suggests_severity_with_its_reasons(tienda, shop) -> None:
    from incidents import ledger

    release = make.release(shop, at=timezone.now() - timedelta(minutes=5))
    regression = make.regression(release)
    make.counted(shop, [make.event(bad=1, customer=f"c{n}", user=f"u{n}") for n in range(60)])
    incident, _new = Incident.objects.open_for(regression, timezone.now())
    ledger.weigh(incident, timezone.now())
    assert incident.severity == "critical"
    event = Event.objects.about(incident).get(verb="incident.severity_suggested")
    assert "customers>=50" in event.detail["why"]["met"]
    assert event.by is None
