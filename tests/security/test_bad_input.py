"""Nonsense at the pages and the API: refused in words, or nothing found; never a 5xx, and never slow."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone

from feedback.models import Complaint, Customer
from incidents.models import Incident
from releases.models import Deploy, Release
from tests import make
from tests.security import world as worlds
from tests.security.conftest import browser
from tests.security.routes import API, PAGES, address, has_slug

#: Seconds that nonsense may cost.
PATIENCE = 1.0
HUGE = "9" * 5000
NONSENSE = {
    "nul": "\x00",
    "nul inside": "a\x00b",
    "surrogate": "%ED%A0%80",
    "percent": "%_%_%",
    "escapes": "\\%\\_\\",
    "quote": "'; DROP TABLE accounts_user; --",
    "number": str(10**30),
    "digits": HUGE,
    "minus": "-1",
    "float": "1e999",
    "arabic digits": "١٢٣",
    "superscript": "²",
    "long": "a" * 20_000,
    "regex": "(a+)+$" + "a" * 400,
    "search": "& | ! ( :* <-> ''",
    "bidi": "\u202e\u2066x",
    "zalgo": "e" + "\u0301" * 3000,
    "emoji": "👩‍👩‍👧‍👦" * 200,
    "newline": "a\r\nSet-Cookie: x=y",
    "list": "a[]=1",
    "date": "2026-02-31",
    "year": "99999-01-01T00:00:00Z",
    "first moment": "0001-01-01T00:00:00Z",
    "last moment": "9999-12-31T23:59:59Z",
    "nothing": "",
}
PARAMETERS = (
    "q",
    "page",
    "show",
    "kind",
    "release",
    "order",
    "product",
    "window",
    "environment",
    "stamp",
    "text",
    "who",
    "customer",
    "tab",
    "next",
    "token",
)
API_PARAMETERS = (
    "q",
    "limit",
    "offset",
    "product",
    "release",
    "status",
    "severity",
    "assignee",
    "kind",
    "customer",
    "since",
    "until",
    "resolution",
    "signal",
    "environment",
    "slice",
    "active",
    "format",
)
READ = sorted(name for name, route in PAGES.items() if "GET" in route.allowed)
ACT = sorted(name for name, route in PAGES.items() if "POST" in route.allowed)


def quoted(value: str) -> str:
    return value if value.startswith("%ED") else quote(value)


def swift(ask: Any, *args: Any, **kwargs: Any) -> HttpResponse:
    began = time.monotonic()
    response: HttpResponse = ask(*args, **kwargs)
    assert response.status_code < 500, args
    if time.monotonic() - began >= PATIENCE:  # the machine, or the page? Once more tells.
        began = time.monotonic()
        response = ask(*args, **kwargs)
        assert time.monotonic() - began < PATIENCE, args
    return response


@pytest.mark.parametrize("name", READ)
def test_page_with_nonsense_in_every_parameter(name, world):
    """All parameters at once, since a page reads those it knows one after the other."""
    client = browser(world.owner)
    for what, value in NONSENSE.items():
        query = "&".join(f"{parameter}={quoted(value)}" for parameter in PARAMETERS)
        assert swift(client.get, f"{address(name, world)}?{query}").status_code in {200, 204, 302, 400, 403, 404}, what


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("incidents:index", "page=1000000000000&view=all"),
        ("incidents:index", "page=-1"),
        ("incidents:index", "page=x"),
        ("feedback:complaints", "page=1000000000000"),
        ("feedback:complaints", "page=%00"),
        ("feedback:complaints", "release=99999999999"),
        ("feedback:complaints", "kind=nonsense"),
        ("feedback:customers", "page=1000000000000"),
        ("feedback:customers", "order=password"),
        ("releases:health", "environment=%00"),
        ("releases:signal", "environment=%00"),
        ("releases:signal_csv", "environment=%00"),
        ("releases:signal_data", "environment=%00"),
        ("releases:adoption_data", "environment=%00"),
        ("metrics:data", "window=nonsense"),
    ],
)
def test_page_with_one_odd_value(name, query, world):
    assert swift(browser(world.owner).get, f"{address(name, world)}?{query}").status_code in {200, 404}


@pytest.mark.parametrize("number", [10**30, 2**31, 2**63, int("9" * 4300), "9" * 5000, 0])
def test_numbers_in_addresses(number, world):
    client, slug = browser(world.owner), world.workspace.slug
    for path in (
        "triage/{}/",
        "triage/{}/accept/",
        "complaints/{}/",
        "customers/{}/",
        "customers/{}/edit/",
        "releases/{}/",
        "releases/{}/deploy/",
        "people/{}/",
        "start/{}/",
        "data/keys/{}/rotate/",
        "invitations/{}/revoke/",
        "triage/1/undo/{}/",
    ):
        for ask in (client.get, client.post):
            assert swift(ask, f"/w/{slug}/{path.format(number)}").status_code in {404, 405}, path
    release = world.releases[0].pk
    assert swift(client.get, f"/w/{slug}/releases/{release}/signals/{number}/failure_rate/").status_code == 404
    token = worlds.token_of(world.owner, world.workspace)
    assert call("get", f"incidents/{number}", token).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/%00",
        "/w/%00/triage/",
        "/%ED%A0%80/",
        "/w/" + "a" * 5000 + "/",
        "/" + "../" * 50,
        "/invitation/%00/",
        "/invitation/po_inv_x/",
        "/password/reset/key/1-%00/",
        f"/password/reset/key/{'z' * 400}-x/",
        "//evil.example/",
        "/w/a%2fb/triage/",
        "/static/%00",
        "/static/../../etc/passwd",
        "/static/%2e%2e/%2e%2e/manage.py",
    ],
)
def test_odd_addresses(path, world):
    for user in (None, world.owner):
        assert swift(browser(user).get, path).status_code in {302, 400, 404}


@pytest.mark.parametrize("name", ACT)
def test_form_with_nonsense_in_every_field(name, world):
    client, path = browser(world.owner), address(name, world)
    fields = (
        "name",
        "text",
        "title",
        "reason",
        "version",
        "assignee",
        "original",
        "release",
        "until",
        "severity",
        "customer",
        "feature",
        "kind",
        "same",
        "email",
        "role",
        "environment",
        "percentage",
        "product",
        "external_id",
        "domain",
        "plan",
        "revenue",
        "currency",
        "language",
        "zone",
        "theme",
        "login",
        "password",
        "current",
        "new",
        "workspace",
        "is_churn_risk",
        "next",
    )
    for what in (
        "nul",
        "surrogate",
        "number",
        "digits",
        "float",
        "arabic digits",
        "long",
        "zalgo",
        "newline",
        "nothing",
    ):
        body = "&".join(f"{field}={quoted(NONSENSE[what])}" for field in fields)
        response = client.post(path, body, content_type="application/x-www-form-urlencoded")
        assert response.status_code in {200, 204, 302, 400, 403, 404, 409, 429}, what
        if name == "account_logout":
            client = browser(world.owner)


def test_forms_that_are_too_big(world):
    client = browser(world.owner)
    path = reverse("incidents:report", args=[world.workspace.slug])
    form = "application/x-www-form-urlencoded"
    for body in ("title=" + "a" * 2_000_000, "&".join(f"a{i}=1" for i in range(2000)), "title=a&" * 600):
        assert swift(client.post, path, body, content_type=form).status_code == 400
    assert Incident.objects.count() == 2


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "nonsense",
        "text/plain",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 300,
        "application/x-www-form-urlencoded; charset=utf-16",
        "text/plain; charset=nonsense",
    ],
)
def test_wrong_content_types(content_type, world):
    body = b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nhello\r\n--b--\r\n'
    client = browser(world.owner)
    path = reverse("incidents:report", args=[world.workspace.slug])
    before = Incident.objects.count()
    for method in ("POST", "GET"):
        response = swift(client.generic, method, f"{path}?q=%E9", body, content_type=content_type)
        assert response.status_code in {200, 400}
    assert Incident.objects.count() == before
    token = worlds.token_of(world.owner, world.workspace)
    answer = swift(
        browser().generic,
        "POST",
        "/api/v1/complaints",
        b'{"text": "x"}',
        content_type=content_type,
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == (201 if content_type == "application/json" else 415)


# The API.


def call(method: str, path: str, token: str, body: Any = None, content_type: str = "application/json") -> HttpResponse:
    headers = {"Authorization": f"Bearer {token}"}
    if method == "get":
        return swift(browser().get, f"/api/v1/{path}", headers=headers)
    data = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return swift(getattr(browser(), method), f"/api/v1/{path}", data, content_type=content_type, headers=headers)


@pytest.mark.parametrize("name", sorted(name for name, api in API.items() if "GET" in api.acts))
def test_api_with_nonsense_in_every_parameter(name, world):
    token = worlds.token_of(world.owner, world.workspace)
    path = address(name, world).removeprefix("/api/v1/")
    for value in NONSENSE.values():
        # Paging is left out: nothing of a page beyond the end is read.
        query = "&".join(f"{name}={quoted(value)}" for name in API_PARAMETERS if name not in {"limit", "offset"})
        assert call("get", f"{path}?{query}", token).status_code in {200, 400, 404}
    for parameter in API_PARAMETERS:
        for what in ("nul", "number", "surrogate", "first moment"):
            response = call("get", f"{path}?{parameter}={quoted(NONSENSE[what])}", token)
            assert response.status_code in {200, 400, 404}, (parameter, what)


def test_api_pages_are_bounded(world):
    token = worlds.token_of(world.owner, world.workspace)
    for _ in range(3):
        make.incident(world.workspace, "More", world.owner)
    for path in ("incidents", "complaints", "customers", "releases", "regressions", "outcomes", "rollups"):
        found = call("get", f"{path}?limit=1000000000", token).json()
        assert len(found["results"]) == found["count"] <= 500
        assert call("get", f"{path}?offset=1000000000000", token).json()["results"] == []
        assert call("get", f"{path}?offset={10**30}", token).json()["results"] == []


BROKEN = {
    "empty": b"",
    "half": b'{"text": ',
    "not json": b"text=1",
    "utf-16": '{"text": "a"}'.encode("utf-16"),
    "latin-1": b'{"text": "\xe9"}',
    "depth": b"[" * 100_000,
    "depth closed": b"[" * 50_000 + b"]" * 50_000,
    "objects": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "digits": b'{"text": ' + b"9" * 20_000 + b"}",
    "NaN": b'{"text": NaN}',
    "infinity": b'{"text": Infinity}',
    "list": b"[]",
    "number": b"1",
    "null": b"null",
    "string": b'"text"',
    "list of lists": b'[{"text": "x"}]',
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_json(what, world):
    token = worlds.token_of(world.owner, world.workspace)
    before = Complaint.objects.count(), Customer.objects.count(), Release.objects.count()
    for method, path in (
        ("post", "complaints"),
        ("post", "customers"),
        ("post", "releases"),
        ("patch", f"incidents/{world.incidents[0].number}"),
    ):
        response = call(method, path, token, BROKEN[what])
        if method == "patch" and what == "empty":
            continue  # nothing to change
        assert response.status_code == 400, (path, response.content)
        assert response["Content-Type"] == "application/problem+json"
    assert (Complaint.objects.count(), Customer.objects.count(), Release.objects.count()) == before


VALUES = [
    "\x00",
    "a\x00b",
    "\ud800",
    "a\udfffb",
    "x" * 1_000_000,
    10**30,
    -1,
    1e308,
    True,
    None,
    [],
    {},
    [[]],
    {"a": "b"},
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+23:59",
    "2026-02-31T00:00:00Z",
    "",
]
FIELDS = {
    "complaints": (
        "post",
        {"text": "x"},
        (
            "text",
            "kind",
            "is_churn_risk",
            "customer",
            "product",
            "feature",
            "release",
            "incident",
            "contact_name",
            "contact_email",
            "source_id",
        ),
    ),
    "customers": (
        "post",
        {"external_id": "c"},
        ("external_id", "name", "domain", "plan", "revenue", "currency", "language"),
    ),
    "releases": ("post", {"version": "7"}, ("version", "product", "url")),
    "releases/{version}/deploys": ("post", {}, ("product", "environment", "percentage", "at")),
    "incidents/{number}": (
        "patch",
        {},
        ("status", "severity", "assignee", "reason", "fix_release", "duplicate_of", "snoozed_until", "version"),
    ),
}


@pytest.mark.parametrize("path", FIELDS)
def test_api_fields_of_wrong_types(path, world):
    token = worlds.token_of(world.owner, world.workspace)
    method, body, fields = FIELDS[path]
    where = quote(path.format(version=world.releases[0].version, number=world.incidents[0].number))
    for field in fields:
        for value in VALUES:
            response = call(method, where, token, {**body, field: value})
            assert response.status_code in {200, 201, 400, 404, 409, 413}, (field, str(value)[:40])


@pytest.mark.parametrize("body", ["[]", "[[]]", "1", "null", '"x"', '{"projects": {}}', '{"projects": [[]]}', "{"])
def test_sentry_cli_bodies(body, world):
    token = worlds.token_of(world.owner, world.workspace)
    before = Release.objects.count()
    for method, path in (("put", "releases/fresh/"), ("post", "releases/"), ("post", "releases/fresh/deploys/")):
        answer = swift(
            browser().generic,
            method.upper(),
            f"/api/0/organizations/{world.workspace.slug}/{path}",
            body,
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}"},
        )
        assert answer.status_code in {200, 400, 404}, (path, answer.content)
    assert Release.objects.count() <= before + 1


@pytest.mark.parametrize("zone", ["+16:00", "-23:59", "+23:59", "+15:59"])
@pytest.mark.parametrize("year", ["2026", "0001", "9999"])
def test_zones_that_postgresql_does_not_know(zone, year, world):
    token = worlds.token_of(world.owner, world.workspace)
    moment = f"{year}-11-22T10:00:00{zone}"
    wanted = {200} if year == "2026" else {400}
    assert call("get", f"complaints?since={quote(moment)}", token).status_code in wanted
    version = world.releases[0].version
    told = {"environment": "production", "dateFinished": moment}
    address = f"/api/0/organizations/{world.workspace.slug}/releases/{quote(version)}/deploys/"
    given = {"content_type": "application/json", "headers": {"Authorization": f"Bearer {token}"}}
    assert swift(browser().post, address, json.dumps(told), **given).status_code in {200, 201}


def test_what_cannot_be_stored_is_refused(world):
    """NUL and half an emoji: 400 with the field's name or place, nothing written."""
    token = worlds.token_of(world.owner, world.workspace)
    before = Complaint.objects.count()
    for text in ("a\x00b", "a\ud800b"):
        assert call("post", "complaints", token, {"text": text}).status_code == 400
        assert call("post", "complaints", token, {"text": "x", "contact_name": text}).status_code == 400
        assert call("post", "complaints", token, {"text": "x", text: 1}).status_code in {201, 400}
    assert Complaint.objects.filter(text="x").count() + before >= Complaint.objects.count()


