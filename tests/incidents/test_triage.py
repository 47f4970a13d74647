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
    page = as_(carol).get(f"/w/{tienda.slug}/triage/?view={show}", **HX).content.decode()
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
    assert answer.content.decode() == "It is declined, so this does not apply. Possible: Reopen."


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
    as_(bob).post(at(incident, "say"), {"text": "**hi** <script>alert(1)</script> [x](javascript:alert(1))"})
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
    again = as_(carol).post(at(original, "accept"), HTTP_HX_CURRENT_URL="http://hub/w/tienda/triage/?q=is:open", **HX)
    assert again["HX-Push-Url"] == at(original, "detail") + "?q=is:open"
    board = as_(carol).post(at(original, "start"), HTTP_X_LAYOUT="board", **HX)
    assert "HX-Push-Url" not in board
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


def at_all(workspace, name: str) -> str:
    return reverse(f"incidents:{name}", args=[workspace.slug])


@pytest.mark.parametrize("layout", ["inbox", "list", "board"])
def test_three_layouts_of_one_query(layout, tienda, carol, as_) -> None:
    make.incident(tienda, "Wanted").accept(carol)
    make.incident(tienda, "Other")
    page = as_(carol).get(f"/w/{tienda.slug}/triage/?q=status:triaged&as={layout}").content.decode()
    assert "Wanted" in page
    assert "Other" not in page
    assert f'data-list="{layout}"' in page


@pytest.mark.parametrize("number", ["0", "-1", "9" * 30, "x", "", "٣", "1.5", "%00"])
def test_any_page_number_is_a_page(number, tienda, carol, as_) -> None:
    make.incident(tienda, "One")
    answer = as_(carol).get(f"/w/{tienda.slug}/triage/?as=list&page={number}")
    assert answer.status_code == 200


@pytest.mark.parametrize("layout", ["inbox", "list", "board"])
def test_a_query_that_cannot_be_read_says_where(layout, tienda, carol, as_) -> None:
    make.incident(tienda, "One")
    answer = as_(carol).get(f"/w/{tienda.slug}/triage/?q=is:open+status:gone&as={layout}")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "<code>is:open <mark>status:gone</mark></code>" in page
    assert 'aria-invalid="true"' in page
    assert ">One<" not in page


def test_chips_stand_for_the_terms_and_take_them_out(tienda, carol, as_) -> None:
    page = as_(carol).get(f"/w/{tienda.slug}/triage/?q=is:open+severity:high").content.decode()
    assert 'href="?q=severity%3Ahigh&amp;as=inbox"' in page
    assert 'href="?q=is%3Aopen&amp;as=inbox"' in page


def test_the_address_is_view_export_and_api(tienda, carol, as_) -> None:
    from tests.security.world import token_of

    make.incident(tienda, "=Wanted, it is").accept(carol)
    make.incident(tienda, "Other")
    csv = b"".join(as_(carol).get(at_all(tienda, "export") + "?q=status:triaged").streaming_content).decode()
    assert csv.splitlines()[1].startswith("1,\"'=Wanted, it is\",bug,triaged,")
    assert len(csv.splitlines()) == 2
    client = as_(carol)
    found = client.get("/api/v1/incidents?q=status:triaged", headers={"Authorization": f"Bearer {token_of(carol, tienda)}"})
    assert [i["title"] for i in found.json()["results"]] == ["=Wanted, it is"]
    wrong = client.get("/api/v1/incidents?q=status:gone", headers={"Authorization": f"Bearer {token_of(carol, tienda)}"})
    assert wrong.status_code == 400
    assert wrong.json()["errors"]["q"] == ["status:gone: Use one of these: new, triaged, in_progress, mitigated, resolved, verified, closed, declined, duplicate, snoozed."]


def test_counts_of_views(tienda, carol, as_) -> None:
    make.incident(tienda, "New")
    make.incident(tienda, "Taken").accept(carol)
    make.incident(tienda, "Gone").decline(carol, "no")
    told = as_(carol).get(at_all(tienda, "counts")).json()
    assert told == {"decide": 1, "open": 2, "mine": 0, "done": 1, "all": 3}


def many(client, workspace, verb: str, numbers: list[int], **data):
    body = {"verb": verb, "numbers": ",".join(map(str, numbers)), "asked": "1", **data}
    return client.post(at_all(workspace, "act_on_many"), body, HTTP_ACCEPT="application/json")


def test_many_at_once_with_one_note_and_undo(tienda, carol, as_) -> None:
    made = [make.incident(tienda, f"Number {n}") for n in range(5)]
    made[1].accept(carol)
    made[1].start(carol)
    client = as_(carol)
    told = many(client, tienda, "decline", [1, 2, 3], reason="Not ours").json()
    assert told["done"] == [1, 3]
    assert told["refused"] == {"2": "It is in progress, so this does not apply."}
    assert told["said"] == "2 incidents: declined. 1 could not be."
    for incident in made:
        incident.refresh_from_db()
    assert [i.status for i in made] == ["declined", "in_progress", "declined", "new", "new"]
    for incident in (made[0], made[2]):
        assert "Not ours" in client.get(at(incident, "detail")).content.decode()
    undone = client.post(told["undo"], HTTP_ACCEPT="application/json").json()
    assert undone["done"] == [1, 3]
    made[0].refresh_from_db()
    assert made[0].status == "new"


