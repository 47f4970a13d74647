from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from tests import make

pytestmark = pytest.mark.django_db


def sign_in(client: Client, email: str, password: str = make.PASSWORD, **more: str):
    return client.post("/sign-in/", {"login": email, "password": password, **more})


def body(response) -> str:
    text = re.sub(r'name="csrfmiddlewaretoken" value="\w+"|"X-CSRFToken": "\w+"', "", response.content.decode())
    return re.sub(r"[\w.]+@[\w.]+", "", text)


def test_right_password_opens_the_hub(alice):
    client = Client()
    response = sign_in(client, "ALICE@example.com")
    assert (response.status_code, response["Location"]) == (302, reverse("home"))
    assert client.get("/me/").status_code == 200


def test_the_form_names_what_password_managers_need():
    text = Client().get("/sign-in/").content.decode()
    assert 'autocomplete="username"' in text
    assert 'autocomplete="current-password"' in text
    assert reverse("account_reset_password") in text


def test_unknown_person_and_wrong_password_get_the_same_answer(alice):
    unknown = sign_in(Client(), "nobody@example.com", "not the password")
    wrong = sign_in(Client(), "alice@example.com", "not the password")
    assert unknown.status_code == wrong.status_code
    assert body(unknown) == body(wrong)
    assert "E-mail or password is wrong." in body(wrong)


def test_an_unknown_person_costs_a_hash_too(alice, monkeypatch):
    hashed = []
    monkeypatch.setattr("accounts.models.User.set_password", lambda self, given: hashed.append(given))
    sign_in(Client(), "nobody@example.com", "not the password")
    assert hashed == ["not the password"]


def test_eleventh_wrong_password_waits(alice, bob):
    answers = [sign_in(Client(), "alice@example.com", f"wrong {n}") for n in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert answers[-1]["Retry-After"] == "300"
    assert "Too many tries" in answers[-1].content.decode()
    assert sign_in(Client(), "alice@example.com").status_code == 429
    assert sign_in(Client(), "bob@example.com").status_code == 302


def test_a_made_up_forwarded_address_does_not_help(alice):
    for n in range(10):
        Client().post(
            "/sign-in/", {"login": "alice@example.com", "password": "x"}, headers={"X-Forwarded-For": f"10.0.0.{n}"}
        )
    last = Client().post(
        "/sign-in/", {"login": "alice@example.com", "password": "x"}, headers={"X-Forwarded-For": "10.9.9.9"}
    )
    assert last.status_code == 429


@pytest.mark.parametrize(
    "evil",
    [
        "//evil.test",
        "///evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "https:evil.test",
        "https://evil.test/",
        "\t//evil.test",
        "http://127.0.0.1@evil.test/",
        "javascript:alert(1)",
        "data:text/html,x",
    ],
)
def test_next_never_leaves_the_hub(alice, evil):
    assert sign_in(Client(), "alice@example.com", next=evil)["Location"] == reverse("home")
    assert as_query(evil)["Location"] == reverse("home")


def as_query(evil: str):
    client = Client()
    return client.post(
        f"{reverse('account_login')}",
        {"login": "alice@example.com", "password": make.PASSWORD},
        query_params={"next": evil},
    )


def test_next_inside_the_hub_is_followed(alice, tienda):
    page = reverse("accounts:people", args=[tienda.slug])
    assert sign_in(Client(), "alice@example.com", next=page)["Location"] == page


def test_signing_in_changes_the_session_id(alice):
    client = Client()
    client.session.save()
    before = client.session.session_key
    client.cookies["sid"] = before
    sign_in(client, "alice@example.com")
    assert client.cookies["sid"].value != before


def test_sign_out_asks_on_get_and_ends_on_post(alice, as_):
    client = as_(alice)
    assert "Sign out?" in client.get("/sign-out/").content.decode()
    assert client.get("/me/").status_code == 200
    key = client.cookies["sid"].value
    client.post("/sign-out/")
    thief = Client()
    thief.cookies["sid"] = key
    assert thief.get("/me/").status_code == 302


def test_nobody_signs_up():
    assert Client().get("/sign-up/").status_code == 403
    assert Client().post("/sign-up/", {"email": "x@example.com", "password1": make.PASSWORD}).status_code == 403


def test_switched_off_account_stays_outside(alice):
    alice.is_active = False
    alice.save()
    client = Client()
    assert sign_in(client, "alice@example.com")["Location"] == reverse("account_inactive")
    assert client.get("/me/").status_code == 302
    assert client.get("/inactive/").status_code == 200


def test_pages_are_kept_nowhere(alice, as_):
    assert "no-store" in as_(alice).get("/me/")["Cache-Control"]
    assert "no-store" in Client().get("/sign-in/")["Cache-Control"]
