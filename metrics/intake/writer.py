"""Commits what the door took before it answers. Requests that arrive together share one commit; while PostgreSQL is
away they go to the spool, and from there back."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import psycopg2
import psycopg2.errors
import psycopg2.extras
from django.conf import settings
from django.db import connection as django_connection

from metrics.intake import inbox, returning, spool, stored
from metrics.intake.event import Refused
from metrics.intake.inbox import Answer, InboxRow, Note, OutcomeKey
from metrics.intake.spool import Record, Spool

log = logging.getLogger(__name__)

#: Requests that may share one commit.
TOGETHER = 400
#: Requests waiting for the database, and bytes of their bodies; what comes beyond is refused, not kept in memory.
WAITING, WAITING_BYTES = 4_000, 64 * 2**20
#: Bytes of bodies that may share one commit, so that a few large ones do not make it unbearable.
TOGETHER_BYTES = 16 * 2**20
#: Seconds between two looks for a database that is away, and into the spool.
LOOK = 0.5
#: The database cannot be reached, is shutting down, full, or may only be read (a standby).
AWAY = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.ReadOnlySqlTransaction)
#: A host that vanished without a word is noticed within seconds; libpq's own patience is a quarter of an hour.
_PATIENCE = {
    "connect_timeout": 3, "keepalives": 1, "keepalives_idle": 3, "keepalives_interval": 1, "keepalives_count": 3,
    "tcp_user_timeout": 5000, "application_name": "productops door",
}  # fmt: skip


class StoreDown(Exception):
    """Neither PostgreSQL nor the spool took it; nothing was stored and the client may send again."""


Waiting = tuple[Note, "asyncio.Future[bool]", asyncio.AbstractEventLoop]
Said = Answer | StoreDown


class Writer:
    """Two threads with their own connections. `store` resolves once the rows are committed, or spooled."""

    def __init__(self, on_return: Callable[[], None] = lambda: None) -> None:
        self._queue: queue.Queue[Waiting | None] = queue.Queue(WAITING)
        self._held = 0  # bytes of bodies that wait
        self._shed: Counter[OutcomeKey] = Counter()  # refused for want of room, not in the ledger yet
        self._shed_lock = threading.Lock()
        self._link: psycopg2.extensions.connection | None = None
        self._is_away = False  # PostgreSQL; the other thread finds out when it is back
        self._spool = Spool(Path(settings.DATA_DIR) / "spool", settings.SPOOL_BYTES)
        self._on_return, self._closing = on_return, threading.Event()
        # One thread: what arrives during its commit shares the next one. A second would only make both smaller.
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._returning = threading.Thread(target=self._bring_back, name="spool", daemon=True)
        self._thread.start()
        self._returning.start()

    async def store(self, note: Note) -> bool:
        """True when the inbox row is new, False when this batch was already stored. Raises Refused or StoreDown."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        size = _size(note)
        if self._held and self._held + size > WAITING_BYTES:
            raise self._overloaded(note)
        try:
            self._queue.put_nowait((note, future, loop))
        except queue.Full:
            raise self._overloaded(note) from None
        self._held += size
        try:
            return await future
        finally:
            self._held -= size

    def _overloaded(self, note: Note) -> StoreDown:
        if note.inbox:
            self._add_shed(inbox.of_kinds(note.inbox, note.kinds(), "shed", "overload"))
        return StoreDown()

    def _add_shed(self, more: Counter[OutcomeKey]) -> None:
        with self._shed_lock:
            self._shed.update(more)

    def close(self) -> None:
        self._closing.set()
        self._queue.put(None)
        self._thread.join(5)

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                break
            taken = self._with_more(first)
            try:
                answers = self._store([note for note, _future, _loop in taken])
            except Exception:  # this thread is the only one; whoever waits must hear something
                log.exception("The inbox could not be written")
                self._disconnect()
                answers = [StoreDown()] * len(taken)
            _tell([(future, loop) for _note, future, loop in taken], answers)
        self._disconnect()
        self._spool.let_go()

    def _store(self, notes: list[Note]) -> Sequence[Said]:
        if self._is_away:
            return self._keep(notes)
        is_maybe_stored = False
        with self._shed_lock:
            shed, self._shed = self._shed, Counter()
        try:
            self._link = self._link or connect()
            with self._link.cursor() as cursor:
                answers = inbox.write(cursor, [*notes, Note(outcomes=shed)] if shed else notes)
            is_maybe_stored = True
            self._link.commit()
        except AWAY as error:
            log.warning("The inbox could not be written: %s", str(error).strip().splitlines()[:1])
            self._disconnect()
            self._add_shed(shed)
            self._is_away = True
            return self._keep(notes, is_maybe_stored)
        except BaseException:
            self._add_shed(shed)
            raise
        return answers[: len(notes)]

    def _keep(self, notes: list[Note], is_maybe_stored: bool = False) -> Sequence[Said]:
        """The spool instead of the database: all notes, or none."""
        records = [Record(note.inbox, is_maybe_stored) for note in notes if note.inbox]
        records += _of_outcomes([note.outcomes for note in notes])
        try:
            self._spool.add(records)
        except (spool.Full, OSError) as error:
            log.warning("The spool took nothing: %s", error or "it is full")
            for note in notes:
                self._overloaded(note)
            return [StoreDown()] * len(notes)
        return [True] * len(notes)

    def _disconnect(self) -> None:
        _close(self._link)
        self._link = None

    def _with_more(self, first: Waiting) -> list[Waiting]:
        """What waits behind the first, as far as it may share its commit."""
        found, held = [first], _size(first[0])
        while len(found) < TOGETHER and held < TOGETHER_BYTES:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                self._queue.put(None)
                break
            found.append(item)
            held += _size(item[0])
        return found

    def _bring_back(self) -> None:
        """Looks for the database when it is away, and for files in the spool, also those of processes that died."""
        last: list[str] = []
        while not self._closing.wait(LOOK):
            try:
                if self._is_away or spool.waiting(self._spool.folder):
                    link = connect(seconds=60)
                    try:
                        self._is_away = False
                        self._empty_spool(link)
                    finally:
                        _close(link)
            except AWAY as error:
                told = str(error).strip().splitlines()[:1]
                if told != last:
                    log.warning("The spool waits: %s", told)
                last = told
            except Exception:
                log.exception("The spool could not be brought back")

    def _empty_spool(self, link: psycopg2.extensions.connection) -> None:
        self._spool.let_go()
        with spool.claimed(self._spool.folder) as paths:
            for path in paths:
                try:
                    n = returning.bring_all_back(link, path)
                except AWAY:
                    raise
                except Exception:  # the other files have nothing to do with it
                    log.exception("%s could not be brought back; it is tried again", path.name)
                    link.rollback()
                    continue
                log.warning("%s requests came back from the spool", n)
                self._on_return()


