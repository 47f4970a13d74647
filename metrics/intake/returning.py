"""Stores what was spooled, each request once, whatever became of the commit that broke."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date
from pathlib import Path

import psycopg2.extensions

from metrics.intake import spool, stored
from metrics.intake.event import mark
from metrics.intake.inbox import Cursor, InboxRow, Key, OutcomeKey, by_key, digests, insert, of_kinds, write_outcomes
from metrics.intake.spool import Record

log = logging.getLogger(__name__)

_COUNTED = """
SELECT product_id, event FROM metrics_event_seen
WHERE product_id = ANY(%s) AND event = ANY(%s)
"""
_MORE = """
UPDATE metrics_limit SET in_month = CASE WHEN month = %(month)s THEN in_month ELSE 0 END + %(n)s, month = %(month)s
WHERE product_id = %(product)s AND (month IS NULL OR month <= %(month)s)
"""
#: A part of a file stands in the ledger of batches under no product.
_PART = """
INSERT INTO metrics_processed_batch (product_id, batch_id, digest, at) VALUES (0, %s, '', now())
ON CONFLICT DO NOTHING RETURNING batch_id
"""
#: Bytes of bodies that share one commit.
TOGETHER_BYTES = 16 * 2**20


def bring_all_back(link: psycopg2.extensions.connection, path: Path) -> int:
    """Stores what a file holds, in parts of which each is stored once however often this is cut off, and takes the
    file away; how many requests were new."""
    n, number = 0, 0
    try:
        for number, records in enumerate(spool.read(path, TOGETHER_BYTES)):
            with link, link.cursor() as cursor:
                cursor.execute(_PART, [spool.part_id(path, number)])
                if cursor.fetchone():
                    n += bring_back(cursor, records)
    except spool.Broken:
        log.error("%s is broken behind part %s; it is kept as %s", path.name, number, spool.BROKEN)
        path.rename(path.with_suffix(spool.BROKEN))
    else:
        path.unlink()
    return n


def bring_back(cursor: Cursor, records: Sequence[Record]) -> int:
    """Stores what was spooled; how many requests were new. What may have been stored before the connection broke is
    left out when it was; what a client sent twice is counted as sent again."""
    rows = _not_stored(cursor, records)
    first: dict[Key, InboxRow] = {}
    again = []
    for row in rows:
        if first.setdefault(row.key, row) is not row:
            again.append(row)
    done = digests(cursor, [row.key for row in first.values() if row.digest]) if any(r.digest for r in rows) else {}
    new = insert(cursor, sorted((row for row in first.values() if row.key not in done), key=by_key))
    maybe = {record.row.key for record in records if record.is_maybe_stored}
    again += [row for key, row in first.items() if key not in new and key not in maybe]
    outcomes: Counter[OutcomeKey] = Counter()
    for row in again:
        events, _outcomes = stored.unpack(row.body)
        kinds = Counter(event.kind for event in events)
        # Its sender was told 200, for nobody could look; what the key stood for first is what counts.
        is_same = not row.digest or done.get(row.key, first[row.key].digest) == row.digest
        what = ("duplicate", "batch") if is_same else ("invalid", "key_reused")
        outcomes.update(of_kinds(row, kinds, *what))
    taken: Counter[tuple[int, date]] = Counter()
    for key in new:
        taken[key[0], first[key].received_at.astimezone(UTC).date().replace(day=1)] += first[key].events
    for (product, month), n in sorted(taken.items()):
        cursor.execute(_MORE, {"n": n, "product": product, "month": month})
    write_outcomes(cursor, outcomes)
    return len(new)


def _not_stored(cursor: Cursor, records: Sequence[Record]) -> list[InboxRow]:
    """All rows but those of broken commits whose every event was counted already."""
    held: dict[Key, set[tuple[int, int]]] = {}
    for record in records:
        if record.is_maybe_stored and record.row.events:
            events, _outcomes = stored.unpack(record.row.body)
            held[record.row.key] = {(record.row.product, mark(event.id)) for event in events}
    if not held:
        return [record.row for record in records]
    wanted = set().union(*held.values())
    cursor.execute(_COUNTED, [sorted({product for product, _mark in wanted}), [each for _product, each in wanted]])
    counted = set(cursor.fetchall())
    done = {key for key, ids in held.items() if ids <= counted}
    return [record.row for record in records if not record.is_maybe_stored or record.row.key not in done]
