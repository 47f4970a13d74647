"""A problem being worked on. Each act is one verb: guard, transaction, recorded event."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Case, F, IntegerField, Max, Q, Value, When
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from accounts.models import User, Workspace
from activity.models import Event, record
from incidents import lifecycle, timers
from incidents.impact import Ledger
from incidents.models import acts
from metrics import words
from metrics.models import Regression, Signal
from productops.lib.text import fold, grams
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


#: Severity as a number, the worst the largest.
BY_SEVERITY = Case(
    *(When(severity=name, then=Value(at)) for at, name in enumerate(Severity.values)), output_field=IntegerField()
)


class IncidentKind(models.TextChoices):
    BUG = "bug", _("Bug")
    OUTAGE = "outage", _("Outage")
    REGRESSION = "regression", _("Regression")
    NOT_UNDERSTOOD = "not_understood", _("Not understood")


def headline(title: str, cause: dict[str, Any], evidence: dict[str, Any] | None, version: str) -> str:
    if title or not (cause or evidence):
        return title
    return words.complaints_title(cause) if cause else words.title(evidence or {}, version)


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

    def known(self) -> IncidentQuerySet:
        """Problems that agents may speak of: told, and not yet over."""
        return self.exclude(wording="").filter(status__in=(*lifecycle.OPEN, Status.RESOLVED))

    def undecided(self) -> IncidentQuerySet:
        return self.filter(status__in=lifecycle.UNDECIDED)

    def in_full(self) -> IncidentQuerySet:
        """With all that a row or a page tells of."""
        return self.select_related(
            "workspace", "assignee", "opened_by", "signal", "feature", "release", "fix_release",
            "regression__release", "regression__signal",
        ).defer("folded", "grams", "past_cycles")  # fmt: skip

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

    def act_on(
        self, workspace: Workspace, numbers: Sequence[int], act: acts.Act, by: User, batch: UUID
    ) -> tuple[list[Incident], dict[Incident, acts.Refusal]]:
        """Does one act to many: those it was done to, and why others were refused. When a number is of no
        incident here nothing is changed: raises Incident.DoesNotExist."""
        with transaction.atomic():
            locked = self._locked(workspace, number__in=set(numbers))
            if len(locked) < len(set(numbers)):
                raise Incident.DoesNotExist
            _events, refused = acts.perform(locked, act, by, batch)
        return [i for i in locked if i.pk not in refused], {i: refused[i.pk] for i in locked if i.pk in refused}

    def undo_batch(
        self, workspace: Workspace, batch: UUID, by: User
    ) -> tuple[list[Incident], list[Incident]]:
        """Takes back what was done to many at once: those it was taken back of, and those changed since."""
        events = Event.objects.filter(workspace=workspace, batch=batch).exclude(verb="incident.undone")
        with transaction.atomic():
            by_id = {event.subject_id: event for event in events}
            locked = {incident.pk: incident for incident in self._locked(workspace, pk__in=by_id)}
            _events, stale = acts.take_back(locked, [by_id[pk] for pk in locked], by)
        return [i for i in locked.values() if i not in stale], stale

    def _locked(self, workspace: Workspace, **which: Any) -> list[Incident]:
        # In the order of their keys, so that two who act on the same many do not wait for each other in a circle.
        locked = self.of(workspace).filter(**which).select_related("workspace")
        return list(locked.select_for_update(of=("self",)).order_by("pk"))

    def _open(self, workspace: Workspace, by: User | None, why: Any = None, **fields: Any) -> Incident:
        with transaction.atomic():
            # The workspace row serialises numbering, so that INC-1, INC-2 … has no holes and no doubles.
            Workspace.objects.select_for_update().get(pk=workspace.pk)
            last = self.filter(workspace=workspace).aggregate(last=Max("number"))["last"] or 0
            incident = self.model(workspace=workspace, number=last + 1, opened_by=by, **fields)
            incident.cycle_started_at = incident.opened_at
            incident.index_words()
            incident.set_dues()
            incident.save(force_insert=True)
            detail = {"why": why} if why else {}
            record(workspace, "incident.opened", incident, by, at=fields["opened_at"], tells=True, **detail)
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
    wording = models.TextField(max_length=600, blank=True)  # what agents may tell customers; "": nothing yet
    workaround = models.TextField(max_length=600, blank=True)
    expected_on = models.DateField(null=True)  # when customers may expect it to work again
    snoozed_at = models.DateTimeField(null=True)
    snoozed_until = models.DateTimeField(null=True)
    wakes_at = models.PositiveIntegerField(null=True)  # customers touched
    wakes_on_release = models.BooleanField(default=False)
    opened_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    opened_at = models.DateTimeField()
    impact_started_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    mitigated_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    verified_at = models.DateTimeField(null=True)
    told_at = models.DateTimeField(null=True)  # customers, or the agents who talk to them; first
    spoken_at = models.DateTimeField(null=True)  # the last update
    touched_at = models.DateTimeField(null=True)  # by a person, last
    returned_at = models.DateTimeField(null=True)  # to the queue, since when nobody took it
    asked_at = models.DateTimeField(null=True)  # "still on it?", which nobody answered yet
    cycle = models.PositiveSmallIntegerField(default=1)  # reopening starts a new one
    cycle_started_at = models.DateTimeField()
    slept = models.JSONField(default=list)  # [from, to] of each sleep of this cycle
    past_cycles = models.JSONField(default=list)  # the stamps of earlier ones
    # What timers.py made of these stamps, for the queue and the hub's watch.
    due_kind = models.CharField(max_length=11, blank=True)
    due_at = models.DateTimeField(null=True)
    risk_at = models.DateTimeField(null=True)
    watch_at = models.DateTimeField(null=True)  # when there may be something to tell of
    asks_at = models.DateTimeField(null=True)
    warned = models.JSONField(default=list)  # what the hub told of in this cycle: "resolve:late"
    pain = models.FloatField(default=0)  # orders the queue; see impact.py
    impact = models.JSONField(default=dict)  # the ledger's numbers behind pain and severity
    heard = models.PositiveIntegerField(default=0)  # customers, as in `impact`
    silent = models.PositiveIntegerField(default=0)
    revenue = models.FloatField(default=0)  # per month
    weighed_at = models.DateTimeField(null=True)
    compared_at = models.DateTimeField(null=True)  # with others that may belong to it; see suggesting.py
    proof = models.JSONField(default=dict)  # what was last found about the claimed fix; see proving.py
    version = models.PositiveIntegerField(default=1)
    folded = models.TextField(default="", editable=False)  # what it is found by, in all languages; see index_words
    grams = ArrayField(models.CharField(max_length=3), default=list, editable=False)

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
            models.Index(fields=["workspace", "-pain", "-opened_at", "-id"], name="incident_pain"),
            models.Index(fields=["workspace", "-opened_at", "-id"], name="incident_recent"),
            models.Index(fields=["workspace", "-revenue", "-pain", "-id"], name="incident_revenue"),
            models.Index("workspace", BY_SEVERITY.desc(), F("pain").desc(), F("id").desc(), name="incident_severest"),
            models.Index(fields=["release", "status"], name="incident_release"),
            models.Index(fields=["watch_at"], name="incident_watch", condition=Q(watch_at__isnull=False)),
            models.Index(fields=["workspace", "due_at"], name="incident_due", condition=Q(due_at__isnull=False)),
            models.Index(fields=["asks_at"], name="incident_asks", condition=Q(asks_at__isnull=False)),
            # All that the search for a customer who was hit asks of an incident.
            models.Index(
                fields=["workspace", "signal", "release", "impact_started_at", "id"], name="incident_measured"
            ),
            GinIndex(fields=["grams"], name="incident_grams"),
            models.Index(fields=["id"], name="incident_uncompared", condition=Q(compared_at=None)),
        ]

    def __str__(self) -> str:
        return f"INC-{self.number}"

    # Django's own would translate every choice to name one of them: 1,000 texts on a page of 50 rows.
    def get_status_display(self) -> str:  # type: ignore[no-redef]
        return str(Status(self.status).label)

    def get_severity_display(self) -> str:  # type: ignore[no-redef]
        return str(Severity(self.severity).label)

    @property
    def mark(self) -> str:
        """Another one whenever a row or a page of it would say something else."""
        stamps = (self.weighed_at, self.touched_at)
        return ".".join([str(self.version), *(str(int(at.timestamp())) if at else "" for at in stamps)])

    @property
    def headline(self) -> str:
        """What a person called it, else what the regression or the complaints say, in the reader's language."""
        found = self.regression
        if found is None:
            return headline(self.title, self.cause, None, "")
        return headline(self.title, self.cause, found.evidence, found.release.version)

    def index_words(self) -> None:
        """What the incident is found by: its headline in every language, its feature, signal and release."""
        said = [self.title]
        if not self.title:
            for language, _name in settings.LANGUAGES:
                with translation.override(language):
                    said.append(self.headline)
        said += [self.feature.name if self.feature else "", self.signal.name.replace("_", " ") if self.signal else ""]
        said += [self.release.version if self.release else ""]
        self.folded = fold(" ".join(said))[:2_000]
        self.grams = sorted(grams(self.folded))

    @property
    def ledger(self) -> Ledger:
        """The numbers as last weighed; all zero before."""
        names = {field.name for field in dataclasses.fields(Ledger)}
        return Ledger(**{name: value for name, value in self.impact.items() if name in names})

    @property
    def legal(self) -> list[str]:
        return lifecycle.legal_moves(self.status)

    @property
    def moves(self) -> str:
        """Where it can go and by which verb: "triaged:accept declined:decline"."""
        return " ".join(f"{lifecycle.MOVES[verb][1]}:{verb}" for verb in self.legal if verb != "verify")

    @property
    def stamps(self) -> timers.Stamps:
        """What the timers of its present cycle are told from."""
        same = {f.name for f in dataclasses.fields(timers.Stamps)} - {"started_at", "slept"}
        slept = [(datetime.fromisoformat(a), datetime.fromisoformat(b)) for a, b in self.slept]
        return timers.Stamps(
            started_at=self.cycle_started_at, slept=slept, **{name: getattr(self, name) for name in same}
        )

    @property
    def past_stamps(self) -> list[timers.Stamps]:
        """Those of its earlier cycles."""
        return [timers.past(kept, self.severity) for kept in self.past_cycles]

    def set_dues(self) -> dict[str, Any]:
        """What is due next by the workspace's timers: set here, and given back to be stored."""
        stamps, policy = self.stamps, timers.policy_of(self.workspace.timers)
        due = timers.next_due(stamps, policy)
        values: dict[str, Any] = {
            "due_kind": due.kind if due else "",
            "due_at": due.due_at if due else None,
            "risk_at": due.risk_at if due else None,
            "watch_at": timers.first_risk(stamps, policy),
            "asks_at": timers.asks_at(stamps, policy),
        }
        for name, value in values.items():
            setattr(self, name, value)
        return values

    def lock(self) -> Incident:
        """The row as it is now, held until the transaction ends."""
        return Incident.objects.select_related("workspace").select_for_update(of=("self",)).get(pk=self.pk)

    @property
    def root(self) -> Incident:
        """The incident that this one is a duplicate of, however many steps away; else itself."""
        found = self
        while found.original is not None:
            found = found.original
        return found

    # Verbs. `expected` is the version the person was looking at; None skips that check.

    def accept(self, by: User, expected: int | None = None) -> Event:
        return self.do(acts.accept(), by, expected)

    def put_back(self, by: User | None, expected: int | None = None, why: Any = None) -> Event:
        return self.do(acts.put_back(why), by, expected)

    def confirm(self, by: User, expected: int | None = None) -> Event:
        """Whoever has it is still on it."""
        return self.do(acts.confirm(), by, expected)

    def start(self, by: User, expected: int | None = None) -> Event:
        return self.do(acts.start(), by, expected)

    def mitigate(self, by: User, expected: int | None = None) -> Event:
        return self.do(acts.mitigate(), by, expected)

    def resolve(self, by: User, fix_release: Release | None, expected: int | None = None) -> Event:
        """A claim that it is fixed: in `fix_release`, or with no code change when that is None."""
        return self.do(acts.resolve(fix_release), by, expected)

    def verify(self, by: User | None, why: Any = None) -> Event:
        return self.do(acts.verify(why), by)

    def close(self, by: User, expected: int | None = None) -> Event:
        return self.do(acts.close(), by, expected)

    def decline(self, by: User, reason: str, expected: int | None = None) -> Event:
        return self.do(acts.decline(reason), by, expected)

    def snooze(
        self, by: User, until: datetime | None = None, expected: int | None = None, *,
        customers: int | None = None, next_release: bool = False,
    ) -> Event:  # fmt: skip
        return self.do(acts.snooze(until, customers, next_release), by, expected)

    def wake(self, by: User | None, why: Any = None) -> Event:
        return self.do(acts.wake(why), by)

    def reopen(self, by: User | None, reason: str = "", expected: int | None = None, why: Any = None) -> Event:
        """A person says why in words; the hub by its evidence."""
        return self.do(acts.reopen(reason if by else None, why), by, expected)

    def duplicate(self, by: User, original: Incident, expected: int | None = None) -> Event:
        """Complaints move to the original; undo brings them back."""
        return self.do(acts.duplicate(original), by, expected)

    def assign(self, by: User, assignee: User | None, expected: int | None = None) -> Event:
        return self.do(acts.assign(assignee, self.workspace_id), by, expected)

    def inform(
        self, by: User, wording: str, workaround: str = "", expected_on: date | None = None, expected: int | None = None
    ) -> Event:
        """What agents may tell customers of it; an empty wording takes it off the list of known problems."""
        return self.do(acts.inform(wording, workaround, expected_on), by, expected)

    def set_severity(self, by: User, severity: str, reason: str = "", expected: int | None = None) -> Event:
        return self.do(acts.set_severity(severity, reason), by, expected)

    def do(self, act: acts.Act, by: User | None, expected: int | None = None) -> Event:
        """One act: guarded by the version and the transition table, written with its event."""
        with transaction.atomic():
            locked = self.lock()
            if expected is not None and locked.version != expected:
                raise Stale(locked)
            events, refused = acts.perform([locked], act, by)
        if refused:
            raise refused[self.pk]
        self.refresh_from_db()
        return events[0]

    def undo(self, event: Event, by: User) -> Event:
        """Takes back one recorded change, as long as nothing of it was changed since."""
        if event.subject_id != self.pk or event.subject_type != self._meta.label_lower:
            raise ValidationError(_("This cannot be undone."))
        with transaction.atomic():
            locked = self.lock()
            events, stale = acts.take_back({self.pk: locked}, [event], by)
            if stale:
                raise Stale(locked)
        self.refresh_from_db()
        return events[0]
