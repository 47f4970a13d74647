"""Views one keeps: own and shared, where a role begins, and nobody else's."""

from __future__ import annotations

import pytest
from django.urls import reverse

from incidents.models import SavedView
from tests import make

HX = {"HTTP_HX_REQUEST": "true"}


def save(client, workspace, name="Worst", **data):
    body = {"name": name, "query": "severity:>=high", "layout": "list", **data}
    return client.post(reverse("incidents:save_view", args=[workspace.slug]), body, **HX)


def test_a_view_is_kept_and_shown_with_its_layout(tienda, carol, as_) -> None:
    client = as_(carol)
    answer = save(client, tienda)
    view = SavedView.objects.get()
    assert answer["HX-Redirect"].endswith(f"?view={view.pk}")
    page = client.get(answer["HX-Redirect"]).content.decode()
    assert 'data-list="list"' in page
    assert 'value="severity:&gt;=high"' in page
    assert "Edit view" in page
    assert 'class="dot"' not in page


def test_a_changed_query_shows_a_dot_and_updates_the_view(tienda, carol, as_) -> None:
    client = as_(carol)
    save(client, tienda)
    view = SavedView.objects.get()
    page = client.get(f"/w/{tienda.slug}/triage/?view={view.pk}&q=severity:critical&as=list").content.decode()
    assert 'class="dot"' in page
    assert "Update view" in page
    address = reverse("incidents:change_view", args=[tienda.slug, view.pk])
    asked = client.get(f"{address}?q=severity:critical&as=list", **HX).content.decode()
    assert 'value="severity:critical"' in asked
    client.post(address, {"name": "Worst", "query": "severity:critical", "layout": "list"}, **HX)
    view.refresh_from_db()
    assert view.query == "severity:critical"


def test_the_base_stays_when_the_query_changes(tienda, carol, as_) -> None:
    page = as_(carol).get(f"/w/{tienda.slug}/triage/?view=open&q=is:open+kind:bug").content.decode()
    assert 'class="dot"' in page
    assert 'name="view" value="open"' in page


def test_own_views_are_nobody_elses_and_shared_ones_everybodys(tienda, carol, alice, as_) -> None:
    save(as_(carol), tienda, "Own")
    save(as_(carol), tienda, "Shared", is_shared="on")
    page = as_(alice).get(f"/w/{tienda.slug}/triage/").content.decode()
    assert "Shared" in page
    assert ">Own<" not in page
    own = SavedView.objects.get(name="Own")
    assert as_(alice).get(reverse("incidents:change_view", args=[tienda.slug, own.pk])).status_code == 404


def test_an_agent_keeps_own_views_but_shares_and_changes_none(tienda, carol, bob, as_) -> None:
    save(as_(bob), tienda, "Bob's", is_shared="on")
    assert SavedView.objects.get(name="Bob's").is_shared is False
    save(as_(carol), tienda, "Shared", is_shared="on")
    shared = SavedView.objects.get(name="Shared")
    for name in ("change_view", "remove_view"):
        assert as_(bob).post(reverse(f"incidents:{name}", args=[tienda.slug, shared.pk]), **HX).status_code == 409
    shared.refresh_from_db()


def test_a_role_begins_where_its_view_says(tienda, carol, alice, as_) -> None:
    save(as_(alice), tienda, "Morning", role="pm")
    view = SavedView.objects.get()
    assert (view.is_shared, view.role) == (True, "pm")
    assert 'value="severity:&gt;=high"' in as_(carol).get(f"/w/{tienda.slug}/triage/").content.decode()
    assert 'value="is:open"' in as_(alice).get(f"/w/{tienda.slug}/triage/").content.decode()
    save(as_(alice), tienda, "Evening", role="pm")
    view.refresh_from_db()
    assert view.role == ""


def test_a_name_is_used_once_and_needed(tienda, carol, as_) -> None:
    client = as_(carol)
    save(client, tienda)
    again = save(client, tienda).content.decode()
    assert "You have a view of this name." in again
    assert "This field is required." in save(client, tienda, " ").content.decode()
    assert SavedView.objects.count() == 1


def test_removing(tienda, carol, as_) -> None:
    client = as_(carol)
    save(client, tienda)
    view = SavedView.objects.get()
    answer = client.post(reverse("incidents:remove_view", args=[tienda.slug, view.pk]), **HX)
    assert answer["HX-Redirect"] == f"/w/{tienda.slug}/triage/"
    assert not SavedView.objects.exists()
    assert client.get(f"/w/{tienda.slug}/triage/?view={view.pk}").status_code == 200


def test_an_outsider_gets_404(tienda, carol, mallory, as_) -> None:
    save(as_(carol), tienda)
    view = SavedView.objects.get()
    there = mallory.memberships.get().workspace
    for workspace in (tienda, there):
        assert as_(mallory).post(reverse("incidents:remove_view", args=[workspace.slug, view.pk])).status_code == 404
    assert SavedView.objects.exists()


@pytest.mark.parametrize("query", ["status:gone", "[" * 200])
def test_a_view_that_cannot_be_read_shows_why(query, tienda, carol, as_) -> None:
    client = as_(carol)
    save(client, tienda, query=query)
    make.incident(tienda)
    assert client.get(f"/w/{tienda.slug}/triage/?view={SavedView.objects.get().pk}").status_code == 200
    assert client.get(reverse("incidents:counts", args=[tienda.slug])).status_code == 200
