"""The drain: inbox → events, rollups, ledger, exactly once.

Claiming is a transaction of its own, so that a kill still counts as a try. The effect is one transaction that
begins by checking that the lease is still ours (docs/architecture.md, "Exactly once").
"""

from __future__ import annotations

import gc
import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID, uuid4

import orjson
from django.db import connection, transaction
from django.utils import timezone

from metrics import partitions
from metrics.counting import arrivals, names, store
from metrics.counting.counters import settle
from metrics.counting.grouping import Known, by_hour, group
from metrics.intake.event import Event
from metrics.intake.writer import OutcomeKey, hour_of, write_outcomes
from metrics.models import Inbox, Message, Quarantine
from releases.models import Product

log = logging.getLogger(__name__)

TRIES = 4
LEASE = timedelta(seconds=100)
#: Events counted in one transaction: the more, the less the rows that all of them share cost each.
EVENTS = 50_000
#: Requests claimed at once: few at first, then as many as hold about EVENTS.
FEWEST, MOST = 200, 5_000


@dataclass(frozen=True)
class Batch:
    id: UUID
    product: int
    protocol: str
    received_at: datetime
    raw: bytes

    @cached_property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.raw)
        return found

    @property
    def events(self) -> list[Event]:
        return [Event._make(parts) for parts in self.body["events"]]


