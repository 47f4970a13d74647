"""Triage in the browser: every verb through its page, with and without htmx."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from incidents.models import Incident
from tests import make

HX = {"HTTP_HX_REQUEST": "true"}


def at(incident: Incident, verb: str) -> str:
    return reverse(f"incidents:{verb}", args=[incident.workspace.slug, incident.number])


def test_the_queue_is_ordered_by_pain(tienda, carol, as_) -> None:
    mild, bad = make.incident(tienda, "Mild"), make.incident(tienda, "Bad")
    Incident.objects.filter(pk=bad.pk).update(pain=50)
    Incident.objects.filter(pk=mild.pk).update(pain=5)
    page = as_(carol).get(f"/w/{tienda.slug}/triage/").content.decode()
    assert page.index("Bad") < page.index("Mild")


@pytest.mark.parametrize(
    ("show", "expected"), [("decide", {"New"}), ("open", {"New", "Taken"}), ("done", {"Gone"}), ("all", {"New", "Taken", "Gone"})]
)
def test_views(show, expected, tienda, carol, as_) -> None:
    make.incident(tienda, "New")
    make.incident(tienda, "Taken").accept(carol)
    make.incident(tienda, "Gone").decline(carol, "no")
    page = as_(carol).get(f"/w/{tienda.slug}/triage/?show={show}", **HX).content.decode()
    assert {name for name in ("New", "Taken", "Gone") if f">{name}<" in page} == expected


def test_accept_with_htmx_tells_and_offers_undo(tienda, carol, as_) -> None:
    incident = make.incident(tienda)
    answer = as_(carol).post(at(incident, "accept"), **HX)
    told = json.loads(answer["HX-Trigger"])
    assert told["toast"]["text"] == "INC-1 accepted"
    undone = as_(carol).post(told["toast"]["undo"], **HX)
    assert undone.status_code == 200
    incident.refresh_from_db()
    assert incident.status == "new"


def test_accept_without_script_goes_back_to_the_incident(tienda, carol, as_) -> None:
    incident = make.incident(tienda)
    answer = as_(carol).post(at(incident, "accept"))
    assert answer.status_code == 302
    assert answer["Location"] == at(incident, "detail")


def test_an_illegal_act_is_409_and_says_why(tienda, carol, as_) -> None:
    incident = make.incident(tienda)
    incident.decline(carol, "no")
    answer = as_(carol).post(at(incident, "accept"), **HX)
    assert answer.status_code == 409
    assert "declined" in answer.content.decode()


def test_a_stale_act_is_409(tienda, carol, alice, as_) -> None:
    incident = make.incident(tienda)
    seen = incident.version
    incident.set_severity(alice, "high")
    answer = as_(carol).post(at(incident, "accept"), {"version": seen}, **HX)
    assert answer.status_code == 409
    incident.refresh_from_db()
    assert incident.status == "new"


@pytest.mark.parametrize(
    ("verb", "data", "status"),
    [
        ("decline", {"reason": "by design"}, "declined"),
        ("snooze", {"until": "3h"}, "snoozed"),
        ("assign", {"me": "1"}, "new"),
        ("set_severity", {"severity": "high"}, "new"),
    ],
)
def test_acts_with_a_question(verb, data, status, tienda, carol, as_) -> None:
    incident = make.incident(tienda)
    asked = as_(carol).get(at(incident, verb), **HX)
    assert asked.status_code == 200
    assert as_(carol).post(at(incident, verb), data, **HX).status_code == 200
    incident.refresh_from_db()
    assert incident.status == status


def test_declining_without_a_reason_asks_again(tienda, carol, as_) -> None:
    incident = make.incident(tienda)
    answer = as_(carol).post(at(incident, "decline"), {"reason": " "}, **HX)
    assert answer["HX-Retarget"] == "#dialog"
    assert as_(carol).post(at(incident, "decline"), {"reason": ""}).status_code == 400
    incident.refresh_from_db()
    assert incident.status == "new"


def test_duplicate_offers_only_this_workspace(tienda, carol, mallory, as_) -> None:
    incident = make.incident(tienda)
    foreign = make.incident(mallory.memberships.get().workspace, "Secret")
    assert "Secret" not in as_(carol).get(at(incident, "duplicate")).content.decode()
    as_(carol).post(at(incident, "duplicate"), {"original": foreign.pk})
    incident.refresh_from_db()
    assert incident.status == "new"


def test_an_agent_sees_but_does_not_decide(tienda, bob, as_) -> None:
    incident = make.incident(tienda)
    assert as_(bob).get(at(incident, "detail")).status_code == 200
    assert as_(bob).post(at(incident, "accept")).status_code == 403


def test_an_outsider_gets_404(tienda, mallory, as_) -> None:
    incident = make.incident(tienda)
    for verb in ("detail", "customers"):
        assert as_(mallory).get(at(incident, verb)).status_code == 404
    assert as_(mallory).post(at(incident, "accept")).status_code == 404


def test_a_comment_is_cleaned(tienda, bob, as_) -> None:
    incident = make.incident(tienda)
    as_(bob).post(at(incident, "comment"), {"text": "**hi** <script>alert(1)</script> [x](javascript:alert(1))"})
    page = as_(bob).get(at(incident, "detail")).content.decode()
    assert "<strong>hi</strong>" in page
    assert "<script>alert" not in page
    assert 'href="javascript' not in page


def test_the_list_answers_204_when_nothing_changed(tienda, carol, as_) -> None:
    make.incident(tienda)
    first = as_(carol).get(f"/w/{tienda.slug}/triage/", **HX)
    stamp = first["X-Stamp"]
    assert as_(carol).get(f"/w/{tienda.slug}/triage/?stamp={stamp}", **HX).status_code == 204
    make.incident(tienda)
    assert as_(carol).get(f"/w/{tienda.slug}/triage/?stamp={stamp}", **HX).status_code == 200


def test_the_story_says_who_and_why(tienda, carol, shop, as_) -> None:
    from django.utils import timezone

    incident, _new = Incident.objects.open_for(make.regression(make.release(shop, "2.4.0", at=timezone.now())), timezone.now())
    incident.accept(carol)
    page = as_(carol).get(at(incident, "detail")).content.decode()
    assert "The hub" in page
    assert "Carol" in page
    assert "regression, side by side" in page
    assert "12.9" in page


def test_duplicate_through_its_form(tienda, carol, as_) -> None:
    original, twin = make.incident(tienda, "One"), make.incident(tienda, "Two")
    answer = as_(carol).post(at(twin, "duplicate"), {"original": f"INC-{original.number} · One"}, **HX)
    assert answer.status_code == 200
    assert answer["HX-Push-Url"] == at(twin, "detail")
    twin.refresh_from_db()
    assert (twin.status, twin.original) == ("duplicate", original)


def test_resolving_offers_the_newest_release(tienda, carol, shop, as_) -> None:
    from datetime import timedelta

    from django.utils import timezone

    make.release(shop, "1.0", at=timezone.now() - timedelta(days=2))
    newest = make.release(shop, "1.1", at=timezone.now())
    incident = make.incident(tienda, product=shop)
    incident.accept(carol)
    page = as_(carol).get(at(incident, "resolve"), **HX).content.decode()
    assert f'<option value="{newest.pk}" selected>' in page
