"""What breaks, by its group: errors of one type at one place in the code."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from metrics.models.signal import Signal

#: Faults one product may have; errors of further groups count among the errors, but for no fault.
FAULTS_PER_PRODUCT = 1_000
#: Characters of a title.
TITLE = 160


class Fault(models.Model):
    """An error group. Its counts are those of its signal, whose kind is `fault` and whose name is the group's key
    (see intake/faults.py); type, value, culprit and frames are those of the first error of it that was counted."""

    signal = models.OneToOneField(Signal, models.CASCADE, primary_key=True, related_name="fault")
    type = models.CharField(max_length=200, blank=True)
    value = models.CharField(max_length=2000, blank=True)
    culprit = models.CharField(max_length=400, blank=True)
    frames = models.JSONField(default=list)  # outermost first: {filename, function, module, lineno}
    platform = models.CharField(max_length=40, blank=True)
    group_version = models.PositiveSmallIntegerField()
    first_at = models.DateTimeField()

    objects: ClassVar[models.Manager[Fault]] = models.Manager()

    def __str__(self) -> str:
        return self.title

    @property
    def title(self) -> str:
        """"TypeError: x is undefined", cut to TITLE."""
        told = ": ".join(part for part in (self.type, " ".join(self.value.split())) if part) or self.culprit
        return told if len(told) <= TITLE else f"{told[: TITLE - 1]}…"
