from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Invitation, Membership, User
from tests import make

pytestmark = pytest.mark.django_db
NEW = {"name": "Nova", "password": make.PASSWORD, "zone": "Europe/Madrid"}


@pytest.fixture
def invited(tienda, alice) -> str:
    """The link for new@example.com."""
    _invitation, text = Invitation.objects.send(tienda, "new@example.com", "agent", alice)
    return f"/invitation/{text}/"


def test_a_new_person_makes_an_account_and_is_in(invited, tienda):
    client = Client()
    assert "Join Tienda" in client.get(invited).content.decode()
    assert client.post(invited, NEW)["Location"] == reverse("workspace", args=[tienda.slug])
    person = User.objects.get(email="new@example.com")
    assert (person.name, person.zone, person.memberships.get().role) == ("Nova", "Europe/Madrid", "agent")
    assert client.get("/me/").status_code == 200


def test_the_link_works_once(invited):
    Client().post(invited, NEW)
    again = Client().post(invited, NEW)
    assert again.status_code == 404
    assert "This invitation is over" in again.content.decode()
    assert Client().get(invited).status_code == 404
    assert Membership.objects.filter(user__email="new@example.com").count() == 1


def test_looking_accepts_nothing(invited, tienda, as_):
    person = make.user("new@example.com")
    assert "Accept" in as_(person).get(invited).content.decode()
    assert not person.memberships.exists()


def test_a_known_person_signs_in_and_comes_back(invited):
    person = make.user("new@example.com")
    client = Client()
    page = client.get(invited).content.decode()
    assert f"{reverse('account_login')}?next=" in page
    back = client.post("/sign-in/", {"login": person.email, "password": make.PASSWORD, "next": invited})
    assert back["Location"] == invited
    assert client.post(invited).status_code == 302
    assert person.memberships.get().role == "agent"


def test_a_known_person_s_password_is_not_set_by_the_link(invited):
    person = make.user("new@example.com")
    Client().post(invited, {**NEW, "password": "another horse battery"})
    person.refresh_from_db()
    assert person.check_password(make.PASSWORD)
    assert not person.memberships.exists()


def test_another_account_is_told_calmly_and_joins_nothing(invited, mallory, as_, tienda):
    client = as_(mallory)
    for response in (client.get(invited), client.post(invited)):
        assert response.status_code == 200
        assert "mallory@example.com" in response.content.decode()
    assert not tienda.memberships.filter(user=mallory).exists()


@pytest.mark.parametrize("text", ["x", "po_inv_x", "%00", "po_pat_" + "A" * 62, "a" * 5000, "é" * 20])
def test_garbage_gets_the_same_calm_page(text):
    response = Client().get(f"/invitation/{text}/")
    assert response.status_code == 404
    assert "This invitation is over" in response.content.decode()


@pytest.mark.parametrize("change", [{"revoked_at": timezone.now()}, {"expires_at": timezone.now() - timedelta(1)}])
def test_revoked_and_expired_are_over(invited, change):
    Invitation.objects.update(**change)
    assert Client().get(invited).status_code == 404
    assert Client().post(invited, NEW).status_code == 404
    assert not User.objects.filter(email="new@example.com").exists()


@pytest.mark.parametrize(
    "wrong", [{"password": "short"}, {"password": "1234567890"}, {"name": ""}, {"password": "new@example.com"}]
)
def test_weak_passwords_and_empty_names_make_no_account(invited, wrong):
    assert Client().post(invited, {**NEW, **wrong}).status_code == 400
    assert not User.objects.filter(email="new@example.com").exists()


def test_an_unknown_zone_becomes_utc(invited):
    Client().post(invited, {**NEW, "zone": "../etc/passwd"})
    assert User.objects.get(email="new@example.com").zone == "UTC"


def test_the_role_is_the_invited_one(invited):
    Client().post(invited, {**NEW, "role": "owner", "email": "boss@example.com"})
    assert User.objects.get(email="new@example.com").memberships.get().role == "agent"


def test_a_member_keeps_the_role_they_have(invited, tienda, as_):
    person = make.member(tienda, "manager", "new@example.com")
    as_(person).post(invited)
    assert person.memberships.get().role == "manager"


@pytest.mark.django_db(transaction=True)
def test_twenty_clicks_of_a_known_person_join_once(invited, tienda, as_, at_once):
    person = make.user("new@example.com")
    clients = [as_(person) for _ in range(20)]
    turn = iter(clients)
    answers = at_once(20, lambda: next(turn).post(invited).status_code)
    assert sorted(set(answers)) == [302, 404]
    assert answers.count(302) == 1
    assert tienda.memberships.filter(user=person).count() == 1


@pytest.mark.django_db(transaction=True)
def test_twenty_first_visits_make_one_account(invited, tienda, at_once):
    answers = at_once(20, lambda: Client().post(invited, NEW).status_code)
    assert answers.count(302) == 1
    assert set(answers) <= {302, 404, 200}
    assert User.objects.filter(email="new@example.com").count() == 1
    assert tienda.memberships.filter(user__email="new@example.com").count() == 1
