"""Groups events into what is added to each table. Pure: plain values in, plain values out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from math import ceil, log
from operator import itemgetter
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


class Cohort(NamedTuple):
    """Whose users are counted together: each user once, however often they come in that day."""

    day: date
    signal: int
    release: int
    environment: str


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


Visit = tuple[int, int, Sum]  # minute, bad events in it, where it is counted


class Place:
    """Where events that look alike are counted: one minute of one signal, release, environment and slices."""

    __slots__ = ("cohort", "key", "people", "slices", "sum")

    def __init__(self, key: Key, slices: tuple[str, ...], cohort: Cohort, people: dict[int, list[Visit]]) -> None:
        self.key, self.slices, self.cohort, self.people, self.sum = key, slices, cohort, people, Sum()


@dataclass
class Grouped:
    places: list[Place] = field(default_factory=list)
    usage: dict[tuple[str, Cohort], Usage] = field(default_factory=dict)
    people: dict[Cohort, dict[int, list[Visit]]] = field(default_factory=dict)

    def minutes(self) -> dict[Key, Sum]:
        """One row for all, and one for each slice."""
        found: dict[Key, Sum] = {}
        for place in self.places:
            for name in place.slices:
                key = place.key._replace(slice=name)
                row = found.get(key)
                if row is None:
                    row = found[key] = Sum()
                row.add(place.sum)
        return found


def group(events: Iterable[Event], known: Known) -> Grouped:
    """Everything the events add up to, by minute. Hours are made from the minutes by `by_hour`."""
    found = Grouped()
    # Most events look like many others; what follows from their looks is found out once.
    places: dict[tuple[object, ...], Place | None] = {}
    hashes: dict[str, int] = {}
    for event in events:
        minute = int(event.at) // 60 * 60
        looks = (event.kind, event.name, event.environment, event.release, event.plan, event.platform, minute)
        if looks in places:
            place = places[looks]
        else:
            place = places[looks] = _place(found, event, minute, known)
        if place is None:  # identify and feedback are not measured
            continue
        row = place.sum
        row.n += event.n
        row.bad += event.bad
        if event.value is not None:
            bin_ = duration_bin(event.value)
            row.timed += 1
            row.total += event.value
            row.bins[bin_] = row.bins.get(bin_, 0) + 1
        if event.customer:
            _use(found, event, place.cohort)
        if event.user:
            user = hashes.get(event.user)
            if user is None:
                user = hashes[event.user] = user_hash(event.user)
            place.people.setdefault(user, []).append((minute, event.bad, row))
    return found


def by_hour(minutes: Mapping[Key, Sum]) -> dict[Key, Sum]:
    hours: dict[Key, Sum] = {}
    for key, row in minutes.items():
        hour = key._replace(bucket=key.bucket // 3600 * 3600)
        total = hours.get(hour)
        if total is None:
            total = hours[hour] = Sum()
        total.add(row)
    return hours


def count_person(visits: list[Visit], is_new: bool, bad_before: int) -> None:
    """Adds what a user's day changes: the first visit, the first bad one, and Σ(bad)² as it grows."""
    if len(visits) > 1:
        visits.sort(key=_minute_and_bad)
    if is_new:
        visits[0][2].users += 1
    so_far = bad_before
    for _minute, bad, row in visits:
        if bad:
            row.bad_sq += (so_far + bad) ** 2 - so_far**2
            row.bad_users += so_far == 0
            so_far += bad


_minute_and_bad = itemgetter(0, 1)


def _place(found: Grouped, event: Event, minute: int, known: Known) -> Place | None:
    signal = known.signals.get((event.kind, event.name))
    if signal is None:
        return None
    release = known.releases.get(event.release, 0)
    cohort = Cohort(datetime.fromtimestamp(minute, UTC).date(), signal, release, event.environment)
    key = Key(signal, event.environment, release, "", minute)
    place = Place(key, _slices(event, known), cohort, found.people.setdefault(cohort, {}))
    found.places.append(place)
    return place


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


def _use(found: Grouped, event: Event, cohort: Cohort) -> None:
    key = (event.customer, cohort)
    row = found.usage.get(key)
    if row is None:
        row = found.usage[key] = Usage()
    row.uses += event.n
    row.failures += event.bad
    if event.props.get("struggle"):
        row.struggles += 1
    row.last = max(row.last, event.at)
