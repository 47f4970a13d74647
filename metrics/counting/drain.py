"""The drain: inbox → events, rollups, ledger, exactly once.

Claiming is a transaction of its own, so that a kill still counts as a try. The effect is one transaction that
begins by checking that the lease is still ours (docs/architecture.md, "Exactly once").
"""

from __future__ import annotations

import gc
import logging
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import compress
from operator import itemgetter, not_
from typing import Any
from uuid import UUID, uuid4

import psycopg2
from celery.exceptions import SoftTimeLimitExceeded
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from psycopg2.errorcodes import DEADLOCK_DETECTED, INTERNAL_ERROR, UNIQUE_VIOLATION

from metrics import partitions
from metrics.counting import adding, arrivals, names, regulars, repeats, store
from metrics.counting.counters import settle
from metrics.intake import stored
from metrics.intake.event import Event, field_of
from metrics.intake.inbox import OutcomeKey, hour_of, write_outcomes
from metrics.models import Inbox, Quarantine
from releases.models import Product

log = logging.getLogger(__name__)

TRIES = 4
LEASE = timedelta(seconds=100)
#: Seconds after which another product is looked after.
TURN = 2.0
#: Events counted in one transaction: the more, the less the rows that all of them share cost each.
EVENTS = 50_000
#: Requests claimed at once: few at first, then as many as hold about EVENTS; remembered of so many products.
FEWEST, MOST, PRODUCTS = 200, 5_000, 10_000
_usual: dict[int, int] = {}
#: Events and requests that are little, and seconds for which they may wait for a drain that is at work already.
LITTLE, FEW, SOON = 20_000, 1_000, 1.0
#: Times that a part is counted again because an event was counted before, or another drain was in the way.
MEETINGS = 4
#: Citus tells an error of a node's COPY without its code, as INTERNAL_ERROR.
MET = (UNIQUE_VIOLATION, DEADLOCK_DETECTED, INTERNAL_ERROR)

#: Number of an advisory lock; a product's is added.
_MIDNIGHT = 0x4D69_6467_0000_0000

_kind, _id = field_of("kind"), field_of("id")


@dataclass(frozen=True)
class Batch:
    id: UUID
    product: int
    protocol: str
    received_at: datetime
    raw: bytes
    digest: bytes  # when the client chose the id

    @cached_property
    def _body(self) -> tuple[list[Event], list[Sequence[Any]]]:
        return stored.unpack(self.raw)

    @property
    def events(self) -> list[Event]:
        return self._body[0]

    @property
    def outcomes(self) -> list[Sequence[Any]]:
        return self._body[1]


def run(seconds: float = 20.0) -> int:
    """Counts what is in the inbox until nothing is left for this drain or the time is over; how many were counted.

    The products take turns, so that one that floods the hub delays the others by a turn at most.
    """
    until, counted = time.monotonic() + seconds, 0
    while time.monotonic() < until and (products := [p for p in waiting_products() if not _is_attended(p)]):
        random.shuffle(products)  # workers begin with different ones
        for product in products:
            if time.monotonic() >= until:
                break
            counted += _take_turn(product, min(until, time.monotonic() + TURN))
    return counted


def drain_product(product: int) -> int:
    """Counts for one turn what waits of one product; the number of events that were new."""
    return _take_turn(product, time.monotonic() + TURN)


def waiting_products() -> list[int]:
    """Products with requests that nobody holds; looked up by the thousand requests, of which many may be of one."""
    found: list[int] = []
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                "SELECT DISTINCT product_id FROM (SELECT product_id FROM metrics_inbox WHERE product_id > %s"
                "  AND attempts < %s AND (lease_until IS NULL OR lease_until < now()) ORDER BY product_id LIMIT 1000)"
                " AS next ORDER BY product_id",
                [found[-1] if found else -1, TRIES],
            )
            rows = cursor.fetchall()
            if not rows:
                return found
            found += [row[0] for row in rows]


