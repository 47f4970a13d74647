"""What is said of an incident: comments, updates for the team or for customers, and what happened when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from activity.models import Event, record
from incidents import mentions
from incidents.models.incident import Incident
from productops.lib import markdown

#: How far back a thing may be noted.
OLDEST = timedelta(days=3_660)


class UpdateKind(models.TextChoices):
    COMMENT = "comment", _("Comment")
    INTERNAL = "internal", _("Update for the team")
    CUSTOMERS = "customers", _("Update for customers")
    SEEN = "seen", _("What was seen")
    DONE = "done", _("What was done")
    DECIDED = "decided", _("What was decided")


#: What is said to others about how it stands, and what happened at a time of its own.
UPDATES = (UpdateKind.INTERNAL, UpdateKind.CUSTOMERS)
FACTS = (UpdateKind.SEEN, UpdateKind.DONE, UpdateKind.DECIDED)


class UpdateManager(models.Manager["Update"]):
    def say(
        self, incident: Incident, by: User, text: str, kind: str = UpdateKind.COMMENT, at: datetime | None = None
    ) -> Event:
        """`at`: when it happened, for what is noted afterwards. Raises ValidationError."""
        now = timezone.now()
        if at is not None and not now - OLDEST <= at <= now:
            raise ValidationError({"at": _("Choose a time that is past.")})
        if kind not in UpdateKind.values:
            raise ValidationError({"kind": _("Unknown kind.")})
        people = {pk: (name, email) for pk, name, email in _members(incident)}
        named = sorted({person for _s, _e, person in mentions.find(text, people)} - {by.pk})
        html = mentions.mark(markdown.render(text), people)
        verb = "commented" if kind == UpdateKind.COMMENT else "updated" if kind in UPDATES else "noted"
        with transaction.atomic():
            locked = incident.lock()
            update = self.create(incident=locked, by=by, text=text, html=html, kind=kind, mentioned=named)
            _note(locked, kind, by, now)
            return record(
                locked.workspace, f"incident.{verb}", locked, by, at=at or now, tells=True, update=update.pk, kind=kind,
                **({"mentioned": named} if named else {}),
            )  # fmt: skip

    def comment(self, incident: Incident, by: User, text: str) -> Event:
        return self.say(incident, by, text)


def _members(incident: Incident) -> models.QuerySet[User, tuple[int, str, str]]:
    members = User.objects.filter(memberships__workspace=incident.workspace_id, is_active=True)
    return members.values_list("pk", "name", "email")


def _note(incident: Incident, kind: str, by: User, now: datetime) -> None:
    """A person was here, and perhaps spoke of how it stands. It is no newer version: nobody's change is in its way."""
    incident.touched_at, incident.asked_at = now, None
    said = ["touched_at", "asked_at"]
    if kind in UPDATES:
        incident.spoken_at = now
        said.append("spoken_at")
    if kind == UpdateKind.CUSTOMERS and incident.told_at is None:
        incident.told_at = now
        said.append("told_at")
    dues = incident.set_dues()
    incident.save(update_fields=[*said, *dues])


class Update(models.Model):
    incident = models.ForeignKey(Incident, models.CASCADE, related_name="updates")
    by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    kind = models.CharField(max_length=9, choices=UpdateKind, default=UpdateKind.COMMENT)
    text = models.TextField(_("comment"), max_length=20_000)
    html = models.TextField()  # rendered and cleaned at write time
    mentioned = ArrayField(models.BigIntegerField(), default=list)
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[UpdateManager] = UpdateManager()

    class Meta:
        ordering = ["created_at"]
        constraints = [models.CheckConstraint(condition=Q(kind__in=UpdateKind.values), name="update_kind")]
