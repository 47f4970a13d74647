"""The SQL of one commit of the door: inbox rows, limits, outcomes, refusals. Sorted keys everywhere, and tables
always in this order: two processes that meet wait for each other, never in a circle."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from struct import Struct
from typing import NamedTuple
from uuid import UUID

import psycopg2.extras

from metrics.intake.allowance import Allowance
from metrics.intake.event import Refused
from productops.lib import copying

#: With an id of our own a request cannot be there already; then COPY, which costs half, is right.
_COPY = (
    "COPY metrics_inbox (product_id, batch_id, protocol, events, body, received_at, attempts, error)"
    " FROM STDIN WITH (FORMAT binary)"
)
_PRODUCT_AND_ID, _EVENTS, _END = Struct("!hiqi16s"), Struct("!ii"), Struct("!iqih")
_NO_ERROR = copying.text("")
#: With the client's idempotency key it can.
_INSERT = """
INSERT INTO metrics_inbox (product_id, batch_id, protocol, events, body, digest, received_at)
SELECT product, id, protocol, events, decode(body, 'hex'), decode(digest, 'hex'), at
FROM unnest(%s::bigint[], %s::uuid[], %s::text[], %s::int[], %s::text[], %s::text[], %s::timestamptz[])
AS v (product, id, protocol, events, body, digest, at)
ORDER BY product, id ON CONFLICT DO NOTHING RETURNING product_id, batch_id
"""
_KNOWN = """
SELECT product_id, batch_id, digest FROM metrics_inbox
WHERE product_id = ANY(%(products)s) AND batch_id = ANY(%(ids)s::uuid[])
UNION ALL SELECT product_id, batch_id, digest FROM metrics_processed_batch
WHERE product_id = ANY(%(products)s) AND batch_id = ANY(%(ids)s::uuid[])
"""
OUTCOME = """
INSERT INTO metrics_outcome (product_id, hour, protocol, category, outcome, reason, n) VALUES %s
ON CONFLICT (product_id, hour, protocol, category, outcome, reason) DO UPDATE SET n = metrics_outcome.n + excluded.n
"""
_REFUSAL = "INSERT INTO metrics_refusal (product_id, at, protocol, status, reason, detail, client) VALUES %s"
_ALLOWANCES = """
SELECT product_id, per_minute, per_month, minute, in_minute, month, in_month FROM metrics_limit
WHERE product_id = ANY(%s) AND (per_minute IS NOT NULL OR per_month IS NOT NULL) ORDER BY product_id FOR UPDATE
"""
_USED = "UPDATE metrics_limit SET minute = %s, in_minute = %s, month = %s, in_month = %s WHERE product_id = %s"

Cursor = psycopg2.extensions.cursor
OutcomeKey = tuple[int, datetime, str, str, str, str]
Key = tuple[int, UUID]


class InboxRow(NamedTuple):
    """One request as it is stored. `digest`: of what the client sent, when it chose the batch's id, else b""."""

    product: int
    batch: UUID
    protocol: str
    events: int
    body: bytes
    received_at: datetime
    digest: bytes = b""

    @property
    def key(self) -> Key:
        return self.product, self.batch


@dataclass
class Note:
    """One request's rows: an inbox row, or only what is counted of a refusal."""

    inbox: InboxRow | None = None
    outcomes: Counter[OutcomeKey] = field(default_factory=Counter)
    kinds: Callable[[], Counter[str]] = Counter  # its events by kind, for when they are not taken
    is_limited: bool = False
    refusal: tuple[int, datetime, str, int, str, str, str] | None = None


#: True: new. False: this batch was stored before. Or why it was not stored.
Answer = bool | Refused


def write(cursor: Cursor, notes: Sequence[Note]) -> list[Answer]:
    """Writes all notes, without committing, and says what each became."""
    answers: list[Answer] = [True] * len(notes)
    allowances = _allowances(cursor, notes)
    chosen = _chosen_ids(notes)
    known = digests(cursor, chosen) if chosen else {}
    rows: dict[Key, int] = {}  # -> its place among the notes
    for place, note in enumerate(notes):
        row = note.inbox
        if row is None:
            continue
        if row.digest and row.key in known:
            answers[place] = _same(known[row.key], row.digest)
            continue
        allowance = allowances.get(row.product) if note.is_limited else None
        if allowance and (limited := allowance.ask(row.events, row.received_at)):
            answers[place] = limited
            continue
        rows[row.key] = place
        if row.digest:
            known[row.key] = row.digest
    _insert_all(cursor, notes, rows, answers)
    _use(cursor, allowances, notes, answers)
    outcomes: Counter[OutcomeKey] = Counter()
    for note, answer in zip(notes, answers, strict=True):
        if note.outcomes:
            outcomes.update(note.outcomes)
        if answer is False and note.inbox:
            outcomes.update(of_kinds(note.inbox, note.kinds(), "duplicate", "batch"))
    write_outcomes(cursor, outcomes)
    if refusals := [note.refusal for note in notes if note.refusal]:
        psycopg2.extras.execute_values(cursor, _REFUSAL, refusals)
    return answers