def test_a_body_beyond_the_limit_is_413(world):
    token = worlds.token_of(world.owner, world.workspace)
    response = call("post", "complaints", token, {"text": "x", "more": "a" * 1_100_000})
    assert response.status_code == 413
    assert response.json()["status"] == 413
    assert not Complaint.objects.filter(text="x").exists()


def test_deploys_far_away_in_time_break_no_page(world):
    """Dates at the end of the calendar: refused, and the release's pages still open."""
    token = worlds.token_of(world.owner, world.workspace)
    release = world.releases[0]
    path = f"releases/{quote(release.version)}/deploys"
    before = Deploy.objects.count()
    for at in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1969-01-01T00:00:00Z"):
        assert call("post", path, token, {"environment": "production", "at": at}).status_code == 400, at
    assert Deploy.objects.count() == before
    last_month = (timezone.now() - timedelta(days=30)).isoformat()
    assert call("post", path, token, {"environment": "production", "at": last_month}).status_code == 201
    for name in ("releases:health", "releases:index", "releases:adoption_data", "releases:signal"):
        assert swift(browser(world.owner).get, address(name, world)).status_code == 200


def test_a_snooze_has_an_end(world):
    token = worlds.token_of(world.owner, world.workspace)
    incident = Incident.objects.report(world.workspace, "Sleepy", world.owner)
    for until in ("9999-12-31T23:59:59Z", "2000-01-01T00:00:00Z", (timezone.now() + timedelta(days=4000)).isoformat()):
        given = {"status": "snoozed", "snoozed_until": until}
        assert call("patch", f"incidents/{incident.number}", token, given).status_code == 400
    incident.refresh_from_db()
    assert incident.status == "new"
    user = world.people["pm"]
    user.zone = "Pacific/Auckland"
    user.save()
    assert swift(browser(user).get, reverse("incidents:detail", args=[world.workspace.slug, incident.number]))


