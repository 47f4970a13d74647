"""What agents may tell customers: written by a PM, found by an agent, gone when it is over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from incidents.models import Incident
from tests import make

HX = {"HTTP_HX_REQUEST": "true"}
SAID = {"wording": "Payments by card fail since this morning.", "workaround": "Pay by transfer.", "expected_on": ""}


def at(incident: Incident) -> str:
    return reverse("incidents:inform", args=[incident.workspace.slug, incident.number])


def known(client, workspace, query: str = "") -> str:
    return client.get(reverse("incidents:known", args=[workspace.slug]) + query).content.decode()


def test_what_a_pm_writes_an_agent_reads(tienda, carol, bob, as_) -> None:
    incident = make.incident(tienda, "Card payments fail")
    Incident.objects.filter(pk=incident.pk).update(heard=3, silent=9)
    day = timezone.localdate() + timedelta(days=3)
    assert as_(carol).post(at(incident), {**SAID, "expected_on": day.isoformat()}, **HX).status_code == 200
    page = known(as_(bob), tienda)
    for told in ("Payments by card fail", "Pay by transfer.", "12 customers", "INC-1", "expected on"):
        assert told in page
    assert "overdue" not in page
    story = as_(carol).get(reverse("incidents:detail", args=[tienda.slug, 1])).content.decode()
    assert "told agents: “Payments by card fail since this morning.”" in story


def test_a_date_that_is_over_warns(tienda, carol, bob, as_) -> None:
    incident = make.incident(tienda)
    incident.inform(carol, "It fails.", expected_on=timezone.localdate() - timedelta(days=2))
    assert "overdue: ask before you promise" in known(as_(bob), tienda)


def test_those_that_hit_most_come_first_and_words_find_them(tienda, carol, bob, as_) -> None:
    few, many = make.incident(tienda, "Few"), make.incident(tienda, "Many")
    few.inform(carol, "La búsqueda tarda.")
    many.inform(carol, "El pago falla.")
    Incident.objects.filter(pk=many.pk).update(heard=9)
    page = known(as_(bob), tienda)
    assert page.index("El pago falla.") < page.index("La búsqueda tarda.")
    found = known(as_(bob), tienda, "?q=BUSQUEDA")
    assert "La búsqueda tarda." in found
    assert "El pago falla." not in found
    assert "No known problem has these words." in known(as_(bob), tienda, "?q=zzz")


@pytest.mark.parametrize(("verb", "is_shown"), [("resolve", True), ("decline", False)])
def test_it_stays_until_it_is_over(verb, is_shown, tienda, carol, bob, as_) -> None:
    incident = make.incident(tienda)
    incident.inform(carol, "It fails.")
    incident.accept(carol)
    getattr(incident, verb)(carol, *{"resolve": [None], "decline": ["no"]}[verb])
    page = known(as_(bob), tienda)
    assert ("It fails." in page) == is_shown
    assert (">fixed<" in page) == is_shown


def test_an_empty_wording_takes_it_off_and_undo_brings_it_back(tienda, carol, bob, as_) -> None:
    incident = make.incident(tienda)
    day = timezone.localdate() + timedelta(days=9)
    incident.inform(carol, "It fails.", "Try again.", day)
    event = incident.inform(carol, " ", "ignored")
    assert (incident.wording, incident.workaround, incident.expected_on) == ("", "", None)
    assert "No known problems" in known(as_(bob), tienda)
    incident.undo(event, carol)
    incident.refresh_from_db()
    assert (incident.wording, incident.workaround, incident.expected_on) == ("It fails.", "Try again.", day)


def test_an_agent_cannot_write_it(tienda, bob, as_) -> None:
    incident = make.incident(tienda)
    assert as_(bob).post(at(incident), SAID, **HX).status_code == 403


def test_too_long_words_are_refused(tienda, carol, as_) -> None:
    incident = make.incident(tienda)
    answer = as_(carol).post(at(incident), {**SAID, "wording": "x" * 601}, **HX)
    assert answer["HX-Retarget"] == "#dialog"
    incident.refresh_from_db()
    assert incident.wording == ""


def test_over_the_api(tienda, carol) -> None:
    from tests.incidents.test_triage import call

    make.incident(tienda)
    told = call("PATCH", carol, tienda, "incidents/1", {"wording": "It fails.", "expected_on": "2030-01-02"})
    assert (told.json()["wording"], told.json()["expected_on"]) == ("It fails.", "2030-01-02")
    told = call("PATCH", carol, tienda, "incidents/1", {"workaround": "Wait."})
    assert (told.json()["wording"], told.json()["workaround"]) == ("It fails.", "Wait.")
    found = call("GET", carol, tienda, "incidents?q=is:known").json()["results"]
    assert [i["number"] for i in found] == [1]


def test_the_quick_log_says_what_to_tell(tienda, carol, bob, as_) -> None:
    incident = make.incident(tienda, "Checkout payment fails")
    incident.inform(carol, "Card payments fail.", "Pay by transfer.")
    page = as_(bob).get(f"/w/{tienda.slug}/log/matches/?text=checkout+payment+fails").content.decode()
    assert "Card payments fail." in page
    assert "Pay by transfer." in page


def test_of_another_workspace_nothing_is_shown(tienda, carol, mallory, as_) -> None:
    make.incident(tienda).inform(carol, "It fails.")
    assert "It fails." not in known(as_(mallory), mallory.memberships.get().workspace)
    assert as_(mallory).get(reverse("incidents:known", args=[tienda.slug])).status_code == 404
