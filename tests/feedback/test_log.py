"""The quick log: one field, matches while typing, Enter joins."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from activity.models import Event
from feedback import similar
from feedback.models import Complaint, Customer
from incidents import quicklog
from incidents.models import Incident
from tests import make
from tests.pipeline.conftest import together

HX = {"HTTP_HX_REQUEST": "true"}


def test_text_alone_is_enough(tienda, bob, as_) -> None:
    answer = as_(bob).post(f"/w/{tienda.slug}/log/", {"text": "No puedo pagar", "kind": "bug"}, **HX)
    assert answer.status_code == 204
    assert json.loads(answer["HX-Trigger"])["toast"]["text"] == "Logged"
    complaint = Complaint.objects.get()
    assert (complaint.text, complaint.logged_by, complaint.workspace) == ("No puedo pagar", bob, tienda)


def test_customer_release_and_money_are_kept_as_they_were(tienda, shop, bob) -> None:
    make.counted(shop, [make.event(customer="acme", release="2.4.0")])
    acme = make.customer(tienda, "Acme", external_id="acme", plan="Team", revenue=120)
    complaint = quicklog.log(tienda, "It fails", bob, acme)
    assert complaint.release is not None
    assert complaint.release.version == "2.4.0"
    acme.plan = "Free"
    acme.save()
    complaint.refresh_from_db()
    assert (complaint.plan, complaint.revenue) == ("Team", 120)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("el pago falla al finalizar", "O pagamento dá erro no checkout"),
        ("checkout payment fails", "No puedo pagar, sale un error al comprar"),
        ("a busca está lenta", "Search is slow since Monday"),
        ("no entiendo dónde se guardan los filtros", "Onde ficam os filtros salvos? Não entendi"),
    ],
)
def test_the_same_problem_is_found_across_languages(typed, said, tienda) -> None:
    make.complaint(tienda, said)
    make.complaint(tienda, "Please add a dark theme for the evening shift")
    found = quicklog.matches(tienda, typed)
    assert [m.title for m in found] == [said]


def test_matches_stay_inside_the_workspace(tienda, mallory) -> None:
    make.complaint(mallory.memberships.get().workspace, "The checkout payment fails")
    assert quicklog.matches(tienda, "checkout payment fails") == []


def test_enter_on_a_match_joins_the_incident(tienda, bob, as_) -> None:
    incident = make.incident(tienda, "Checkout payment fails")
    page = as_(bob).get(f"/w/{tienda.slug}/log/matches/?text=checkout payment fails", **HX).content.decode()
    assert f'data-same="incident:{incident.number}"' in page
    answer = as_(bob).post(
        f"/w/{tienda.slug}/log/", {"text": "Payment fails again", "kind": "bug", "same": "incident:1"}, **HX
    )
    assert "INC-1" in json.loads(answer["HX-Trigger"])["toast"]["text"]
    assert incident.reports.count() == 1
    incident.refresh_from_db()
    assert incident.impact["heard"] == 1


def test_the_same_as_a_complaint_of_an_incident_joins_it(tienda, bob) -> None:
    incident = make.incident(tienda)
    first = make.complaint(tienda, "The card is refused")
    from incidents.models import Report

    Report.objects.join(incident, first, bob)
    second = quicklog.log(tienda, "Card refused", bob, same_as=first)
    assert second.report.incident == incident


def test_a_foreign_customer_or_incident_is_refused(tienda, bob, mallory, as_) -> None:
    elsewhere = mallory.memberships.get().workspace
    foreign = make.customer(elsewhere, "Theirs")
    make.incident(elsewhere)
    answer = as_(bob).post(f"/w/{tienda.slug}/log/", {"text": "x", "kind": "bug", "customer": foreign.pk})
    assert answer.status_code == 200
    answer = as_(bob).post(f"/w/{tienda.slug}/log/", {"text": "x", "kind": "bug", "same": "incident:1"})
    assert answer.status_code == 404
    assert Complaint.objects.count() == 0


def test_customers_are_found_while_typing(tienda, bob, as_) -> None:
    make.customer(tienda, "Panadería Sol", domain="panaderiasol.es")
    make.customer(tienda, "Nuvem Livros")
    for typed in ("panaderia", "SOL", "sol.es", "ería"):
        page = as_(bob).get(f"/w/{tienda.slug}/log/customers/?who={typed}", **HX).content.decode()
        assert "Panadería Sol" in page, typed
        assert "Nuvem" not in page


@pytest.mark.parametrize("text", ["", "abc", "\x00\x00\x00\x00\x00", "%_%_%", "(((a+)+)+", "🙂" * 500, "x" * 5000])
def test_odd_texts_match_nothing_and_break_nothing(text, tienda, bob, as_) -> None:
    answer = as_(bob).get(f"/w/{tienda.slug}/log/matches/", {"text": text}, **HX)
    assert answer.status_code == 200
    assert b"data-same" not in answer.content


def test_one_shared_word_is_not_the_same_problem() -> None:
    item = (1, "Could we have a tip option at checkout? Our guests ask for it.")
    assert similar.rank("checkout fails when paying by card", [item]) == []


def test_a_viewer_cannot_log(tienda, as_) -> None:
    victor = make.member(tienda, "viewer")
    assert as_(victor).post(f"/w/{tienda.slug}/log/", {"text": "x", "kind": "bug"}).status_code == 403


def test_logging_raises_the_incident_in_the_queue(tienda, bob) -> None:
    incident = make.incident(tienda)
    before = Incident.objects.get(pk=incident.pk).pain
    quicklog.log(tienda, "I will cancel", bob, make.customer(tienda), join=incident, is_churn_risk=True)
    after = Incident.objects.get(pk=incident.pk)
    assert after.pain > before
    assert after.impact["churn"] == 1


def test_the_same_source_id_is_logged_once(tienda) -> None:
    one = Complaint.objects.log(tienda, "hello", source="api", source_id="t-1")
    assert Complaint.objects.log(tienda, "hello again", source="api", source_id="t-1") == one


def test_what_a_person_typed_is_not_overwritten_by_events(tienda, shop, bob, as_) -> None:
    from feedback import adopting

    told = {"kind": "identify", "name": "identify", "customer": "acme"}
    make.counted(shop, [make.event(**told, props={"traits": {"name": "Acme", "plan": "Team", "revenue": 50}})])
    adopting.adopt_accounts()
    acme = Customer.objects.get(external_id="acme")
    assert (acme.name, acme.plan, acme.revenue) == ("Acme", "Team", 50)
    form = {"name": "Acme & Co", "external_id": "acme", "plan": "Team"}
    assert as_(bob).post(f"/w/{tienda.slug}/customers/{acme.pk}/edit/", form).status_code == 302
    later = (timezone.now() + timedelta(seconds=5)).timestamp()
    make.counted(shop, [make.event(**told, at=later, props={"traits": {"name": "ACME Inc"}})])
    adopting.adopt_accounts()
    acme.refresh_from_db()
    assert acme.name == "Acme & Co"


def test_a_complaint_can_be_taken_back_at_once_by_its_author(tienda, bob, carol, as_) -> None:
    incident = make.incident(tienda)
    answer = as_(bob).post(f"/w/{tienda.slug}/log/", {"text": "Oops", "kind": "bug", "same": "incident:1"}, **HX)
    undo = json.loads(answer["HX-Trigger"])["toast"]["undo"]
    assert as_(carol).post(undo, **HX).status_code == 409
    assert as_(bob).post(undo, **HX).status_code == 204
    assert not Complaint.objects.exists()
    incident.refresh_from_db()
    assert incident.impact["heard"] == 0


def test_a_complaint_of_yesterday_stays(tienda, bob) -> None:
    from django.core.exceptions import ValidationError

    complaint = make.complaint(tienda, by=bob, at=timezone.now() - timedelta(days=1))
    with pytest.raises(ValidationError):
        quicklog.retract(complaint, bob)
    assert Complaint.objects.exists()


def test_from_a_customers_page_the_customer_is_filled_in(tienda, bob, as_) -> None:
    sol = make.customer(tienda, "Panadería Sol")
    page = as_(bob).get(f"/w/{tienda.slug}/log/?customer={sol.pk}", **HX).content.decode()
    assert f'name="customer" value="{sol.pk}"' in page
    assert f"/log/?customer={sol.pk}" in as_(bob).get(f"/w/{tienda.slug}/customers/{sol.pk}/").content.decode()


def test_shared_words_are_the_ones_that_were_typed(tienda) -> None:
    make.complaint(tienda, "O pagamento dá erro no checkout")
    (match,) = quicklog.matches(tienda, "el pago falla al comprar")
    assert set(match.shared) <= {"pago", "falla", "comprar"}
    assert match.shared


def test_a_complaint_can_be_put_right(tienda, shop, bob, carol, as_) -> None:
    old, new = make.incident(tienda, by=carol), make.incident(tienda, by=carol)
    acme = make.customer(tienda, "Acme", plan="Team", revenue=120)
    complaint = quicklog.log(tienda, "It fails", bob, join=old)
    assert old.reports.count() == 1
    body = {"text": "It fails at the till", "kind": "question", "customer": acme.pk, "incident": f"INC-{new.number} · x"}
    path = f"/w/{tienda.slug}/complaints/{complaint.pk}/edit/"
    assert as_(bob).post(path, body, **HX)["HX-Redirect"].endswith(f"/complaints/{complaint.pk}/")
    complaint = Complaint.objects.get()
    assert (complaint.text, complaint.kind, complaint.customer, complaint.plan) == (body["text"], "question", acme, "Team")
    assert (old.reports.count(), new.reports.count()) == (0, 1)
    heard = {i.number: (i.impact or {}).get("heard") for i in Incident.objects.all()}
    assert heard == {old.number: 0, new.number: 1}
    event = Event.objects.get(verb="complaint.corrected")
    assert event.detail["before"]["text"] == "It fails"
    as_(bob).post(path, {**body, "incident": ""}, **HX)
    assert new.reports.count() == 0


def test_saving_what_is_there_changes_nothing(tienda, bob, carol, as_) -> None:
    incident = make.incident(tienda, by=carol)
    complaint = quicklog.log(tienda, "It fails", bob, join=incident)
    page = as_(bob).get(f"/w/{tienda.slug}/complaints/{complaint.pk}/edit/")
    given = {name: value for name, value in page.context["form"].initial.items() if value is not None}
    as_(bob).post(f"/w/{tienda.slug}/complaints/{complaint.pk}/edit/", given, **HX)
    assert not Event.objects.filter(verb__in=["complaint.corrected", "incident.complaint_left"]).exists()
    assert incident.reports.count() == 1


def test_a_problem_is_found_by_words_that_only_it_has(tienda, bob, carol, as_) -> None:
    first, _second = (make.incident(tienda, by=carol, title=f"Pago {n}") for n in ("á la carte", "en caja"))
    complaint = quicklog.log(tienda, "It fails", bob)
    path = f"/w/{tienda.slug}/complaints/{complaint.pk}/edit/"
    body = {"text": "It fails", "kind": "bug"}
    assert "Several incidents" in as_(bob).post(path, {**body, "incident": "pago"}, **HX).text
    as_(bob).post(path, {**body, "incident": "A LA"}, **HX)
    assert first.reports.count() == 1


def test_two_people_who_put_the_same_complaint_right_do_not_overwrite_each_other(tienda, bob, carol, as_) -> None:
    incident = make.incident(tienda, by=carol)
    complaint = quicklog.log(tienda, "It fials", bob)
    path = f"/w/{tienda.slug}/complaints/{complaint.pk}/edit/"
    given = as_(bob).get(path).context["form"].initial
    mine = {name: value for name, value in given.items() if value is not None}
    quicklog.correct(complaint, carol, incident, is_churn_risk=True)
    answer = as_(bob).post(path, {**mine, "text": "It fails"}, **HX)
    assert answer.status_code == 409
    complaint = Complaint.objects.get()
    assert (complaint.text, complaint.is_churn_risk, complaint.report.incident) == ("It fials", True, incident)


def test_a_title_that_begins_with_a_number_is_found(tienda, bob, carol, as_) -> None:
    incident = make.incident(tienda, by=carol, title="500 errors at the till")
    complaint = quicklog.log(tienda, "It fails", bob)
    body = {"text": "It fails", "kind": "bug", "incident": "500 err"}
    as_(bob).post(f"/w/{tienda.slug}/complaints/{complaint.pk}/edit/", body, **HX)
    assert incident.reports.count() == 1


@pytest.mark.django_db(transaction=True)
def test_moves_to_and_fro_do_not_lock_each_other(tienda, bob, carol) -> None:
    one, two = make.incident(tienda, by=carol), make.incident(tienda, by=carol)
    first, second = quicklog.log(tienda, "a", bob, join=one), quicklog.log(tienda, "b", bob, join=two)

    def move(complaint, places):
        for number in range(12):
            quicklog.correct(complaint, bob, places[number % 2])

    assert together(lambda: move(first, (two, one)), lambda: move(second, (one, two))) == [None, None]
    assert (one.reports.get().complaint, two.reports.get().complaint) == (first, second)


@pytest.mark.parametrize("typed", ["99", "INC-99", "zebra", "INC-", "1e3", "INC-99999999999999", "٣"])
def test_a_problem_that_does_not_exist_is_said(tienda, bob, carol, as_, typed) -> None:
    incident = make.incident(tienda, by=carol)
    complaint = quicklog.log(tienda, "It fails", bob, join=incident)
    path = f"/w/{tienda.slug}/complaints/{complaint.pk}/edit/"
    answer = as_(bob).post(path, {"text": "It fails", "kind": "bug", "incident": typed}, **HX)
    assert "There is no such incident" in answer.text
    assert incident.reports.count() == 1
