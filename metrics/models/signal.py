"""What is measured over time from events."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from releases.models import Feature, Product

#: Signals one product may have; events of further names are counted under OTHER.
SIGNALS_PER_PRODUCT = 500
OTHER = "other"


class Signal(models.Model):
    """One thing that is counted: an operation, the visits (`sessions`), or the errors.

    Its measures are read from its rollups: failure rate, latency quantiles, volume, users.
    """

    product = models.ForeignKey(Product, models.CASCADE, related_name="signals")
    kind = models.CharField(max_length=8)  # use, session, error
    name = models.CharField(max_length=100)
    feature = models.ForeignKey(Feature, models.SET_NULL, null=True, related_name="signals")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["product", "kind", "name"], name="signal_name")]

    def __str__(self) -> str:
        return self.name


#: Values one slice dimension of a product may have; further ones are counted under OTHER.
VALUES_PER_SLICE = 20


class SliceValue(models.Model):
    """The values seen of a slice dimension (plan, platform), so that their number stays bounded."""

    product = models.ForeignKey(Product, models.CASCADE, related_name="+")
    dimension = models.CharField(max_length=12)
    value = models.CharField(max_length=40)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["product", "dimension", "value"], name="slice_value")
        ]
