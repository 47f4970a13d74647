"""List, board and query line in a real browser: by keyboard, by dragging, by finger."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from incidents.models import Incident, SavedView
from tests import make

pytestmark = pytest.mark.browser


@pytest.fixture
def three(tienda) -> list[Incident]:
    made = [make.incident(tienda, title) for title in ("One", "Two", "Three")]
    for at, incident in enumerate(made):
        Incident.objects.filter(pk=incident.pk).update(pain=100 - at)
    return made


def statuses(incidents: list[Incident]) -> list[str]:
    for incident in incidents:
        incident.refresh_from_db()
    return [incident.status for incident in incidents]


def test_many_by_keyboard_what_cannot_stays_ticked_and_undo(tienda, carol, three, browse) -> None:
    three[1].accept(carol)
    three[1].start(carol)
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/?view=all&as=list")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("Shift+J")
    page.keyboard.press("Shift+J")
    expect(page.locator("[data-many-count]")).to_have_text("3")
    page.keyboard.press("3")
    page.locator("dialog[open] textarea").fill("Not ours")
    page.keyboard.press("Enter")
    expect(page.locator(".toast").last).to_contain_text("2 incidents: declined. 1 could not be.")
    expect(page.locator("dialog[open]")).to_have_count(0)
    expect(page.locator("[data-many-count]")).to_have_text("1")
    expect(page.locator("tr.is-ticked [data-problem]")).to_have_text("It is in progress, so this does not apply.")
    assert statuses(three) == ["declined", "in_progress", "declined"]
    page.keyboard.press("z")
    expect(page.locator(".toast").last).to_contain_text("are as they were")
    assert statuses(three) == ["new", "in_progress", "new"]
    page.keyboard.press("Escape")
    expect(page.locator("[data-many]")).to_be_hidden()


def test_keys_act_on_the_row_one_stands_on(tienda, carol, three, browse) -> None:
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/?view=all&as=list")
    page.keyboard.press("j")
    page.keyboard.press("1")
    expect(page.locator(".toast").last).to_contain_text("1 incident: accepted")
    expect(page.locator("tr[data-row='1']")).to_contain_text("Triaged")
    page.keyboard.press("m")
    expect(page.locator("tr[data-row='1']")).to_contain_text("Carol")
    page.keyboard.press("Enter")
    page.wait_for_url("**/triage/1/*")


def test_a_thousand_at_once_show_their_progress(tienda, carol, browse) -> None:
    at = tienda.created_at
    Incident.objects.bulk_create(
        Incident(workspace=tienda, number=n, title=f"Number {n}", kind="bug", opened_at=at, cycle_started_at=at)
        for n in range(1, 251)
    )
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/?view=all&as=list")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.locator("[data-many-all]").click()
    expect(page.locator("[data-many-count]")).to_have_text("250")
    page.evaluate(
        "window.seen = []; new MutationObserver(() => window.seen.push(document.querySelector('[data-many] progress').value))"
        ".observe(document.querySelector('[data-many] progress'), {attributes: true})"
    )
    page.locator("[data-verb=accept]").click()
    expect(page.locator(".toast").last).to_contain_text("250 incidents: accepted")
    assert page.evaluate("window.seen.some((value) => value > 0 && value < 1)")
    assert Incident.objects.filter(status="triaged").count() == 250


def test_a_card_is_dragged_or_moved_by_keys(tienda, carol, three, browse) -> None:
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/?view=all&as=board")
    page.locator(".board-card[data-row='1']").drag_to(page.locator("[data-column=triaged]"))
    expect(page.locator("[data-column=triaged] .board-card")).to_contain_text("One")
    page.locator(".board-card[data-row='2']").focus()
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("[data-column=triaged] .board-card")).to_have_count(2)
    page.keyboard.press("v")
    expect(page.locator("dialog[open]")).to_contain_text("Move to")
    page.locator("dialog[open]").get_by_text("Start work").click()
    expect(page.locator("[data-column=in_progress] .board-card")).to_have_count(1)
    assert sorted(statuses(three)) == ["in_progress", "new", "triaged"]


def test_dropping_where_it_needs_words_asks_for_them(tienda, carol, three, browse) -> None:
    three[0].accept(carol)
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/?view=all&as=board")
    page.locator(".board-card[data-row='1']").drag_to(page.locator("[data-column=resolved]"))
    expect(page.locator("dialog[open]")).to_contain_text("Which release carries the fix?")
    page.keyboard.press("Escape")
    page.locator(".board-card[data-row='2']").drag_to(page.locator("[data-column=resolved]"))
    page.wait_for_timeout(300)
    assert statuses(three) == ["triaged", "new", "new"]


def test_the_query_line_completes_and_searches(tienda, carol, three, browse) -> None:
    three[0].accept(carol)
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/?view=all")
    page.keyboard.press("/")
    page.keyboard.type("stat")
    expect(page.locator("#query-options [role=option]").first).to_contain_text("status:")
    page.keyboard.press("Tab")
    expect(page.locator("[data-query]")).to_have_value("status:")
    page.keyboard.type("tri")
    expect(page.locator("#query-options [role=option]").first).to_contain_text("triaged")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("[data-query]")).to_have_value("status:triaged ")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=status*")
    expect(page.locator("[data-row]")).to_have_count(1)
    expect(page.locator(".query-chips .chip")).to_contain_text("status:triaged")
    page.locator(".query-chips a").click()
    expect(page.locator("[data-row]")).to_have_count(3)


def test_a_view_is_saved_and_counted(tienda, carol, three, browse) -> None:
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/?view=all&q=one")
    page.get_by_role("link", name="Save view").click()
    page.locator("dialog[open] #id_name").fill("Ones")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**?view={SavedView.objects.get().pk if SavedView.objects.exists() else '*'}")
    tab = page.locator(".list-chips .chip", has_text="Ones")
    expect(tab).to_have_attribute("aria-current", "true")
    expect(tab.locator(".chip-count")).to_have_text("1")


def test_whoever_comes_second_sees_what_the_first_did(tienda, carol, alice, three, browse) -> None:
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/1/?view=all")
    page.keyboard.press("3")
    page.locator("dialog[open] textarea").fill("Not ours")
    three[0].assign(alice, alice)
    page.keyboard.press("Control+Enter")
    expect(page.locator("dialog[open] [role=alert]")).to_contain_text("Alice assigned it to Alice")
    expect(page.locator("dialog[open] textarea")).to_have_value("Not ours")
    page.keyboard.press("Control+Enter")
    expect(page.locator("dialog[open]")).to_have_count(0)
    assert statuses(three)[0] == "declined"


@pytest.mark.parametrize("layout", ["list", "board"])
def test_another_persons_change_comes_without_losing_place(layout, tienda, carol, alice, three, browse) -> None:
    page = browse(carol)
    page.goto(f"/w/{tienda.slug}/triage/?view=all&as={layout}")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    three[0].assign(alice, alice)
    expect(page.locator("[data-row='1']")).to_contain_text("Alice", timeout=7_000)
    expect(page.locator("[data-row='2']")).to_have_attribute("aria-current", "true")
    expect(page.locator("[data-many-count]")).to_have_text("1")


def test_on_a_phone_a_card_is_moved_by_its_page(tienda, carol, three, browse) -> None:
    page = browse(carol, phone=True)
    page.goto(f"/w/{tienda.slug}/triage/?view=all&as=board")
    page.locator(".board-card[data-row='1']").click()
    page.wait_for_url("**/triage/1/*")
    page.get_by_role("button", name="Accept").click()
    expect(page.locator("#detail .eyebrow")).to_contain_text("Triaged")
