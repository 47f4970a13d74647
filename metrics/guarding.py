"""Spike protection: while a product sends far more than is usual at this hour, all of it is counted, but single events
are not kept, so that the disk and the pages of everybody else do not pay for it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from statistics import median

from django.db.models import Sum

from metrics.intake.inbox import hour_of
from metrics.models import Inbox, Limit, Outcome
from releases.models import Product

#: Times the usual from which it is a spike, and below which it is over.
BEGINS, ENDS = 10.0, 5.0
#: Events a minute that are never a spike, however quiet it was before.
FLOOR = 6_000.0
#: Days whose same hour is looked at, and those of them that must have had events.
DAYS, ENOUGH = 7, 3
#: Requests that wait longer are a backlog, and what is counted then says nothing about what is sent.
BEHIND = timedelta(seconds=30)
#: Seconds between two looks below which a rate says nothing.
_SHORTEST = 5.0
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


def usual(hours: Collection[int]) -> float | None:
    """Events a minute, from how many came in this hour on earlier days; None when there is not enough history."""
    return median(hours) / 60 if sum(n > 0 for n in hours) >= ENOUGH else None


def is_spike(rate: float, usually: float | None, was: bool) -> bool:
    """rate, usually: events a minute. A spike ends later than it begins, so that it does not flap."""
    if usually is None:
        return False
    return rate > (max(FLOOR / 2, usually * ENDS) if was else max(FLOOR, usually * BEGINS))


def guard(now: datetime) -> None:
    """Looks at every product that received something in this hour or the last, and at those in a spike."""
    recent = Outcome.objects.filter(outcome="accepted", hour__gte=hour_of(now - _HOUR))
    active = set(recent.values_list("product_id", flat=True).distinct())
    active |= set(Limit.objects.exclude(spike_since=None).values_list("product_id", flat=True))
    for product in Product.objects.filter(pk__in=active).order_by("pk"):
        limit, _new = Limit.objects.get_or_create(product=product)
        _look(limit, now)


def _look(limit: Limit, now: datetime) -> None:
    counted = _accepted(limit.product_id, hour_of(now))
    found: dict[str, object] = {"counted": counted, "counted_at": now}
    if limit.counted_at:
        passed = (now - limit.counted_at).total_seconds()
        if passed < _SHORTEST:
            return
        since = _accepted(limit.product_id, hour_of(limit.counted_at)) - limit.counted
        rate = max(0, since) / passed * 60
        usually = usual(_same_hour(limit.product_id, now))
        was = limit.spike_since is not None
        if is_spike(rate, usually, was) and (was or not _is_behind(limit.product_id, now)):
            found |= {"spike_rate": rate, "spike_usual": usually or 0.0}
            found |= {} if was else {"spike_since": now}
        elif was:
            found |= {"spike_since": None}
    Limit.objects.filter(pk=limit.pk).update(**found)


def _is_behind(product: int, now: datetime) -> bool:
    """What waited for a worker that was away comes at once, but was not sent at once."""
    oldest = Inbox.objects.filter(product_id=product).order_by("seq").values_list("received_at", flat=True).first()
    return oldest is not None and oldest < now - BEHIND


#: History from files comes as fast as it is read, which is no spike.
_ARRIVED = Outcome.objects.filter(outcome="accepted").exclude(protocol="backfill")


def _accepted(product: int, since: datetime) -> int:
    rows = _ARRIVED.filter(product_id=product, hour__gte=since)
    return rows.aggregate(n=Sum("n"))["n"] or 0


def _same_hour(product: int, now: datetime) -> list[int]:
    hours = [hour_of(now) - back * _DAY for back in range(1, DAYS + 1)]
    rows = _ARRIVED.filter(product_id=product, hour__in=hours)
    found = dict(rows.values_list("hour").annotate(n=Sum("n")))
    return [found.get(hour, 0) for hour in hours]