def _size(note: Note) -> int:
    return len(note.inbox.body) if note.inbox else 0


def _of_outcomes(counters: Sequence[Counter[OutcomeKey]]) -> list[Record]:
    """What was only to be counted, as requests without events: the drain adds their outcomes."""
    total: Counter[OutcomeKey] = Counter()
    for counter in counters:
        total.update(counter)
    batches: dict[tuple[int, str, datetime], dict[tuple[str, str, str], int]] = {}
    for (product, hour, protocol, category, outcome, reason), n in total.items():
        batches.setdefault((product, protocol, hour), {})[category, outcome, reason] = n
    return [
        Record(InboxRow(product, uuid.uuid4(), protocol, 0, stored.pack([], told), hour))
        for (product, protocol, hour), told in batches.items()
    ]


def _tell(
    waiting: list[tuple[asyncio.Future[bool], asyncio.AbstractEventLoop]], answers: Sequence[Said]
) -> None:
    """Each loop is woken once for all its requests: waking costs more than answering."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[bool], Said]]] = {}
    for (future, loop), answer in zip(waiting, answers, strict=True):
        by_loop.setdefault(loop, []).append((future, answer))
    for loop, pairs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, pairs)
        except RuntimeError:  # a loop that was closed has nobody waiting
            log.debug("a closed loop was not told")


def _settle(pairs: list[tuple[asyncio.Future[bool], Said]]) -> None:
    for future, answer in pairs:
        if future.done():
            continue
        if isinstance(answer, (StoreDown, Refused)):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def connect(seconds: int = 5) -> psycopg2.extensions.connection:
    """`seconds`: what one statement may take."""
    params = django_connection.get_connection_params()
    params.pop("cursor_factory", None)
    options = f"{params.get('options', '')} -c statement_timeout={seconds}s"
    link = psycopg2.connect(**{**params, **_PATIENCE, "options": options})
    psycopg2.extras.register_uuid(conn_or_curs=link)  # type: ignore[no-untyped-call]
    return link


def _close(link: psycopg2.extensions.connection | None) -> None:
    if link is not None:
        try:
            link.close()
        except psycopg2.Error:
            log.debug("closing a broken connection failed")
