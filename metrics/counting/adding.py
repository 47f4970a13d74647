"""What new events add to each table: the effect of one drain's transaction."""

from __future__ import annotations

from datetime import datetime
from math import inf
from typing import Any
from uuid import UUID

from django.utils import timezone

from metrics import partitions
from metrics.counting import names, regulars, store
from metrics.counting.grouping import Known, by_hour, group
from metrics.intake.event import Event, field_of
from metrics.models import Message
from releases.models import Product

_at, _kind, _customer = field_of("at"), field_of("kind"), field_of("customer")


def keep(cursor: Any, product: int, new: list[Event], known: Known, now: datetime) -> None:
    """The raw events, for the pages that show single ones."""
    since = names.kept_since(now)
    is_whole = _earliest(new) >= since and "identify" not in set(map(_kind, new))
    kept = new if is_whole else [event for event in new if event.at >= since and event.kind != "identify"]
    if kept:
        store.keep(cursor, product, kept, known)


def _earliest(events: list[Event]) -> float:
    return min(map(_at, events), default=inf)


def add(cursor: Any, product: Product, new: list[Event], known: Known, now: datetime) -> regulars.People:
    """After `keep`: first what no other drain waits for; from the people on, rows are locked until the commit.
    Returns who is written down now."""
    recent = partitions.first_moment("metrics_rollup_minute", now)
    if _earliest(new) < recent:
        _add_history(cursor, product, [event for event in new if event.at < recent], known)
        new = [event for event in new if event.at >= recent]
    if not new:
        return {}
    grouped = group(new, known)
    store.add_usage(cursor, product.pk, grouped.usage())
    people = regulars.strangers(product.pk, grouped.people())
    if people:
        for cohort, user, is_new, before in store.count_people(cursor, product.pk, people):
            grouped.crowds[cohort].count(user, is_new, before)
    minutes = grouped.minutes()
    store.add_rollups(cursor, "metrics_rollup_minute", product.pk, minutes)
    store.add_rollups(cursor, "metrics_rollup_hour", product.pk, by_hour(minutes))
    store.add_accounts(cursor, product.workspace_id, _accounts(new))
    _add_messages(product, new)
    return people


def _add_history(cursor: Any, product: Product, old: list[Event], known: Known) -> None:
    """What lies before the minutes that are kept: hours and customers' days. Its users are not known one by one any
    more, so they are not counted."""
    grouped = group(old, known)
    store.add_usage(cursor, product.pk, grouped.usage())
    store.add_rollups(cursor, "metrics_rollup_hour", product.pk, by_hour(grouped.minutes()))
    store.add_accounts(cursor, product.workspace_id, _accounts(old))
    _add_messages(product, old)


def _accounts(new: list[Event]) -> dict[str, tuple[float, dict[str, Any]]]:
    """Customers named by the events: id -> (a moment at which it was seen, what was told of it)."""
    latest = dict(zip(map(_customer, new), new, strict=True))
    latest.pop("", None)
    seen = {name: (event.at, {"plan": event.plan} if event.plan else {}) for name, event in latest.items()}
    for event in _of_kind("identify", new):
        if event.customer:
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
            for e in _of_kind("feedback", new)
        ],
        ignore_conflicts=True,
    )


def _of_kind(kind: str, events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind == kind] if kind in set(map(_kind, events)) else []
