"""What the shop's users did, hour by hour, as plain facts. Pure, and the same for the same `now`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import accumulate
from math import exp
from typing import NamedTuple

from productops.sample.cast import COUNTRIES, SEED, Client, Person
from productops.sample.timeline import (
    BROKEN,
    BROKEN_PLAN,
    CHECKOUT,
    DAYS,
    ENVIRONMENT,
    FILTERS,
    NEW_FEATURE,
    REHEARSAL,
    SEARCH,
    STAGING,
    Version,
    activity,
    is_gone,
    running,
)

#: Visits in the whole story at scale 1; a visit makes about two facts.
VISITS = 102_000
FAILURE_RATE, BROKEN_RATE, CRASH_RATE = 0.04, 0.34, 0.006
#: Chance that a visit by somebody who has the new feature tries it, and that they ever do so again.
TRY_RATE, AGAIN_RATE = 0.013, 0.06
#: Share of failed checkouts that also send an error report.
REPORTED = 0.15


class Fact(NamedTuple):
    """One thing that happened. `n` of them, `bad` went wrong, the one measured took `ms`."""

    at: float
    name: str
    feature: str
    person: Person
    release: str
    environment: str
    n: int = 1
    bad: int = 0
    ms: int | None = None
    struggle: bool = False


class Hour(NamedTuple):
    """Facts of one hour (less at the end), and visits: (minute, release, platform, person) -> [visits, crashed]."""

    until: float
    facts: list[Fact]
    visits: dict[tuple[int, str, str, str], list[int]]


class Decks:
    """Outcomes dealt from shuffled decks: random in order, true to the rate in the long run.

    Without them, one loading in ten would tell of a regression that the story does not hold.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng, self._decks = rng, dict[tuple[object, ...], list[bool]]()

    def draw(self, rate: float, *key: object) -> bool:
        deck = self._decks.setdefault((rate, *key), [])
        if not deck:
            size = 50 if rate >= 0.02 else 500
            hits = round(rate * size)
            deck += [True] * hits + [False] * (size - hits)
            self._rng.shuffle(deck)
        return deck.pop()


class Narrator:
    """Tells the story of some clients. Live traffic goes on with the same words."""

    def __init__(self, clients: list[Client], now: datetime, scale: float = 1.0, seed: int = SEED) -> None:
        self.now, self.scale = now, scale
        self.rng = random.Random(f"{seed}:{int(now.timestamp())}")
        self._decks = Decks(self.rng)
        self._people = {c: [p for x in clients if x.country == c for p in x.users] for c in COUNTRIES}
        self._weights = {c: list(accumulate(p.weight for p in people)) for c, people in self._people.items()}
        total = sum(weights[-1] for weights in self._weights.values() if weights)
        # Mean of `activity` over a week is about 0.8.
        self._hourly = VISITS * scale / (DAYS * 24) / total / 0.8

    def hours(self, released: list[Version]) -> Iterator[Hour]:
        start = (self.now - timedelta(days=DAYS)).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        while start < self.now:
            end = min(start + timedelta(hours=1), self.now)
            yield self.hour(start, end, released)
            start = end

    def hour(self, start: datetime, end: datetime, released: list[Version]) -> Hour:
        told = Hour(end.timestamp(), [], {})
        for country, people in self._people.items():
            if not people:
                continue
            share = (end - start).total_seconds() / 3600
            busy = activity(country, start, self.now) * self._hourly * self._weights[country][-1] * share
            for _visit in range(self._whole(busy)):
                person = self.rng.choices(people, cum_weights=self._weights[country])[0]
                at = start + (end - start) * self.rng.random()
                if not is_gone(person.client, at, self.now):
                    self._visit(told, person, at, running(released, person, at))
        self._rehearse(told, start, end, released)
        told.facts.sort(key=lambda fact: fact.at)
        return told

    def _whole(self, expected: float) -> int:
        """A whole number around `expected`, as scattered as independent visits are."""
        if expected > 30:
            return max(0, round(self.rng.gauss(expected, expected**0.5)))
        count, left = 0, self.rng.random()
        limit = exp(-expected)
        while left > limit:
            count, left = count + 1, left * self.rng.random()
        return count

    def _visit(self, told: Hour, person: Person, at: datetime, release: str) -> None:
        rng, begin = self.rng, at.timestamp()
        minute = int(begin) // 600 * 600
        visits = told.visits.setdefault((minute, release, person.platform, person.id), [0, 0])
        visits[0] += 1
        visits[1] += self._decks.draw(CRASH_RATE, "crash", release)
        if rng.random() < 0.5:
            told.facts.append(self.search(person, begin, release))
        if release >= NEW_FEATURE and self._tries(person):
            told.facts.extend(self._confusion(person, begin + 20, release))
        for _times in range(rng.choices((0, 1, 2, 3), (12, 46, 32, 10))[0]):
            # Most of a visit lies within a minute, as at a till.
            told.facts.append(self.checkout(person, min(begin + rng.uniform(0, 40), told.until - 0.1), release))

    def search(self, person: Person, at: float, release: str, rate: float = 0.02) -> Fact:
        ms = round(self.rng.lognormvariate(5.4, 0.55))
        bad = self._decks.draw(rate, "search", release)
        struggle = self.rng.random() < 0.01
        return Fact(at, "search", SEARCH, person, release, ENVIRONMENT, 1, int(bad), ms, struggle)

    def checkout(self, person: Person, at: float, release: str) -> Fact:
        plan = person.client.plan
        rate = BROKEN_RATE if release == BROKEN and plan == BROKEN_PLAN else FAILURE_RATE
        bad = self._decks.draw(rate, "checkout", plan, release)
        ms = round(self.rng.lognormvariate(6.8, 0.45))
        return Fact(at, "checkout", CHECKOUT, person, release, ENVIRONMENT, 1, int(bad), ms)

    def _tries(self, person: Person) -> bool:
        if person.tries == 0:
            return self.rng.random() < TRY_RATE
        return person.tries == 1 and self.rng.random() < AGAIN_RATE * TRY_RATE * 4

    def _confusion(self, person: Person, at: float, release: str) -> Iterator[Fact]:
        """Nothing fails, and still they do not get on: the same button again, help, clicks in anger."""
        rng = self.rng
        person.tries += 1

        def fact(name: str, after: float, struggle: bool) -> Fact:
            return Fact(at + after, name, FILTERS, person, release, ENVIRONMENT, struggle=struggle)

        yield fact("save_filter", 0, False)
        if person.tries > 1:
            yield fact("apply_filter", 30, False)
            return
        if rng.random() < 0.55:
            yield from (fact("retry", 6 + 9 * times, True) for times in range(rng.randint(3, 5)))
        if rng.random() < 0.40:
            yield fact("help_opened", rng.uniform(15, 110), True)
        if rng.random() < 0.30:
            yield fact("$rageclick", rng.uniform(8, 40), True)

    def _rehearse(self, told: Hour, start: datetime, end: datetime, released: list[Version]) -> None:
        """A trickle in staging, where the next release runs some hours early."""
        tester = next(people[0] for people in self._people.values() if people)
        versions = [v.version for v in released if v.began - REHEARSAL <= start]
        for _visit in range(self.rng.randint(1, 4) if versions else 0):
            at = self.rng.uniform(start.timestamp(), end.timestamp())
            ms = round(self.rng.lognormvariate(6.8, 0.45))
            told.facts.append(Fact(at, "checkout", CHECKOUT, tester, versions[-1], STAGING, 1, 0, ms))
