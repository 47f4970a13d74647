"""Groups events into what is added to each table. Pure: plain values in, plain values out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from operator import itemgetter
from typing import Any, NamedTuple

from metrics.detection.histogram import bin_of
from metrics.intake.event import AGGREGATED, Event


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


@dataclass(slots=True)
class Usage:
    uses: int = 0
    failures: int = 0
    struggles: int = 0
    last: float = 0.0


Visit = tuple[int, int, Sum]  # minute, bad events in it, where it is counted


class Crowd:
    """Who was seen in one cohort: each user's earliest visit, the visits in which something went wrong, and what
    each customer did."""

    __slots__ = ("bads", "firsts", "usage")

    def __init__(self) -> None:
        self.firsts: dict[int, Visit] = {}
        self.bads: dict[int, list[Visit]] = {}
        self.usage: dict[str, Usage] = {}

    def bad_by_user(self) -> dict[int, int]:
        found = dict.fromkeys(self.firsts, 0)
        for user, visits in self.bads.items():
            found[user] = sum([visit[1] for visit in visits])
        return found

    def count(self, user: int, is_new: bool, bad_before: int) -> None:
        """Adds what a user's day changes: the first visit, the first bad one, and Σ(bad)² as it grows."""
        if is_new:
            self.firsts[user][2].users += 1
        so_far = bad_before
        for _minute, bad, row in sorted(self.bads.get(user, ()), key=_minute_and_bad):
            row.bad_sq += (so_far + bad) ** 2 - so_far**2
            row.bad_users += so_far == 0
            so_far += bad


class Place:
    """Where events that look alike are counted: one minute of one signal, release, environment and slices."""

    __slots__ = ("crowd", "key", "pairs", "slices", "sum", "values")

    def __init__(self, key: Key, slices: tuple[str, ...], crowd: Crowd) -> None:
        self.key, self.slices, self.crowd = key, slices, crowd
        self.sum = Sum()
        self.values: list[float] = []
        self.pairs: list[list[Any]] = []  # ms, how many

    def add_values(self) -> None:
        bins = Counter(bin_of(self.values).tolist())
        self.sum.timed, self.sum.total = len(self.values), sum(self.values)
        for (value, many), bin_ in zip(self.pairs, bin_of([value for value, _n in self.pairs]).tolist(), strict=True):
            bins[bin_] += many
            self.sum.timed += many
            self.sum.total += value * many
        self.sum.bins = dict(bins)


@dataclass
class Grouped:
    places: list[Place] = field(default_factory=list)
    crowds: dict[Cohort, Crowd] = field(default_factory=dict)

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

    def usage(self) -> dict[tuple[str, Cohort], Usage]:
        return {(name, cohort): row for cohort, crowd in self.crowds.items() for name, row in crowd.usage.items()}


def group(events: Iterable[Event], known: Known) -> Grouped:
    """Everything the events add up to, by minute. Hours are made from the minutes by `by_hour`."""
    found = Grouped()
    # Most events look like many others; what follows from their looks is found out once.
    places: dict[tuple[object, ...], Place | None] = {}
    hashes: dict[str, int] = {}
    for event in events:
        minute = int(event.at) // 60 * 60
        looks = (event.kind, event.name, event.environment, event.release, event.plan, event.platform, minute)
        place = places.get(looks, _NOWHERE)
        if place is _NOWHERE:
            place = places[looks] = _place(found, event, minute, known)
        if place is None:  # identify and feedback are not measured
            continue
        bad, row, crowd = event.bad, place.sum, place.crowd
        row.n += event.n
        row.bad += bad
        if event.value is not None:
            place.values.append(event.value)
        elif event.flags & AGGREGATED and "timed" in event.props:
            place.pairs += event.props["timed"]
        if event.customer:
            _use(crowd.usage, event)
        if event.user:
            user = hashes.get(event.user)
            if user is None:
                user = hashes[event.user] = user_hash(event.user)
            first = crowd.firsts.get(user)
            if first is None or minute < first[0]:
                crowd.firsts[user] = (minute, bad, row)
            if bad:
                crowd.bads.setdefault(user, []).append((minute, bad, row))
    for place in found.places:
        if place.values or place.pairs:
            place.add_values()
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


_minute_and_bad = itemgetter(0, 1)


def _place(found: Grouped, event: Event, minute: int, known: Known) -> Place | None:
    signal = known.signals.get((event.kind, event.name))
    if signal is None:
        return None
    release = known.releases.get(event.release, 0)
    cohort = Cohort(datetime.fromtimestamp(minute, UTC).date(), signal, release, event.environment)
    crowd = found.crowds.get(cohort)
    if crowd is None:
        crowd = found.crowds[cohort] = Crowd()
    place = Place(Key(signal, event.environment, release, "", minute), _slices(event, known), crowd)
    found.places.append(place)
    return place


def user_hash(user: str) -> int:
    """A signed 64-bit hash; the user's own id is not kept beside counts."""
    return int.from_bytes(hashlib.blake2b(user.encode(), digest_size=8).digest(), "big", signed=True)


def _slices(event: Event, known: Known) -> tuple[str, ...]:
    names = [""]
    if event.plan:
        names.append(f"plan={event.plan if event.plan in known.plans else 'other'}")
    if event.platform:
        names.append(f"platform={event.platform if event.platform in known.platforms else 'other'}")
    return tuple(names)


def _use(usage: dict[str, Usage], event: Event) -> None:
    row = usage.get(event.customer)
    if row is None:
        row = usage[event.customer] = Usage()
    row.uses += event.n
    row.failures += event.bad
    if event.props.get("struggle"):
        row.struggles += 1
    if event.at > row.last:
        row.last = event.at


#: Stands for looks that were not met yet; None stands for those that are not measured.
_NOWHERE = Place(Key(0, "", 0, "", 0), (), Crowd())
