"""What a release is compared with over time, kept so that a look reads only what came since."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from releases.models import Release


class History(models.Model):
    """Five-minute series of every signal, from before a release to a day after it, as metrics/history.py packs them.

    until: the end of what was read. made_at: the moment of the look that read it.
    """

    release = models.ForeignKey(Release, models.CASCADE, related_name="histories")
    environment = models.CharField(max_length=40)
    until = models.DateTimeField()
    made_at = models.DateTimeField()
    series = models.BinaryField()

    objects: ClassVar[models.Manager[History]] = models.Manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["release", "environment"], name="one_history")]
