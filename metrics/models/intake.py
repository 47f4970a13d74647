"""What stands between a request and its numbers: keys, the inbox, and the ledger of outcomes."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import CompositePrimaryKey, Func, Value
from django.utils import timezone

from releases.models import Product


def new_key() -> str:
    return secrets.token_hex(16)


def _next(sequence: str) -> Func:
    return Func(Value(sequence), function="nextval", output_field=models.BigIntegerField())


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

    pk = CompositePrimaryKey("product_id", "batch_id")
    product_id = models.BigIntegerField()
    batch_id = models.UUIDField()
    seq = models.BigIntegerField(db_default=_next("metrics_inbox_seq_seq"))
    protocol = models.CharField(max_length=12)
    events = models.IntegerField()
    body = models.BinaryField()
    digest = models.BinaryField(null=True)  # of what was sent, when the client chose the batch's id
    received_at = models.DateTimeField()
    attempts = models.SmallIntegerField(default=0)
    lease = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    error = models.TextField(default="")

    class Meta:
        managed = False
        db_table = "metrics_inbox"


class ProcessedBatch(models.Model):
    """The ledger of requests whose id the client chose: a second delivery is harmless. Kept 72 hours."""

    pk = CompositePrimaryKey("product_id", "batch_id")
    product_id = models.BigIntegerField()
    batch_id = models.UUIDField()
    digest = models.BinaryField()
    at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "metrics_processed_batch"


class Quarantine(models.Model):
    """A request the drain could not count after four tries; replayed by a person."""

    pk = CompositePrimaryKey("product", "batch_id")
    product = models.ForeignKey(Product, models.CASCADE, related_name="+", db_constraint=False)
    batch_id = models.UUIDField()
    protocol = models.CharField(max_length=12)
    events = models.IntegerField()
    body = models.BinaryField()
    digest = models.BinaryField(null=True)
    received_at = models.DateTimeField()
    error = models.TextField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        managed = False
        db_table = "metrics_quarantine"

    def put_back(self) -> None:
        """Into the inbox, to be counted again; call it in a transaction. This row is gone then."""
        given = {name: getattr(self, name) for name in ("protocol", "events", "body", "digest", "received_at")}
        Inbox.objects.get_or_create(product_id=self.product_id, batch_id=self.batch_id, defaults=given)
        self.delete()


class Outcome(models.Model):
    """What became of each thing received, per product and hour. product_id 0: the key was not known."""

    pk = CompositePrimaryKey("product_id", "hour", "protocol", "category", "outcome", "reason")
    product_id = models.BigIntegerField()
    hour = models.DateTimeField()
    protocol = models.CharField(max_length=12)
    category = models.CharField(max_length=10)
    outcome = models.CharField(max_length=16)
    reason = models.CharField(max_length=60, default="")
    n = models.BigIntegerField()

    objects: ClassVar[models.Manager[Outcome]] = models.Manager()

    class Meta:
        managed = False
        db_table = "metrics_outcome"


class Arrival(models.Model):
    """One of the newest events of a product, as it was kept; counting/arrivals.py says which."""

    pk = CompositePrimaryKey("product_id", "id")
    product_id = models.BigIntegerField()
    id = models.BigIntegerField(db_default=_next("metrics_arrival_id_seq"))
    received_at = models.DateTimeField()
    protocol = models.CharField(max_length=12)
    kind = models.CharField(max_length=10)
    outcome = models.CharField(max_length=16)  # accepted or duplicate
    flags = models.SmallIntegerField()
    event = models.JSONField()  # intake/event.py's fields that are not empty

    class Meta:
        managed = False
        db_table = "metrics_arrival"


class Refusal(models.Model):
    """A few of the requests that were refused, so that a developer sees why nothing arrives. Kept a day."""

    pk = CompositePrimaryKey("product_id", "id")
    product_id = models.BigIntegerField()
    id = models.BigIntegerField(db_default=_next("metrics_refusal_id_seq"))
    at = models.DateTimeField()
    protocol = models.CharField(max_length=12)
    status = models.SmallIntegerField()
    reason = models.CharField(max_length=60)
    detail = models.CharField(max_length=300)
    client = models.CharField(max_length=16)  # a keyed hash of the address; tells "is this me?"

    class Meta:
        managed = False
        db_table = "metrics_refusal"


class JobSlot(models.Model):
    """The newest time slot of each periodic job: whoever comes second finds it taken, so two beats are harmless."""

    job = models.CharField(max_length=40, primary_key=True)
    slot = models.BigIntegerField()
    at = models.DateTimeField()

    @classmethod
    def take(cls, job: str, seconds: float, now: datetime | None = None) -> bool:
        """True for the first caller in this slot of `seconds`."""
        now = now or timezone.now()
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO metrics_jobslot AS j (job, slot, at) VALUES (%s, %s, %s) ON CONFLICT (job)"
                " DO UPDATE SET slot = excluded.slot, at = excluded.at WHERE j.slot < excluded.slot",
                [job, int(now.timestamp() // seconds), now],
            )
            return bool(cursor.rowcount)
