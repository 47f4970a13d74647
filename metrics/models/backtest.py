"""The detectors put to the past, asked for by a person and done by a worker."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from accounts.models import User
from releases.models import Product

#: Kept of one product, the newest.
BACKTESTS = 20


class Backtest(models.Model):
    """Of the product's own counts, or of a file of cases (see docs/detection.md, "Replay a file").

    margin: another one that was tried beside, as a share. body: the file, until it is done. result: as
    metrics/backtesting.py gives it. error: why there is none.
    """

    product = models.ForeignKey(Product, models.CASCADE, related_name="backtests")
    by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True)
    name = models.CharField(max_length=200, blank=True)
    body = models.BinaryField(null=True)
    margin = models.FloatField(null=True)
    error = models.CharField(max_length=300, blank=True)
    result = models.JSONField(default=dict)

    objects: ClassVar[models.Manager[Backtest]] = models.Manager()

    class Meta:
        indexes = [models.Index(fields=["product", "-made_at"], name="backtest_order")]
