"""The quick log: one field, matches while typing, Enter joins."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from activity.models import Event
from feedback import similar
from feedback.models import Complaint, Contact, Customer
from incidents import quicklog
from incidents.models import Incident
from metrics import doings
from releases.models import Feature, Release
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


def test_shared_words_are_told_as_they_were_typed() -> None:
    (match,) = similar.rank("no puedo iniciar sesión dos veces", [(1, "I cannot sign in two times")])
    assert set(match.shared) == {"iniciar sesion", "dos veces"}


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


def test_everything_may_be_said(tienda, shop, bob, as_) -> None:
    make.customer(tienda, "Acme", external_id="acme")
    make.counted(shop, [make.event(customer="acme", release="2.4.0"), make.event(customer="acme", release="2.3.0")])
    older = Release.objects.get(version="2.3.0")
    told = {
        "text": "Não consigo pagar", "kind": "bug", "suggested": "bug", "new_customer": "  Nova   Loja ",
        "contact": "Ana Gil <ana@nova.example>", "channel": "phone", "importance": "3", "release": older.pk,
    }  # fmt: skip
    assert as_(bob).post(f"/w/{tienda.slug}/log/", told, **HX).status_code == 204
    found = Complaint.objects.get()
    assert (found.channel, found.importance, found.language, found.release) == ("phone", 3, "pt", older)
    assert (found.contact_name, found.contact_email, found.suggested_kind) == ("Ana Gil", "ana@nova.example", "bug")
    assert found.customer is not None
    assert (found.customer.name, found.customer.external_id) == ("Nova Loja", "hub-nova-loja")
    assert found.customer.contacts.get().email == "ana@nova.example"


def test_a_customer_typed_twice_is_one(tienda, mallory, bob, as_) -> None:
    make.customer(mallory.memberships.get().workspace, "Nova Loja", external_id="theirs")
    for name in ("Nova Loja", "nova loja", "Nova  Loja"):
        as_(bob).post(f"/w/{tienda.slug}/log/", {"text": "no abre", "kind": "bug", "new_customer": name}, **HX)
    customer = Customer.objects.of(tienda).get()
    assert customer.complaints.count() == 3
    for name in ("Nova-Loja", "!!!", "???"):
        as_(bob).post(f"/w/{tienda.slug}/log/", {"text": "no abre", "kind": "bug", "new_customer": name}, **HX)
    ids = set(Customer.objects.of(tienda).values_list("external_id", flat=True))
    assert ids == {"hub-nova-loja", "hub-nova-loja-2", "hub-customer", "hub-customer-2"}


@pytest.mark.django_db(transaction=True)
def test_two_agents_who_make_the_same_customer_at_once_make_one(tienda, bob) -> None:
    together(*[lambda: Customer.objects.begin(tienda, "Nova Loja", bob)] * 4)
    assert Customer.objects.of(tienda).count() == 1


def test_the_same_contact_is_kept_once(tienda, bob) -> None:
    acme = make.customer(tienda, "Acme", external_id="acme")
    for contact in (("", "ana@acme.example"), ("Ana", "ANA@acme.example"), ("Luis", ""), ("luis", "")):
        quicklog.log(tienda, "It fails", bob, acme, contact=contact)
    assert sorted(map(str, acme.contacts.all())) == ["Ana", "Luis"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"contact": "ana@"}, {"contact": "@"}, {"contact": "x" * 251}, {"importance": "4"}, {"importance": "-1"},
        {"channel": "pigeon"}, {"suggested": "other"}, {"release": "99999999"}, {"new_customer": "x" * 121},
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_said_and_nothing_is_logged(tienda, bob, as_, wrong) -> None:
    answer = as_(bob).post(f"/w/{tienda.slug}/log/", {"text": "No abre", "kind": "bug", **wrong}, **HX)
    assert answer.status_code == 200
    assert b"No abre" in answer.content
    assert not Complaint.objects.exists()
    assert not Customer.objects.exists()


def test_a_release_of_another_workspace_is_none_of_ours(tienda, bob, mallory, as_) -> None:
    theirs = make.release(make.product(mallory.memberships.get().workspace, "Theirs"), "9.9")
    answer = as_(bob).post(f"/w/{tienda.slug}/log/", {"text": "No abre", "kind": "bug", "release": theirs.pk}, **HX)
    assert (answer.status_code, Complaint.objects.count()) == (200, 0)


def test_the_kind_is_suggested_from_what_they_just_did(tienda, shop, bob, as_) -> None:
    acme = make.customer(tienda, "Acme", external_id="acme")
    calm = make.customer(tienda, "Calm", external_id="calm")
    make.counted(shop, [make.event(customer="acme", bad=1) for _ in range(3)])
    make.counted(shop, [make.event(customer="calm", user="u")])

    def page(**said):
        return as_(bob).get(f"/w/{tienda.slug}/log/matches/", {"text": "¿Cómo se paga?", **said}).content.decode()

    assert 'data-kind="question"' in page()
    assert 'data-kind="question"' in page(customer=calm.pk)
    failed = page(customer=acme.pk)
    assert 'data-kind="bug"' in failed
    assert "failed 3 times for them within 30 min" in failed


def test_old_events_are_no_evidence(tienda, shop, bob) -> None:
    acme = make.customer(tienda, "Acme", external_id="acme")
    past = timezone.now() - timedelta(minutes=45)
    make.counted(shop, [make.event(customer="acme", bad=1, at=past.timestamp())])
    assert quicklog.suggest(tienda, "¿Cómo se paga?", acme, None).kind == "question"
    uses, failed, _signs = doings.around(shop, "acme", past)
    assert (uses, sum(failed.values())) == (1, 1)


def test_only_the_feature_that_is_spoken_of(tienda, shop, bob) -> None:
    acme = make.customer(tienda, "Acme", external_id="acme")
    make.counted(shop, [make.event(customer="acme", feature="Pay", bad=1), make.event("find", customer="acme", feature="Search")])
    pay, search = Feature.objects.get(name="Pay"), Feature.objects.get(name="Search")
    assert quicklog.suggest(tienda, "¿Cómo se hace?", acme, pay).kind == "bug"
    assert quicklog.suggest(tienda, "¿Cómo se hace?", acme, search).kind == "question"


def test_the_contact_that_was_typed_is_offered(tienda, bob, as_) -> None:
    acme = make.customer(tienda, "Acme", external_id="acme")
    Contact.objects.create(customer=acme, name="Ana Gil", email="ana@sol.example")
    page = as_(bob).get(f"/w/{tienda.slug}/log/customers/", {"who": "ana@sol"}).content.decode()
    assert 'data-contact="ana@sol.example"' in page
    assert "New customer" in page
    assert "New customer" not in as_(bob).get(f"/w/{tienda.slug}/log/customers/", {"who": "ACME"}).content.decode()


def test_each_sees_what_became_of_what_they_logged(tienda, shop, bob, carol, as_) -> None:
    incident = make.incident(tienda, by=carol, title="Checkout fails")
    quicklog.log(tienda, "No puedo pagar", bob, join=incident)
    quicklog.log(tienda, "Somebody elses words", carol)
    incident.accept(carol)
    incident.inform(carol, "Cards fail now and then. Nothing is charged twice.")
    path = f"/w/{tienda.slug}/complaints/"

    def page(**said) -> str:
        return " ".join(as_(bob).get(path, said).content.decode().split())

    assert "Somebody elses words" in page()
    mine = page(mine="1")
    assert "No puedo pagar" in mine
    assert "Somebody elses words" not in mine
    assert "INC-1 · Triaged" in mine
    assert "Nothing is charged twice." in mine
    assert "Nothing is charged twice." not in page()
    incident.resolve(carol, make.release(shop, "2.0"))
    assert "INC-1 · fixed in 2.0" in page(mine="1")
    Complaint.objects.filter(logged_by=bob).delete()
    assert "You logged none yet" in page(mine="1")
