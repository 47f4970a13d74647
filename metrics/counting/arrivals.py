"""Keeps the newest events of each product for the pages that watch what arrives.

A few of each drain are enough for eyes, so this costs the same however much arrives. What every (protocol, kind)
last looked like stays, so that a mapping can be seen long after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson
from django.db.backends.utils import CursorWrapper
from psycopg2.extras import execute_values

from metrics.intake.event import Event

#: Events noted of one drain, and those looked at for kinds that are rare.
NOTED, LOOKED_AT = 20, 2_000
#: Events kept of one product.
KEPT = 200
#: Bytes of one that are kept; of a larger one the properties go.
LARGEST = 8_000
_LOCK = 71_027 << 44

#: protocol, received at, event
Came = tuple[str, datetime, Event]


def choose(came: Iterable[Came]) -> list[Came]:
    """Of the events, newest first: the first NOTED, and one of each (protocol, kind) among LOOKED_AT."""
    chosen: list[Came] = []
    kinds: set[tuple[str, str]] = set()
    for place, each in enumerate(came):
        if place >= LOOKED_AT:
            break
        kind = (each[0], each[2].kind)
        if len(chosen) < NOTED or kind not in kinds:
            chosen.append(each)
            kinds.add(kind)
    return chosen


def note(cursor: CursorWrapper, product: int, came: Sequence[Came], is_new: Callable[[Event], bool]) -> None:
    """Writes the chosen events, newest first, and drops what is older than KEPT. Another worker doing the same for
    this product makes it do nothing: neither waits."""
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK + product])
    if not came or not cursor.fetchone()[0]:
        return
    execute_values(
        cursor.cursor,
        "INSERT INTO metrics_arrival (product_id, received_at, protocol, kind, outcome, flags, event) VALUES %s",
        [
            (product, at, protocol, event.kind, "accepted" if is_new(event) else "duplicate", event.flags, _json(event))
            for protocol, at, event in reversed(came)
        ],
    )
    cursor.execute(
        "DELETE FROM metrics_arrival a WHERE product_id = %s AND id <= (SELECT id FROM metrics_arrival"
        "  WHERE product_id = %s ORDER BY id DESC OFFSET %s LIMIT 1)"
        " AND EXISTS (SELECT 1 FROM metrics_arrival b WHERE b.product_id = a.product_id AND b.protocol = a.protocol"
        "  AND b.kind = a.kind AND b.id > a.id)",
        [product, product, KEPT],
    )


def _json(event: Event) -> str:
    told: dict[str, Any] = {name: value for name, value in event._asdict().items() if value not in ("", None, {}, [])}
    text = orjson.dumps(told)
    if len(text) > LARGEST:
        told["props"] = {"…": f"{len(text)} bytes"}
        text = orjson.dumps(told)
    return text.decode()
