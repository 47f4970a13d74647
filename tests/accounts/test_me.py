from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import ApiToken
from tests import make

pytestmark = pytest.mark.django_db
PROFILE = {"name": "Alice B", "language": "es", "zone": "America/Sao_Paulo", "theme": "dark", "has_shortcuts": ""}
NEW = "another horse battery"


def test_anonymous_is_asked_to_sign_in():
    assert Client().get("/me/")["Location"] == "/sign-in/?next=/me/"


def test_profile_is_saved(alice, as_):
    assert as_(alice).post("/me/", PROFILE).status_code == 302
    alice.refresh_from_db()
    assert (alice.name, alice.language, alice.zone, alice.theme, alice.has_shortcuts) == (
        "Alice B", "es", "America/Sao_Paulo", "dark", False,
    )  # fmt: skip


@pytest.mark.parametrize("wrong", [{"zone": "Mars/Base"}, {"theme": "pink"}, {"language": "xx"}])
def test_impossible_choices_are_refused(alice, as_, wrong):
    assert as_(alice).post("/me/", {**PROFILE, **wrong}).status_code == 400
    alice.refresh_from_db()
    assert alice.name == "Alice"


def test_nothing_else_can_be_set(alice, as_):
    as_(alice).post("/me/", {**PROFILE, "email": "root@example.com", "is_active": "", "id": "1"})
    alice.refresh_from_db()
    assert (alice.email, alice.is_active) == ("alice@example.com", True)


def test_theme_reaches_the_page(alice, as_):
    client = as_(alice)
    client.post("/me/", PROFILE)
    assert 'data-theme="dark"' in client.get("/me/").content.decode()


def test_password_change_keeps_this_session_under_a_new_key_and_ends_others(alice, as_):
    here, there = as_(alice), as_(alice)
    before = here.cookies["sid"].value
    assert here.post("/me/password/", {"current": make.PASSWORD, "new": NEW}).status_code == 302
    assert here.cookies["sid"].value != before
    assert here.get("/me/").status_code == 200
    assert there.get("/me/").status_code == 302


@pytest.mark.parametrize("given", [{"current": "wrong", "new": NEW}, {"current": make.PASSWORD, "new": "short"}])
def test_password_stays_without_the_current_one_or_with_a_weak_new_one(alice, as_, given):
    response = as_(alice).post("/me/password/", given)
    assert response.status_code == 400
    alice.refresh_from_db()
    assert alice.check_password(make.PASSWORD)
    assert NEW not in response.content.decode()


def test_guessing_the_current_password_is_slow(alice, as_):
    client = as_(alice)
    answers = [client.post("/me/password/", {"current": f"w{n}", "new": NEW}).status_code for n in range(11)]
    assert answers[-1] == 429


def issue(client: Client, membership, **more: str):
    given = {"workspace": membership.pk, "name": "CI", "current": make.PASSWORD, **more}
    return client.post("/me/tokens/", given)


def test_token_is_shown_once_and_hashed(alice, as_, tienda):
    client = as_(alice)
    page = issue(client, alice.memberships.get()).content.decode()
    text = page.split('id="token-text">')[1].split("<")[0]
    stored = ApiToken.objects.get()
    assert ApiToken.objects.authenticate(text, stored.created_at) == stored
    assert len(bytes(stored.digest)) == 32
    secret = text.split("_")[3]
    assert secret[:43].encode() not in bytes(stored.digest)
    assert text not in client.get("/me/").content.decode()
    assert all(text not in str(value) for value in client.session.values())


def test_token_needs_the_password(alice, as_):
    assert issue(as_(alice), alice.memberships.get(), current="wrong").status_code == 400
    assert not ApiToken.objects.exists()


def test_token_of_a_foreign_workspace_is_refused(alice, mallory, as_):
    assert issue(as_(alice), mallory.memberships.get()).status_code == 400
    assert not ApiToken.objects.exists()


def test_revoked_token_stops(alice, as_, tienda):
    text = make.token(alice, tienda)
    token = ApiToken.objects.get()
    as_(alice).post(f"/me/tokens/{token.pk}/revoke/")
    assert ApiToken.objects.authenticate(text, token.created_at) is None


def test_nobody_revokes_a_foreign_token(alice, bob, as_, tienda):
    text = make.token(alice, tienda)
    token = ApiToken.objects.get()
    assert as_(bob).post(f"/me/tokens/{token.pk}/revoke/").status_code == 404
    assert ApiToken.objects.authenticate(text, token.created_at)


def test_one_page_costs_few_queries(alice, as_, tienda, django_assert_max_num_queries):
    for _n in range(20):
        make.token(alice, tienda)
    client = as_(alice)
    client.get("/me/")
    with django_assert_max_num_queries(9):
        client.get("/me/")


def test_changes_are_posts_only(alice, as_):
    for path in ("/me/password/", "/me/tokens/", "/me/tokens/1/revoke/"):
        assert as_(alice).get(path).status_code == 405
