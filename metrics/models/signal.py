"""What is measured over time from events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from accounts.models import User
from activity.models import Event, record
from releases.models import Feature, Product

#: Signals one product may have; events of further names are counted under OTHER.
SIGNALS_PER_PRODUCT = 500
OTHER = "other"


#: What people may set of a signal.
TUNED = ("margin", "fewest", "volume_worse", "muted_until", "part")
#: What a signal may be a part of; "": as its name says (detection/sessions.py).
PARTS = ("", "start", "finish", "help", "retry", "none")
#: A margin as wide as a doubling would hide what the hub promises to see.
WIDEST = 0.9


class Signal(models.Model):
    """One thing that is counted: an operation, the visits (`sessions`), the errors, one group of errors (a fault), or
    the complaints of customers.

    Its measures are read from its rollups: failure rate, latency quantiles, volume, users.
    """

    product = models.ForeignKey(Product, models.CASCADE, related_name="signals")
    kind = models.CharField(max_length=10)  # use, session, error, fault, complaint, refusal
    name = models.CharField(max_length=100)
    feature = models.ForeignKey(Feature, models.SET_NULL, null=True, related_name="signals")
    created_at = models.DateTimeField(default=timezone.now)
    # How it is judged; None: as usual. See docs/detection.md, "Tuning".
    margin = models.FloatField(null=True)  # as a share: changes up to it never count as worse
    fewest = models.PositiveIntegerField(null=True)  # uses of a new release below which nothing is said
    volume_worse = models.SmallIntegerField(default=-1)  # -1: less is worse, 1: more is, 0: either is
    muted_until = models.DateTimeField(null=True)  # until then it is shown, but makes no release bad
    part = models.CharField(max_length=6, blank=True)  # of a feature, see detection/sessions.py; "": as its name says

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["product", "kind", "name"], name="signal_name"),
            models.CheckConstraint(
                condition=models.Q(margin=None) | models.Q(margin__range=(0, WIDEST)), name="signal_margin"
            ),
            models.CheckConstraint(condition=models.Q(volume_worse__in=(-1, 0, 1)), name="signal_volume"),
            models.CheckConstraint(condition=models.Q(part__in=PARTS), name="signal_part"),
        ]

    def __str__(self) -> str:
        return self.name

    def is_muted(self, now: datetime) -> bool:
        return self.muted_until is not None and self.muted_until > now

    def tune(self, by: User, **given: Any) -> Event | None:
        """Changes any of TUNED; None when nothing is another value than before."""
        assert given.keys() <= set(TUNED), given
        with transaction.atomic():
            locked = Signal.objects.select_for_update().get(pk=self.pk)
            before = {name: getattr(locked, name) for name in given if getattr(locked, name) != given[name]}
            for name in TUNED:
                setattr(self, name, given.get(name, getattr(locked, name)))
            if not before:
                return None
            kept = {f.name for f in self._meta.fields} - {name for name in before if given[name] is not None}
            self.clean_fields(exclude=kept)
            self.validate_constraints()
            self.save(update_fields=list(before))
            after = {name: given[name] for name in before}
            return record(self.product.workspace, "signal.tuned", self, by, before=_plain(before), after=_plain(after))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Moments as texts, for the record."""
    return {name: v.isoformat() if isinstance(v, datetime) else v for name, v in values.items()}


#: Values one slice dimension of a product may have; further ones are counted under OTHER.
VALUES_PER_SLICE = 20


class SliceValue(models.Model):
    """The values seen of a slice dimension (plan, platform, country, environment): so their number stays bounded."""

    product = models.ForeignKey(Product, models.CASCADE, related_name="+")
    dimension = models.CharField(max_length=12)
    value = models.CharField(max_length=40)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["product", "dimension", "value"], name="slice_value")
        ]
