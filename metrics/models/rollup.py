"""Counts by time. The tables are made in SQL (migration 0002): partitions and composite keys.

Every page reads these, so its cost depends on the buckets it shows and never on the events received.
`release_id` 0 stands for "no release named".
"""

from __future__ import annotations

from django.db import models
from django.db.models import CompositePrimaryKey


class Rollup(models.Model):
    """One signal in one bucket of one release, environment and slice.

    slice: "" for all, else "plan=Free", "platform=android" or "country=BR". bad_sq: sum over users of the square of
    their bad events that day, added up as it grows; bad_sq / bad is how strongly bad events cluster on few users.
    users, bad_users: users whose first (first bad) event of the day on this release fell in the bucket, so that they
    add up over a day. timed, total, hist: durations in ms (see histogram.py).
    """

    product_id = models.BigIntegerField()
    signal_id = models.BigIntegerField()
    environment = models.TextField()
    release_id = models.BigIntegerField()
    slice = models.TextField()
    bucket = models.DateTimeField()
    n = models.BigIntegerField()
    bad = models.BigIntegerField()
    bad_sq = models.FloatField()
    users = models.IntegerField()
    bad_users = models.IntegerField()
    timed = models.BigIntegerField()
    total = models.FloatField()
    hist = models.BinaryField(null=True)

    class Meta:
        abstract = True


class RollupMinute(Rollup):
    pk = CompositePrimaryKey("product_id", "signal_id", "environment", "release_id", "slice", "bucket")

    class Meta:
        managed = False
        db_table = "metrics_rollup_minute"


class RollupHour(Rollup):
    pk = CompositePrimaryKey("product_id", "signal_id", "environment", "release_id", "slice", "bucket")

    class Meta:
        managed = False
        db_table = "metrics_rollup_hour"


class CustomerDay(models.Model):
    """What one customer did in a day with one signal of one release; `customer` is the events' own id of it."""

    pk = CompositePrimaryKey("product_id", "customer", "day", "signal_id", "release_id", "environment")
    product_id = models.BigIntegerField()
    customer = models.TextField()
    day = models.DateField()
    signal_id = models.BigIntegerField()
    release_id = models.BigIntegerField()
    environment = models.TextField()
    uses = models.BigIntegerField()
    failures = models.BigIntegerField()
    struggles = models.BigIntegerField()
    last_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "metrics_customer_day"


class Counter(models.Model):
    """The last point of a metrics client's running total: unix seconds, the count, and how many of each duration."""

    pk = CompositePrimaryKey("product_id", "series")
    product_id = models.BigIntegerField()
    series = models.UUIDField()
    start = models.FloatField()
    at = models.FloatField()
    count = models.FloatField()
    timed = models.JSONField()

    class Meta:
        managed = False
        db_table = "metrics_counter"


class UserDay(models.Model):
    """How many bad events one user had in a day; only a hash of the user is kept. Dropped after 32 days."""

    pk = CompositePrimaryKey("product_id", "day", "signal_id", "release_id", "environment", "user_hash")
    product_id = models.BigIntegerField()
    day = models.DateField()
    signal_id = models.BigIntegerField()
    release_id = models.BigIntegerField()
    environment = models.TextField()
    user_hash = models.BigIntegerField()
    bad = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "metrics_user_day"


class EventChunk(models.Model):
    """Raw facts of one signal and UTC day, kept 14 days for drill-down; counting/chunks.py says what `body` is.
    signal_id 0: facts that are not measured."""

    pk = CompositePrimaryKey("product_id", "signal_id", "first_at", "chunk_id")
    product_id = models.BigIntegerField()
    signal_id = models.BigIntegerField()
    first_at = models.DateTimeField()
    chunk_id = models.BigIntegerField()
    last_at = models.DateTimeField()
    n = models.IntegerField()
    bad = models.IntegerField()  # how many of them went wrong, at least in part
    body = models.BinaryField()

    class Meta:
        managed = False
        db_table = "metrics_event"
