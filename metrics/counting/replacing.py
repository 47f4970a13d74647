"""Counts of what is kept as rows elsewhere and may be put right later: a day is counted anew, as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.utils import timezone

from metrics import partitions
from metrics.models import RollupHour, RollupMinute, Signal
from releases.models import Product

ENVIRONMENT = "production"


class Counted(NamedTuple):
    """One happening; `who` (any name, "" for nobody known) counts once a day and release."""

    at: datetime
    release: int  # 0: none named
    who: str


def replace(product: Product, kind: str, name: str, day: date, found: Sequence[Counted]) -> None:
    """Everything that the signal has on the day (UTC) is what was found, however often this is called."""
    first = datetime(day.year, day.month, day.day, tzinfo=UTC)
    with transaction.atomic():
        signal, _new = Signal.objects.get_or_create(product=product, kind=kind, name=name)
        Signal.objects.select_for_update().get(pk=signal.pk)  # one at a time
        tables: list[tuple[Any, int]] = [(RollupMinute, 60), (RollupHour, 3600)]
        for table, seconds in tables:
            ours = table.objects.filter(product_id=product.pk, signal_id=signal.pk, environment=ENVIRONMENT)
            ours.filter(bucket__gte=first, bucket__lt=first + timedelta(days=1)).delete()
            if table is RollupHour or first.timestamp() >= partitions.first_moment(
                "metrics_rollup_minute", timezone.now()
            ):
                table.objects.bulk_create(table(**row) for row in _rows(signal, found, seconds))


def _rows(signal: Signal, found: Sequence[Counted], seconds: int) -> list[dict[str, Any]]:
    n: Counter[tuple[int, int]] = Counter()
    users: Counter[tuple[int, int]] = Counter()
    known: set[tuple[int, str]] = set()
    for each in sorted(found):
        place = int(each.at.timestamp()) // seconds * seconds, each.release
        n[place] += 1
        if not each.who or (each.release, each.who) not in known:
            users[place] += 1
            known.add((each.release, each.who))
    return [
        {
            "product_id": signal.product_id, "signal_id": signal.pk, "environment": ENVIRONMENT, "release_id": release,
            "slice": "", "bucket": datetime.fromtimestamp(at, UTC), "n": count, "bad": 0, "bad_sq": 0.0,
            "users": users[at, release], "bad_users": 0, "timed": 0, "total": 0.0,
        }
        for (at, release), count in n.items()
    ]  # fmt: skip
