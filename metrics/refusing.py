"""What clients send that cannot be taken, as a signal: a release of the shop may send what is no event.

The ledger of outcomes knows hours. Each minute what came to it since is put into that minute, so that over the hour
the signal and the ledger say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction
from django.db.models import Sum

from metrics.intake.event import REFUSAL
from metrics.intake.inbox import hour_of
from metrics.models import Outcome, RollupHour, Signal
from releases.models import Product

ENVIRONMENT = "production"
#: Outcomes that are the client's mistake; what is too fast or beyond the limit is not, volume tells of that.
REFUSED = ("invalid", "too_large")
#: How far back the ledger may still grow.
BACK = timedelta(hours=2)


def count(now: datetime) -> int:
    """Puts what was refused since the last call into this minute; how much that was."""
    since = hour_of(now - BACK)
    told = Outcome.objects.filter(hour__gte=since, hour__lte=now, outcome__in=REFUSED).exclude(product_id=0)
    rows = told.values_list("product_id", "hour").annotate(total=Sum("n")).order_by("product_id", "hour")
    by_product: dict[int, dict[datetime, int]] = {}
    for product, hour, total in rows:
        by_product.setdefault(product, {})[hour] = total
    products = Product.objects.in_bulk(by_product)
    return sum(_count(products[pk], hours, now) for pk, hours in by_product.items() if pk in products)


def _count(product: Product, hours: Mapping[datetime, int], now: datetime) -> int:
    with transaction.atomic():
        signal, _new = Signal.objects.get_or_create(product=product, kind=REFUSAL, name="refusals")
        Signal.objects.select_for_update().get(pk=signal.pk)  # one at a time
        known = RollupHour.objects.filter(
            product_id=product.pk, signal_id=signal.pk, environment=ENVIRONMENT, slice="", bucket__in=list(hours)
        )
        counted = dict(known.values_list("bucket", "n"))
        total = 0
        for hour, n in hours.items():
            if (more := n - counted.get(hour, 0)) > 0:
                minute = min(now.astimezone(UTC).replace(second=0, microsecond=0), hour + timedelta(minutes=59))
                _add(signal, "metrics_rollup_minute", minute, more)
                _add(signal, "metrics_rollup_hour", hour, more)
                total += more
    return total


def _add(signal: Signal, table: str, bucket: datetime, n: int) -> None:
    """What is refused in one minute most often has one cause: it counts as one cluster."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} AS r (product_id, signal_id, environment, release_id, slice, bucket, n, bad, bad_sq,"
            " users, bad_users, timed, total) VALUES (%s, %s, %s, 0, '', %s, %s, %s, %s, 0, 0, 0, 0)"
            " ON CONFLICT (product_id, signal_id, environment, release_id, slice, bucket) DO UPDATE SET"
            " n = r.n + excluded.n, bad = r.bad + excluded.bad, bad_sq = r.bad_sq + excluded.bad_sq",
            [signal.product_id, signal.pk, ENVIRONMENT, bucket, n, n, float(n) * n],
        )