def run(seconds: float = 20.0) -> int:
    """Counts what is in the inbox until it is empty or the time is over; how many events were counted."""
    until, counted, size = time.monotonic() + seconds, 0, FEWEST
    while time.monotonic() < until:
        lease = uuid4()
        rows = _claim(lease, size)
        if not rows:
            break
        size = max(1, min(MOST, EVENTS * len(rows) // max(1, sum(row[4] for row in rows))))
        with _no_collector():
            for part in _parts(rows):
                counted += _count_or_split(lease, part)
    return counted


@contextmanager
def _no_collector() -> Iterator[None]:
    """Thousands of events hold no cycles; looking for some takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _claim(lease: UUID, size: int = FEWEST) -> list[tuple[Any, ...]]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE metrics_inbox SET attempts = attempts + 1, lease = %s, lease_until = now() + %s::interval"
            " WHERE seq IN (SELECT seq FROM metrics_inbox WHERE attempts < %s"
            "  AND (lease_until IS NULL OR lease_until < now()) ORDER BY seq LIMIT %s FOR UPDATE SKIP LOCKED)"
            " RETURNING seq, batch_id, product_id, protocol, events, received_at, body",
            [str(lease), f"{LEASE.total_seconds()} s", TRIES, size],
        )
        return sorted(cursor.fetchall())


def _parts(rows: list[tuple[Any, ...]]) -> list[list[Batch]]:
    """The batches in parts of about EVENTS, each part of one product (one node, when distributed)."""
    parts: dict[int, list[list[Batch]]] = {}
    sizes: Counter[int] = Counter()
    for _seq, id_, product, protocol, events, received_at, body in rows:
        batch = Batch(id_, product, protocol, received_at, bytes(body))
        if product not in parts or sizes[product] + events > EVENTS:
            parts.setdefault(product, []).append([])
            sizes[product] = 0
        parts[product][-1].append(batch)
        sizes[product] += events
    return [part for of_product in parts.values() for part in of_product]


def _count_or_split(lease: UUID, part: list[Batch]) -> int:
    """One transaction for all; when that fails, one for each, so that poison stays alone."""
    try:
        return count(lease, part)
    except Exception as error:  # whatever a body does to us, it may not do it to the bodies beside it
        connection.close_if_unusable_or_obsolete()
        if len(part) == 1:
            _note_failure(part[0], error)
            return 0
    return sum(_count_or_split(lease, [batch]) for batch in part)


def count(lease: UUID, batches: list[Batch]) -> int:
    """Counts batches of one product; the number of events that were new."""
    now = timezone.now()
    product = Product.objects.select_related("workspace").filter(pk=batches[0].product).first()
    events = {batch.id: batch.events for batch in batches}
    known = None
    if product:
        known, renamed = names.resolve(product, [e for batch in batches for e in events[batch.id]])
        position = 0
        for batch in batches:
            size = len(events[batch.id])
            events[batch.id], position = renamed[position : position + size], position + size
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT batch_id FROM metrics_inbox WHERE lease = %s AND batch_id = ANY(%s::uuid[]) FOR UPDATE",
            [lease, [str(batch.id) for batch in batches]],
        )
        held = {row[0] for row in cursor.fetchall()}
        batches = [batch for batch in batches if batch.id in held]
        fresh = _first_time(cursor, batches, now)
        outcomes: Counter[OutcomeKey] = Counter()
        new: list[Event] = []
        if product and known:
            new = _dedupe(cursor, product, [b for b in batches if b.id in fresh], events, now, outcomes)
            _note(cursor, product, batches, events, new)
            _add(cursor, product, settle(cursor, product.pk, new), known, now)
        _tell_rest(batches, fresh, events, outcomes)
        write_outcomes(cursor.cursor, outcomes)
        cursor.execute("DELETE FROM metrics_inbox WHERE batch_id = ANY(%s::uuid[])", [[str(b.id) for b in batches]])
    return len(new)


def _first_time(cursor: Any, batches: list[Batch], now: datetime) -> set[UUID]:
    cursor.execute(
        "INSERT INTO metrics_processedbatch (batch_id, at) SELECT id, %s FROM unnest(%s::uuid[]) AS id"
        " ORDER BY id ON CONFLICT DO NOTHING RETURNING batch_id",
        [now, sorted(str(batch.id) for batch in batches)],
    )
    return {row[0] for row in cursor.fetchall()}


def _dedupe(
    cursor: Any,
    product: Product,
    batches: list[Batch],
    events: dict[UUID, list[Event]],
    now: datetime,
    outcomes: Counter[OutcomeKey],
) -> list[Event]:
    """The events not counted before; both sorts are written to the ledger."""
    unseen = store.unseen(cursor, product.pk, [e.id for b in batches for e in events[b.id]], now.date())
    new = []
    for batch in batches:
        told: Counter[tuple[str, str, str]] = Counter()
        for event in events[batch.id]:
            if event.id in unseen:
                unseen.discard(event.id)  # a second one with this id in the same drain is a duplicate too
                new.append(event)
                told[event.kind, "accepted", ""] += 1
            else:
                told[event.kind, "duplicate", "event"] += 1
        hour = hour_of(batch.received_at)
        for what, n in told.items():
            outcomes[product.pk, hour, batch.protocol, *what] += n
    return new


def _note(
    cursor: Any, product: Product, batches: list[Batch], events: dict[UUID, list[Event]], new: list[Event]
) -> None:
    """A few of them for the pages that show what arrives."""
    newest = ((b.protocol, b.received_at, event) for b in reversed(batches) for event in reversed(events[b.id]))
    chosen = arrivals.choose(newest)
    is_all_new = len(new) == sum(len(events[batch.id]) for batch in batches)
    counted = set() if is_all_new else set(map(id, new))  # of two with the same id only one was counted
    arrivals.note(cursor, product.pk, chosen, lambda event: is_all_new or id(event) in counted)


def _add(cursor: Any, product: Product, new: list[Event], known: Known, now: datetime) -> None:
    if not new:
        return
    # First what no other drain waits for; from the people on, rows are locked until the commit.
    _keep(cursor, product, new, known, now)
    grouped = group(new, known)
    store.add_usage(cursor, product.pk, grouped.usage())
    people = {cohort: crowd.bad_by_user() for cohort, crowd in grouped.crowds.items() if crowd.firsts}
    if people:
        for cohort, user, is_new, before in store.count_people(cursor, product.pk, people):
            grouped.crowds[cohort].count(user, is_new, before)
    minutes = grouped.minutes()
    store.add_rollups(cursor, "metrics_rollup_minute", product.pk, minutes)
    store.add_rollups(cursor, "metrics_rollup_hour", product.pk, by_hour(minutes))
    store.add_accounts(cursor, product.workspace_id, _accounts(new))
    _add_messages(product, new)


def _keep(cursor: Any, product: Product, new: list[Event], known: Known, now: datetime) -> None:
    since = names.kept_since(now)
    kept = [e for e in new if e.at >= since and e.kind != "identify"]
    if kept:
        store.keep(cursor, product.pk, kept, known)


def _accounts(new: list[Event]) -> dict[str, tuple[float, dict[str, Any]]]:
    """Customers named by the events: id -> (a moment at which it was seen, what was told of it)."""
    latest = {event.customer: event for event in new}
    latest.pop("", None)
    seen = {name: (event.at, {"plan": event.plan} if event.plan else {}) for name, event in latest.items()}
    for event in new:
        if event.kind == "identify" and event.customer:
            traits = event.props.get("traits")
            at, told = seen[event.customer]
            seen[event.customer] = (max(at, event.at), {**told, **(traits if isinstance(traits, dict) else {})})
    return seen


def _add_messages(product: Product, new: list[Event]) -> None:
    Message.objects.bulk_create(
        [
            Message(
                product=product,
                event_id=UUID(e.id),
                at=datetime.fromtimestamp(e.at, timezone.get_default_timezone()),
                text=str(e.props.get("text") or e.props.get("message") or "")[:10_000],
                customer=e.customer,
                contact_name=str(e.props.get("contact_name") or e.props.get("name") or "")[:120],
                contact_email=str(e.props.get("contact_email") or e.props.get("email") or "")[:254],
                feature=e.feature,
                release=e.release,
            )
            for e in new
            if e.kind == "feedback"
        ],
        ignore_conflicts=True,
    )


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
        for category, outcome, reason, n in batch.body["outcomes"]:
            outcomes[batch.product, hour, batch.protocol, category[:10], outcome[:16], reason[:60]] += n


def _note_failure(batch: Batch, error: Exception) -> None:
    log.warning("A batch could not be counted: %s", type(error).__name__, exc_info=error)
    if "no partition" in str(error):
        partitions.ensure(timezone.now())
    Inbox.objects.filter(batch_id=batch.id).update(
        error=f"{type(error).__name__}: {error}"[:2000], lease_until=timezone.now() + timedelta(seconds=2)
    )


def set_aside() -> int:
    """Moves batches that failed TRIES times to quarantine; how many."""
    moved = 0
    stuck = Inbox.objects.filter(attempts__gte=TRIES, lease_until__lt=timezone.now()).order_by("seq")[:100]
    for row in stuck:
        with transaction.atomic():
            if not Inbox.objects.select_for_update(skip_locked=True).filter(pk=row.pk, attempts__gte=TRIES).exists():
                continue
            Quarantine.objects.get_or_create(
                batch_id=row.batch_id,
                defaults={
                    "product_id": row.product_id,
                    "protocol": row.protocol,
                    "events": row.events,
                    "body": row.body,
                    "received_at": row.received_at,
                    "error": row.error or "The worker died while counting it.",
                },
            )
            row.delete()
            moved += 1
    return moved
