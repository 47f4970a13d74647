"""How incidents belong together without being one: links that can be taken back, and what the hub suggests."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from activity.models import Event, record
from incidents.models.incident import Incident


class LinkKind(models.TextChoices):
    RELATED = "related", _("related to")
    CAUSED_BY = "caused_by", _("caused by")
    RECURS = "recurs", _("came back after")


class LinkManager(models.Manager["Link"]):
    def link(
        self, source: Incident, target: Incident, kind: str, by: User | None, why: Any = None
    ) -> tuple[Link, Event | None]:
        """`source` is `kind` `target`. Saying it twice changes nothing; "related" holds both ways. The hub, by None,
        says why."""
        if source.workspace_id != target.workspace_id or source.pk == target.pk:
            raise ValidationError({"other": _("Choose another incident of this workspace.")})
        if kind not in LinkKind.values:
            raise ValidationError({"kind": _("Unknown kind.")})
        if kind == LinkKind.RELATED and target.pk < source.pk:
            source, target = target, source
        elif kind == LinkKind.CAUSED_BY and self.filter(source=target, target=source, kind=kind).exists():
            raise ValidationError({"kind": _("They cannot be caused by each other.")})
        with transaction.atomic():
            link, is_new = self.get_or_create(source=source, target=target, kind=kind, defaults={"by": by})
            if not is_new:
                return link, None
            told = {"link": link.pk, **({"why": why} if why else {})}
            back = OTHER_WAY[LinkKind(kind)]
            record(target.workspace, "incident.linked", target, by, kind=back, other=source.pk, **told)
            event = record(source.workspace, "incident.linked", source, by, kind=kind, other=target.pk, **told)
        return link, event


#: The kind as the other end says it.
OTHER_WAY = {LinkKind.RELATED: "related", LinkKind.CAUSED_BY: "causes", LinkKind.RECURS: "recurred"}


class Link(models.Model):
    source = models.ForeignKey(Incident, models.CASCADE, related_name="links")
    target = models.ForeignKey(Incident, models.CASCADE, related_name="links_to")
    kind = models.CharField(max_length=9, choices=LinkKind)
    by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[LinkManager] = LinkManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "target", "kind"], name="link_once"),
            models.CheckConstraint(condition=Q(kind__in=LinkKind.values), name="link_kind"),
            models.CheckConstraint(condition=~Q(source=models.F("target")), name="link_of_two"),
        ]

    def remove(self, by: User) -> None:
        with transaction.atomic():
            workspace = self.source.workspace
            back = OTHER_WAY[LinkKind(self.kind)]
            record(workspace, "incident.unlinked", self.target, by, kind=back, other=self.source_id)
            record(workspace, "incident.unlinked", self.source, by, kind=self.kind, other=self.target_id)
            if self.kind == LinkKind.RECURS:  # then the review did not fail either
                reviews = apps.get_model("incidents", "Review").objects.filter(incident=self.target)
                reviews.filter(failed_by=self.source).update(failed_by=None)
            self.delete()


class SuggestionState(models.TextChoices):
    OPEN = "open", _("Open")
    ACCEPTED = "accepted", _("Accepted")
    DISMISSED = "dismissed", _("Dismissed")


class SuggestionQuerySet(models.QuerySet["Suggestion"]):
    def answered(self) -> dict[str, int]:
        """How many were accepted and dismissed."""
        rows = self.exclude(state=SuggestionState.OPEN).order_by().values_list("state").annotate(n=models.Count("pk"))
        return dict(rows)


class Suggestion(models.Model):
    """That two incidents may belong together, and why (likeness.py); what became of it measures the rule."""

    incident = models.ForeignKey(Incident, models.CASCADE, related_name="suggestions")
    other = models.ForeignKey(Incident, models.CASCADE, related_name="+")
    score = models.FloatField()
    why = models.JSONField()  # the rule's version and what matched
    state = models.CharField(max_length=9, choices=SuggestionState, default=SuggestionState.OPEN)
    by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    answered_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[models.Manager[Suggestion]] = models.Manager.from_queryset(SuggestionQuerySet)()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["incident", "other"], name="suggestion_once"),
            models.CheckConstraint(condition=Q(state__in=SuggestionState.values), name="suggestion_state"),
        ]

    def answer(self, state: str, by: User, now: datetime) -> bool:
        """Whether it was still open."""
        still = Suggestion.objects.filter(pk=self.pk, state=SuggestionState.OPEN)
        return bool(still.update(state=state, by=by, answered_at=now))
