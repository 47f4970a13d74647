from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiToken, Membership
from tests import make

pytestmark = pytest.mark.django_db


def url(name: str, workspace, *args) -> str:
    return reverse(f"accounts:{name}", args=[workspace.slug, *args])


def of(user) -> Membership:
    return user.memberships.get()


def test_everybody_sees_the_people_and_only_leads_the_forms(tienda, alice, bob, as_):
    assert "alice@example.com" in as_(bob).get(url("people", tienda)).content.decode()
    assert "Invite" not in as_(bob).get(url("people", tienda)).content.decode()
    assert "Invite" in as_(alice).get(url("people", tienda)).content.decode()


def test_outsider_gets_404(tienda, bob, mallory, as_):
    assert as_(mallory).get(url("people", tienda)).status_code == 404
    assert as_(mallory).post(url("remove", tienda, of(bob).pk)).status_code == 404
    assert Client().get(url("people", tienda)).status_code == 302


def test_a_foreign_member_of_one_s_own_address_is_404(tienda, alice, mallory, as_):
    for name in ("remove", "change_role"):
        assert as_(alice).post(url(name, tienda, of(mallory).pk), {"role": "viewer"}).status_code == 404
    assert as_(alice).get(url("member", tienda, of(mallory).pk)).status_code == 404
    assert of(mallory).role == "owner"


def test_manager_changes_a_role(tienda, alice, bob, as_):
    assert as_(alice).post(url("change_role", tienda, of(bob).pk), {"role": "pm"}).status_code == 302
    assert of(bob).role == "pm"


@pytest.mark.parametrize("role", ["agent", "pm", "marketer", "viewer"])
def test_others_change_nothing(tienda, alice, as_, role):
    client = as_(make.member(tienda, role))
    for name, args in (("remove", [of(alice).pk]), ("change_role", [of(alice).pk]), ("invite", [])):
        assert client.post(url(name, tienda, *args), {"role": "viewer", "email": "x@example.com"}).status_code == 403
    assert of(alice).role == "manager"


def test_manager_neither_makes_nor_touches_an_owner(tienda, owner, alice, bob, as_):
    client = as_(alice)
    assert client.post(url("change_role", tienda, of(bob).pk), {"role": "owner"}).status_code == 403
    assert client.post(url("change_role", tienda, of(alice).pk), {"role": "owner"}).status_code == 403
    assert client.post(url("change_role", tienda, of(owner).pk), {"role": "viewer"}).status_code == 403
    assert client.post(url("remove", tienda, of(owner).pk)).status_code == 403
    assert client.get(url("member", tienda, of(owner).pk)).status_code == 403
    assert (of(owner).role, of(bob).role) == ("owner", "agent")


def test_unknown_role_changes_nothing(tienda, alice, bob, as_):
    assert as_(alice).post(url("change_role", tienda, of(bob).pk), {"role": "root"}).status_code == 400
    assert of(bob).role == "agent"


def test_the_last_owner_stays(tienda, owner, as_):
    client = as_(owner)
    for name in ("remove", "change_role"):
        response = client.post(url(name, tienda, of(owner).pk), {"role": "viewer"})
        assert response.status_code == 409
        assert "keeps at least one owner" in response.content.decode()
    assert of(owner).role == "owner"


def test_removed_person_is_out_with_session_and_tokens(tienda, alice, bob, as_):
    session, text = as_(bob), make.token(bob, tienda)
    as_(alice).post(url("remove", tienda, of(bob).pk))
    assert session.get(url("people", tienda)).status_code == 404
    assert ApiToken.objects.authenticate(text, timezone.now()) is None


def test_who_removes_themselves_goes_home(tienda, alice, as_):
    assert as_(alice).post(url("remove", tienda, of(alice).pk))["Location"] == reverse("home")


@pytest.mark.django_db(transaction=True)
def test_two_owners_leaving_at_once_leave_one(tienda, owner, as_, at_once):
    second = make.member(tienda, "owner")
    clients = [as_(owner), as_(second)]
    targets = [of(owner).pk, of(second).pk]
    turn = iter(zip(clients, targets, strict=True))

    def leave():
        client, target = next(turn)
        return client.post(url("remove", tienda, target)).status_code

    assert sorted(at_once(2, leave)) == [302, 409]
    assert tienda.memberships.filter(role="owner").count() == 1


def test_the_page_costs_the_same_for_many(tienda, alice, as_, django_assert_max_num_queries):
    for _n in range(20):
        make.member(tienda, "viewer")
    client = as_(alice)
    client.get(url("people", tienda))
    with django_assert_max_num_queries(9):
        client.get(url("people", tienda))


def test_changes_are_posts_only(tienda, alice, bob, as_):
    assert as_(alice).get(url("invite", tienda)).status_code == 302  # what a reload leads to
    for name, args in (("remove", [of(bob).pk]), ("change_role", [of(bob).pk])):
        assert as_(alice).get(url(name, tienda, *args)).status_code == 405
