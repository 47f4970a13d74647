"""What sleeps wakes by itself, and says what for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from incidents import attending
from incidents.models import Incident
from tests import make


def page_of(client, incident: Incident) -> str:
    return client.get(reverse("incidents:detail", args=[incident.workspace.slug, incident.number])).content.decode()


def test_more_customers_wake_it(tienda, carol, as_) -> None:
    incident = make.incident(tienda)
    Incident.objects.filter(pk=incident.pk).update(heard=1, silent=2)
    incident.refresh_from_db()
    incident.snooze(carol, customers=3)
    now = timezone.now()
    Incident.objects.filter(pk=incident.pk).update(silent=4)
    assert attending.wake_snoozed(now) == 0
    Incident.objects.filter(pk=incident.pk).update(silent=5)
    assert attending.wake_snoozed(now) == 1
    incident.refresh_from_db()
    assert (incident.status, incident.wakes_at) == ("new", None)
    assert "6 customers by now, as it was to wait for" in page_of(as_(carol), incident)


def test_the_next_release_of_its_product_wakes_it(tienda, shop, carol, as_) -> None:
    other = make.product(tienda, "Other")
    make.release(shop, "1.0", at=timezone.now() - timedelta(days=1))
    incident = make.incident(tienda, product=shop)
    incident.snooze(carol, next_release=True)
    later = timezone.now() + timedelta(minutes=5)
    make.release(other, "9.9", at=timezone.now() + timedelta(seconds=1))
    make.release(shop, "1.1")  # not out yet
    assert attending.wake_snoozed(later) == 0
    make.release(shop, "1.2", at=timezone.now() + timedelta(seconds=1))
    assert attending.wake_snoozed(later) == 1
    assert "1.2 is out, which it was to wait for" in page_of(as_(carol), incident)


def test_an_incident_of_no_product_waits_for_any_release(tienda, shop, carol) -> None:
    incident = make.incident(tienda)
    incident.snooze(carol, next_release=True)
    assert attending.wake_snoozed(timezone.now() + timedelta(minutes=5)) == 0
    make.release(shop, "1.0", at=timezone.now() + timedelta(seconds=1))
    assert attending.wake_snoozed(timezone.now() + timedelta(minutes=5)) == 1


def test_another_workspaces_release_wakes_nothing(tienda, carol, mallory) -> None:
    incident = make.incident(tienda)
    incident.snooze(carol, next_release=True)
    theirs = mallory.memberships.get().workspace.products.get()
    make.release(theirs, "1.0", at=timezone.now() + timedelta(seconds=1))
    assert attending.wake_snoozed(timezone.now() + timedelta(minutes=5)) == 0


@pytest.mark.parametrize("given", [{}, {"customers": 0}, {"customers": 10**6}, {"until": timezone.now() - timedelta(1)}])
def test_sleep_without_an_end_is_refused(given, tienda, carol) -> None:
    from django.core.exceptions import ValidationError

    incident = make.incident(tienda)
    with pytest.raises(ValidationError):
        incident.snooze(carol, **given)
    incident.refresh_from_db()
    assert incident.status == "new"


def test_accepting_ends_the_sleep(tienda, carol) -> None:
    incident = make.incident(tienda)
    incident.snooze(carol, customers=3)
    incident.accept(carol)
    assert (incident.wakes_at, incident.snoozed_until, incident.wakes_on_release) == (None, None, False)
