"""Keeps the sample alive over real HTTP: traffic goes on, a release breaks something, a later one mends it.

Speaks all three protocols to the running web. Only the token it calls with is written to the database.
"""

from __future__ import annotations

import http.client
import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.utils import timezone

from accounts.models import ApiToken, Membership, Role
from productops.sample import cast, load
from productops.sample.cast import Person
from productops.sample.story import Fact, Hour, Narrator
from productops.sample.timeline import FILTERS, activity, place
from productops.sample.wire import (
    Account,
    Request,
    own_lines,
    posthog_batch,
    posthog_events,
    sentry_error,
    sentry_sessions,
)
from releases.models import Release

log = logging.getLogger(__name__)

TOKEN = "sample live"  # noqa: S105
#: Seconds until the first release, from a broken release to its fix, and from the fix to the next broken one.
FIRST, MEND, AGAIN = 20.0, 600.0, 7_200.0
#: Seconds after a release in which traffic comes at the full rate; afterwards at a share of it.
FRESH, CALM = 420.0, 0.25
#: Share of searches that fail, ordinarily and in a broken release; share of users a release reaches at once.
USUAL, BROKEN, REACH = 0.02, 0.14, 50
#: Share of requests that go through PostHog's protocol instead of the hub's own.
POSTHOG = 0.2
VISITS_EVERY = 10.0


