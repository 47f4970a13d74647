"""Groups events into what is added to each table. Pure: plain values in, plain values out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.detection.histogram import BINS, bin_of
from metrics.intake.event import AGGREGATED, FAULT, Event


class Known(NamedTuple):
    """The database ids behind the names that one product's events use."""

    signals: Mapping[tuple[str, str], int]  # (kind, name)
    releases: Mapping[str, int]
    plans: frozenset[str]
    platforms: frozenset[str]
    countries: frozenset[str]


class Key(NamedTuple):
    """One rollup row, except for its bucket size. Sorting by it is the order in which rows are locked."""

    signal: int
    environment: str
    release: int
    slice: str
    bucket: int  # unix seconds


class Look(NamedTuple):
    """What decides where an event is counted."""

    kind: str
    name: str
    environment: str
    release: str
    plan: str
    platform: str
    country: str
    minute: float  # unix seconds


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

    __slots__ = ("crowd", "key", "slices", "sum")

    def __init__(self, key: Key, slices: tuple[str, ...], crowd: Crowd) -> None:
        self.key, self.slices, self.crowd = key, slices, crowd
        self.sum = Sum()

    def add_values(self, pairs: Sequence[Sequence[float]]) -> None:
        """Durations that a client counted itself: pairs of (ms, how many)."""
        row = self.sum
        for (value, many), bin_ in zip(pairs, bin_of([value for value, _n in pairs]).tolist(), strict=True):
            row.bins[bin_] = row.bins.get(bin_, 0) + int(many)
            row.timed += int(many)
            row.total += value * many


@dataclass(frozen=True)
class Columns:
    """One entry for each event: where it is counted (a place's number), what it adds, and its number in the list."""

    at_place: NDArray[np.int64]
    minute: NDArray[np.int64]
    n: NDArray[np.int64]
    bad: NDArray[np.int64]
    at: NDArray[np.float64]
    events: NDArray[np.int64]

    def where(self, mask: NDArray[np.bool_]) -> Columns:
        if mask.all():
            return self
        return Columns(*(getattr(self, each.name)[mask] for each in fields(self)))


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

    def people(self) -> dict[Cohort, dict[int, int]]:
        """cohort -> user -> bad events."""
        return {cohort: crowd.bad_by_user() for cohort, crowd in self.crowds.items() if crowd.firsts}

    def usage(self) -> dict[tuple[str, Cohort], Usage]:
        return {(name, cohort): row for cohort, crowd in self.crowds.items() for name, row in crowd.usage.items()}


def group(events: Sequence[Event], known: Known) -> Grouped:
    """Everything the events add up to, by minute. Hours are made from the minutes by `by_hour`."""
    if any(kind == FAULT for kind, _name in known.signals):
        events = [*events, *_as_faults(events, known)]
    found = Grouped()
    if not events:
        return found
    each: Any = Event(*zip(*events, strict=True))  # of all events, field by field
    minutes = np.array(each.at) // 60 * 60
    # Most events look like many others; what follows from their looks is found out once.
    where = (each.environment, each.release, each.plan, each.platform, each.country)
    looks, at_place = _coded(zip(each.kind, each.name, *where, minutes.tolist(), strict=True))
    places = [_place(found, Look(*look), known) for look in looks]
    is_measured = np.array([place is not None for place in places])[at_place]
    counted = Columns(
        at_place=at_place, minute=minutes.astype(np.int64), n=np.array(each.n), bad=np.array(each.bad),
        at=np.array(each.at), events=np.arange(len(events)),
    ).where(is_measured)  # fmt: skip
    spots = [place or _NOWHERE for place in places]
    _add_counts(spots, counted)
    _add_values(spots, counted, each, events)
    _add_usage(spots, counted, each)
    _add_people(spots, counted, each)
    return found


def fault_of(event: Event) -> str:
    """The group of an error; "" for what is none."""
    group = event.props.get("group") if event.kind == "error" and event.bad and event.props else None
    return group if type(group) is str and _GROUP.fullmatch(group) else ""


def _as_faults(events: Sequence[Event], known: Known) -> list[Event]:
    """The errors once more, each under the group it belongs to."""
    named = [(fault_of(event), event) for event in events if event.kind == "error"]
    return [event._replace(kind=FAULT, name=name) for name, event in named if (FAULT, name) in known.signals]


def _add_counts(places: list[Place], counted: Columns) -> None:
    n = np.bincount(counted.at_place, counted.n, len(places)).astype(np.int64).tolist()
    bad = np.bincount(counted.at_place, counted.bad, len(places)).astype(np.int64).tolist()
    for place, its_n, its_bad in zip(places, n, bad, strict=True):
        place.sum.n, place.sum.bad = its_n, its_bad


