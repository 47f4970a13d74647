"""How much a product may send, and how much it did: counted in the transaction that stores it, so it is exact."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from django.db import models, transaction
from django.db.models import Q, Sum

from metrics.models.intake import Inbox, Outcome
from releases.models import Product


class Limit(models.Model):
    """Events a product may send in a minute and in a calendar month (UTC); None: as many as it likes.

    in_minute and in_month say how many were taken in the `minute` and the `month` beside them.
    counted, counted_at and spike_* belong to the guard (guarding.py).
    """

    product = models.OneToOneField(Product, models.CASCADE, primary_key=True, related_name="limit")
    per_minute = models.BigIntegerField(null=True)
    per_month = models.BigIntegerField(null=True)
    minute = models.DateTimeField(null=True)
    in_minute = models.BigIntegerField(default=0)
    month = models.DateField(null=True)
    in_month = models.BigIntegerField(default=0)
    counted = models.BigIntegerField(default=0)  # accepted events of all time when the guard looked last
    counted_at = models.DateTimeField(null=True)
    spike_since = models.DateTimeField(null=True)
    spike_usual = models.FloatField(default=0)  # events a minute that were usual when it began
    spike_rate = models.FloatField(default=0)  # events a minute at the last look

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(per_minute=None) | Q(per_minute__gt=0), name="limit_minute"),
            models.CheckConstraint(condition=Q(per_month=None) | Q(per_month__gt=0), name="limit_month"),
        ]

    @property
    def is_set(self) -> bool:
        return self.per_minute is not None or self.per_month is not None

    @classmethod
    def of(cls, product: Product) -> Limit:
        """The product's, or one that limits nothing."""
        return cls.objects.filter(product=product).first() or cls(product=product)

    @classmethod
    def put(cls, product: Product, per_minute: int | None, per_month: int | None, now: datetime) -> Limit:
        """Sets both. What was taken this month counts, also from the time before there was a limit."""
        with transaction.atomic():
            cls.objects.get_or_create(product=product)
            limit = cls.objects.select_for_update().get(product=product)
            limit.per_minute, limit.per_month = per_minute, per_month
            limit.month, limit.in_month = first_of_month(now), _taken(product, first_of_month(now))
            limit.save(update_fields=["per_minute", "per_month", "month", "in_month"])
        return limit

    def used(self, now: datetime) -> int:
        """Events taken in this month."""
        return self.in_month if self.month == first_of_month(now) else 0


def first_of_month(now: datetime) -> date:
    return now.astimezone(UTC).date().replace(day=1)


def next_month(now: datetime) -> date:
    return (first_of_month(now) + timedelta(days=32)).replace(day=1)


def _taken(product: Product, since: date) -> int:
    """Events the door took since the first of the month: counted, sent again, and still waiting."""
    at = datetime(since.year, since.month, since.day, tzinfo=UTC)
    was_taken = Q(outcome="accepted") | Q(outcome="duplicate", reason="event")
    counted = Outcome.objects.filter(was_taken, product_id=product.pk, hour__gte=at)
    # History that was brought in on purpose costs nothing of the limit.
    counted = counted.exclude(protocol="backfill")
    waiting = Inbox.objects.filter(product_id=product.pk).exclude(protocol="backfill")
    return (counted.aggregate(n=Sum("n"))["n"] or 0) + (waiting.aggregate(n=Sum("events"))["n"] or 0)
