"""What detection found: regressions, and the verdict on a release. Rows are the news other apps read."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from metrics.models.signal import Signal
from releases.models import Release


class Regression(models.Model):
    """This measure of this signal got worse with this release: one row, however often it is looked at.

    evidence: the numbers behind it as detection/evidence.py gives them, plus `slice` when one slice explains it.
    """

    release = models.ForeignKey(Release, models.CASCADE, related_name="regressions")
    environment = models.CharField(max_length=40)
    signal = models.ForeignKey(Signal, models.CASCADE, related_name="regressions")
    measure = models.CharField(max_length=16)
    evidence = models.JSONField()
    slice = models.CharField(max_length=60, blank=True)
    is_active = models.BooleanField(default=True)  # still worse at the last look
    found_at = models.DateTimeField(default=timezone.now)
    looked_at = models.DateTimeField(default=timezone.now)
    data_up_to = models.DateTimeField()
    started_at = models.DateTimeField()  # first bucket that was flagged

    objects: ClassVar[models.Manager[Regression]] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["release", "environment", "signal", "measure"], name="one_finding_per_signal"
            )
        ]


#: Judgements kept of one release in one environment; later ones are not, so that a verdict that swings fills no table.
JUDGEMENTS = 50


class Judgement(models.Model):
    """A verdict when it became another, or another measure became worse: what was said, and what it was said from.

    traces: what the verdict stored then, faults too. questions: the detectors' inputs, as detection/asking.py gives
    them, compressed: [one for each trace that is no fault, then one for all faults].
    """

    release = models.ForeignKey(Release, models.CASCADE, related_name="judgements")
    environment = models.CharField(max_length=40)
    at = models.DateTimeField()
    data_up_to = models.DateTimeField()
    verdict = models.CharField(max_length=10)
    worse = models.JSONField(default=list)  # "signal:measure" of each that is worse, sorted
    traces = models.JSONField()
    questions = models.BinaryField()

    objects: ClassVar[models.Manager[Judgement]] = models.Manager()

    class Meta:
        indexes = [models.Index(fields=["release", "environment", "-at"], name="judgement_order")]


class Verdict(models.Model):
    """healthy, watch, regressed or not_enough, with the trace that led there."""

    release = models.ForeignKey(Release, models.CASCADE, related_name="verdicts")
    environment = models.CharField(max_length=40)
    verdict = models.CharField(max_length=10)
    reasons = models.JSONField(default=dict)  # status -> how many measures
    trace = models.JSONField(default=list)  # one entry per signal and measure
    faults = models.JSONField(default=list)  # the same for each error group of the release, with `state`
    share = models.FloatField(null=True)  # of the environment's sessions or uses in the last hour
    silent_since = models.DateTimeField(null=True)  # nothing arrives since, though at this time of day much does
    data_up_to = models.DateTimeField()
    looked_at = models.DateTimeField(default=timezone.now)
    first_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["release", "environment"], name="one_verdict")]
