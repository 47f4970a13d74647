"""What is not partitioned is swept in small steps."""

from __future__ import annotations

from datetime import datetime, timedelta

from metrics.models import Counter, FeatureDay, History, ProcessedBatch, Refusal, SessionDay


def sweep(now: datetime) -> None:
    ProcessedBatch.objects.filter(at__lt=now - timedelta(hours=72)).delete()
    Refusal.objects.filter(at__lt=now - timedelta(days=1)).delete()
    # A release is watched for three days; a later look reads the history anew.
    History.objects.filter(made_at__lt=now - timedelta(days=7)).delete()
    old = (now - timedelta(days=400)).date()
    FeatureDay.objects.filter(day__lt=old).delete()
    SessionDay.objects.filter(day__lt=old).delete()
    Counter.objects.filter(at__lt=(now - timedelta(days=7)).timestamp()).delete()
