"""Groups events into what is added to each table. Pure: plain values in, plain values out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from math import ceil, log
from typing import NamedTuple

from metrics.detection.histogram import BINS, GAMMA, SMALLEST
from metrics.intake.event import Event

_LOG_GAMMA = log(GAMMA)


class Known(NamedTuple):
    """The database ids behind the names that one product's events use."""

    signals: Mapping[tuple[str, str], int]  # (kind, name)
    releases: Mapping[str, int]
    plans: frozenset[str]
    platforms: frozenset[str]


class Key(NamedTuple):
    """One rollup row, except for its bucket size. Sorting by it is the order in which rows are locked."""

    signal: int
    environment: str
    release: int
    slice: str
    bucket: int  # unix seconds


class Person(NamedTuple):
    day: date
    signal: int
    release: int
    environment: str
    user: int


@dataclass
class Sum:
    n: int = 0
    bad: int = 0
    bad_sq: float = 0.0
    users: int = 0
    bad_users: int = 0
    timed: int = 0
    total: float = 0.0
    bins: dict[int, int] = field(default_factory=dict)

    def add(self, other: Sum) -> None:
        self.n += other.n
        self.bad += other.bad
        self.bad_sq += other.bad_sq
        self.users += other.users
        self.bad_users += other.bad_users
        self.timed += other.timed
        self.total += other.total
        for place, count in other.bins.items():
            self.bins[place] = self.bins.get(place, 0) + count


@dataclass
class Usage:
    uses: int = 0
    failures: int = 0
    struggles: int = 0
    last: float = 0.0


Visit = tuple[int, int, tuple[str, ...]]  # minute, bad events in it, the slices of its first event


@dataclass
class Grouped:
    minutes: dict[Key, Sum] = field(default_factory=dict)
    usage: dict[tuple[str, date, int, int, str], Usage] = field(default_factory=dict)
    people: dict[Person, list[Visit]] = field(default_factory=dict)


def group(events: Iterable[Event], known: Known) -> Grouped:
    """Everything the events add up to, by minute. Hours are made from the minutes by `by_hour`."""
    found = Grouped()
    days: dict[int, date] = {}
    for event in events:
        signal = known.signals.get((event.kind, event.name))
        if signal is None:  # identify and feedback are not measured
            continue
        release = known.releases.get(event.release, 0)
        minute = int(event.at) // 60 * 60
        day = days.get(minute // 86_400) or days.setdefault(
            minute // 86_400, datetime.fromtimestamp(minute, UTC).date()
        )
        slices = _slices(event, known)
        bin_ = None if event.value is None else duration_bin(event.value)
        for name in slices:
            key = Key(signal, event.environment, release, name, minute)
            row = found.minutes.get(key)
            if row is None:
                row = found.minutes[key] = Sum()
            row.n += event.n
            row.bad += event.bad
            if bin_ is not None and event.value is not None:
                row.timed += 1
                row.total += event.value
                row.bins[bin_] = row.bins.get(bin_, 0) + 1
        if event.customer:
            _use(found, event, day, signal, release)
        if event.user:
            person = Person(day, signal, release, event.environment, user_hash(event.user))
            found.people.setdefault(person, []).append((minute, event.bad, slices))
    return found


def by_hour(minutes: Mapping[Key, Sum]) -> dict[Key, Sum]:
    hours: dict[Key, Sum] = {}
    for key, row in minutes.items():
        hour = Key(*key[:4], key.bucket // 3600 * 3600)
        total = hours.get(hour)
        if total is None:
            total = hours[hour] = Sum()
        total.add(row)
    return hours


def count_person(
    found: Grouped, person: Person, visits: list[Visit], is_new: bool, bad_before: int
) -> None:
    """Adds what a user's day changes: the first visit, the first bad one, and Σ(bad)² as it grows."""
    visits.sort()
    if is_new:
        for row in _rows(found, person, visits[0]):
            row.users += 1
    so_far = bad_before
    for visit in visits:
        bad = visit[1]
        if not bad:
            continue
        for row in _rows(found, person, visit):
            row.bad_sq += (so_far + bad) ** 2 - so_far**2
            row.bad_users += so_far == 0
        so_far += bad


def user_hash(user: str) -> int:
    """A signed 64-bit hash; the user's own id is not kept beside counts."""
    return int.from_bytes(hashlib.blake2b(user.encode(), digest_size=8).digest(), "big", signed=True)


def duration_bin(value: float) -> int:
    """The same as detection.histogram.bin_of, for one value without numpy's overhead."""
    if value <= 0:
        return 0
    return min(max(ceil(log(max(value, SMALLEST) / SMALLEST) / _LOG_GAMMA - 1e-9), 1), BINS - 1)


def _slices(event: Event, known: Known) -> tuple[str, ...]:
    names = [""]
    if event.plan:
        names.append(f"plan={event.plan if event.plan in known.plans else 'other'}")
    if event.platform:
        names.append(f"platform={event.platform if event.platform in known.platforms else 'other'}")
    return tuple(names)


def _rows(found: Grouped, person: Person, visit: Visit) -> Iterable[Sum]:
    for name in visit[2]:
        yield found.minutes[Key(person.signal, person.environment, person.release, name, visit[0])]


def _use(found: Grouped, event: Event, day: date, signal: int, release: int) -> None:
    key = (event.customer, day, signal, release, event.environment)
    row = found.usage.get(key)
    if row is None:
        row = found.usage[key] = Usage()
    row.uses += event.n
    row.failures += event.bad
    row.struggles += 1 if event.props.get("struggle") else 0
    row.last = max(row.last, event.at)
