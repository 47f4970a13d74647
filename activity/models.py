"""Who did what to what: append-only. Feeds timelines, undo and the audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.utils import timezone

from accounts.models import User, Workspace


class EventQuerySet(models.QuerySet["Event"]):
    def about(self, subject: models.Model) -> EventQuerySet:
        return self.filter(subject_type=subject._meta.label_lower, subject_id=subject.pk)


class EventManager(models.Manager.from_queryset(EventQuerySet)):  # type: ignore[misc]
    def record(
        self,
        workspace: Workspace,
        verb: str,
        subject: models.Model,
        by: User | None = None,
        at: datetime | None = None,
        tells: bool = False,
        **detail: Any,
    ) -> Event:
        """`verb` is "<noun>.<past tense>"; `by` None means the hub itself, and then `detail` says why. With `tells`,
        somebody may have to be told of it."""
        return self.create(
            workspace=workspace,
            verb=verb,
            subject_type=subject._meta.label_lower,
            subject_id=subject.pk,
            by=by,
            at=at or timezone.now(),
            recorded_at=timezone.now(),
            detail=detail,
            is_untold=tells,
        )


class Event(models.Model):
    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="+")
    verb = models.CharField(max_length=60)
    subject_type = models.CharField(max_length=60)
    subject_id = models.BigIntegerField()
    by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField()  # when it happened, which a person may tell afterwards
    recorded_at = models.DateTimeField(default=timezone.now)
    detail = models.JSONField(default=dict)
    batch = models.UUIDField(null=True)  # the same for all that one act changed at once
    is_untold = models.BooleanField(default=False)  # nobody has looked yet who must be told of it

    objects: ClassVar[EventManager] = EventManager()

    class Meta:
        ordering = ["at", "id"]
        indexes = [
            models.Index(fields=["subject_type", "subject_id", "at"], name="event_subject"),
            models.Index(fields=["workspace", "-id"], name="event_recent"),
            models.Index(fields=["batch"], name="event_batch", condition=models.Q(batch__isnull=False)),
            models.Index(fields=["id"], name="event_untold", condition=models.Q(is_untold=True)),
        ]


record = Event.objects.record
