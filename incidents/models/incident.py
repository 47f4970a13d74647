"""A problem being worked on. Each act is one verb: guard, transaction, recorded event."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import F, Max, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership, User, Workspace
from activity.models import Event, record
from incidents import lifecycle
from incidents.impact import Ledger
from metrics import words
from metrics.models import Regression, Signal
from releases.models import Feature, Product, Release


class Status(models.TextChoices):
    NEW = "new", _("New")
    TRIAGED = "triaged", _("Triaged")
    IN_PROGRESS = "in_progress", _("In progress")
    MITIGATED = "mitigated", _("Mitigated")
    RESOLVED = "resolved", _("Resolved")
    VERIFIED = "verified", _("Verified")
    CLOSED = "closed", _("Closed")
    DECLINED = "declined", _("Declined")
    DUPLICATE = "duplicate", _("Duplicate")
    SNOOZED = "snoozed", _("Snoozed")


class Severity(models.TextChoices):
    UNSET = "unset", _("Unset")
    LOW = "low", _("Low")
    MEDIUM = "medium", _("Medium")
    HIGH = "high", _("High")
    CRITICAL = "critical", _("Critical")


class IncidentKind(models.TextChoices):
    BUG = "bug", _("Bug")
    OUTAGE = "outage", _("Outage")
    REGRESSION = "regression", _("Regression")
    NOT_UNDERSTOOD = "not_understood", _("Not understood")


#: How long an incident may sleep.
LONGEST_SNOOZE = timedelta(days=366)


class Stale(Exception):
    """Somebody else changed the incident since it was read; `incident` is how it stands now."""

    def __init__(self, incident: Incident) -> None:
        super().__init__(f"INC-{incident.number} was changed meanwhile.")
        self.incident = incident


class IncidentQuerySet(models.QuerySet["Incident"]):
    def of(self, workspace: Workspace) -> IncidentQuerySet:
        return self.filter(workspace=workspace)

    def open(self) -> IncidentQuerySet:
        return self.filter(status__in=lifecycle.OPEN)

    def undecided(self) -> IncidentQuerySet:
        return self.filter(status__in=lifecycle.UNDECIDED)

    def by_pain(self) -> IncidentQuerySet:
        return self.order_by("-pain", "-opened_at", "-id")


class IncidentManager(models.Manager.from_queryset(IncidentQuerySet)):  # type: ignore[misc]
    def open_for(self, regression: Regression, now: datetime) -> tuple[Incident, bool]:
        """The incident of a regression, and whether it is new. Asking again gives the same one."""
        product = regression.release.product
        with transaction.atomic():
            Workspace.objects.select_for_update().get(pk=product.workspace_id)
            known = self.filter(regression=regression).first()
            if known:
                return known, False
            incident = self._open(
                product.workspace,
                None,
                why={"rule": "regression", "evidence": regression.evidence, "measure": regression.measure},
                product=product,
                kind=IncidentKind.REGRESSION,
                regression=regression,
                signal=regression.signal,
                feature=regression.signal.feature,
                release=regression.release,
                environment=regression.environment,
                grouping_key=f"regression:{regression.pk}",
                impact_started_at=regression.started_at,
                opened_at=now,
            )
        return incident, True

    def open_for_complaints(
        self, workspace: Workspace, key: str, cause: dict[str, Any], now: datetime, **fields: Any
    ) -> Incident:
        """The incident of a spike of complaints."""
        return self._open(workspace, None, why=cause, cause=cause, grouping_key=key, opened_at=now, **fields)

    def report(
        self, workspace: Workspace, title: str, by: User, kind: str = IncidentKind.BUG, **fields: Any
    ) -> Incident:
        """An incident a person opens."""
        return self._open(workspace, by, title=title, kind=kind, opened_at=timezone.now(), **fields)

    def _open(self, workspace: Workspace, by: User | None, why: Any = None, **fields: Any) -> Incident:
        with transaction.atomic():
            # The workspace row serialises numbering, so that INC-1, INC-2 … has no holes and no doubles.
            Workspace.objects.select_for_update().get(pk=workspace.pk)
            last = self.filter(workspace=workspace).aggregate(last=Max("number"))["last"] or 0
            incident = self.create(workspace=workspace, number=last + 1, opened_by=by, **fields)
            detail = {"why": why} if why else {}
            record(workspace, "incident.opened", incident, by, at=fields["opened_at"], **detail)
        return incident


class Incident(models.Model):
    Status, Severity, Kind = Status, Severity, IncidentKind

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="incidents")
    number = models.PositiveIntegerField()
    product = models.ForeignKey(Product, models.SET_NULL, null=True, related_name="+")
    title = models.CharField(_("title"), max_length=200, blank=True)  # empty: told from the regression
    kind = models.CharField(max_length=14, choices=IncidentKind)
    status = models.CharField(max_length=12, choices=Status, default=Status.NEW)
    severity = models.CharField(max_length=8, choices=Severity, default=Severity.UNSET)
    is_severity_forced = models.BooleanField(default=False)  # a person said so: never recomputed over
    assignee = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    grouping_key = models.CharField(max_length=120, blank=True)
    regression = models.OneToOneField(Regression, models.SET_NULL, null=True, related_name="+")
    cause = models.JSONField(default=dict)  # the spike of complaints that the hub opened it for; see spiking.py
    signal = models.ForeignKey(Signal, models.SET_NULL, null=True, related_name="+")
    feature = models.ForeignKey(Feature, models.SET_NULL, null=True, related_name="+")
    release = models.ForeignKey(Release, models.SET_NULL, null=True, related_name="+")
    environment = models.CharField(max_length=40, blank=True)
    fix_release = models.ForeignKey(Release, models.SET_NULL, null=True, related_name="+")
    original = models.ForeignKey("self", models.SET_NULL, null=True, related_name="duplicates")
    snoozed_until = models.DateTimeField(null=True)
    opened_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    opened_at = models.DateTimeField()
    impact_started_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    mitigated_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    verified_at = models.DateTimeField(null=True)
    cycle = models.PositiveSmallIntegerField(default=1)  # reopening starts a new one
    pain = models.FloatField(default=0)  # orders the queue; see impact.py
    impact = models.JSONField(default=dict)  # the ledger's numbers behind pain and severity
    weighed_at = models.DateTimeField(null=True)
    proof = models.JSONField(default=dict)  # what was last found about the claimed fix; see proving.py
    version = models.PositiveIntegerField(default=1)

    objects: ClassVar[IncidentManager] = IncidentManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "number"], name="incident_number"),
            models.UniqueConstraint(
                fields=["workspace", "grouping_key"],
                name="one_open_incident_per_key",
                condition=Q(status__in=lifecycle.OPEN) & ~Q(grouping_key=""),
            ),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="incident_status"),
            models.CheckConstraint(condition=Q(severity__in=Severity.values), name="incident_severity"),
        ]
        indexes = [
            models.Index(fields=["workspace", "status", "-pain"], name="incident_queue"),
            models.Index(fields=["release", "status"], name="incident_release"),
        ]

    def __str__(self) -> str:
        return f"INC-{self.number}"

    @property
    def headline(self) -> str:
        """What a person called it, else what the regression or the complaints say, in the reader's language."""
        if not self.title and self.cause:
            return words.complaints_title(self.cause)
        if self.title or self.regression is None:
            return self.title
        return words.title(self.regression.evidence, self.regression.release.version)

    @property
    def ledger(self) -> Ledger:
        """The numbers as last weighed; all zero before."""
        names = {field.name for field in dataclasses.fields(Ledger)}
        return Ledger(**{name: value for name, value in self.impact.items() if name in names})

    @property
    def legal(self) -> list[str]:
        return lifecycle.legal_moves(self.status)

    # Verbs. `expected` is the version the person was looking at; None skips that check.

    def accept(self, by: User, expected: int | None = None) -> Event:
        return self._move("accept", by, expected)

    def start(self, by: User, expected: int | None = None) -> Event:
        return self._move("start", by, expected)

    def mitigate(self, by: User, expected: int | None = None) -> Event:
        return self._move("mitigate", by, expected, mitigated_at=timezone.now())

    def resolve(self, by: User, fix_release: Release | None, expected: int | None = None) -> Event:
        """A claim that it is fixed: in `fix_release`, or with no code change when that is None."""
        if fix_release and fix_release.product.workspace_id != self.workspace_id:
            raise ValidationError({"release": _("This release does not exist here.")})
        return self._move("resolve", by, expected, fix_release=fix_release, resolved_at=timezone.now())

    def verify(self, by: User | None, why: Any = None) -> Event:
        return self._move("verify", by, None, why=why, verified_at=timezone.now())

    def close(self, by: User, expected: int | None = None) -> Event:
        return self._move("close", by, expected)

    def decline(self, by: User, reason: str, expected: int | None = None) -> Event:
        return self._move("decline", by, expected, reason=self._reason(reason))

    def snooze(self, by: User, until: datetime, expected: int | None = None) -> Event:
        if until <= timezone.now():
            raise ValidationError({"until": _("Choose a time that is still to come.")})
        if until > timezone.now() + LONGEST_SNOOZE:
            raise ValidationError({"until": _("Choose a time within a year.")})
        return self._move("snooze", by, expected, snoozed_until=until)

    def wake(self, by: User | None, why: Any = None) -> Event:
        return self._move("wake", by, None, why=why, snoozed_until=None)

    def reopen(self, by: User | None, reason: str = "", expected: int | None = None, why: Any = None) -> Event:
        """A person says why in words; the hub by its evidence."""
        return self._move(
            "reopen",
            by,
            expected,
            reason=self._reason(reason) if by else None,
            why=why,
            original=None,
            fix_release=None,
            resolved_at=None,
            verified_at=None,
            cycle=F("cycle") + 1,
        )

    def duplicate(self, by: User, original: Incident, expected: int | None = None) -> Event:
        """Complaints move to the original; undo brings them back."""
        if original.workspace_id != self.workspace_id or original.pk == self.pk:
            raise ValidationError({"original": _("Choose another incident of this workspace.")})
        if original.original_id:
            raise ValidationError({"original": _("That one is a duplicate itself.")})
        with transaction.atomic():
            moved = list(self.reports.values_list("pk", flat=True))
            event = self._move("duplicate", by, expected, original=original, moved=moved)
            self.reports.filter(pk__in=moved).update(incident=original)
        return event

    def assign(self, by: User, assignee: User | None, expected: int | None = None) -> Event:
        if assignee and not Membership.objects.filter(workspace=self.workspace_id, user=assignee).exists():
            raise ValidationError({"assignee": _("This person is not in the workspace.")})
        return self._change("assigned", by, expected, {"assignee": assignee})

    def set_severity(self, by: User, severity: str, reason: str = "", expected: int | None = None) -> Event:
        """A person's word stands: the hub never computes over it."""
        if severity not in Severity.values:
            raise ValidationError({"severity": _("Unknown severity.")})
        changes = {"severity": severity, "is_severity_forced": True}
        return self._change("severity_set", by, expected, changes, reason=reason[:500])

    def undo(self, event: Event, by: User) -> Event:
        """Takes back one recorded change, as long as nothing of it was changed since."""
        before, after = event.detail.get("before"), event.detail.get("after")
        if not before or event.subject_id != self.pk or event.subject_type != self._meta.label_lower:
            raise ValidationError(_("This cannot be undone."))
        with transaction.atomic():
            locked = Incident.objects.select_for_update().get(pk=self.pk)
            if {name: _plain(getattr(locked, name)) for name in after} != after:
                raise Stale(locked)
            if event.detail.get("moved"):
                from incidents.models.report import Report

                Report.objects.filter(pk__in=event.detail["moved"]).update(incident=self)
            values = {name: _stored(Incident, name, value) for name, value in before.items()}
            Incident.objects.filter(pk=self.pk).update(version=F("version") + 1, **values)
            self.refresh_from_db()
            return record(
                self.workspace, "incident.undone", self, by, undone=event.pk, of=event.verb, after=before
            )

    def _reason(self, reason: str) -> str:
        if not reason.strip():
            raise ValidationError({"reason": _("Say why in a few words.")})
        return reason.strip()[:500]

    def _move(self, verb: str, by: User | None, expected: int | None, **changes: Any) -> Event:
        extra = {k: changes.pop(k) for k in ("reason", "why", "moved") if changes.get(k) is not None}
        changes = {k: v for k, v in changes.items() if k not in {"reason", "why", "moved"}}
        with transaction.atomic():
            locked = self._lock(expected)
            changes["status"] = lifecycle.after(verb, locked.status)
            if locked.acknowledged_at is None and by is not None:
                changes["acknowledged_at"] = timezone.now()
            return self._write(locked, PAST[verb], by, changes, extra)

    def _change(self, verb: str, by: User, expected: int | None, changes: dict[str, Any], **extra: Any) -> Event:
        with transaction.atomic():
            return self._write(self._lock(expected), verb, by, changes, extra)

    def _lock(self, expected: int | None) -> Incident:
        locked = Incident.objects.select_for_update(of=("self",)).get(pk=self.pk)
        if expected is not None and locked.version != expected:
            raise Stale(locked)
        return locked

    def _write(
        self, locked: Incident, verb: str, by: User | None, changes: dict[str, Any], extra: dict[str, Any]
    ) -> Event:
        before = {name: _plain(getattr(locked, name)) for name in changes}
        Incident.objects.filter(pk=self.pk).update(version=F("version") + 1, **changes)
        self.refresh_from_db()
        after = {name: _plain(getattr(self, name)) for name in changes}
        return record(self.workspace, f"incident.{verb}", self, by, before=before, after=after, **extra)


#: verb -> the word of the recorded event.
PAST = {
    "accept": "accepted",
    "start": "started",
    "mitigate": "mitigated",
    "resolve": "resolved",
    "verify": "verified",
    "close": "closed",
    "decline": "declined",
    "duplicate": "marked_duplicate",
    "snooze": "snoozed",
    "wake": "woken",
    "reopen": "reopened",
}


def _plain(value: Any) -> Any:
    """A field's value as JSON keeps it."""
    if isinstance(value, models.Model):
        return value.pk
    return value.isoformat() if isinstance(value, datetime) else value


def _stored(model: type[models.Model], name: str, value: Any) -> Any:
    field = model._meta.get_field(name)
    if isinstance(field, models.DateTimeField) and value is not None:
        return datetime.fromisoformat(value)
    if isinstance(field, models.ForeignKey) and value is not None:
        return field.related_model._default_manager.filter(pk=value).first()  # type: ignore[union-attr]
    return value
