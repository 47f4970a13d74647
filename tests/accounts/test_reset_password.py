from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.test import Client

pytestmark = pytest.mark.django_db
NEW = "another horse battery"


def ask(email: str, **more):
    return Client().post("/password/reset/", {"email": email}, **more)


def link(mailoutbox) -> str:
    return re.search(r"http\S+", mailoutbox[-1].body)[0]


def path(mailoutbox) -> str:
    return link(mailoutbox).removeprefix(settings.BASE_URL)


def test_known_and_unknown_get_the_same_page(alice, mailoutbox):
    known, unknown = ask("alice@example.com"), ask("nobody@example.com")
    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    assert [mail.to for mail in mailoutbox] == [["alice@example.com"], ["nobody@example.com"]]
    assert "/password/reset/key/" not in mailoutbox[1].body


def test_link_changes_the_password_once_and_ends_sessions(alice, as_, mailoutbox):
    old_session = as_(alice)
    ask("alice@example.com")
    client = Client()
    form = client.get(path(mailoutbox), follow=True)
    assert form.status_code == 200
    done = client.post(form.redirect_chain[-1][0], {"password1": NEW, "password2": NEW})
    assert done.status_code == 302
    alice.refresh_from_db()
    assert alice.check_password(NEW)
    assert old_session.get("/me/").status_code == 302
    assert Client().get(path(mailoutbox), follow=True).status_code == 404


def test_the_key_leaves_the_address(alice, mailoutbox):
    ask("alice@example.com")
    response = Client().get(path(mailoutbox))
    assert response["Location"].endswith("-set-password/")


@pytest.mark.parametrize("key", ["1-abc", "zzzz-xyz", "1-" + "a" * 900, "0-%00"])
def test_garbage_is_a_calm_404(key):
    response = Client().get(f"/password/reset/key/{key}/")
    assert response.status_code == 404
    assert "This link is over" in response.content.decode()


def test_the_mail_only_names_base_url(alice, mailoutbox):
    ask("alice@example.com", headers={"Host": "127.0.0.1:9999", "X-Forwarded-Host": "evil.test"})
    assert link(mailoutbox).startswith(f"{settings.BASE_URL}/password/reset/key/")
    assert "9999" not in mailoutbox[0].body
    assert "evil" not in mailoutbox[0].body


def test_a_foreign_host_is_refused(alice, mailoutbox):
    assert ask("alice@example.com", headers={"Host": "evil.test"}).status_code == 400
    assert not mailoutbox


def test_sixth_mail_in_a_minute_waits(alice, mailoutbox):
    answers = [ask("alice@example.com").status_code for _ in range(6)]
    assert answers == [302] * 5 + [429]
    assert len(mailoutbox) == 5


def test_a_mail_server_that_is_away_changes_nothing_seen(alice, monkeypatch):
    def away(self, fail_silently=False):
        raise ConnectionRefusedError

    monkeypatch.setattr("django.core.mail.EmailMessage.send", away)
    assert ask("alice@example.com").status_code == 302