def test_undo_of_many_leaves_what_was_changed_since(tienda, carol, alice, as_) -> None:
    first, second = make.incident(tienda, "One"), make.incident(tienda, "Two")
    told = many(as_(carol), tienda, "accept", [1, 2]).json()
    first.refresh_from_db()
    first.start(alice)
    undone = as_(carol).post(told["undo"], HTTP_ACCEPT="application/json").json()
    assert (undone["done"], list(undone["refused"])) == ([2], ["1"])
    for incident in (first, second):
        incident.refresh_from_db()
    assert (first.status, second.status) == ("in_progress", "new")


def test_a_foreign_number_among_many_changes_nothing(tienda, carol, mallory, as_) -> None:
    make.incident(tienda)
    there = mallory.memberships.get().workspace
    for n in range(3):
        make.incident(there, f"Foreign {n}")
    for numbers in ([1, 3], [1, 10**9 - 1], [0, 1]):
        assert many(as_(carol), tienda, "accept", numbers).status_code == 404
    assert not Incident.objects.exclude(status="new").exists()


@pytest.mark.parametrize(("verb", "numbers", "status"), [("vanish", "1", 400), ("accept", "", 400), ("accept", "x", 404), ("accept", "1" * 40, 404), ("accept", ",".join(map(str, range(1, 1_500))), 400)])
def test_nonsense_for_many(verb, numbers, status, tienda, carol, as_) -> None:
    make.incident(tienda)
    body = {"verb": verb, "numbers": numbers}
    assert as_(carol).post(at_all(tienda, "act_on_many"), body, **HX).status_code == status


def test_a_verb_that_asks_asks_once_for_all(tienda, carol, as_) -> None:
    make.incident(tienda), make.incident(tienda)
    page = as_(carol).post(at_all(tienda, "act_on_many"), {"verb": "decline", "n": ["1", "2"]}).content.decode()
    assert "2 incidents" in page
    assert 'name="numbers" value="1,2"' in page
    again = many(as_(carol), tienda, "decline", [1, 2], reason=" ")
    assert again["Content-Type"].startswith("text/html")
    assert not Incident.objects.filter(status="declined").exists()


def test_many_duplicates_move_their_complaints_and_undo_brings_them_back(tienda, carol, as_) -> None:
    from incidents.models import Report

    original = make.incident(tienda, "Original")
    twins = [make.incident(tienda, f"Twin {n}") for n in range(3)]
    for twin in twins:
        for _n in range(2):
            Report.objects.join(twin, make.complaint(tienda), carol)
    before = list(Report.objects.order_by("pk").values_list("pk", "incident"))
    told = many(as_(carol), tienda, "duplicate", [2, 3, 4], original="INC-1").json()
    assert told["done"] == [2, 3, 4]
    assert original.reports.count() == 6
    as_(carol).post(told["undo"], HTTP_ACCEPT="application/json")
    assert list(Report.objects.order_by("pk").values_list("pk", "incident")) == before


def test_a_stale_answer_to_a_question_shows_what_the_other_did(tienda, carol, alice, as_) -> None:
    incident = make.incident(tienda)
    seen = incident.version
    incident.assign(alice, alice)
    answer = as_(carol).post(at(incident, "decline"), {"reason": "not ours", "version": seen}, **HX)
    assert answer.status_code == 409
    page = answer.content.decode()
    assert "Changed meanwhile: Alice assigned it to Alice." in page
    assert "not ours" in page
    assert f'name="version" value="{incident.version}"' in page
    # Whoever has read that and sends again means it.
    assert as_(carol).post(at(incident, "decline"), {"reason": "not ours", "version": incident.version}, **HX).status_code == 200


@pytest.mark.parametrize(("data", "asleep"), [({"until": "release"}, "wakes_on_release"), ({"until": "customers", "customers": "3"}, "wakes_at"), ({"until": "3d"}, "snoozed_until")])
def test_snoozing_until_something(data, asleep, tienda, carol, as_) -> None:
    incident = make.incident(tienda)
    Incident.objects.filter(pk=incident.pk).update(heard=2, silent=5)
    as_(carol).post(at(incident, "snooze"), data, **HX)
    incident.refresh_from_db()
    assert incident.status == "snoozed"
    assert {name for name in ("wakes_on_release", "wakes_at", "snoozed_until") if getattr(incident, name)} == {asleep}
    assert incident.wakes_at in {None, 10}