@pytest.mark.parametrize(
    "query",
    [
        "until=0001-01-01T00:00:00Z",
        "since=9999-12-31T23:59:59Z",
        "since=nonsense",
        "since=2026-11-22T10:00:00%2B16:00&until=2026-11-22T20:00:00-23:59",
        "since=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00Z",
        "until=2026-02-31T00:00:00Z",
        "since=0001-01-01T00:00:00Z",
        "since=0001-01-01T00:00:00%2B23:59&until=0001-01-02",
    ],
)
def test_ranges(query, world):
    token = worlds.token_of(world.owner, world.workspace)
    for path in ("rollups", "outcomes"):
        for resolution in ("hour", "minute"):
            response = call("get", f"{path}?{query}&resolution={resolution}", token)
            assert response.status_code in {200, 400}
            if "nonsense" in query or "02-31" in query or "01-01T00:00:00Z&until=2026" in query:
                assert response.status_code == 400


@pytest.mark.parametrize("typed", ["%", "_", "%_%_%", "\\", "'", "a&b|c", "(", "*", "?"])
def test_wildcards_are_letters(typed, world):
    """A percent sign finds percent signs, not everything."""
    client, slug = browser(world.owner), world.workspace.slug
    make.customer(world.workspace, f"Odd {typed} name")
    token = worlds.token_of(world.owner, world.workspace)
    found = call("get", f"customers?q={quote(typed)}", token).json()["results"]
    assert [row["name"] for row in found] == [f"Odd {typed} name"]
    assert swift(client.get, f"/w/{slug}/palette/?q={quote(typed * 2)}").status_code == 200
    shown = client.get(f"/w/{slug}/complaints/?q={quote(typed * 3)}").content
    assert b"canary complaint" not in shown


def test_every_page_was_asked():
    assert {name for name in PAGES if has_slug(name)} <= {*READ, *ACT}
