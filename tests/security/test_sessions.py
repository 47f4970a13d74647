"""Sessions, sign-in, CSRF, redirects, and what the logs may know."""

from __future__ import annotations

import logging
import re
import statistics
import time
from datetime import timedelta
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core import mail
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from accounts import mail as our_mail
from accounts.models import Invitation, User
from productops.lib import logs, tokens
from tests import make
from tests.security import world as worlds
from tests.security.conftest import address, browser

pytestmark = pytest.mark.django_db
SIGN_IN = "/sign-in/"
WRONG = "wrong horse battery"


def sign_in(client: Client, email: str, password: str = make.PASSWORD, **more: Any) -> Any:
    return client.post(SIGN_IN, {"login": email, "password": password, **more})


@pytest.fixture
def person() -> User:
    return make.member(make.workspace("Tienda"), "owner", f"someone-{tokens._random(6).lower()}@example.com")


# Cookies and sessions.


def test_flags_of_the_cookies(person):
    client = browser()
    response = sign_in(client, person.email)
    cookie = response.cookies[settings.SESSION_COOKIE_NAME]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/"
    assert not cookie["domain"]
    csrf = client.cookies.get(settings.CSRF_COOKIE_NAME)
    assert csrf is None or csrf["httponly"]


def test_the_session_id_changes_at_sign_in(person):
    client = browser()
    session = client.session
    session["planted"] = 1
    session.save()
    planted = client.cookies[settings.SESSION_COOKIE_NAME].value
    sign_in(client, person.email)
    assert client.cookies[settings.SESSION_COOKIE_NAME].value != planted
    thief = browser()
    thief.cookies[settings.SESSION_COOKIE_NAME] = planted
    assert thief.get("/me/").status_code == 302


def test_sign_out_ends_the_session_at_the_server(person):
    client = browser()
    sign_in(client, person.email)
    kept = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert client.get(reverse("account_logout")).status_code in {200, 302}
    assert client.get("/me/").status_code == 200, "a link must not sign anybody out"
    client.post(reverse("account_logout"))
    thief = browser()
    thief.cookies[settings.SESSION_COOKIE_NAME] = kept
    assert thief.get("/me/").status_code == 302
    assert not Session.objects.filter(session_key=kept).exists()


@pytest.mark.parametrize(
    ("steps", "still_in"),
    [
        ([timedelta(hours=11)], True),
        ([timedelta(hours=13)], False),
        ([timedelta(hours=11)] * 3, True),
        ([timedelta(hours=11)] * 30, True),
        ([timedelta(hours=11)] * 31, False),
    ],
)
def test_idle_and_absolute_age(person, steps, still_in):
    client, now = browser(person), timezone.now()
    with mock.patch("accounts.middleware.timezone.now") as clock:
        clock.return_value = now
        assert client.get("/me/").status_code == 200
        for step in steps:
            now += step
            clock.return_value = now
            response = client.get("/me/")
    assert response.status_code == (200 if still_in else 302)


def test_an_open_page_that_asks_by_itself_keeps_nobody_in(person):
    client, now = browser(person), timezone.now()
    with mock.patch("accounts.middleware.timezone.now") as clock:
        clock.return_value = now
        assert client.get("/me/").status_code == 200
        for _hour in range(12):
            now += timedelta(hours=1)
            clock.return_value = now
            assert client.get("/me/", HTTP_X_BACKGROUND="1").status_code == 200
        clock.return_value = now + timedelta(minutes=1)
        assert client.get("/me/").status_code == 302


def test_a_changed_password_ends_the_other_sessions(person):
    here, there = browser(person), browser(person)
    assert there.get("/me/").status_code == 200
    given = {"current": make.PASSWORD, "new": "another correct horse"}
    assert here.post(reverse("accounts:change_password"), given).status_code == 302
    assert here.get("/me/").status_code == 200
    assert there.get("/me/").status_code == 302


def test_what_outlives_the_session_asks_the_password(person):
    client = browser(person)
    membership = person.memberships.get().pk
    for name, given in (
        ("accounts:change_password", {"new": "another correct horse"}),
        ("accounts:issue_token", {"name": "x", "workspace": membership}),
    ):
        for current in ("", WRONG):
            assert client.post(reverse(name), {**given, "current": current}).status_code == 400
    person.refresh_from_db()
    assert person.check_password(make.PASSWORD)
    assert not person.memberships.get().tokens.exists()