def _chosen_ids(notes: Iterable[Note]) -> list[Key]:
    return [note.inbox.key for note in notes if note.inbox and note.inbox.digest]


def digests(cursor: Cursor, keys: Iterable[Key]) -> dict[Key, bytes]:
    """Which of the batches are stored or were counted: their digests."""
    keys = set(keys)
    cursor.execute(_KNOWN, {"products": [k[0] for k in keys], "ids": [str(k[1]) for k in keys]})
    found = {(product, batch): bytes(digest or b"") for product, batch, digest in cursor.fetchall()}
    return {key: digest for key, digest in found.items() if key in keys}


def _same(stored: bytes, sent: bytes) -> Answer:
    if stored == sent:
        return False
    return Refused(409, "key_reused", "This Idempotency-Key came before with another body. Use a new key.")


def _insert_all(cursor: Cursor, notes: Sequence[Note], rows: dict[Key, int], answers: list[Answer]) -> None:
    wanted = sorted((note.inbox for note in (notes[place] for place in rows.values()) if note.inbox), key=by_key)
    plain = [row for row in wanted if not row.digest]
    if plain:
        _copy(cursor, plain)
    named = [row for row in wanted if row.digest]
    late = {row.key: row.digest for row in named}.keys() - insert(cursor, named)
    if late:  # another process stored it in this moment
        stored = digests(cursor, late)
        for row in named:
            if row.key in late:
                answers[rows[row.key]] = _same(stored.get(row.key, b""), row.digest)


def by_key(row: InboxRow) -> Key:
    return row.key


def _copy(cursor: Cursor, rows: list[InboxRow]) -> None:
    out = [copying.HEADER]
    for product, id_, protocol, events, body, at, _digest in rows:
        out += (
            _PRODUCT_AND_ID.pack(8, 8, product, 16, id_.bytes), copying.text(protocol), _EVENTS.pack(4, events),
            copying.field(body), _END.pack(8, copying.microseconds(at.timestamp()), 2, 0), _NO_ERROR,
        )  # fmt: skip
    out.append(copying.TRAILER)
    cursor.copy_expert(_COPY, io.BytesIO(b"".join(out)))


def insert(cursor: Cursor, rows: Sequence[InboxRow]) -> set[Key]:
    """Those that were not there; as arrays in one statement: ids, numbers, hex and dates need no quotes."""
    if not rows:
        return set()
    columns = (
        [row.product for row in rows],
        [row.batch for row in rows],
        [row.protocol for row in rows],
        [row.events for row in rows],
        [row.body.hex() for row in rows],
        [row.digest.hex() or "NULL" for row in rows],
        [row.received_at.isoformat() for row in rows],
    )
    cursor.execute(_INSERT, [_array(column) for column in columns])
    return {(product, batch) for product, batch in cursor.fetchall()}


def _array(values: Iterable[object]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


def _allowances(cursor: Cursor, notes: Iterable[Note]) -> dict[int, Allowance]:
    products = sorted({note.inbox.product for note in notes if note.inbox and note.is_limited})
    if not products:
        return {}
    cursor.execute(_ALLOWANCES, [products])
    return {row[0]: Allowance(*row[1:]) for row in cursor.fetchall()}


def _use(cursor: Cursor, allowances: dict[int, Allowance], notes: Sequence[Note], answers: Sequence[Answer]) -> None:
    """Only what was stored counts; a repeated batch that asked before it was known does not."""
    taken: Counter[int] = Counter()
    for note, answer in zip(notes, answers, strict=True):
        if note.inbox and note.is_limited and answer is True:
            taken[note.inbox.product] += note.inbox.events
    for product, n in sorted(taken.items()):
        if a := allowances.get(product):
            cursor.execute(_USED, [a.minute, a.in_minute + n, a.month, a.in_month + n, product])


def of_kinds(row: InboxRow, kinds: Counter[str], outcome: str, reason: str) -> Counter[OutcomeKey]:
    hour = hour_of(row.received_at)
    return Counter({(row.product, hour, row.protocol, kind, outcome, reason): n for kind, n in kinds.items()})


def write_outcomes(cursor: Cursor, outcomes: Counter[OutcomeKey]) -> None:
    """Adds to the ledger."""
    if outcomes:
        rows = [(*key, n) for key, n in sorted(outcomes.items())]
        psycopg2.extras.execute_values(cursor, OUTCOME, rows, page_size=1000)


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
