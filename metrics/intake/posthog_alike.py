"""Many PostHog events with the same names of properties, a column at a time: a third of what `take` costs each.

Only what is plain is done here; every other group is left to `take`, which says what is right
(tests/intake/test_posthog_alike.py compares them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import repeat
from operator import itemgetter
from typing import Any

from .batch import Batch
from .clean import ENVIRONMENT, LARGEST, country_of, hyphened_ids
from .clock import LONGEST_MOMENT
from .event import CLAMPED, FUTURE_LIMIT, LIMITS, PAST_LIMIT, Event
from .measure import COUNTS, DURATIONS, counts, duration
from .origin import posthog_platform
from .posthog_events import COUNTRIES, SPECIAL, Shape, customer_of, shape_of, take
from .scrub import are_clean, is_fine_key

#: Events of one shape below which columns do not pay.
FEWEST = 8
#: Larger numbers may be card numbers and are looked at one by one.
_SMALL = 10**12 - 1
_PLAIN_KINDS = {str, int, float, bool, type(None)}

#: Event._make, without a call of Python's for each.
_event: Callable[[Sequence[Any]], Event] = partial(tuple.__new__, Event)
Rows = Sequence[dict[str, Any]]


class _NotPlain(Exception):
    """This group is for `take`."""


def take_all(raws: list[Any], batch: Batch) -> None:
    """All events of a request into `batch`, in their order."""
    groups, rest = ({}, list(enumerate(raws))) if batch.historical else _grouped(raws)
    placed: list[tuple[int, Event]] = []
    for found in groups.values():
        events = _events(found, batch) if len(found) >= FEWEST else None
        if events is None:
            rest += found
        elif len(events) == len(raws):
            batch.events += events
        else:
            placed += zip([place for place, _raw in found], events, strict=True)
    for place, raw in sorted(rest, key=itemgetter(0)):
        before = len(batch.events)
        take(raw, batch)
        if placed and len(batch.events) > before:
            placed.append((place, batch.events.pop()))
    if placed:
        batch.events += [event for _place, event in sorted(placed, key=itemgetter(0))]


def _grouped(raws: list[Any]) -> tuple[dict[Any, list[tuple[int, Any]]], list[tuple[int, Any]]]:
    """(uses by the names of their fields and properties, what is none)."""
    groups: dict[Any, list[tuple[int, Any]]] = {}
    rest = []
    last: tuple[list[str], list[str]] = ([], [])
    group: list[tuple[int, Any]] = []
    for place, raw in enumerate(raws):
        properties: Any = raw.get("properties") if type(raw) is dict else None
        name = raw.get("event") if type(properties) is dict else None
        if type(name) is not str or name in SPECIAL:
            rest.append((place, raw))
            continue
        names = (list(raw), list(properties))
        if names != last:  # to compare costs less than to look up
            last, group = names, groups.setdefault((*names[0], None, *names[1]), [])
        group.append((place, raw))
    return groups, rest


def _events(found: list[tuple[int, Any]], batch: Batch) -> list[Event] | None:
    try:
        return _read([raw for _place, raw in found], batch)
    except _NotPlain:
        return None


def _read(raws: Rows, batch: Batch) -> list[Event]:
    rows: Rows = [raw["properties"] for raw in raws]
    names, shape = rows[0].keys(), shape_of(rows[0])
    if shape.flags or "session_id" in raws[0] or not {"timestamp", "distinct_id", "uuid"} <= raws[0].keys():
        raise _NotPlain
    fields: tuple[Iterable[Any], ...] = (
        _ids(raws),
        repeat("use"),
        _names(raws),
        _moments(_column(raws, "timestamp"), batch),
        _first(rows, shape.release, LIMITS["release"]),
        _first(rows, shape.environment, LIMITS["environment"], ENVIRONMENT),
        _texts(raws, "distinct_id", LIMITS["user"]),
        _customers(rows, shape),
        _first(rows, ("$session_id",), LIMITS["session"]),
        _first(rows, ("feature",), LIMITS["feature"]),
        _platforms(rows),
        _first(rows, shape.plan, LIMITS["plan"]),
        _countries(rows),
        *_counts(rows),
        _durations(rows) if names & {*DURATIONS, "$duration"} else repeat(None),
        repeat(CLAMPED if batch.shift else 0),
        _props(rows, shape),
    )
    return list(map(_event, zip(*fields, strict=False)))  # the constant ones have no end


def _column(rows: Rows, name: str) -> list[Any]:
    return list(map(itemgetter(name), rows))


def _texts(rows: Rows, name: str, limit: int) -> list[str]:
    found = _plain(_column(rows, name), limit)
    if not all(found):
        raise _NotPlain
    return found


def _plain(texts: list[Any], limit: int) -> list[str]:
    try:
        joined = "".join(texts)
    except TypeError:
        raise _NotPlain from None
    if not joined.isprintable() or (len(joined) > limit and max(map(len, texts)) > limit):
        raise _NotPlain
    return texts


def _first(rows: Rows, names: Iterable[str], limit: int, default: str = "") -> Iterable[str]:
    """The first of the names that there is; nothing said is the default."""
    for name in names:
        if name in rows[0]:
            return _texts(rows, name, limit)
    return repeat(default)


def _ids(raws: Rows) -> list[str]:
    found = hyphened_ids(_column(raws, "uuid"))
    if found is None:
        raise _NotPlain
    return found


def _names(raws: Rows) -> list[str]:
    told = _texts(raws, "event", LIMITS["name"])
    if any(not name.strip() for name in set(told)):
        raise _NotPlain
    return [name.lstrip("$") or name for name in told]


def _moments(told: list[Any], batch: Batch) -> list[float]:
    try:
        moments = [moment.timestamp() for moment in map(datetime.fromisoformat, told) if moment.tzinfo]
        is_short = max(map(len, told)) <= LONGEST_MOMENT
    except (TypeError, ValueError, OverflowError):
        raise _NotPlain from None
    if not is_short:
        raise _NotPlain
    if batch.shift:
        moments = [at + batch.shift for at in moments]
    is_all = len(moments) == len(told)
    if not is_all or min(moments) < batch.now - PAST_LIMIT or max(moments) > batch.now + FUTURE_LIMIT:
        raise _NotPlain
    return moments


def _customers(rows: Rows, shape: Shape) -> Iterable[str]:
    limit = LIMITS["customer"]
    if "$groups" in rows[0]:
        return _plain([customer_of(row, shape.customer) for row in rows], limit)
    return _first(rows, shape.customer, limit)


def _platforms(rows: Rows) -> Iterable[str]:
    if "platform" in rows[0]:
        return _texts(rows, "platform", LIMITS["platform"])
    if "$lib" not in rows[0]:
        raise _NotPlain
    columns = [_column(rows, name) for name in ("$lib", "$os") if name in rows[0]]
    if all(type(told[0]) is str and told.count(told[0]) == len(told) for told in columns):
        return repeat(posthog_platform(*(told[0] for told in columns)))
    return [posthog_platform(*told) for told in zip(*columns, strict=True)]


def _countries(rows: Rows) -> Iterable[str]:
    return map(country_of, _first(rows, COUNTRIES, 100))


def _counts(rows: Rows) -> tuple[Iterable[int], Iterable[int]]:
    told = rows[0].keys() & COUNTS
    if not told:
        return repeat(1), repeat(0)
    if told == {"ok"}:
        return repeat(1), [int(ok is False) for ok in _column(rows, "ok")]
    n, bad = zip(*map(counts, rows), strict=True)
    return n, bad


def _durations(rows: Rows) -> list[float | None]:
    values = next((_column(rows, name) for name in DURATIONS if name in rows[0]), [None])
    if set(map(type, values)) <= {int, float} and min(values) >= 0 and max(values) <= LARGEST:
        return list(map(float, values))
    return list(map(duration, rows))


def _props(rows: Rows, shape: Shape) -> list[dict[str, Any]]:
    kept = shape.kept
    if not all(map(is_fine_key, kept)) or ("value" in kept and kept.keys() & {"name", "key"}):
        raise _NotPlain
    if "$referring_domain" in rows[0] and "$direct" in _column(rows, "$referring_domain"):
        raise _NotPlain
    columns = [_column(rows, name) for name in kept.values()]
    kinds: set[type] = set().union(*map(_check, columns))
    if not columns:
        return [{} for _row in rows]
    names, told = tuple(kept), list(zip(*columns, strict=True))
    if kinds == {str}:  # what is said again and again is one object, and later written once
        known = {values: dict(zip(names, values, strict=True)) for values in set(told)}
        return list(map(known.__getitem__, told))
    return [dict(zip(names, values, strict=True)) for values in told]


def _check(values: list[Any]) -> set[type]:
    """The kinds of a property's values, in which nothing would be taken out or cut."""
    kinds = set(map(type, values))
    if not kinds <= _PLAIN_KINDS:
        raise _NotPlain
    if kinds & {int, float} and not all(abs(v) <= _SMALL for v in values if type(v) is int or type(v) is float):
        raise _NotPlain
    if str in kinds and not are_clean({value for value in values if type(value) is str}):
        raise _NotPlain
    return kinds