def test_switched_off_people_are_out(person):
    client = browser(person)
    assert client.get("/me/").status_code == 200
    User.objects.filter(pk=person.pk).update(is_active=False)
    assert client.get("/me/").status_code == 302
    assert sign_in(browser(), person.email).status_code != 302 or browser().get("/me/").status_code == 302


# CSRF.


def test_pages_want_their_token(world):
    client = browser(world.owner, enforce_csrf_checks=True)
    slug, number = world.workspace.slug, world.incidents[0].number
    for path in (
        f"/w/{slug}/triage/{number}/accept/",
        f"/w/{slug}/log/",
        "/me/",
        "/me/tokens/",
        "/sign-out/",
        SIGN_IN,
        f"/w/{slug}/people/invite/",
        f"/w/{slug}/data/keys/{world.key.pk}/rotate/",
    ):
        for content_type in ("application/x-www-form-urlencoded", "text/plain", "application/json"):
            assert client.post(path, '{"text": "x"}', content_type=content_type).status_code == 403, path
    world.incidents[0].refresh_from_db()
    assert world.incidents[0].status == "new"


def test_the_token_must_be_ours_and_from_here(world):
    client = browser(world.owner, enforce_csrf_checks=True)
    path = f"/w/{world.workspace.slug}/triage/report/"
    page = client.get(path).content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]
    given = {"title": "By form", "kind": "bug", "csrfmiddlewaretoken": token}
    assert client.post(path, given, headers={"Origin": "https://evil.test"}).status_code == 403
    assert client.post(path, given, headers={"Origin": "null"}).status_code == 403
    other = browser(world.people["pm"], enforce_csrf_checks=True)
    assert other.post(path, given).status_code == 403
    assert client.post(path, given).status_code == 302


def test_the_api_needs_no_csrf_and_takes_no_cookie(world):
    client = browser(world.owner, enforce_csrf_checks=True)
    body = {"text": "By cookie"}
    assert client.post("/api/v1/complaints", body, content_type="application/json").status_code == 401
    token = worlds.token_of(world.owner, world.workspace)
    stranger = browser(enforce_csrf_checks=True)
    bearer = {"Authorization": f"Bearer {token}"}
    made = stranger.post("/api/v1/complaints", body, content_type="application/json", headers=bearer)
    assert made.status_code == 201


# Hosts and redirects.


@pytest.mark.parametrize(
    "host", ["evil.test", "127.0.0.1.evil.test", "127.0.0.1@evil.test", "evil.test:80", "[::2]", "a/b"]
)
def test_other_hosts_are_refused(host):
    for path in ("/", SIGN_IN, "/api/v1/incidents", "/password/reset/", "/live"):
        assert Client().get(path, headers={"Host": host}).status_code == 400


def test_mails_name_only_the_hub(person):
    client = browser()
    with override_settings(BASE_URL="https://hub.example.com"):
        client.post("/password/reset/", {"email": person.email}, headers={"X-Forwarded-Host": "evil.test"})
        assert (
            client.post("/password/reset/", {"email": person.email}, headers={"Host": "evil.test"}).status_code == 400
        )
    (sent,) = mail.outbox
    links = re.findall(r"\w+://[^\s/]+", sent.body)
    assert links
    assert set(links) == {"https://hub.example.com"}
    assert "evil" not in sent.body + sent.subject


@pytest.mark.parametrize(
    "next_",
    [
        "//evil.test",
        "/\\evil.test",
        "https:evil.test",
        "https://evil.test/",
        "\t//evil.test",
        "///evil.test",
        "https://127.0.0.1@evil.test",
        "javascript:alert(1)",
        "http:///evil.test",
        "/%09/evil.test",
        "\\\\evil.test",
        "data:text/html,x",
        "//evil.test\\@127.0.0.1",
        "https:/\\evil.test",
        "\x00//evil.test",
        "/..//evil.test",
    ],
)
def test_next_stays_here(person, next_):
    client = browser()
    response = sign_in(client, person.email, next=next_)
    to = urlsplit(response["Location"])
    assert response.status_code == 302
    assert not to.scheme
    assert not to.netloc
    assert response["Location"].startswith("/")
    assert not response["Location"].startswith(("//", "/\\"))
    signed_in = browser(person).get(SIGN_IN, {"next": next_})
    assert not urlsplit(signed_in.get("Location", "/")).netloc
    assert "\\" not in signed_in.get("Location", "/")[:3]


