"""Whether an environment has gone silent: nothing arrives where on other days much did. No data is never healthy."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Sum

from metrics.models import RollupMinute

#: Silence shorter than this is none.
LEAST = timedelta(minutes=15)
#: Counts that every one of the last days had at the same time, at least.
ENOUGH = 20
DAYS = 7


def since(product: int, environment: str, now: datetime) -> datetime | None:
    """The end of the last minute that had anything, when that is long ago for this time of day."""
    rows = RollupMinute.objects.filter(product_id=product, environment=environment, slice="")
    recent = rows.filter(bucket__gte=now - timedelta(days=1), bucket__lt=now)
    last = recent.order_by("-bucket").values_list("bucket", flat=True).first()
    if last is None or now - last < LEAST:
        return None
    began = last + timedelta(minutes=1)
    first = rows.order_by("bucket").values_list("bucket", flat=True).first() or now
    days = [timedelta(days=d) for d in range(1, DAYS + 1) if began - timedelta(days=d) > first]
    usual = [rows.filter(bucket__gte=began - day, bucket__lt=now - day).aggregate(n=Sum("n"))["n"] or 0 for day in days]
    return began if usual and min(usual) >= ENOUGH else None
