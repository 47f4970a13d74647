"""What stands between a request and its numbers: keys, the inbox, and the ledger of outcomes."""

from __future__ import annotations

import secrets
from typing import ClassVar

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from releases.models import Product


def new_key() -> str:
    return secrets.token_hex(16)


class IngestKey(models.Model):
    """Public and write-only: it may stand in a web page. Rotating makes a new one; the old stops within seconds."""

    product = models.ForeignKey(Product, models.CASCADE, related_name="keys")
    key = models.CharField(max_length=32, unique=True, default=new_key)
    created_at = models.DateTimeField(default=timezone.now)
    revoked_at = models.DateTimeField(null=True)

    @property
    def dsn(self) -> str:
        """The address an SDK of the Sentry family takes."""
        scheme, _, host = settings.BASE_URL.partition("://")
        return f"{scheme}://{self.key}@{host}/{self.product_id}"

    @classmethod
    def current(cls, product: Product) -> IngestKey:
        found = cls.objects.filter(product=product, revoked_at=None).order_by("-id").first()
        return found or cls.objects.create(product=product)

    def rotate(self) -> IngestKey:
        with transaction.atomic():
            IngestKey.objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=timezone.now())
            return IngestKey.objects.create(product=self.product)


class Inbox(models.Model):
    """One accepted request, committed before its 2xx; `body` is its list of events (see intake/event.py)."""

    seq = models.BigAutoField(primary_key=True)
    batch_id = models.UUIDField(unique=True)
    product_id = models.BigIntegerField()
    protocol = models.CharField(max_length=12)
    events = models.IntegerField()
    body = models.BinaryField()
    received_at = models.DateTimeField()
    attempts = models.SmallIntegerField(default=0)
    lease = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    error = models.TextField(default="")

    class Meta:
        db_table = "metrics_inbox"
        indexes = [models.Index(fields=["lease"], name="inbox_lease", condition=~models.Q(lease=None))]


class ProcessedBatch(models.Model):
    """The ledger that makes a second delivery of the same request harmless. Kept 72 hours."""

    batch_id = models.UUIDField(primary_key=True)
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["at"], name="processed_at")]


class Quarantine(models.Model):
    """A request the drain could not count after four tries; replayed by a person."""

    batch_id = models.UUIDField(unique=True)
    product = models.ForeignKey(Product, models.CASCADE, related_name="+", db_constraint=False)
    protocol = models.CharField(max_length=12)
    events = models.IntegerField()
    body = models.BinaryField()
    received_at = models.DateTimeField()
    error = models.TextField()
    at = models.DateTimeField(default=timezone.now)


class Outcome(models.Model):
    """What became of each thing received, per product and hour. product_id 0: the key was not known."""

    product_id = models.BigIntegerField()
    hour = models.DateTimeField()
    protocol = models.CharField(max_length=12)
    category = models.CharField(max_length=10)
    outcome = models.CharField(max_length=16)
    reason = models.CharField(max_length=60, default="")
    n = models.BigIntegerField()

    objects: ClassVar[models.Manager[Outcome]] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["product_id", "hour", "protocol", "category", "outcome", "reason"], name="outcome_key"
            )
        ]


class Arrival(models.Model):
    """One of the newest events of a product, as it was kept; counting/arrivals.py says which."""

    product_id = models.BigIntegerField()
    received_at = models.DateTimeField()
    protocol = models.CharField(max_length=12)
    kind = models.CharField(max_length=10)
    outcome = models.CharField(max_length=16)  # accepted or duplicate
    flags = models.SmallIntegerField()
    event = models.JSONField()  # intake/event.py's fields that are not empty

    class Meta:
        indexes = [models.Index(fields=["product_id", "-id"], name="arrival_recent")]


class Refusal(models.Model):
    """A few of the requests that were refused, so that a developer sees why nothing arrives. Kept a day."""

    product_id = models.BigIntegerField()
    at = models.DateTimeField()
    protocol = models.CharField(max_length=12)
    status = models.SmallIntegerField()
    reason = models.CharField(max_length=60)
    detail = models.CharField(max_length=300)
    client = models.CharField(max_length=16)  # a keyed hash of the address; tells "is this me?"

    class Meta:
        indexes = [models.Index(fields=["product_id", "-at"], name="refusal_recent")]


class JobSlot(models.Model):
    """One row per periodic job and time slot: two beats cannot run the same slot twice."""

    job = models.CharField(max_length=40)
    slot = models.BigIntegerField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "slot"], name="job_slot")]

    @classmethod
    def take(cls, job: str, seconds: int) -> bool:
        """True for the first caller in this slot of `seconds`."""
        slot = int(timezone.now().timestamp()) // seconds
        _row, is_first = cls.objects.get_or_create(job=job, slot=slot)
        return is_first