def _take_turn(product: int, until: float) -> int:
    counted = 0
    while not _is_attended(product):
        lease = uuid4()
        rows = _claim(product, lease, _usual.get(product, FEWEST))
        if not rows:
            return counted
        if len(_usual) > PRODUCTS:
            _usual.clear()
        _usual[product] = max(1, min(MOST, EVENTS * len(rows) // max(1, sum(row[3] for row in rows))))
        counted += _count_all(product, lease, rows)
        if time.monotonic() >= until:
            return counted
    return counted


def _is_attended(product: int) -> bool:
    """Whether another drain is at work on this product and will soon come back for the little that waits. Two that
    count little add to the same rows: each does nearly the work of one that counts much, and waits for the other."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH free AS (SELECT received_at, events FROM metrics_inbox WHERE product_id = %s AND attempts < %s"
            "  AND (lease_until IS NULL OR lease_until < now()) ORDER BY seq LIMIT %s)"
            " SELECT CASE WHEN count(*) < %s AND coalesce(sum(events), 0) < %s"
            "   AND coalesce(min(received_at) > now() - %s * interval '1 second', true)"
            "  THEN EXISTS (SELECT 1 FROM metrics_inbox WHERE product_id = %s AND lease_until > now())"
            "  ELSE false END FROM free",
            [product, TRIES, FEW, FEW, LITTLE, SOON, product],
        )
        return bool(cursor.fetchone()[0])


def _count_all(product: int, lease: UUID, rows: list[tuple[Any, ...]]) -> int:
    """In parts of about EVENTS. Thousands of events hold no cycles, and looking for some takes a third of the time: the
    collector waits until they are gone."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        return sum(_count_or_split(lease, part) for part in _parts(product, rows))
    finally:
        rows.clear()
        if was_on:
            gc.enable()


def _claim(product: int, lease: UUID, size: int = FEWEST) -> list[tuple[Any, ...]]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            # An array, for it is made once: IN may be planned as a join that asks again for every row, and then the
            # limit holds for each of them.
            "UPDATE metrics_inbox SET attempts = attempts + 1, lease = %s, lease_until = now() + %s::interval"
            " WHERE product_id = %s AND batch_id = ANY(ARRAY(SELECT batch_id FROM metrics_inbox WHERE product_id = %s"
            "  AND attempts < %s AND (lease_until IS NULL OR lease_until < now()) ORDER BY seq LIMIT %s"
            "  FOR UPDATE SKIP LOCKED))"
            " RETURNING seq, batch_id, protocol, events, received_at, body, digest",
            [str(lease), f"{LEASE.total_seconds()} s", product, product, TRIES, size],
        )
        return sorted(cursor.fetchall(), key=itemgetter(0))


def _parts(product: int, rows: list[tuple[Any, ...]]) -> Iterator[list[Batch]]:
    """The batches in parts of about EVENTS."""
    part: list[Batch] = []
    size = 0
    for _seq, id_, protocol, events, received_at, body, digest in rows:
        if size and size + events > EVENTS:
            yield part
            part, size = [], 0
        part.append(Batch(id_, product, protocol, received_at, bytes(body), bytes(digest or b"")))
        size += events
    yield part


def _count_or_split(lease: UUID, part: list[Batch]) -> int:
    """One transaction for all; when that fails, one for each half, so that poison comes to stand alone."""
    try:
        return _count_again(lease, part)
    except SoftTimeLimitExceeded:  # Celery ends this task: no body is to blame
        raise
    except Exception as error:  # whatever a body does to us, it may not do it to the bodies beside it
        connection.close_if_unusable_or_obsolete()
        if len(part) == 1:
            _note_failure(part[0], error)
            return 0
    middle = len(part) // 2
    return _count_or_split(lease, part[:middle]) + _count_or_split(lease, part[middle:])


def _count_again(lease: UUID, part: list[Batch]) -> int:
    """Events that came before, and two drains that met (a deadlock), are no failure of what is counted."""
    for _time in range(MEETINGS):
        try:
            return count(lease, part)
        except (DatabaseError, psycopg2.Error) as error:
            # Django wraps no error of copy_expert or execute_values.
            cause = error if isinstance(error, psycopg2.Error) else error.__cause__
            if getattr(cause, "pgcode", None) not in MET:
                raise
            repeats.note(part[0].product)
    return count(lease, part)


def count(lease: UUID, batches: list[Batch], now: datetime | None = None) -> int:
    """Counts batches of one product; the number of events that were new."""
    now = now or timezone.now()
    product = Product.objects.select_related("workspace", "limit").filter(pk=batches[0].product).first()
    events = {batch.id: batch.events for batch in batches}
    known, is_spike = None, False
    if product:
        limit = getattr(product, "limit", None)
        is_spike = limit is not None and limit.spike_since is not None
        known, renamed = names.resolve(product, [e for batch in batches for e in events[batch.id]])
        position = 0
        for batch in batches:
            size = len(events[batch.id])
            events[batch.id], position = renamed[position : position + size], position + size
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT batch_id FROM metrics_inbox WHERE product_id = %s AND batch_id = ANY(%s::uuid[]) AND lease = %s"
            " ORDER BY batch_id FOR UPDATE",
            [batches[0].product, [str(batch.id) for batch in batches], lease],
        )
        held = {row[0] for row in cursor.fetchall()}
        batches = [batch for batch in batches if batch.id in held]
        if _is_near_midnight(now):
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_MIDNIGHT + batches[0].product if batches else 0])
        fresh = _first_time(cursor, batches, now)
        outcomes: Counter[OutcomeKey] = Counter()
        new: list[Event] = []
        people: regulars.People = {}
        if product and known:
            reason = "spike" if is_spike else ""
            new = _dedupe(cursor, product, [b for b in batches if b.id in fresh], events, now, outcomes, reason)
            _note(cursor, product, batches, events, new)
            settled = settle(cursor, product.pk, new)
            if not is_spike:
                adding.keep(cursor, product.pk, settled, known, now)
            people = adding.add(cursor, product, settled, known, now)
        _tell_rest(batches, fresh, events, outcomes)
        write_outcomes(cursor.cursor, outcomes)
        _forget(cursor, batches)
    if people and product:
        regulars.remember(product.pk, people)
    return len(new)