class Hub:
    """The running web. A request is tried again until it is taken, refused for good, or we are to stop."""

    def __init__(self, url: str, stop: threading.Event) -> None:
        self._url, self._stop = urlsplit(url), stop
        self._link: http.client.HTTPConnection | None = None

    def post(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """The HTTP status, 0 when stopped first."""
        wait = 0.5
        while not self._stop.is_set():
            status = self._try(path, headers, body)
            if status and status < 500 and status != 429:
                return status
            self._stop.wait(wait)
            wait = min(10.0, wait * 2)
        return 0

    def _try(self, path: str, headers: dict[str, str], body: bytes) -> int:
        try:
            if self._link is None:
                kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
                self._link = kind(self._url.hostname or "127.0.0.1", self._url.port, timeout=10)
            self._link.request("POST", self._url.path + path, body, headers)
            answer = self._link.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return 0
        return answer.status

    def close(self) -> None:
        if self._link:
            self._link.close()
        self._link = None


@dataclass
class Rollout:
    """Which share of the users runs which version, newest first; the last one takes the rest."""

    parts: list[tuple[str, int]]

    def version_of(self, person: Person) -> str:
        for version, percentage in self.parts:
            if place(person.luck, version) < percentage:
                return version
        return self.parts[-1][0]

    def ship(self, version: str) -> None:
        self.parts = [(version, REACH), *self.parts[:2]]


class Live:
    def __init__(self, url: str, rate: float, stop: threading.Event) -> None:
        self._rate, self._stop = rate, stop
        self._hub = Hub(url, stop)
        self._sample = _sample()
        self._to = Account(self._sample.product.pk, self._sample.key.key)
        self._token, self._bearer = _token(self._sample)
        clients = [client for client in cast.clients() if not client.is_silent]
        self._people = [person for client in clients for person in client.users]
        self._story = Narrator(clients, timezone.now(), seed=int(time.time()))
        self._rollout = Rollout(_running(self._sample))
        self._broken = ""
        self._due, self._shipped = time.monotonic() + FIRST, time.monotonic()
        self._visits: dict[tuple[int, str, str, str], list[int]] = {}
        self._visits_sent = time.monotonic()

    def run(self) -> None:
        """Until stopped, or until the sample was removed."""
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                if began >= self._due:
                    self._release()
                if not self._second():
                    break
                self._stop.wait(max(0.05, 1 - (time.monotonic() - began)))
        finally:
            self._hub.close()
            _revoke(self._token)

    def _second(self) -> bool:
        """One second of traffic; False when the hub does not know us any more."""
        facts = self._facts(time.time())
        mine = [fact for fact in facts if fact.feature != FILTERS and self._story.rng.random() > POSTHOG]
        other = [fact for fact in facts if fact not in mine]
        requests: list[Request] = []
        at = time.time()
        if mine:
            requests.append(own_lines(mine, at, self._to))
        if other:
            requests.append(posthog_batch(posthog_events(other), at, self._to))
        requests += [sentry_error(f, at, self._to) for f in facts if f.bad and self._story.rng.random() < 0.03]
        if time.monotonic() - self._visits_sent > VISITS_EVERY:
            requests += sentry_sessions(Hour(at, [], self._visits), self._to)
            self._visits, self._visits_sent = {}, time.monotonic()
        for request in requests:
            if self._hub.post(request.path, request.headers, request.body) in {401, 403}:
                return False
        return True

    def _facts(self, now: float) -> list[Fact]:
        """About `rate` facts of this second, fewer at night and when the last release is no longer fresh."""
        calm = 1.0 if time.monotonic() - self._shipped < FRESH or self._is_waiting() else CALM
        wanted, facts = self._rate * calm, list[Fact]()
        rng, moment = self._story.rng, datetime.fromtimestamp(now, UTC)
        while len(facts) < wanted:
            person = rng.choice(self._people)
            if rng.random() > 0.4 + 0.5 * activity(person.client.country, moment, moment):
                wanted -= 1
                continue
            facts += self._visit(person, now - rng.random())
        return facts

    def _visit(self, person: Person, at: float) -> list[Fact]:
        rng, version = self._story.rng, self._rollout.version_of(person)
        minute = int(at) // 60 * 60
        self._visits.setdefault((minute, version, person.platform, person.id), [0, 0])[0] += 1
        rate = BROKEN if version == self._broken else USUAL
        found = [self._story.search(person, at, version, rate)]
        if rng.random() < 0.6:
            found.append(self._story.checkout(person, at, version))
        if rng.random() < 0.01:
            found.append(Fact(at, "save_filter", FILTERS, person, version, "production"))
        return found

    def _is_waiting(self) -> bool:
        return self._due - time.monotonic() < FIRST

    def _release(self) -> None:
        """Ships the next version: the fix of a broken one, else one that breaks the search."""
        is_fix = bool(self._broken)
        version = _next(self._rollout.parts[0][0], is_fix)
        if not self._announce(version):
            self._due = time.monotonic() + 30
            return
        self._rollout.ship(version)
        self._broken = "" if is_fix else version
        self._shipped = time.monotonic()
        self._due = self._shipped + (AGAIN if is_fix else MEND)
        log.info("%s is out%s", version, ", mending the search" if is_fix else ", and breaks the search")

    def _announce(self, version: str) -> bool:
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._bearer}"}
        product = self._sample.product.slug
        steps: tuple[tuple[str, dict[str, Any]], ...] = (
            ("/api/v1/releases", {"version": version, "product": product}),
            (
                f"/api/v1/releases/{version}/deploys",
                {"product": product, "environment": "production", "percentage": REACH},
            ),
        )
        for path, body in steps:
            status = self._hub.post(path, headers, orjson.dumps(body))
            if status not in {200, 201}:
                log.warning("%s answered %s", path, status)
                return False
        return True


class NoSample(Exception):
    """There is nothing to keep alive."""


def _sample() -> load.Sample:
    found = load.find()
    if found is None:
        raise NoSample
    return found


def _token(sample: load.Sample) -> tuple[ApiToken, str]:
    """A token of the manager's; those of earlier runs that were killed are revoked."""
    member = Membership.objects.filter(workspace=sample.workspace, role=Role.MANAGER).order_by("pk").first()
    if member is None:
        raise NoSample
    for old in ApiToken.objects.filter(membership=member, name=TOKEN, revoked_at=None):
        old.revoke()
    return ApiToken.objects.issue(member, TOKEN)


def _revoke(token: ApiToken) -> None:
    try:
        close_old_connections()
        token.revoke()
    except DatabaseError:  # the next run revokes it
        log.debug("The token was not revoked")


def _running(sample: load.Sample) -> list[tuple[str, int]]:
    """The two newest versions: half of the users each."""
    newest = Release.objects.filter(product=sample.product).exclude(shipped_at=None).in_order()[:2]
    return [(release.version, REACH) for release in newest]


def _next(version: str, is_fix: bool) -> str:
    major, minor, patch = (int(part) for part in version.split("."))
    return f"{major}.{minor}.{patch + 1}" if is_fix else f"{major}.{minor + 1}.0"
