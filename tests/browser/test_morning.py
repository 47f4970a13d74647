"""A whole morning of triage without touching the mouse, in three languages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from incidents.models import Incident
from tests import make

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("language", ["en", "es", "pt-br"])
def test_a_morning_by_keyboard(language, tienda, shop, carol, browse) -> None:
    make.release(shop, "1.1", at=timezone.now() - timedelta(hours=2))
    made = [make.incident(tienda, f"Number {n}", product=shop) for n in range(1, 9)]
    for at, incident in enumerate(made):
        Incident.objects.filter(pk=incident.pk).update(pain=100 - at)
    page = browse(carol, language=language)
    page.goto(f"/w/{tienda.slug}/triage/?view=decide")
    title, press = page.locator("#detail h2").first, page.keyboard.press

    def shows(number: int) -> None:
        expect(title).to_have_text(f"Number {number}")

    shows(1)
    press("1")  # accepted; the next one shows itself
    shows(2)
    press("3")
    page.locator("dialog[open] textarea").wait_for()
    page.keyboard.type("Works as intended")
    press("Control+Enter")
    shows(3)
    press("h")
    page.locator("dialog[open] select").wait_for()
    press("Enter")
    shows(4)
    press("2")
    page.locator("dialog[open] #id_original").wait_for()
    page.keyboard.type("INC-1")
    press("Control+Enter")
    shows(5)
    press("m")
    expect(page.locator("#detail .eyebrow").first).to_contain_text("Carol")
    press("s")
    page.locator("dialog[open] #id_severity_0").wait_for()
    press("ArrowDown")
    press("ArrowDown")
    press("Control+Enter")
    expect(page.locator("dialog[open]")).to_have_count(0)
    press("1")
    shows(6)
    press("z")  # that was too fast
    shows(5)
    press("e")
    page.locator("dialog[open] #id_wording").wait_for()
    page.keyboard.type("We are on it.")
    press("Control+Enter")
    expect(page.locator("#detail .notice")).to_contain_text("We are on it.")
    press("j")
    shows(6)
    press("x")
    press("Shift+J")
    press("Shift+J")
    expect(page.locator("[data-many-count]")).to_have_text("3")
    press("a")
    page.locator("dialog[open] select").wait_for()
    page.keyboard.type("Carol")
    press("Enter")
    expect(page.locator("dialog[open]")).to_have_count(0)
    expect(page.locator("[data-many]")).to_be_hidden()
    found = {i.number: (i.status, i.assignee == carol) for i in Incident.objects.all()}
    assert found == {
        1: ("triaged", False), 2: ("declined", False), 3: ("snoozed", False), 4: ("duplicate", False),
        5: ("new", True), 6: ("new", True), 7: ("new", True), 8: ("new", True),
    }  # fmt: skip
    fifth = Incident.objects.get(number=5)
    assert (fifth.severity, fifth.is_severity_forced, fifth.wording) == ("high", True, "We are on it.")
    press("/")
    press("Control+a")
    page.keyboard.type("assigned:me is:open")
    press("Enter")
    page.wait_for_url("**q=assigned*")
    expect(page.locator("[data-row]")).to_have_count(4)