def test_next_within_the_hub_works(person):
    response = sign_in(browser(), person.email, next="/me/")
    assert response["Location"] == "/me/"


# Limits and what sign-in gives away.


def test_the_eleventh_wrong_password(person):
    client = browser()
    answers = [sign_in(client, person.email, WRONG) for _ in range(10)]
    assert {answer.status_code for answer in answers} == {200}
    eleventh = sign_in(client, person.email, WRONG)
    assert eleventh.status_code == 429
    assert eleventh["Retry-After"] == "300"
    assert "accounts/too_many.html" in [template.name for template in eleventh.templates]
    # Neither a new address nor the right password gets round it, nor does a made-up proxy.
    assert sign_in(browser(), person.email, WRONG).status_code == 429
    assert sign_in(browser(), person.email).status_code == 429
    assert (
        browser()
        .post(SIGN_IN, {"login": person.email, "password": WRONG}, headers={"X-Forwarded-For": address()})
        .status_code
        == 429
    )
    assert sign_in(browser(), person.email.upper(), WRONG).status_code == 429


def test_other_accounts_are_not_held_up(person):
    other = make.user(f"other-{tokens._random(6).lower()}@example.com")
    client = browser()
    for _ in range(11):
        sign_in(client, person.email, WRONG)
    assert sign_in(client, other.email).status_code == 302
    assert sign_in(browser(), other.email).status_code == 302


def test_one_address_cannot_try_many_accounts():
    client = browser()
    found = [sign_in(client, f"guess{n}-{tokens._random(6).lower()}@example.com", WRONG).status_code for n in range(35)]
    assert found[:30] == [200] * 30
    assert found[30:] == [429] * 5


def test_guessing_the_current_password_is_limited(person):
    client = browser(person)
    found = [
        client.post(reverse("accounts:change_password"), {"current": WRONG, "new": "x"}).status_code for _ in range(40)
    ]
    assert found[0] == 400
    assert found[-1] == 429
    person.refresh_from_db()
    assert person.check_password(make.PASSWORD)


def test_unknown_person_and_wrong_password_are_told_alike(slow_passwords, person):
    off = make.user(f"off-{tokens._random(6).lower()}@example.com", is_active=False)
    emails = {"known": person.email, "off": off.email, "unknown": f"nobody-{tokens._random(6).lower()}@example.com"}
    bodies: dict[str, set[tuple[int, bytes]]] = {}
    times: dict[str, list[float]] = {}
    for _ in range(5):
        for who, email in emails.items():
            began = time.perf_counter()
            response = sign_in(browser(), email, WRONG)
            times.setdefault(who, []).append(time.perf_counter() - began)
            text = re.sub(rb"[0-9A-Za-z]{64}", b"", response.content).replace(email.encode(), b"")
            bodies.setdefault(who, set()).add((response.status_code, text))
    assert len(bodies["known"]) == 1
    assert bodies["known"] == bodies["unknown"] == bodies["off"]
    middle = {who: statistics.median(found) for who, found in times.items()}
    # A hash is made for nobody too; without it the unknown would be several times faster.
    assert 0.5 < middle["unknown"] / middle["known"] < 2


def test_a_reset_tells_nothing(person):
    answers = set()
    for email in (person.email, f"nobody-{tokens._random(6).lower()}@example.com"):
        response = browser().post("/password/reset/", {"email": email}, follow=True)
        text = re.sub(rb"[0-9A-Za-z]{64}", b"", response.content).replace(email.encode(), b"")
        answers.add((response.status_code, text))
        assert b"/password/reset/key/" not in response.content
    assert len(answers) == 1
    assert len(mail.outbox) == 2


# Invitations.


def test_an_invitation_works_once(world):
    guest = browser()
    path = f"/invitation/{world.invitation_text}/"
    given = {"name": "Guest", "password": "a new correct horse", "zone": "UTC"}
    assert guest.post(path, given).status_code == 302
    assert browser().get(path).status_code == 404
    assert browser().post(path, given).status_code == 404
    assert User.objects.filter(email=world.invitations[-1].email).count() == 1


