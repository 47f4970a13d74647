"""Every answer carries its headers, and together they score what the HTTP Observatory calls A+.

The scoring rules are those of the Observatory's own page (start at 100, subtract for faults, add when nothing is
missing); the hosted scanner cannot see a private hub, so they are written down here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from django.http import HttpResponse
from django.test import override_settings
from django.urls import reverse

from productops import serving
from productops.lib import headers as ours
from tests import make
from tests.security import world as worlds
from tests.security.conftest import ROOT, browser, start, stop
from tests.security.routes import API, PAGES, address

ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_LEAK = re.compile(r"django|python|uvicorn|gunicorn|whitenoise|psycopg|Traceback|/work/|site-packages|\.py\b", re.I)


def policy(found: Mapping[str, str]) -> dict[str, list[str]]:
    parts = [part.split() for part in found["content-security-policy"].split(";") if part.strip()]
    return {name: sources for name, *sources in parts}


def lower(found: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in found.items()}


# The score.


@dataclass(frozen=True)
class Cookie:
    name: str
    secure: bool
    http_only: bool
    same_site: str
    is_session: bool


def score(found: Mapping[str, str], cookies: list[Cookie], html: str) -> int:
    """100, minus what is missing, plus what is better than asked; bonuses only count from 90 on."""
    csp = policy(found)
    base = 100
    bonus = 0
    scripts = csp.get("script-src", csp.get("default-src", ["*"]))
    unsafe = {"'unsafe-inline'", "'unsafe-eval'", "data:", "*", "https:", "http:"}
    if unsafe & {*scripts, *csp.get("object-src", csp.get("default-src", ["*"]))}:
        base -= 25 if "default-src" in csp else 20
    elif unsafe - {"data:"} & set(csp.get("style-src", csp.get("default-src", ["*"]))):
        bonus += 0
    else:
        bonus += 10 if csp.get("default-src") == ["'none'"] else 5
    for cookie in cookies:
        if not cookie.secure:
            base -= 40 if cookie.is_session else 20
        elif cookie.is_session and not cookie.http_only:
            base -= 30
    if cookies and base == 100 and all(c.same_site in {"Lax", "Strict"} for c in cookies):
        bonus += 5
    if found.get("access-control-allow-origin") == "*" and "access-control-allow-credentials" in found:
        base -= 50
    match = re.search(r"max-age=(\d+)", found.get("strict-transport-security", ""))
    if not match or int(match[1]) < 15_768_000:
        base -= 20 if not match else 10
    if found.get("referrer-policy") in {
        "no-referrer",
        "same-origin",
        "strict-origin",
        "strict-origin-when-cross-origin",
    }:
        bonus += 5
    elif "referrer-policy" in found:
        base -= 5
    outside = re.findall(r"<script[^>]+src=[\"'](?:https?:)?//", html)
    base -= 50 if outside else 0
    if found.get("x-content-type-options") != "nosniff":
        base -= 5
    if csp.get("frame-ancestors"):
        bonus += 5
    elif found.get("x-frame-options") not in {"DENY", "SAMEORIGIN"}:
        base -= 20
    if found.get("cross-origin-resource-policy") in {"same-origin", "same-site"}:
        bonus += 10
    return base + bonus if base >= 90 else base


def cookies_of(answers: list[httpx.Response]) -> list[Cookie]:
    found = {}
    for answer in answers:
        for line in answer.headers.get_list("set-cookie"):
            name = line.split("=", maxsplit=1)[0]
            words = [word.strip().lower() for word in line.split(";")[1:]]
            site = next((w.partition("=")[2].capitalize() for w in words if w.startswith("samesite")), "")
            found[name] = Cookie(name, "secure" in words, "httponly" in words, site, "sid" in name)
    return list(found.values())


@pytest.fixture(scope="module")
def https(committed, tmp_path_factory) -> Iterator[httpx.Client]:
    """A hub behind a proxy that ends TLS, with the name it has outside."""
    committed(lambda: make.member(make.workspace("Tienda"), "owner", "owner@example.com"))
    process, url, _log = start(tmp_path_factory.mktemp("https"), BASE_URL="https://hub.example.com", TRUST_PROXY="1")
    named = {"Host": "hub.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    with httpx.Client(base_url=url, headers=named, timeout=10, trust_env=False) as client:
        yield client
    stop(process)


@pytest.fixture
def signed_in(https) -> list[httpx.Response]:
    """The answers of a whole sign-in."""
    https.cookies.clear()
    form = https.get("/sign-in/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)[1]
    sent = {"login": "owner@example.com", "password": make.PASSWORD, "csrfmiddlewaretoken": token}
    # httpx keeps Secure cookies to itself on http, which is what the proxy speaks to us.
    jar = "; ".join(line.split(";")[0] for line in form.headers.get_list("set-cookie"))
    done = https.post("/sign-in/", data=sent, headers={"Cookie": jar, "Referer": "https://hub.example.com/sign-in/"})
    assert done.status_code == 302, done.text
    return [form, done]


@pytest.mark.live
def test_score_of_the_start_page(https, signed_in):
    found = lower(https.get("/sign-in/").headers)
    cookies = cookies_of(signed_in)
    assert {cookie.name for cookie in cookies} >= {"__Host-sid", "__Host-csrf"}
    assert score(found, cookies, https.get("/sign-in/").text) >= 120


@pytest.mark.live
def test_cookies(signed_in):
    for cookie in cookies_of(signed_in):
        assert cookie.secure, cookie
        assert cookie.http_only, cookie
        assert cookie.same_site == "Lax", cookie
        assert cookie.name.startswith("__Host-"), cookie
    lines = [line for answer in signed_in for line in answer.headers.get_list("set-cookie")]
    assert not [line for line in lines if "domain=" in line.lower()]
    assert all("Path=/" in line for line in lines)


@pytest.mark.live
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/sign-in/"),
        ("GET", "/"),
        ("GET", "/live"),
        ("GET", "/ready"),
        ("GET", "/version"),
        ("GET", "/no-such-page/"),
        ("GET", "/w/tienda/triage/"),
        ("PUT", "/sign-in/"),
        ("POST", "/sign-in/"),
        ("GET", "/api/v1/incidents"),
        ("GET", "/api/v1/nothing"),
        ("GET", "/api/v1/schema/"),
        ("GET", "/static/css/app.css"),
        ("GET", "/static/js/app.js"),
        ("GET", "/static/icon.svg"),
        ("GET", "/static/vendor/htmx-2.0.11.min.js"),
        ("GET", "/static/nothing.css"),
        ("GET", "/static/"),
        ("POST", "/api/v1/events"),
        ("GET", "/api/v1/events"),
        ("POST", "/api/1/envelope/"),
        ("POST", "/batch/"),
        ("OPTIONS", "/api/v1/events"),
        ("GET", "/flags/"),
        ("POST", "/flags/?v=2"),
        ("GET", "/%00"),
    ],
)
def test_every_answer_of_the_process(https, method, path):
    response = https.request(method, path)
    found = lower(response.headers)
    for name, value in ALWAYS.items():
        assert found[name] == value, name
    csp = policy(found)
    assert csp["default-src"] == ["'none'"]
    assert csp["frame-ancestors"] == ["'none'"]
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*"} & {word for words in csp.values() for word in words}
    assert found["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    is_door = path.split("?")[0] in {"/api/v1/events", "/api/1/envelope/", "/batch/", "/flags/"}
    assert found["cross-origin-resource-policy"] == ("cross-origin" if is_door else "same-origin")
    assert ("access-control-allow-origin" in found) == is_door
    assert "access-control-allow-credentials" not in found
    assert "server" not in found
    assert "x-powered-by" not in found
    assert len(found) == len(response.headers.multi_items()) - max(0, len(response.headers.get_list("set-cookie")) - 1)
    if not path.startswith("/static/") and path != "/api/v1/schema/":
        assert "no-store" in found["cache-control"]
    if response.status_code >= 400:
        assert not _LEAK.search(response.text), response.text[:500]


@pytest.mark.live
@pytest.mark.parametrize(
    "named",
    [
        {"Host": "evil.test"},
        {"Host": "hub.example.com:81@evil.test"},
        {"Host": ""},
        {"Host": "hub.example.com.evil.test"},
    ],
)
def test_other_host_names_are_refused(https, named):
    response = https.get("/sign-in/", headers=named)
    assert response.status_code == 400
    assert "evil.test" not in response.text
    assert lower(response.headers)["x-content-type-options"] == "nosniff"


@pytest.mark.live
def test_forwarded_host_is_not_believed(https):
    response = https.get("/", headers={"X-Forwarded-Host": "evil.test", "Forwarded": "host=evil.test"})
    assert "evil.test" not in response.headers["location"] + response.text


@pytest.mark.live
def test_absolute_address_of_another_host(https):
    response = https.request("GET", "/sign-in/", headers={"Host": "evil.test", "X-Forwarded-Host": "hub.example.com"})
    assert response.status_code == 400


# In this process: every page and every status.


def check(response: HttpResponse, is_authenticated: bool = True) -> None:
    found = lower(response.headers)
    for name, value in ALWAYS.items():
        assert found[name] == value, name
    assert policy(found)["default-src"] == ["'none'"]
    assert policy(found)["frame-ancestors"] == ["'none'"]
    assert found["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in found
    if is_authenticated:
        assert "no-store" in found["cache-control"]


@pytest.mark.parametrize("name", sorted(name for name, route in PAGES.items() if "GET" in route.allowed))
def test_every_page(name, world):
    client = browser(world.owner)
    for path in (address(name, world), address(name, world) + "x.css"):
        for more in ({}, {"HX-Request": "true"}):
            response = client.get(path, headers=more)
            check(response)
            assert response.status_code < 500
            if path.endswith("x.css"):  # web cache deception: a page never answers under a file's name
                assert b"canary" not in response.content or "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("name", sorted(API))
def test_every_api_answer(name, world):
    token = worlds.token_of(world.owner, world.workspace)
    for method in ("GET", "POST", "DELETE"):
        for given in ({"Authorization": f"Bearer {token}"}, {}):
            response = browser().generic(method, address(name, world), "{", "application/json", headers=given)
            check(response)
            assert "sandbox" in response["Content-Security-Policy"]
            assert "Access-Control-Allow-Origin" not in response


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 415, 429, 500])
def test_every_status(status, world, monkeypatch):
    client = browser(world.owner, raise_request_exception=False)
    slug, token = world.workspace.slug, worlds.token_of(world.owner, world.workspace)
    bearer = {"Authorization": f"Bearer {token}"}
    if status == 400:
        response = client.post(reverse("incidents:report", args=[slug]), {"title": "a" * 2_000_000})
    elif status == 401:
        response = browser().get("/api/v1/incidents")
    elif status == 403:
        response = browser(world.people["viewer"]).get(reverse("incidents:report", args=[slug]))
    elif status == 404:
        response = client.get(f"/w/{slug}/customers/999999999/")
    elif status == 405:
        response = client.put("/")
    elif status == 413:
        response = browser().post(
            "/api/v1/complaints", {"text": "a" * 2_000_000}, content_type="application/json", headers=bearer
        )
    elif status == 415:
        response = browser().post("/api/v1/complaints", "x", content_type="text/plain", headers=bearer)
    elif status == 429:
        stranger = browser()
        given = {"login": "nobody@example.com", "password": "x"}
        answers = [stranger.post(reverse("account_login"), given) for _ in range(12)]
        response = answers[-1]
        assert response["Retry-After"] == "300"
    else:

        def broken(*_args: Any, **_kwargs: Any) -> None:
            raise RuntimeError("canary-secret-in-error at /srv/hub/secret.py")

        monkeypatch.setattr("incidents.queue.page", broken)
        response = client.get(reverse("incidents:index", args=[slug]))
        assert b"canary-secret" not in response.content
    assert response.status_code == status
    check(response)
    assert not _LEAK.search(response.content.decode())


@pytest.mark.django_db
def test_csrf_refusal_is_calm(world):
    client = browser(world.owner, enforce_csrf_checks=True)
    response = client.post(reverse("incidents:report", args=[world.workspace.slug]), {"title": "x", "kind": "bug"})
    assert response.status_code == 403
    check(response)
    assert not _LEAK.search(response.content.decode())


def test_policies_allow_nothing_inline():
    for is_page in (True, False):
        for is_https in (True, False):
            with override_settings(SECURE_HSTS_SECONDS=31_536_000):
                found = lower(ours.headers(is_page, is_https))
            words = {word for sources in policy(found).values() for word in sources}
            assert words <= {"'none'", "'self'", "data:"}
            assert "data:" not in policy(found).get("script-src", [])
            assert ("strict-transport-security" in found) is is_https
            assert ("upgrade-insecure-requests" in policy(found)) is (is_page and is_https)


def test_servers_are_started_without_their_name():
    """The container, bin/run and the tests start the same module."""
    assert "productops.serving" in serving.words(8000)
    assert "python -m productops.serving --host 0.0.0.0 " in (ROOT / "Dockerfile").read_text()
    assert "server_header=False" in (ROOT / "productops/serving.py").read_text()