def _add_values(places: list[Place], counted: Columns, each: Any, events: Sequence[Event]) -> None:
    values = np.array(each.value, dtype=np.float64)[counted.events]  # None becomes NaN
    timed = ~np.isnan(values)
    at_place, values = counted.at_place[timed], values[timed]
    both, counts = np.unique(at_place * BINS + bin_of(values), return_counts=True)
    for place, bin_, count in zip((both // BINS).tolist(), (both % BINS).tolist(), counts.tolist(), strict=True):
        places[place].sum.bins[bin_] = count
    n, total = np.bincount(at_place, minlength=len(places)), np.bincount(at_place, values, len(places))
    for place, its_n, its_total in zip(places, n.tolist(), total.tolist(), strict=True):
        place.sum.timed, place.sum.total = its_n, its_total
    flags = np.array(each.flags)[counted.events]
    for row in np.flatnonzero((flags & AGGREGATED > 0) & ~timed).tolist():
        if pairs := events[counted.events[row]].props.get("timed"):
            places[counted.at_place[row]].add_values(pairs)


def _add_usage(places: list[Place], counted: Columns, each: Any) -> None:
    """What each customer did in each cohort."""
    names, codes = _coded(each.customer)
    counted = counted.where(_is_named(names, codes[counted.events]))
    if not counted.events.size:
        return
    crowds, crowd = _crowds(places)
    both, row = np.unique(crowd[counted.at_place] * len(names) + codes[counted.events], return_inverse=True)
    struggles = np.array([bool(props.get("struggle")) if props else False for props in each.props])[counted.events]
    last = np.zeros(len(both))
    np.maximum.at(last, row, counted.at)
    sums = [np.bincount(row, what).astype(np.int64).tolist() for what in (counted.n, counted.bad, struggles)]
    for pair, *parts in zip(both.tolist(), *sums, last.tolist(), strict=True):
        crowds[pair // len(names)].usage[names[pair % len(names)]] = Usage(*parts)


def _add_people(places: list[Place], counted: Columns, each: Any) -> None:
    """Who was seen in each cohort: the earliest visit of each, and the bad ones."""
    names, codes = _coded(each.user)
    counted = counted.where(_is_named(names, codes[counted.events]))
    if not counted.events.size:
        return
    crowds, crowd = _crowds(places)
    hashes = [user_hash(name) for name in names]
    by_minute = counted.minute.argsort(kind="stable")
    pairs = crowd[counted.at_place] * len(names) + codes[counted.events]
    both, first = np.unique(pairs[by_minute], return_index=True)
    rows = by_minute[first]
    seen = zip(counted.minute[rows].tolist(), counted.bad[rows].tolist(), counted.at_place[rows].tolist(), strict=True)
    for pair, (minute, bad, place) in zip(both.tolist(), seen, strict=True):
        crowds[pair // len(names)].firsts[hashes[pair % len(names)]] = (minute, bad, places[place].sum)
    for row in np.flatnonzero(counted.bad > 0).tolist():
        place = places[counted.at_place[row]]
        visit = (int(counted.minute[row]), int(counted.bad[row]), place.sum)
        place.crowd.bads.setdefault(hashes[pairs[row] % len(names)], []).append(visit)


def _coded(values: Iterable[Any]) -> tuple[list[Any], NDArray[np.int64]]:
    """(the different values, for each value its place among them)."""
    known: dict[Any, int] = {}
    places = [known.setdefault(value, len(known)) for value in values]
    return list(known), np.array(places)


def _is_named(names: list[str], codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = codes != (names.index("") if "" in names else -1)
    return mask


def _crowds(places: list[Place]) -> tuple[list[Crowd], NDArray[np.int64]]:
    """(the different crowds, for each place its crowd's place among them)."""
    known: dict[int, int] = {}
    at = [known.setdefault(id(place.crowd), len(known)) for place in places]
    crowds = {id(place.crowd): place.crowd for place in places}
    return [crowds[number] for number in known], np.array(at)


def by_hour(minutes: Mapping[Key, Sum]) -> dict[Key, Sum]:
    hours: dict[Key, Sum] = {}
    for key, row in minutes.items():
        hour = key._replace(bucket=key.bucket // 3600 * 3600)
        total = hours.get(hour)
        if total is None:
            total = hours[hour] = Sum()
        total.add(row)
    return hours


_GROUP = re.compile(r"[0-9a-f]{32}")
_minute_and_bad = itemgetter(0, 1)


def _place(found: Grouped, look: Look, known: Known) -> Place | None:
    """None: identify and feedback are not measured."""
    signal = known.signals.get((look.kind, look.name))
    if signal is None:
        return None
    release, minute = known.releases.get(look.release, 0), int(look.minute)
    cohort = Cohort(datetime.fromtimestamp(minute, UTC).date(), signal, release, look.environment)
    crowd = found.crowds.get(cohort)
    if crowd is None:
        crowd = found.crowds[cohort] = Crowd()
    place = Place(Key(signal, look.environment, release, "", minute), _slices(look, known), crowd)
    found.places.append(place)
    return place


def user_hash(user: str) -> int:
    """A signed 64-bit hash; the user's own id is not kept beside counts."""
    return int.from_bytes(hashlib.blake2b(user.encode(), digest_size=8).digest(), "big", signed=True)


def _slices(look: Look, known: Known) -> tuple[str, ...]:
    names = [""]
    if look.plan:
        names.append(f"plan={look.plan if look.plan in known.plans else 'other'}")
    if look.platform:
        names.append(f"platform={look.platform if look.platform in known.platforms else 'other'}")
    if look.country:
        names.append(f"country={look.country if look.country in known.countries else 'other'}")
    return tuple(names)


#: Stands for looks that are not measured.
_NOWHERE = Place(Key(0, "", 0, "", 0), (), Crowd())