@pytest.mark.parametrize("spoiled", ["revoked", "expired", "other mail", "tampered"])
def test_spoiled_invitations(spoiled, world, elsewhere):
    text, invitation = world.invitation_text, world.invitations[-1]
    if spoiled == "revoked":
        invitation.revoke()
    elif spoiled == "expired":
        Invitation.objects.filter(pk=invitation.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    elif spoiled == "tampered":
        text = tokens.Token("inv", invitation.token_id, "a" * 43).text
    client = browser(elsewhere.owner if spoiled == "other mail" else None)
    before = world.workspace.memberships.count()
    response = client.post(f"/invitation/{text}/", {"name": "x", "password": "a new correct horse"})
    assert response.status_code == (200 if spoiled == "other mail" else 404)
    assert world.workspace.memberships.count() == before


# Logs.


def test_secrets_do_not_reach_the_logs(world, caplog):
    caplog.set_level(logging.DEBUG)
    secret = "canary-Passw0rd-7f3a"
    token = worlds.token_of(world.owner, world.workspace)
    client = browser(world.owner, raise_request_exception=False)
    sign_in(browser(), world.owner.email, secret)
    sign_in(browser(), secret + "@example.com", secret)
    client.post(reverse("accounts:change_password"), {"current": secret, "new": secret})
    client.post(reverse("accounts:issue_token"), {"current": secret, "name": "x"})
    client.post(f"/invitation/{world.invitation_text}/", {"name": "x", "password": secret})
    client.get(f"/invitation/{world.invitation_text}x/")
    browser().post(f"/invitation/{world.invitation_text}/", {"name": "x", "password": "short"})
    bearer = {"Authorization": f"Bearer {token}"}
    browser().get("/api/v1/incidents", headers=bearer)
    browser().get("/api/v1/nothing", headers=bearer)
    browser().post("/api/v1/complaints", {"text": "x" * 2_000_000}, content_type="application/json", headers=bearer)
    with mock.patch("incidents.queue.page", side_effect=RuntimeError("broken")):
        client.get(reverse("incidents:index", args=[world.workspace.slug]))
    with mock.patch("accounts.models.ApiTokenManager.authenticate", side_effect=RuntimeError("broken")):
        browser(raise_request_exception=False).get("/api/v1/incidents", headers=bearer)
    shown = logs.MaskSecrets()
    said = []
    for record in caplog.records:
        if record.name.startswith("django.db"):
            continue
        shown.filter(record)
        said.append(logging.Formatter().format(record))
    text = "\n".join(said)
    assert "broken" in text  # something was logged at all
    assert secret not in text
    assert token not in text
    assert token[-20:] not in text
    assert world.invitation_text not in text
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert cookie not in text


@pytest.mark.parametrize(
    "line",
    ["Authorization: Bearer {}", "basic {}", "GET /x?sentry_key={}", "password={}", "password: {}", "'password': '{}'"],
)
def test_masking(line):
    secret = "s3cr3t-canary-value"
    record = logging.LogRecord("x", logging.INFO, "", 0, line.format("%s"), (secret,), None)
    assert logs.MaskSecrets().filter(record)
    assert secret not in record.getMessage()


@pytest.mark.parametrize("kind", ["pat", "svc", "inv"])
def test_masking_of_our_tokens(kind):
    token = tokens.issue(kind)
    record = logging.LogRecord("x", logging.INFO, "", 0, f"Not Found: /invitation/{token.text}/", None, None)
    logs.MaskSecrets().filter(record)
    assert token.secret not in record.getMessage()
    assert token.text[-6:] not in record.getMessage()
    assert f"po_{kind}_" in record.getMessage()


def test_mail_headers_cannot_be_broken_out_of(world):
    """A name with a line break is one line in the subject, so no header of its own."""
    world.workspace.name = "Evil\r\nBcc: victim@example.com"
    world.workspace.save()
    invitation, text = Invitation.objects.send(world.workspace, "guest@example.com", "agent", world.owner)
    invitation.workspace = world.workspace
    our_mail.invite(invitation, text)
    sent = mail.outbox[-1]
    assert "\n" not in sent.subject
    assert sent.recipients() == ["guest@example.com"]
    assert "Bcc" not in sent.message()
