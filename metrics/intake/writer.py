"""Commits what the door took before it answers. Requests that arrive together share one commit."""

from __future__ import annotations

import asyncio
import io
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from struct import Struct
from uuid import UUID

import psycopg2
import psycopg2.extras
from django.db import connection as django_connection

from productops.lib import copying

log = logging.getLogger(__name__)

#: Requests that may share one commit.
TOGETHER = 400
#: Requests waiting for the database; more are refused with 503 rather than kept in memory.
WAITING = 4_000

#: Bytes of bodies that may share one statement, so that a few large ones do not make it unbearable.
TOGETHER_BYTES = 16 * 2**20

#: With an id of our own a request cannot be there already; then COPY, which costs half, is right.
_COPY = (
    "COPY metrics_inbox (batch_id, product_id, protocol, events, body, received_at, attempts, error)"
    " FROM STDIN WITH (FORMAT binary)"
)
_ID_AND_PRODUCT, _EVENTS, _END = Struct("!hi16siq"), Struct("!ii"), Struct("!iqih")
_NO_ERROR = copying.text("")
#: With the client's idempotency key it can.
_INBOX = """
INSERT INTO metrics_inbox (batch_id, product_id, protocol, events, body, received_at, attempts, error)
SELECT id, product, protocol, events, decode(body, 'hex'), at, 0, ''
FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::int[], %s::text[], %s::timestamptz[])
AS v (id, product, protocol, events, body, at)
ON CONFLICT (batch_id) DO NOTHING RETURNING batch_id
"""
OUTCOME = """
INSERT INTO metrics_outcome (product_id, hour, protocol, category, outcome, reason, n) VALUES %s
ON CONFLICT (product_id, hour, protocol, category, outcome, reason) DO UPDATE SET n = metrics_outcome.n + excluded.n
"""
_REFUSAL = "INSERT INTO metrics_refusal (product_id, at, protocol, status, reason, detail, client) VALUES %s"

OutcomeKey = tuple[int, datetime, str, str, str, str]
#: batch, product, protocol, events, body, received at
InboxRow = tuple[UUID, int, str, int, bytes, datetime]


class StoreDown(Exception):
    """PostgreSQL did not take it; nothing was stored and the client may send again."""


@dataclass
class Note:
    """One request's rows: an inbox row, or only what is counted of a refusal."""

    inbox: InboxRow | None = None
    outcomes: Counter[OutcomeKey] = field(default_factory=Counter)
    duplicates: Callable[[], Counter[OutcomeKey]] = Counter  # what is counted when the batch is already there
    is_repeatable: bool = False  # the batch's id follows from what the client sent
    refusal: tuple[int, datetime, str, int, str, str, str] | None = None


Waiting = tuple[Note, asyncio.Future[bool], asyncio.AbstractEventLoop]


class Writer:
    """A thread with its own connection. `store` resolves once the rows are committed."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Waiting | None] = queue.Queue(WAITING)
        # One thread: what arrives during its commit shares the next one. A second would only make both smaller.
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    async def store(self, note: Note) -> bool:
        """True when the inbox row is new, False when this batch was already stored. Raises StoreDown."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        try:
            self._queue.put_nowait((note, future, loop))
        except queue.Full:
            raise StoreDown from None
        return await future

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join(5)

    def _run(self) -> None:
        link: psycopg2.extensions.connection | None = None
        while True:
            first = self._queue.get()
            if first is None:
                break
            taken = self._with_more(first)
            try:
                link = link or _connect()
                new = _write(link, [note for note, _future, _loop in taken])
                answers: list[bool | StoreDown] = [n.inbox is None or n.inbox[0] in new for n, _f, _l in taken]
            except psycopg2.Error as error:
                log.warning("The inbox could not be written: %s", str(error).strip().splitlines()[:1])
                _close(link)
                link = None
                answers = [StoreDown()] * len(taken)
                time.sleep(0.05)  # a database that is away is not asked thousands of times a second
            except Exception:  # this thread is the only one; whoever waits must hear something
                log.exception("The inbox could not be written")
                _close(link)
                link = None
                answers = [StoreDown()] * len(taken)
            _tell([(future, loop) for _note, future, loop in taken], answers)
        _close(link)

    def _with_more(self, first: Waiting) -> list[Waiting]:
        """What waits behind the first, as far as it may share its commit."""
        found, size = [first], _size(first)
        while len(found) < TOGETHER and size < TOGETHER_BYTES:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                self._queue.put(None)
                break
            found.append(item)
            size += _size(item)
        return found


