"""Every address × method × person, generated from the resolver and compared with the table in routes.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import access
from accounts.models import ApiToken, Role, User
from metrics.intake import routes as door_routes
from tests.security import world as worlds
from tests.security.conftest import browser
from tests.security.routes import API, DOCUMENTS, METHODS, MINE, PAGES, PUBLIC, address, has_slug, patterns
from tests.security.world import World

ALL = dict(patterns())
INSIDE = sorted(name for name in PAGES if has_slug(name))
WITH_OBJECT = sorted(name for name in INSIDE if set(re.findall(r":(\w+)>", str(ALL[name].pattern))) - {"slug"})
#: What an act may end in: done, asked again, refused with a reason.
FINE = {200, 204, 302, 400, 409}
NOWHERE = 10**9


@contextmanager
def undone() -> Iterator[None]:
    """Whatever the request changed is as it was afterwards."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


_browsers: dict[int, Client] = {}


@pytest.fixture(autouse=True)
def _nobody_is_signed_in_yet() -> None:
    _browsers.clear()


def ask(user: User | None, method: str, path: str, **headers: Any) -> HttpResponse:
    if user and user.pk not in _browsers:
        _browsers[user.pk] = browser(user)
    client = _browsers[user.pk] if user else browser()
    with undone():
        return client.generic(method, path, headers=headers or None)


def body(response: HttpResponse) -> bytes:
    """Without what differs from one answer to the next of the same page."""
    content = b"".join(response.streaming_content) if response.streaming else response.content
    return re.sub(rb"[0-9A-Za-z]{64}", b"", content)


# The tables are complete and true.


def test_every_address_is_in_a_table():
    assert set(ALL) == {*PAGES, *API, *DOCUMENTS}