def test_another_severity_than_the_hubs_needs_a_reason_and_can_be_given_back(tienda, carol, as_) -> None:
    incident = make.incident(tienda)
    Incident.objects.filter(pk=incident.pk).update(impact={"heard": 6}, severity="high")
    answer = as_(carol).post(at(incident, "set_severity"), {"severity": "low"}, **HX)
    assert answer.status_code == 409
    assert "say why" in answer.content.decode()
    assert as_(carol).post(at(incident, "set_severity"), {"severity": "low", "reason": "test shops"}, **HX).status_code == 200
    incident.refresh_from_db()
    assert (incident.severity, incident.is_severity_forced) == ("low", True)
    as_(carol).post(at(incident, "set_severity"), {"severity": "auto"}, **HX)
    incident.refresh_from_db()
    assert (incident.severity, incident.is_severity_forced) == ("high", False)


@pytest.mark.parametrize("who", ["bob", "mallory"])
def test_who_may_not_triage_acts_on_none(who, tienda, carol, request, as_) -> None:
    make.incident(tienda)
    answer = many(as_(request.getfixturevalue(who)), tienda, "accept", [1])
    assert answer.status_code == {"bob": 403, "mallory": 404}[who]
    assert Incident.objects.get(workspace=tienda).status == "new"


def call(method: str, user, workspace, path: str, body=None):
    from django.test import Client

    from tests.security.world import token_of

    headers = {"Authorization": f"Bearer {token_of(user, workspace)}"}
    return Client().generic(method, f"/api/v1/{path}", json.dumps(body or {}), "application/json", headers=headers)


@pytest.mark.parametrize(
    ("verb", "more", "field", "value"),
    [
        ("accept", {}, "status", "triaged"),
        ("decline", {"reason": "no"}, "status", "declined"),
        ("snooze", {"snooze_release": True}, "wakes_on_release", True),
        ("snooze", {"snooze_customers": 3}, "wakes_at", 3),
        ("assign", {"assignee": "carol@example.com"}, "assignee__email", "carol@example.com"),
        ("set_severity", {"severity": "high"}, "severity", "high"),
        ("duplicate", {"duplicate_of": 1}, "original__number", 1),
    ],
)
def test_many_over_the_api(verb, more, field, value, tienda, carol) -> None:
    for n in range(3):
        make.incident(tienda, f"Number {n}")
    told = call("POST", carol, tienda, "incidents/bulk", {"verb": verb, "numbers": [2, 3], **more})
    assert told.status_code == 200, told.content
    assert told.json()["done"] == [2, 3]
    assert list(Incident.objects.order_by("number").values_list(field, flat=True))[1:] == [value, value]
    undone = call("POST", carol, tienda, f"incidents/bulk/{told.json()['batch']}/undo")
    assert undone.json()["done"] == [2, 3]
    assert set(Incident.objects.values_list("status", flat=True)) == {"new"}


@pytest.mark.parametrize(
    ("given", "status", "field"),
    [
        ({"verb": "decline", "numbers": [1]}, 400, "reason"),
        ({"verb": "vanish", "numbers": [1]}, 400, "verb"),
        ({"verb": "accept", "numbers": []}, 400, "numbers"),
        ({"verb": "accept", "numbers": list(range(1, 1_002))}, 400, "numbers"),
        ({"verb": "accept", "numbers": [10**30]}, 400, "numbers"),
        ({"verb": "assign", "numbers": [1]}, 400, "assignee"),
        ({"verb": "snooze", "numbers": [1]}, 400, "until"),
        ({"verb": "duplicate", "numbers": [1], "duplicate_of": 77}, 400, "duplicate_of"),
        ({"verb": "resolve", "numbers": [1], "fix_release": "9.9"}, 400, "fix_release"),
        ({"verb": "accept", "numbers": [1, 77]}, 404, None),
    ],
)
def test_nonsense_for_many_over_the_api(given, status, field, tienda, carol) -> None:
    make.incident(tienda)
    told = call("POST", carol, tienda, "incidents/bulk", given)
    assert told.status_code == status, told.content
    assert field is None or field in told.json()["errors"]
    assert Incident.objects.get().status == "new"


def test_views_over_the_api(tienda, carol, bob) -> None:
    made = call("POST", carol, tienda, "views", {"name": "Worst", "query": "severity:critical", "layout": "board", "is_shared": True})
    assert made.status_code == 201
    pk = made.json()["id"]
    assert call("GET", bob, tienda, "views").json()["results"][0]["name"] == "Worst"
    assert call("PATCH", bob, tienda, f"views/{pk}", {"name": "Mine"}).status_code == 409
    assert call("POST", bob, tienda, "views", {"name": "Mine", "role": "agent"}).status_code == 400
    assert call("PATCH", carol, tienda, f"views/{pk}", {"name": "Bad"}).json()["name"] == "Bad"
    assert call("POST", carol, tienda, "views", {"name": "Bad"}).status_code == 400
    assert call("DELETE", carol, tienda, f"views/{pk}").status_code == 204
    assert call("GET", carol, tienda, f"views/{pk}").status_code == 404
