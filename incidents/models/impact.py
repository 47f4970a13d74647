"""The history of an incident's impact: one row when the numbers changed."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from incidents.models.incident import Incident, Severity


class Impact(models.Model):
    incident = models.ForeignKey(Incident, models.CASCADE, related_name="impacts")
    at = models.DateTimeField(default=timezone.now)
    numbers = models.JSONField()
    pain = models.FloatField()
    severity = models.CharField(max_length=8)

    class Meta:
        ordering = ["at"]
        indexes = [models.Index(fields=["incident", "-at"], name="impact_recent")]

    @property
    def severity_name(self) -> str:
        return str(dict(Severity.choices).get(self.severity, self.severity))
