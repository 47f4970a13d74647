"""A file of history and how far it was read: the same file is read once, and goes on where it was cut off."""

from __future__ import annotations

from django.db import models

from releases.models import Product


class Backfill(models.Model):
    """`rows` of the file were read, `accepted` events of them stored; `faults` names the first refused rows."""

    product = models.ForeignKey(Product, models.CASCADE, related_name="backfills")
    digest = models.CharField(max_length=64)  # SHA-256 of the file
    name = models.CharField(max_length=200)
    rows = models.BigIntegerField(default=0)
    accepted = models.BigIntegerField(default=0)
    refused = models.BigIntegerField(default=0)
    faults = models.JSONField(default=list)  # [row, why]
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["product", "digest"], name="backfill_once")]