def test_names_are_unique():
    names = [name for name, _pattern in patterns()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", sorted(PAGES))
def test_page_declares_the_act_of_the_table(name):
    assert getattr(ALL[name].callback, "act", "nothing") == PAGES[name].act


@pytest.mark.parametrize("name", sorted(API))
def test_api_declares_the_acts_of_the_table(name):
    callback = ALL[name].callback
    narrowed = callback.initkwargs.get("http_method_names", callback.cls.http_method_names)
    acts = {method: act for method, act in callback.cls.acts.items() if method.lower() in narrowed}
    assert acts == API[name].acts
    handlers = {m for m in METHODS if m != "HEAD" and m.lower() in narrowed and hasattr(callback.cls, m.lower())}
    assert handlers == acts.keys()


def test_documents_are_declared_public():
    for name in DOCUMENTS:
        assert ALL[name].callback.act == PUBLIC


def test_every_act_is_used_and_known():
    used = {route.act for route in PAGES.values()} | {act for api in API.values() for act in api.acts.values()}
    # token.issue is asked inside accounts:issue_token, where the form names the workspace.
    assert used - {PUBLIC, MINE} == access.ACTS.keys() - {"token.issue"}


def test_who_may_do_what():
    """The third book: a change of a role's rights shows here."""
    everyone, decide = set(Role.values), {"owner", "manager", "pm"}
    assert {act: set(roles) for act, roles in access.ACTS.items()} == {
        "workspace.view": everyone,
        "data.view": everyone,
        "token.issue": everyone,
        "incident.triage": decide,
        "incident.comment": everyone - {"viewer"},
        "complaint.log": decide | {"agent"},
        "customer.edit": decide | {"agent"},
        "release.edit": decide,
        "product.edit": decide,
        "member.edit": {"owner", "manager"},
        "workspace.edit": {"owner", "manager"},
    }


# Pages of a workspace.


@pytest.mark.parametrize("name", INSIDE)
def test_page(name, world, elsewhere):
    """All methods and persons at one address."""
    route, path = PAGES[name], address(name, world)
    nowhere = address(name, world, slug="no-such-workspace")
    stranger = elsewhere.owner
    for method in METHODS:
        if method not in route.allowed:
            for user in (None, world.owner, world.people["viewer"], stranger):
                assert ask(user, method, path).status_code == 405, method
            continue
        _outsiders(method, path, nowhere, [stranger, world.removed])
        for role, user in world.people.items():
            status = ask(user, method, path).status_code
            if role in access.ACTS[route.act]:
                assert status in FINE, (role, method, status)
            else:
                assert status == 403, (role, method, status)


def _outsiders(method: str, path: str, nowhere: str, strangers: list[User]) -> None:
    anonymous = ask(None, method, path)
    assert anonymous.status_code == 302
    assert anonymous["Location"].startswith(reverse("account_login") + "?next=/w/")
    swapped = ask(None, method, path, **{"HX-Request": "true"})
    assert swapped.status_code == 401
    assert swapped["HX-Redirect"].startswith(reverse("account_login"))
    assert swapped.content == b""
    for stranger in strangers:
        denied, missing = ask(stranger, method, path), ask(stranger, method, nowhere)
        assert denied.status_code == missing.status_code == 404
        assert body(denied) == body(missing)


@pytest.mark.parametrize("name", WITH_OBJECT)
def test_object_of_another_workspace_does_not_exist(name, world, elsewhere):
    """One's own workspace in the address, somebody else's object behind it: as if it were not there."""
    route = PAGES[name]
    theirs = route.kwargs(world)
    numbers = [key for key, value in theirs.items() if isinstance(value, int)]
    mine = route.kwargs(elsewhere)
    for key in numbers:
        # Incident numbers start at 1 in every workspace, so a foreign one is one that only they have.
        foreign = theirs[key] if key != "number" else _foreign_number(world, elsewhere)
        for method in sorted(route.allowed):
            found = ask(elsewhere.owner, method, address(name, elsewhere, **{**mine, key: foreign}))
            missing = ask(elsewhere.owner, method, address(name, elsewhere, **{**mine, key: NOWHERE}))
            assert found.status_code == missing.status_code == 404, (key, method)
            assert body(found) == body(missing)


def _foreign_number(world: World, elsewhere: World) -> int:
    worlds.make.incident(world.workspace, "Only here", world.owner)
    number = world.workspace.incidents.order_by("-number")[0].number
    assert not elsewhere.workspace.incidents.filter(number=number).exists()
    return number


@pytest.mark.parametrize("name", INSIDE)
def test_nothing_of_elsewhere_is_shown(name, world, elsewhere):
    """Whatever page one opens, no text of the other company is on it."""
    if "GET" in PAGES[name].allowed:
        told = ask(world.owner, "GET", address(name, world) + "?q=elsewhere&text=elsewhere+complaint&who=elsewhere")
        shown = body(told).replace(b"elsewhere complaint", b"").replace(b'value="elsewhere"', b"")
        shown = shown.replace(b"q=elsewhere&amp;text=elsewhere+complaint&amp;who=elsewhere", b"")
        assert not re.findall(rb"elsewhere \w+ \d|Elsewhere", shown)


# Pages of oneself, and public ones.


@pytest.mark.parametrize("name", sorted(name for name, route in PAGES.items() if route.act == MINE))
def test_own_page(name, world, elsewhere):
    route, path = PAGES[name], address(name, world)
    for method in METHODS:
        if method not in route.allowed:
            assert {ask(user, method, path).status_code for user in (None, world.owner)} == {405}
            continue
        anonymous = ask(None, method, path)
        assert anonymous.status_code == 302
        assert anonymous["Location"].startswith(reverse("account_login"))
        for user in (*world.people.values(), elsewhere.owner, world.removed):
            assert ask(user, method, path).status_code in {*FINE, 404}


def test_token_of_somebody_else_cannot_be_revoked(world, elsewhere):
    path = address("accounts:revoke_token", world)
    assert world.tokens[0].membership.user == world.owner
    for user in (elsewhere.owner, world.people["manager"], world.removed):
        client = browser(user)
        assert client.post(path).status_code == 404
        assert client.post(reverse("accounts:revoke_token", args=[NOWHERE])).status_code == 404
    assert ApiToken.objects.get(pk=world.tokens[0].pk).revoked_at is None
    assert browser(world.owner).post(path).status_code == 302
    assert ApiToken.objects.get(pk=world.tokens[0].pk).revoked_at


@pytest.mark.parametrize("name", sorted(name for name, route in PAGES.items() if route.act == PUBLIC))
def test_public_page(name, world):
    route, path = PAGES[name], address(name, world)
    for method in METHODS:
        for user in (None, world.owner, world.removed):
            status = ask(user, method, path).status_code
            if method not in route.allowed:
                assert status == 405, method
            else:
                assert status in {*FINE, 403, 404}, (method, status)


def test_public_pages_say_nothing_of_a_workspace(world):
    for name, route in PAGES.items():
        if route.act == PUBLIC and name != "accounts:invitation":
            assert b"canary" not in ask(None, "GET", address(name, world)).content, name


def test_closed_doors(world):
    """What many frameworks leave open is not there."""
    for path in ("/admin/", "/metrics", "/.git/config", "/.env", "/static/../manage.py", "/accounts/login/", "/debug/"):
        assert ask(None, "GET", path).status_code == 404, path
    assert ask(None, "GET", reverse("setup:welcome")).status_code == 404
    assert ask(world.owner, "GET", reverse("styleguide")).status_code == 404
    assert ask(None, "TRACE", "/").status_code == 405
    overridden = browser(world.people["viewer"]).post(
        address("incidents:detail", world), headers={"X-HTTP-Method-Override": "GET"}
    )
    assert overridden.status_code == 405


# The API.


def call(token: str | None, method: str, path: str, data: Any = None) -> HttpResponse:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    more = {"data": "{}" if data is None else data, "content_type": "application/json"} if method != "GET" else {}
    with undone():
        return browser().generic(method, path, headers=headers, **more)


@pytest.fixture
def dead_tokens(world) -> dict[str, str]:
    """Tokens that work no more, each for another reason."""
    owner, workspace = world.owner, world.workspace
    gone = worlds.make.member(workspace, "owner")
    gone_token = worlds.token_of(gone, workspace)
    gone.memberships.get().remove()
    off = worlds.make.member(workspace, "owner", is_active=False)
    good = worlds.token_of(owner, workspace)
    return {
        "revoked": worlds.token_of(owner, workspace, revoked_at=timezone.now()),
        "expired": worlds.token_of(owner, workspace, expires_at=timezone.now() - timedelta(seconds=1)),
        "member removed": gone_token,
        "user switched off": worlds.token_of(off, workspace),
        "secret of another": worlds.token_of(owner, workspace, digest=b"\0" * 32),
        "typo": good[:-1] + ("a" if good[-1] != "a" else "b"),
        "cut": good[:-3],
        "ingest key": world.key.key,
        "invitation": world.invitation_text,
        "empty": "",
        "not ascii": "po_pat_ñ",
        "long": "x" * 5000,
    }


@pytest.mark.parametrize("name", sorted(API))
def test_api_without_a_working_token(name, world, dead_tokens):
    path = address(name, world)
    for method in (*METHODS[2:], "GET"):
        for token in (None, *dead_tokens.values()):
            response = call(token, method, path)
            assert response.status_code == 401, (method, token)
            assert response["WWW-Authenticate"].startswith("Bearer")
            assert response["Content-Type"] == "application/problem+json"
            assert response.json()["status"] == 401


@pytest.mark.parametrize("name", sorted(API))
def test_api_ignores_sessions(name, world):
    client = browser(world.owner)
    assert client.get(address(name, world)).status_code == 401
    assert client.post(address(name, world), "{}", content_type="application/json").status_code == 401


@pytest.mark.parametrize("name", sorted(API))
def test_api(name, world):
    path, acts = address(name, world), API[name].acts
    for role, user in world.people.items():
        token = worlds.token_of(user, world.workspace)
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            response = call(token, method, path)
            if method not in acts:
                assert response.status_code == 405, (role, method)
            elif role in access.ACTS[acts[method]]:
                assert response.status_code in {200, 201, 202, 204, 400, 409}, (role, method, response.content)
            else:
                assert response.status_code == 403, (role, method)
            if response.status_code >= 400:
                assert response["Content-Type"] == "application/problem+json"
                assert response.json()["status"] == response.status_code


@pytest.mark.parametrize("name", sorted(API))
def test_api_with_a_token_of_elsewhere(name, world, elsewhere):
    """Lists are one's own; what is named in the address does not exist."""
    token = worlds.token_of(elsewhere.owner, elsewhere.workspace)
    _foreign_number(world, elsewhere)
    kwargs = API[name].kwargs(world)
    if kwargs.get("number"):
        kwargs["number"] = world.workspace.incidents.order_by("-number")[0].number
    path = address(name, world, **kwargs)
    for method in API[name].acts:
        response = call(token, method, path)
        assert b"canary" not in response.content
        if kwargs and method != "POST":
            missing = call(token, method, address(name, world, **{key: _missing(v) for key, v in kwargs.items()}))
            assert response.status_code == missing.status_code == 404
            assert response.content == missing.content
        elif kwargs:
            assert call(token, method, path, data='{"environment": "production"}').status_code == 404
        elif method == "GET":
            assert response.status_code == 200


def _missing(value: Any) -> Any:
    return NOWHERE if isinstance(value, int) else "no-such-version"


# The door's addresses (what each refuses is in test_bad_input.py, at a real server).


def test_the_door_takes_only_its_own_addresses():
    """No page or API address is swallowed by the door, and no door address is a page."""
    for path in (
        "/api/v1/events",
        "/api/1/envelope/",
        "/api/1/store/",
        "/batch",
        "/e/",
        "/capture/",
        "/i/v0/e/",
        "/flags/",
        "/decide",
        "/engage",
        "/track",
    ):
        assert door_routes.match(path), path
    for path in (
        "/",
        "/api/v1/incidents",
        "/api/v1/events/1",
        "/api/v1/eventsx",
        "/api/x/envelope/",
        "/w/batch/",
        "/api/1/envelope/x",
        "/api/-1/store/",
        "/api/1234567890123456/store/",
        "/batch/x",
    ):
        assert door_routes.match(path) is None, path


@pytest.mark.django_db
def test_no_page_answers_at_the_doors_addresses(world):
    for path in ("/api/v1/events", "/api/1/envelope/", "/batch/", "/flags/"):
        assert ask(world.owner, "POST", path).status_code == 404