def _is_near_midnight(now: datetime) -> bool:
    """Two that count the same event on either side of midnight write different keys, and neither would be told: then
    they go one after the other, and the second asks for yesterday's."""
    since = now.astimezone(UTC).timestamp() % 86_400
    return min(since, 86_400 - since) < 1.5 * LEASE.total_seconds()


def _forget(cursor: Any, batches: list[Batch]) -> None:
    if batches:
        ids = [str(batch.id) for batch in batches]
        cursor.execute(
            "DELETE FROM metrics_inbox WHERE product_id = %s AND batch_id = ANY(%s::uuid[])", [batches[0].product, ids]
        )


def _first_time(cursor: Any, batches: list[Batch], now: datetime) -> set[UUID]:
    """Those not counted before. An id of our own stands in the inbox once and never again, so only the ids that
    clients chose need a ledger."""
    chosen = sorted((str(batch.id), batch.digest.hex()) for batch in batches if batch.digest)
    fresh = {batch.id for batch in batches if not batch.digest}
    if chosen:
        ids, digests = zip(*chosen, strict=True)
        cursor.execute(
            "INSERT INTO metrics_processed_batch (product_id, batch_id, digest, at)"
            " SELECT %s, id, decode(digest, 'hex'), %s FROM unnest(%s::uuid[], %s::text[]) AS v (id, digest)"
            " ORDER BY id ON CONFLICT DO NOTHING RETURNING batch_id",
            [batches[0].product, now, list(ids), list(digests)],
        )
        fresh |= {row[0] for row in cursor.fetchall()}
    return fresh


