"""A PM's morning, by keyboard alone."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from feedback.models import Complaint
from incidents.models import Incident
from tests import make

pytestmark = pytest.mark.browser


def queue(tienda, *titles: str) -> list[Incident]:
    made = [make.incident(tienda, title) for title in titles]
    for at, incident in enumerate(made):
        Incident.objects.filter(pk=incident.pk).update(pain=100 - at)
    return made


def test_three_decisions_by_keyboard_with_undo(tienda, carol, browse) -> None:
    first, second, third = queue(tienda, "One", "Two", "Three")
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/?view=decide")
    expect(page.locator("[data-row][aria-current=true]")).to_contain_text("One")
    page.keyboard.press("1")
    expect(page.locator(".toast")).to_contain_text("INC-1 accepted")
    expect(page.locator("#detail h2")).to_have_text("Two")
    page.keyboard.press("3")
    page.locator("dialog[open] textarea").fill("By design.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#detail h2")).to_have_text("Three")
    page.keyboard.press("z")
    expect(page.locator(".toast").last).to_contain_text("INC-2 is as it was")
    for incident in (first, second, third):
        incident.refresh_from_db()
    assert [i.status for i in (first, second, third)] == ["triaged", "new", "new"]


def test_moving_shows_each_and_the_address_is_the_view(tienda, carol, browse) -> None:
    queue(tienda, "One", "Two")
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/")
    page.keyboard.press("j")
    expect(page.locator("#detail h2")).to_have_text("Two")
    page.wait_for_url("**/triage/2/*")
    page.reload()
    expect(page.locator("#detail h2")).to_have_text("Two")
    page.keyboard.press("k")
    expect(page.locator("#detail h2")).to_have_text("One")


def test_severity_assign_and_help(tienda, carol, browse) -> None:
    (incident,) = queue(tienda, "One")
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/")
    page.keyboard.press("s")
    page.get_by_text("High", exact=True).click()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".toast").last).to_contain_text("severity")
    page.keyboard.press("m")
    expect(page.locator("#detail .eyebrow")).to_contain_text("Carol")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    incident.refresh_from_db()
    assert (incident.severity, incident.assignee) == ("high", carol)


def test_single_keys_can_be_switched_off(tienda, carol, browse) -> None:
    (incident,) = queue(tienda, "One")
    carol.has_shortcuts = False
    carol.save()
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/")
    page.keyboard.press("1")
    page.wait_for_timeout(300)
    incident.refresh_from_db()
    assert incident.status == "new"


def test_the_palette_goes_anywhere(tienda, carol, browse) -> None:
    queue(tienda, "Broken invoices")
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/complaints/")
    page.keyboard.press("Control+k")
    page.keyboard.type("invoices")
    expect(page.locator("#palette-options [aria-selected=true]")).to_contain_text("Broken invoices")
    page.keyboard.press("Enter")
    page.wait_for_url("**/triage/1/")


def test_the_palette_does_the_pages_acts_but_chooses_none_by_itself(tienda, carol, browse) -> None:
    (incident,) = queue(tienda, "One")
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/")
    page.keyboard.press("Control+k")
    options = page.locator("#palette-options [role=option] .title")
    expect(options.first).to_have_text("Accept")
    assert {"Assign", "Severity"} <= {text.strip() for text in options.all_inner_texts()}
    expect(page.locator("#palette-options [aria-selected=true]")).not_to_contain_text("on this page")
    page.keyboard.type("acc")
    expect(page.locator("#palette-options [aria-selected=true]")).to_contain_text("Accept")
    incident.refresh_from_db()
    assert incident.status == "new"
    page.keyboard.press("Enter")
    expect(page.locator("#detail .eyebrow")).to_contain_text("Triaged")


def test_an_open_incident_follows_what_others_do(tienda, carol, browse) -> None:
    (incident,) = queue(tienda, "One")
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/{incident.number}/")
    expect(page.locator("#side-count")).to_have_text("1")
    incident.accept(carol)
    expect(page.locator("#detail .eyebrow")).to_contain_text("Triaged")
    expect(page.locator("#side-count")).to_have_text("")


def test_a_complaint_is_logged_from_anywhere_and_joins(tienda, bob, browse) -> None:
    (incident,) = queue(tienda, "Checkout payment fails")
    make.customer(tienda, "Panadería Sol", external_id="sol")
    page = browse(bob)
    page.goto(f"/w/{tienda.slug}/customers/")
    page.keyboard.press("c")
    page.keyboard.type("el pago falla en el checkout")
    expect(page.locator("#matches [role=option]").first).to_contain_text("INC-1")
    page.locator("#who").fill("panad")
    expect(page.locator("#whos [role=option]").first).to_contain_text("Panadería Sol")
    page.keyboard.press("Enter")
    expect(page.locator("#who")).to_have_value("Panadería Sol")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("INC-1")
    expect(page.locator("dialog[open]")).to_have_count(0)
    complaint = incident.reports.get().complaint
    assert complaint.customer is not None
    assert complaint.customer.external_id == "sol"


def test_on_a_phone_the_list_comes_first_and_leads_to_the_incident(tienda, carol, browse) -> None:
    queue(tienda, "One", "Two")
    page = browse(carol, phone=True)
    page.goto(f"/w/{tienda.slug}/triage/")
    expect(page.locator("#detail")).to_be_hidden()
    page.locator("[data-row]").nth(1).click()
    expect(page.locator("#detail h2")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_draft_survives_escape(tienda, bob, browse) -> None:
    page = browse(bob)
    page.goto(f"/w/{tienda.slug}/complaints/")
    page.keyboard.press("c")
    page.keyboard.type("half a sentence")
    expect(page.locator("#id_text")).to_have_value("half a sentence")
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.reload()
    page.keyboard.press("c")
    expect(page.locator("#id_text")).to_have_value("half a sentence")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Logged")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.keyboard.press("c")
    expect(page.locator("#id_text")).to_have_value("")


def test_a_known_problem_of_a_known_customer_takes_twelve_keys(tienda, bob, browse) -> None:
    (incident,) = queue(tienda, "Checkout payment fails")
    make.customer(tienda, "Panadería Sol", external_id="sol")
    page = browse(bob)
    page.goto(f"/w/{tienda.slug}/customers/")
    began = time.monotonic()
    keys = 0

    def press(*names: str) -> None:
        nonlocal keys
        for name in names:
            page.keyboard.press(name)
            keys += 1

    press("c")
    page.keyboard.type("el pago falla en el checkout")
    expect(page.locator("#matches [role=option]").first).to_contain_text("INC-1")
    press("Tab", "p", "a", "n", "a")
    expect(page.locator("#whos [role=option]").first).to_contain_text("Panadería Sol")
    press("Enter", "ArrowDown", "Enter")
    expect(page.locator(".toast")).to_contain_text("INC-1")
    assert keys <= 12
    assert time.monotonic() - began < 15
    complaint = incident.reports.get().complaint
    assert (complaint.customer.external_id, complaint.suggested_kind, complaint.kind) == ("sol", "bug", "bug")


def test_every_choice_has_its_key(tienda, bob, browse) -> None:
    page = browse(bob)
    page.goto(f"/w/{tienda.slug}/complaints/")
    page.keyboard.press("c")
    page.keyboard.type("¿Cómo se hace?")
    expect(page.locator("#suggested")).to_contain_text("Question")
    expect(page.get_by_label("Question")).to_be_checked()
    page.keyboard.press("Alt+u")
    expect(page.get_by_label("Not understood")).to_be_checked()
    page.keyboard.type(" No entiendo nada de nada, sale un error")  # what was chosen stays
    page.wait_for_timeout(600)
    expect(page.get_by_label("Not understood")).to_be_checked()
    page.get_by_label("Not understood").focus()
    for key in ("b", "!"):
        page.keyboard.press(key)
    expect(page.get_by_label("Bug")).to_be_checked()
    page.locator("dialog details summary").press("Enter")
    page.get_by_label("Who said it").fill("ana@sol.example")
    page.get_by_label("Heard by").select_option("phone")
    page.keyboard.press("Alt+3")
    page.locator("#id_text").press("Enter")
    expect(page.locator(".toast")).to_contain_text("Logged")
    found = Complaint.objects.get()
    assert (found.kind, found.is_churn_risk, found.importance, found.channel) == ("bug", True, 3, "phone")
    assert found.contact_email == "ana@sol.example"
    page.keyboard.press("c")  # who answers the telephone does so all day
    expect(page.locator("#id_channel")).to_have_value("phone")


def test_a_new_customer_is_made_in_place(tienda, bob, browse) -> None:
    page = browse(bob)
    page.goto(f"/w/{tienda.slug}/complaints/")
    page.keyboard.press("c")
    page.keyboard.type("no abre")
    expect(page.locator("#id_text")).to_have_value("no abre")
    page.keyboard.press("Tab")
    page.keyboard.type("Nova Loja")
    expect(page.locator("#whos [role=option]")).to_contain_text("Nova Loja")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Logged")
    customer = Complaint.objects.get().customer
    assert customer is not None
    assert customer.name == "Nova Loja"


def test_a_lost_connection_loses_nothing(tienda, bob, browse) -> None:
    page = browse(bob, is_cut_off=True)
    page.goto(f"/w/{tienda.slug}/complaints/")
    page.keyboard.press("c")
    page.keyboard.type("no se guarda nada")
    expect(page.locator("#id_text")).to_have_value("no se guarda nada")
    page.keyboard.press("Alt+p")
    page.context.set_offline(True)
    page.locator("#id_text").press("Enter")
    expect(page.locator(".toast")).to_be_visible()
    expect(page.locator("#id_text")).to_have_value("no se guarda nada")
    page.context.set_offline(False)
    page.reload()
    page.keyboard.press("c")
    expect(page.locator("#id_text")).to_have_value("no se guarda nada")
    expect(page.get_by_label("Praise")).to_be_checked()
    page.locator("#id_text").press("Enter")
    expect(page.locator(".toast")).to_contain_text("Logged")
    assert Complaint.objects.get().kind == "praise"


def test_tab_goes_from_the_words_to_the_customer(tienda, bob, browse) -> None:
    queue(tienda, "Checkout payment fails")
    page = browse(bob)
    page.goto(f"/w/{tienda.slug}/complaints/")
    page.keyboard.press("c")
    page.keyboard.type("checkout payment fails")
    expect(page.locator("#matches [role=option]").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#who")).to_be_focused()


def test_after_undo_list_address_and_detail_agree(tienda, carol, browse) -> None:
    queue(tienda, "One", "Two")
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/")
    page.keyboard.press("1")
    expect(page.locator("#detail h2")).to_have_text("Two")
    page.keyboard.press("z")
    expect(page.locator("#detail h2")).to_have_text("One")
    page.wait_for_url("**/triage/1/*")
    expect(page.locator("[data-row][aria-current=true]")).to_contain_text("One")
