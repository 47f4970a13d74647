"""Words, names, watching and notices, by keyboard; what somebody writes is never in the way of what others do."""

from __future__ import annotations

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from incidents import notifying
from incidents.models import Incident, Update
from notices.models import Notice, Watch
from tests import make

pytestmark = pytest.mark.browser


def tell() -> None:
    Incident.objects.filter(weighed_at=None).update(weighed_at=timezone.now())
    while notifying.notify(timezone.now()):
        pass


def test_a_person_is_named_while_writing(tienda, carol, alice, bob, browse) -> None:
    incident = make.incident(tienda, "Checkout fails", by=carol)
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/{incident.number}/")
    field = page.locator("#say-text")
    field.focus()
    page.keyboard.type("Please look, @al")
    expect(page.locator(".mention-box [role=option]")).to_have_text(["Alice"])
    page.keyboard.press("Enter")
    expect(field).to_have_value("Please look, @Alice ")
    page.keyboard.type("and @b")
    expect(page.locator(".mention-box [role=option][aria-selected=true]")).to_have_text("Bob")
    page.keyboard.press("Escape")
    expect(page.locator(".mention-box")).to_have_count(0)
    expect(field).to_have_value("Please look, @Alice and @b")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".timeline .mention")).to_have_text(["@Alice"])
    assert Update.objects.get().mentioned == [alice.pk]


def test_when_is_asked_only_of_what_happened(tienda, carol, browse) -> None:
    incident = make.incident(tienda, "Checkout fails", by=carol)
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/{incident.number}/")
    expect(page.locator("#say-at")).to_be_hidden()
    page.locator(".say [value=seen]").check(force=True)
    expect(page.locator("#say-at")).to_be_visible()


def test_watch_link_and_answer_by_keyboard(tienda, carol, browse) -> None:
    incident, other = make.incident(tienda, "Checkout fails", by=carol), make.incident(tienda, "Pix fails", by=carol)
    incident.accept(carol)
    Incident.objects.filter(pk=incident.pk).update(asked_at=timezone.now(), pain=9)
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/{incident.number}/")
    page.keyboard.press("w")
    expect(page.locator("[data-press=w]")).to_have_attribute("aria-pressed", "true")
    assert Watch.objects.get(user=carol).state == "watching"
    page.keyboard.press("l")
    page.locator("dialog[open] #id_other").wait_for()
    page.keyboard.type(f"INC-{other.number}")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".linked")).to_contain_text("Pix fails")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.keyboard.press("y")
    expect(page.locator("[data-press=y]")).to_have_count(0)
    incident.refresh_from_db()
    assert incident.asked_at is None


def test_the_bell_and_the_words_of_others_come_by_themselves(tienda, carol, alice, browse) -> None:
    """Within five seconds, and what is being typed stays."""
    incident = make.incident(tienda, "Checkout fails", by=carol)
    tell()
    Notice.objects.all().delete()
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/{incident.number}/")
    expect(page.locator("#side-unread")).to_have_text("")
    page.locator("#say-text").fill("I am in the middle of")
    Update.objects.comment(incident, alice, "@Carol have a look")
    tell()
    expect(page.locator("#side-unread")).to_have_text("1", timeout=9_000)
    expect(page.locator("#say-text")).to_have_value("I am in the middle of")
    page.locator("#say-text").fill("")
    page.locator("#say-text").blur()
    Update.objects.comment(incident, alice, "It is the cache.")
    expect(page.locator(".timeline")).to_contain_text("It is the cache.", timeout=12_000)


def test_notices_by_keyboard(tienda, carol, alice, browse) -> None:
    made = [make.incident(tienda, f"Number {n}", by=alice) for n in range(3)]
    tell()
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/")
    page.keyboard.press("g")
    page.keyboard.press("n")
    page.wait_for_url("**/notices/")
    rows = page.locator("[data-list=notices] [data-row]")
    expect(rows).to_have_count(3)
    page.keyboard.press("j")
    page.keyboard.press("e")  # read
    expect(rows).to_have_count(2)
    expect(page.locator("#side-unread")).to_have_text("2")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/triage/*/")
    assert carol.memberships.get().unread == 1
    page.go_back()
    expect(rows).to_have_count(1)
    page.keyboard.press("Shift+E")
    expect(page.locator(".empty")).to_be_visible()
    assert carol.memberships.get().unread == 0
    assert len(made) == 3