def _dedupe(
    cursor: Any,
    product: Product,
    batches: list[Batch],
    events: dict[UUID, list[Event]],
    now: datetime,
    outcomes: Counter[OutcomeKey],
    reason: str,
) -> list[Event]:
    """The events not counted before; both sorts are written to the ledger, the new ones with `reason`."""
    came = [event for batch in batches for event in events[batch.id]]
    if not came:
        return came
    is_new = store.unseen(cursor, product.pk, list(map(_id, came)), now.date(), repeats.are_likely(product.pk))
    is_all_new, position = bool(is_new.all()), 0
    if not is_all_new:
        repeats.note(product.pk)
    for batch in batches:
        of_batch, line = events[batch.id], (product.pk, hour_of(batch.received_at), batch.protocol)
        if not is_all_new:
            mask = is_new[position : position + len(of_batch)].tolist()
            position += len(of_batch)
            for kind, n in Counter(map(_kind, compress(of_batch, map(not_, mask)))).items():
                outcomes[*line, kind, "duplicate", "event"] += n
            of_batch = list(compress(of_batch, mask))
        for kind, n in Counter(map(_kind, of_batch)).items():
            outcomes[*line, kind, "accepted", reason] += n
    return came if is_all_new else list(compress(came, is_new.tolist()))


def _note(
    cursor: Any, product: Product, batches: list[Batch], events: dict[UUID, list[Event]], new: list[Event]
) -> None:
    """A few of them for the pages that show what arrives."""
    newest = ((b.protocol, b.received_at, event) for b in reversed(batches) for event in reversed(events[b.id]))
    chosen = arrivals.choose(newest)
    is_all_new = len(new) == sum(len(events[batch.id]) for batch in batches)
    counted = set() if is_all_new else set(map(id, new))  # of two with the same id only one was counted
    arrivals.note(cursor, product.pk, chosen, lambda event: is_all_new or id(event) in counted)


def _tell_rest(
    batches: list[Batch], fresh: set[UUID], events: dict[UUID, list[Event]], outcomes: Counter[OutcomeKey]
) -> None:
    """The ledger's lines for what the door left out, and for whole batches that came twice."""
    for batch in batches:
        hour = hour_of(batch.received_at)
        if batch.id not in fresh:
            for event in events[batch.id]:
                outcomes[batch.product, hour, batch.protocol, event.kind, "duplicate", "batch"] += 1
            continue
        for category, outcome, reason, n in batch.outcomes:
            outcomes[batch.product, hour, batch.protocol, category[:10], outcome[:16], reason[:60]] += n


def _note_failure(batch: Batch, error: Exception) -> None:
    log.warning("A batch could not be counted: %s", type(error).__name__, exc_info=error)
    if "no partition" in str(error):
        partitions.ensure(timezone.now())
    Inbox.objects.filter(product_id=batch.product, batch_id=batch.id).update(
        error=f"{type(error).__name__}: {error}"[:2000], lease_until=timezone.now() + timedelta(seconds=2)
    )


def set_aside() -> int:
    """Moves batches that failed TRIES times to quarantine; how many."""
    moved = 0
    stuck = Inbox.objects.filter(attempts__gte=TRIES, lease_until__lt=timezone.now()).order_by("seq")[:100]
    for product, batch in list(stuck.values_list("product_id", "batch_id")):
        with transaction.atomic():
            found = Inbox.objects.filter(product_id=product, batch_id=batch, attempts__gte=TRIES)
            row = found.select_for_update(skip_locked=True).first()
            if row is None:
                continue
            copied = ("protocol", "events", "body", "digest", "received_at")
            given: dict[str, Any] = {name: getattr(row, name) for name in copied}
            given["error"] = row.error or "The worker died while counting it."
            Quarantine.objects.get_or_create(product_id=product, batch_id=batch, defaults=given)
            found.delete()
            moved += 1
    return moved
