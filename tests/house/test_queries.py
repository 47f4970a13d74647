"""How many queries each page and list makes: pinned, and the same for one row of everything as for thirty."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from feedback.models import Customer
from tests.security import world as worlds
from tests.security.conftest import browser
from tests.security.routes import API, PAGES, address

#: Queries of each address with its frame (session, user, membership, navigation).
PINNED = {
    "account_change_password": 1, "account_inactive": 1, "account_login": 1, "account_logout": 1,
    "account_reset_password": 1, "account_reset_password_done": 1, "account_reset_password_from_key_done": 1,
    "account_set_password": 1, "account_signup": 1, "accounts:invite": 2, "accounts:me": 6, "accounts:member": 4,
    "accounts:people": 5, "api:backtest": 3, "api:backtests": 4, "api:complaint": 3, "api:confusion": 9, "api:silences": 4, "api:complaints": 4, "api:customers": 4, "api:deploys": 4, "api:health": 6,
    "api:incident": 3, "api:view": 3, "api:views": 4, "api:incidents": 4, "api:limits": 4, "api:outcomes": 5, "api:regressions": 4, "api:releases": 6,
    "api:rollups": 7, "api:signal": 3, "api:signals": 4, "feedback:complaint": 4, "feedback:complaints": 5, "feedback:correct": 7, "feedback:create_customer": 4,
    "feedback:customer": 12, "feedback:customers": 5, "feedback:edit_customer": 5, "feedback:log": 5, "feedback:silent": 8,
    "feedback:matches": 6, "feedback:who": 5, "home": 2, "incidents:assign": 6, "incidents:customers": 7,
    "incidents:decline": 4, "incidents:detail": 12, "incidents:duplicate": 5, "incidents:impact": 4, "incidents:index": 12, "incidents:change_view": 4, "incidents:complete": 3, "incidents:counts": 4, "incidents:export": 3, "incidents:move": 4, "incidents:inform": 4, "incidents:known": 4, "incidents:numbers": 4,
    "incidents:save_view": 3,
    "incidents:proof": 4, "incidents:reopen": 4, "incidents:report": 3, "incidents:resolve": 6, "incidents:set_severity": 4,
    "incidents:snooze": 4, "live": 1, "metrics:data": 13, "metrics:limit": 5, "metrics:watch": 6, "palette": 7, "ready": 3, "releases:adoption_data": 7,
    "releases:confusion": 13, "releases:touch": 6, "releases:create": 5, "releases:deploy": 4, "releases:health": 18, "releases:fault": 10, "releases:history": 5, "releases:questions": 4, "releases:index": 8, "releases:backtest": 7, "releases:backtest_csv": 3,
    "releases:signal": 10, "releases:tune": 4, "releases:preview": 4, "releases:signal_csv": 8, "releases:signal_data": 9, "setup:new_product": 3,
    "incidents:history": 5, "incidents:link": 5, "incidents:people": 3, "incidents:review": 8, "incidents:stamp": 4,
    "incidents:timers": 3, "incidents:times": 7, "incidents:times_csv": 2, "notices:index": 6, "notices:settings": 3,
    "releases:watch": 14, "api:updates": 5, "api:links": 5, "api:review": 7, "api:notices": 4,
    "sentry_cli:deploys": 4, "sentry_cli:info": 2, "sentry_cli:of": 4, "sentry_cli:previous": 2,
    "sentry_cli:release": 3, "sentry_cli:releases": 3, "sentry_cli:repos": 2, "setup:start": 11, "setup:waiting": 7, "version": 1, "workspace": 2,
}  # fmt: skip
#: A page may win a query or two by a small change; more is a reason to look, and then to pin anew.
SLACK = 2
READ = sorted(
    name
    for name, route in PAGES.items()
    if "GET" in route.allowed
    and name not in {"setup:welcome", "styleguide", "accounts:invitation", "account_reset_password_from_key"}
)
ROWS = 30


def queries(run) -> list[str]:
    run()  # what is cached for a while is asked once
    with CaptureQueriesContext(connection) as captured:
        run()
    return [query["sql"] for query in captured if not query["sql"].startswith(("SAVEPOINT", "RELEASE SAVEPOINT"))]


@pytest.fixture
def world(db, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Sessions are read from the cache, whatever cache this run has.
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
    return worlds.build()


def test_queries(world):
    """With one row of everything, then with thirty."""
    client = browser(world.owner)
    bearer = {"Authorization": f"Bearer {worlds.token_of(world.owner, world.workspace)}"}
    asked = {"incidents:index": "?view=all", "palette": "?q=canary", "feedback:who": "?who=canary"}
    asked["feedback:matches"] = "?text=canary+complaint+0"

    def ask(name: str) -> list[str]:
        def run() -> None:
            response = client.get(paths[name] + asked.get(name, ""), headers=bearer if name in API else None)
            assert response.status_code in {200, 204, 302, 404}, (name, response.status_code)

        return queries(run)

    paths = {name: address(name, world) for name in [*READ, *(name for name, api in API.items() if "GET" in api.acts)]}
    few = {name: ask(name) for name in paths}
    worlds.grow(world, ROWS - 1)
    many = {name: ask(name) for name in paths}

    more = {name: set(many[name]) - set(few[name]) for name in paths if len(many[name]) > len(few[name])}
    assert not more, {name: (len(few[name]), len(many[name]), sorted(found)[:2]) for name, found in more.items()}
    counts = {name: len(found) for name, found in many.items()}
    new = {name: n for name, n in counts.items() if name not in PINNED}
    assert not new, f"pin these: {new}"
    assert counts.keys() == PINNED.keys()
    assert {name: n for name, n in counts.items() if not PINNED[name] - SLACK <= n <= PINNED[name]} == {}


def test_a_loop_of_queries_would_be_seen(world):
    """The measure itself: one query for each row is more for more rows."""

    def loop() -> None:
        for row in Customer.objects.all():
            list(row.contacts.all())

    few = queries(loop)
    worlds.grow(world, 3)
    assert len(queries(loop)) == len(few) + 3