def _size(waiting: Waiting) -> int:
    inbox = waiting[0].inbox
    return len(inbox[4]) if inbox else 0


def _tell(
    waiting: list[tuple[asyncio.Future[bool], asyncio.AbstractEventLoop]], answers: list[bool | StoreDown]
) -> None:
    """Each loop is woken once for all its requests: waking costs more than answering."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[bool], bool | StoreDown]]] = {}
    for (future, loop), answer in zip(waiting, answers, strict=True):
        by_loop.setdefault(loop, []).append((future, answer))
    for loop, pairs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, pairs)
        except RuntimeError:  # a loop that was closed has nobody waiting
            log.debug("a closed loop was not told")


def _settle(pairs: list[tuple[asyncio.Future[bool], bool | StoreDown]]) -> None:
    for future, answer in pairs:
        if future.done():
            continue
        if isinstance(answer, StoreDown):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def _connect() -> psycopg2.extensions.connection:
    params = django_connection.get_connection_params()
    params.pop("cursor_factory", None)
    link = psycopg2.connect(
        **params, application_name="productops door", connect_timeout=3, options="-c statement_timeout=5000"
    )
    psycopg2.extras.register_uuid(conn_or_curs=link)  # type: ignore[no-untyped-call]
    return link


def _close(link: psycopg2.extensions.connection | None) -> None:
    if link is not None:
        try:
            link.close()
        except psycopg2.Error:
            log.debug("closing a broken connection failed")


def _write(link: psycopg2.extensions.connection, notes: list[Note]) -> set[UUID]:
    """One transaction for all notes; the batch ids that were new."""
    outcomes: Counter[OutcomeKey] = Counter()
    for note in notes:
        if note.outcomes:
            outcomes.update(note.outcomes)
    # In order, so that two processes with the same batches wait for each other, never in a circle.
    inbox = sorted({note.inbox[0]: note.inbox for note in notes if note.inbox}.values())
    is_repeatable = any(note.is_repeatable for note in notes)
    with link, link.cursor() as cursor:
        new = (_insert if is_repeatable else _copy)(cursor, inbox) if inbox else set()
        unseen = set(new)
        for note in notes:
            if note.inbox is None:
                continue
            if note.inbox[0] in unseen:
                unseen.discard(note.inbox[0])
            else:
                outcomes.update(note.duplicates())
        write_outcomes(cursor, outcomes)
        refusals = [note.refusal for note in notes if note.refusal]
        if refusals:
            psycopg2.extras.execute_values(cursor, _REFUSAL, refusals)
    return new


def _copy(cursor: psycopg2.extensions.cursor, rows: list[InboxRow]) -> set[UUID]:
    out = [copying.HEADER]
    for id_, product, protocol, events, body, at in rows:
        out += (
            _ID_AND_PRODUCT.pack(8, 16, id_.bytes, 8, product), copying.text(protocol), _EVENTS.pack(4, events),
            copying.field(body), _END.pack(8, copying.microseconds(at.timestamp()), 2, 0), _NO_ERROR,
        )  # fmt: skip
    out.append(copying.TRAILER)
    cursor.copy_expert(_COPY, io.BytesIO(b"".join(out)))
    return {row[0] for row in rows}


def _insert(cursor: psycopg2.extensions.cursor, rows: list[InboxRow]) -> set[UUID]:
    """As arrays in one statement: ids, numbers, protocols, hex and dates need no quotes."""
    ids, products, protocols, events, bodies, moments = zip(*rows, strict=True)
    columns = (ids, products, protocols, events, [body.hex() for body in bodies], [at.isoformat() for at in moments])
    cursor.execute(_INBOX, [_array(column) for column in columns])
    return {row[0] for row in cursor.fetchall()}


def _array(values: Iterable[object]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


def write_outcomes(cursor: psycopg2.extensions.cursor, outcomes: Counter[OutcomeKey]) -> None:
    """Adds to the ledger. Sorted keys: two writers that meet wait for each other, never in a circle."""
    if outcomes:
        rows = [(*key, n) for key, n in sorted(outcomes.items())]
        psycopg2.extras.execute_values(cursor, OUTCOME, rows, page_size=1000)


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
