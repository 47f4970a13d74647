"""Many complaints at once become one incident, with the complaints in it; what is usual does not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone, translation

from activity.models import Event
from feedback.models import Complaint
from incidents import spiking, timeline
from incidents.models import Incident, IncidentKind, Report, Status
from releases.models import Feature
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def feature(shop):
    return Feature.objects.create(product=shop, name="checkout")


@pytest.fixture
def history(tienda, shop, feature, now):
    """One complaint about the checkout every third day, for nine weeks."""
    customer = make.customer(tienda, "Always here")
    for day in range(2, 63, 3):
        make.complaint(tienda, at=now - timedelta(days=day), product=shop, feature=feature, customer=customer)


def complain(tienda, shop, feature, now, n=6, customers=4, hours=2.0, **fields):
    who = [make.customer(tienda, f"Customer {number}") for number in range(customers)]
    return [
        make.complaint(
            tienda, at=now - timedelta(hours=hours) + timedelta(minutes=number), product=shop, feature=feature,
            customer=who[number % customers], **fields,
        )
        for number in range(n)
    ]  # fmt: skip


def test_a_spike_opens_one_incident_that_holds_them(tienda, shop, feature, history, now):
    told = complain(tienda, shop, feature, now)
    assert spiking.open_incidents(now) == 1
    incident = Incident.objects.get()
    assert (incident.status, incident.kind, incident.feature, incident.product) == (
        Status.NEW, IncidentKind.BUG, feature, shop,
    )  # fmt: skip
    assert incident.headline == "Checkout: 6 complaints in a day, usually 0"
    assert set(incident.reports.values_list("complaint", flat=True)) == {complaint.pk for complaint in told}
    assert incident.impact["heard"] == 4
    assert incident.impact_started_at == told[0].created_at
    assert spiking.open_incidents(now + timedelta(minutes=1)) == 0
    assert Incident.objects.count() == 1


def test_the_timeline_says_why(tienda, shop, feature, history, now):
    complain(tienda, shop, feature, now)
    spiking.open_incidents(now)
    entries = timeline.tell(Incident.objects.get())
    opened = next(entry for entry in entries if entry.text == "opened it")
    assert opened.is_hub
    assert "6 complaints of 4 customers in 24 hours. The same weekday had 0 (median of 8 weeks)." in opened.why
    assert "added 6 complaints" in {entry.text for entry in entries}


def test_later_complaints_join_while_it_is_open(tienda, shop, feature, history, now):
    complain(tienda, shop, feature, now)
    spiking.open_incidents(now)
    incident = Incident.objects.get()
    complain(tienda, shop, feature, now + timedelta(hours=3), n=1, customers=1)
    assert spiking.open_incidents(now + timedelta(hours=3)) == 0
    assert incident.reports.count() == 7
    joined = Event.objects.about(incident).filter(verb="incident.complaints_joined")
    assert [event.detail["n"] for event in joined] == [6, 1]


@pytest.mark.parametrize(("n", "customers"), [(4, 4), (9, 2)])
def test_few_are_no_spike(tienda, shop, feature, history, now, n, customers):
    complain(tienda, shop, feature, now, n, customers)
    assert spiking.open_incidents(now) == 0


def test_all_that_nobody_is_known_of_count_as_one(tienda, shop, feature, history, now):
    for number in range(9):
        make.complaint(tienda, at=now - timedelta(minutes=number), product=shop, feature=feature)
    assert spiking.open_incidents(now) == 0
    for number in range(2):
        make.complaint(
            tienda, at=now - timedelta(minutes=number), product=shop, feature=feature, contact_email=f"{number}@x.example"
        )
    assert spiking.open_incidents(now) == 1


def test_what_is_usual_is_no_spike(tienda, shop, feature, now):
    for day in range(1, 30):
        for number in range(6):
            at = now - timedelta(days=day, minutes=number + 1)
            make.complaint(tienda, at=at, product=shop, feature=feature)
    complain(tienda, shop, feature, now, 8, 8)
    assert spiking.open_incidents(now) == 0


def test_what_belongs_to_an_incident_is_no_news(tienda, shop, feature, history, now, carol):
    incident = make.incident(tienda)
    for complaint in complain(tienda, shop, feature, now)[:4]:
        Report.objects.join(incident, complaint, carol)
    assert spiking.open_incidents(now) == 0
    assert Incident.objects.count() == 1


def test_praise_is_no_complaint(tienda, shop, feature, history, now):
    complain(tienda, shop, feature, now, kind=Complaint.Kind.PRAISE)
    assert spiking.open_incidents(now) == 0


def test_most_that_do_not_understand_say_so(tienda, shop, feature, history, now):
    release = make.release(shop, "2.0", at=now - timedelta(hours=5))
    complain(tienda, shop, feature, now, kind=Complaint.Kind.NOT_UNDERSTOOD, release=release)
    spiking.open_incidents(now)
    incident = Incident.objects.get()
    assert (incident.kind, incident.release) == (IncidentKind.NOT_UNDERSTOOD, release)


def test_a_young_workspace_is_not_judged(tienda, shop, feature, now):
    complain(tienda, shop, feature, now, 20, 20)
    assert spiking.open_incidents(now) == 0


def test_other_workspaces_are_none_of_its_business(tienda, shop, feature, history, now):
    other = make.workspace("Other")
    product = make.product(other, "Other shop")
    for number in range(3):
        complain(other, product, None, now, n=1, customers=1, hours=number + 1)
    complain(tienda, shop, feature, now, n=3, customers=3)
    assert spiking.open_incidents(now) == 0


def test_after_it_was_closed_a_new_spike_is_a_new_incident(tienda, shop, feature, history, now, carol):
    complain(tienda, shop, feature, now)
    spiking.open_incidents(now)
    Incident.objects.get().decline(carol, "A test of the sales team")
    assert spiking.open_incidents(now) == 0
    later = now + timedelta(hours=1)
    complain(tienda, shop, feature, later, hours=0.5)
    assert spiking.open_incidents(later) == 1
    assert Incident.objects.count() == 2


@pytest.mark.parametrize("language", ["es", "pt-br"])
def test_it_is_told_in_the_readers_language(tienda, shop, feature, history, now, language):
    complain(tienda, shop, feature, now)
    spiking.open_incidents(now)
    incident = Incident.objects.get()
    with translation.override(language):
        assert "complaints" not in incident.headline
        assert "weekday" not in timeline.tell(incident)[-1].why
