"""Commits what the door took before it answers. Requests that arrive together share one commit."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg2
import psycopg2.extras
from django.db import connection as django_connection

log = logging.getLogger(__name__)

#: Requests that may share one commit.
TOGETHER = 400
#: Requests waiting for the database; more are refused with 503 rather than kept in memory.
WAITING = 4_000

_INBOX = """
INSERT INTO metrics_inbox (batch_id, product_id, protocol, events, body, received_at, attempts, error)
VALUES %s ON CONFLICT (batch_id) DO NOTHING RETURNING batch_id
"""
OUTCOME = """
INSERT INTO metrics_outcome (product_id, hour, protocol, category, outcome, reason, n) VALUES %s
ON CONFLICT (product_id, hour, protocol, category, outcome, reason) DO UPDATE SET n = metrics_outcome.n + excluded.n
"""
_REFUSAL = "INSERT INTO metrics_refusal (product_id, at, protocol, status, reason, detail, client) VALUES %s"

OutcomeKey = tuple[int, datetime, str, str, str, str]


class StoreDown(Exception):
    """PostgreSQL did not take it; nothing was stored and the client may send again."""


@dataclass
class Note:
    """One request's rows: an inbox row, or only what is counted of a refusal."""

    inbox: tuple[UUID, int, str, int, bytes, datetime] | None = None
    outcomes: Counter[OutcomeKey] = field(default_factory=Counter)
    duplicates: Counter[OutcomeKey] = field(default_factory=Counter)  # counted when the batch is already there
    refusal: tuple[int, datetime, str, int, str, str, str] | None = None


class Writer:
    """A thread with its own connection. `store` resolves once the rows are committed."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[Note, asyncio.Future[bool], asyncio.AbstractEventLoop] | None]
        self._queue = queue.Queue(WAITING)
        self._threads = [threading.Thread(target=self._run, name=f"writer-{n}", daemon=True) for n in (1, 2)]
        for thread in self._threads:
            thread.start()

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
        for _thread in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(5)

    def _run(self) -> None:
        link: psycopg2.extensions.connection | None = None
        while True:
            first = self._queue.get()
            if first is None:
                break
            taken = [first, *self._more()]
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
            for (_note, future, loop), answer in zip(taken, answers, strict=True):
                loop.call_soon_threadsafe(_settle, future, answer)
        _close(link)

    def _more(self) -> list[tuple[Note, asyncio.Future[bool], asyncio.AbstractEventLoop]]:
        found: list[tuple[Note, asyncio.Future[bool], asyncio.AbstractEventLoop]] = []
        while len(found) < TOGETHER:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                self._queue.put(None)
                break
            found.append(item)
        return found


def _settle(future: asyncio.Future[bool], answer: bool | StoreDown) -> None:
    if future.cancelled():
        return
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
    inbox = {note.inbox[0]: note for note in notes if note.inbox}
    outcomes: Counter[OutcomeKey] = Counter()
    for note in notes:
        outcomes.update(note.outcomes)
    with link, link.cursor() as cursor:
        new: set[UUID] = set()
        if inbox:
            rows = [(*note.inbox, 0, "") for note in inbox.values() if note.inbox]
            found: list[Any] = psycopg2.extras.execute_values(cursor, _INBOX, rows, page_size=TOGETHER, fetch=True)
            new = {row[0] for row in found}
        seen: set[UUID] = set()
        for note in notes:
            if note.inbox and (note.inbox[0] not in new or note.inbox[0] in seen):
                outcomes.update(note.duplicates)
            elif note.inbox:
                seen.add(note.inbox[0])
        write_outcomes(cursor, outcomes)
        refusals = [note.refusal for note in notes if note.refusal]
        if refusals:
            psycopg2.extras.execute_values(cursor, _REFUSAL, refusals)
    return new


def write_outcomes(cursor: psycopg2.extensions.cursor, outcomes: Counter[OutcomeKey]) -> None:
    """Adds to the ledger. Sorted keys: two writers that meet wait for each other, never in a circle."""
    if outcomes:
        rows = [(*key, n) for key, n in sorted(outcomes.items())]
        psycopg2.extras.execute_values(cursor, OUTCOME, rows, page_size=1000)


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
