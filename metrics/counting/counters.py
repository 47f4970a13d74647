"""Running totals of metrics clients become what was added since the last one (`settle`).

One row per series remembers the last point. Told by its start a restarted process counts anew from zero; a series
that appears while its process is being watched began since then; of one that was running before anybody listened
only the growth counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from django.db.backends.utils import CursorWrapper
from psycopg2.extras import execute_values

from metrics.intake.event import AGGREGATED, Event, field_of
from metrics.intake.otlp_metrics import MOST

#: A process counts as watched when a point of it came in this many seconds before.
WATCHED = 900.0
#: A series this young, in seconds, is counted from its start.
YOUNG = 120.0
#: Series remembered of one product; more are not counted.
SERIES = 20_000

_flags = field_of("flags")


@dataclass
class Last:
    """The last point of a series; at 0 when there is none."""

    start: float = 0.0
    at: float = 0.0
    count: float = 0.0
    timed: dict[str, int] = field(default_factory=dict)


def settle(cursor: CursorWrapper, product: int, events: list[Event]) -> list[Event]:
    """The events with running totals replaced by what they add; those that add nothing are left out."""
    is_any = any(flags & AGGREGATED for flags in set(map(_flags, events)))
    told = [event for event in events if event.flags & AGGREGATED and "counter" in event.props] if is_any else []
    if not told:
        return events
    names = {event.props["counter"][key] for event in told for key in ("series", "process")}
    known = _lock(cursor, product, sorted(names))
    added: dict[str, Event | None] = {}
    for event in sorted(told, key=lambda event: float(event.props["counter"]["at"])):
        added[event.id] = _added(event, known)
    _save(cursor, product, known)
    settled = (added.get(event.id, event) for event in events)
    return [event for event in settled if event is not None]


def _added(event: Event, known: dict[str, Last]) -> Event | None:
    point = event.props["counter"]
    if point["series"] not in known or point["process"] not in known:
        return None  # beyond SERIES
    last, process = known[point["series"]], known[point["process"]]
    start, at, count, timed = point["start"], point["at"], point["count"], point["timed"]
    if at <= last.at:
        return None  # an older point, overtaken: the newer one held it
    base = _base(last, process, start, at, count)
    known[point["series"]] = Last(start, at, count, timed)
    if at > process.at:
        known[point["process"]] = Last(start, at)
    if base is None or (n := min(round(count - base.count), MOST)) <= 0:
        return None
    pairs = [[float(value), many - base.timed.get(value, 0)] for value, many in timed.items()]
    props = {name: value for name, value in event.props.items() if name not in ("counter", "bad")}
    grown = [pair for pair in pairs if pair[1] > 0]
    # A client that makes its buckets coarser names all of them anew; then only the next point can tell.
    if grown and sum(many for _value, many in grown) <= n:
        props["timed"] = grown
    return event._replace(n=n, bad=n if event.props.get("bad") else 0, props=props)


def _base(last: Last, process: Last, start: float, at: float, count: float) -> Last | None:
    """What is taken off; None when only the next point can tell."""
    if last.at:
        if start > last.start + 0.001:
            return Last()  # it began again after the last point
        return last if count >= last.count else None
    is_watched = process.at and at - process.at <= WATCHED
    return Last() if is_watched or (start and at - start <= YOUNG) else None


def _lock(cursor: CursorWrapper, product: int, names: list[str]) -> dict[str, Last]:
    cursor.execute(
        "INSERT INTO metrics_counter (product_id, series, start, at, count, timed)"
        " SELECT %s, name, 0, 0, 0, '{}' FROM unnest(%s::uuid[]) AS name"
        " WHERE (SELECT count(*) FROM metrics_counter WHERE product_id = %s) < %s ORDER BY name ON CONFLICT DO NOTHING",
        [product, names, product, SERIES],
    )
    cursor.execute(
        "SELECT replace(series::text, '-', ''), start, at, count, timed::text FROM metrics_counter"
        " WHERE product_id = %s AND series = ANY(%s::uuid[]) ORDER BY series FOR UPDATE",
        [product, names],
    )
    return {name: Last(start, at, count, _bins(timed)) for name, start, at, count, timed in cursor.fetchall()}


def _bins(timed: str) -> dict[str, int]:
    found: dict[str, int] = orjson.loads(timed)
    return found


def _save(cursor: CursorWrapper, product: int, known: dict[str, Last]) -> None:
    rows: list[tuple[Any, ...]] = [
        (name, last.start, last.at, last.count, orjson.dumps(last.timed).decode())
        for name, last in sorted(known.items())
    ]
    execute_values(
        cursor.cursor,
        "UPDATE metrics_counter c SET start = v.start, at = v.at, count = v.count, timed = v.timed::jsonb"
        " FROM (VALUES %s) AS v (series, start, at, count, timed)"
        f" WHERE c.product_id = {product:d} AND c.series = v.series::uuid",  # one node, when distributed
        rows,
        template="(%s, %s::float8, %s::float8, %s::float8, %s)",
        page_size=1000,
    )
