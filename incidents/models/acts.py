"""What each verb changes, for one incident or for many at once: checked here, written by `perform`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership, User
from activity.models import Event
from incidents import impact, lifecycle, timers
from notices.models import Watch

if TYPE_CHECKING:
    from incidents.models.incident import Incident
    from releases.models import Release

#: How long an incident may sleep, and how many more customers it may wait for.
LONGEST_SNOOZE = timedelta(days=366)
MOST_CUSTOMERS = 100_000
#: Stamps that a person may put right, and how far back. How many cycles are kept.
STAMPS = ("impact_started_at", "acknowledged_at", "mitigated_at", "resolved_at")
OLDEST_STAMP = timedelta(days=3_660)
MOST_CYCLES = 50
#: Characters of what agents may say.
MOST_WORDS = 600

#: What ends with the sleep.
AWAKE: dict[str, Any] = {"snoozed_until": None, "wakes_at": None, "wakes_on_release": False}

#: What may be refused, of one of many.
Refusal = lifecycle.IllegalMove | ValidationError


def _nothing(_incident: Incident) -> None:
    return None


def _no_changes(_incident: Incident) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Act:
    """`past`: the word of the recorded event. `move`: the verb of the transition table, "" when the status stays.
    `changes`: field -> value; `each`: the same where it differs by incident. `detail` is recorded with it.
    `check` raises ValidationError for an incident that this cannot be done to."""

    past: str
    move: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[Incident], None] = _nothing
    each: Callable[[Incident], dict[str, Any]] = _no_changes


def accept() -> Act:
    return Act("accepted", "accept", AWAKE)


def put_back(why: Any = None) -> Act:
    """To the queue: nobody has it."""
    return Act("put_back", "put_back", {"assignee": None, "returned_at": timezone.now()}, _given(why=why))


def confirm() -> Act:
    """Whoever took it is still on it."""
    return Act("confirmed")


def stamp(given: Mapping[str, datetime | None]) -> Act:
    """Puts right when things happened; what contradicts itself is kept, and told of as invalid."""
    now = timezone.now()
    unknown = set(given) - set(STAMPS)
    if unknown:
        raise ValidationError(_("This cannot be changed."))
    if any(moment and moment > now for moment in given.values()):
        raise ValidationError(_("This is still to come."))
    if any(moment and moment < now - OLDEST_STAMP for moment in given.values()):
        raise ValidationError(_("This is too long ago."))
    return Act("stamped", changes=dict(given))


def start() -> Act:
    return Act("started", "start")


def mitigate() -> Act:
    return Act("mitigated", "mitigate", {"mitigated_at": timezone.now()})


def close() -> Act:
    return Act("closed", "close")


def verify(why: Any = None) -> Act:
    return Act("verified", "verify", {"verified_at": timezone.now()}, _given(why=why))


def resolve(fix_release: Release | None) -> Act:
    def check(incident: Incident) -> None:
        if fix_release and fix_release.product.workspace_id != incident.workspace_id:
            raise ValidationError({"release": _("This release does not exist here.")})
        if fix_release and incident.product_id and fix_release.product_id != incident.product_id:
            raise ValidationError({"release": _("This release is of another product.")})

    return Act("resolved", "resolve", {"fix_release": fix_release, "resolved_at": timezone.now()}, check=check)


def decline(reason: str) -> Act:
    return Act("declined", "decline", AWAKE, {"reason": _reason(reason)})


def snooze(until: datetime | None = None, customers: int | None = None, next_release: bool = False) -> Act:
    """Until a time, until `customers` more are touched, or until the next release is out; whichever comes first."""
    now = timezone.now()
    if until is None and customers is None and not next_release:
        raise ValidationError({"until": _("Say until when.")})
    if until is not None and until <= now:
        raise ValidationError({"until": _("Choose a time that is still to come.")})
    if until is not None and until > now + LONGEST_SNOOZE:
        raise ValidationError({"until": _("Choose a time within a year.")})
    if customers is not None and not 1 <= customers <= MOST_CUSTOMERS:
        raise ValidationError({"customers": _("Choose between 1 and %(n)s.") % {"n": MOST_CUSTOMERS}})

    def each(incident: Incident) -> dict[str, Any]:
        return {"wakes_at": None if customers is None else incident.heard + incident.silent + customers}

    changes = {"snoozed_until": until, "wakes_on_release": next_release, "snoozed_at": now}
    return Act("snoozed", "snooze", changes, _given(customers=customers), each=each)


def wake(why: Any = None) -> Act:
    return Act("woken", "wake", AWAKE, _given(why=why))


def reopen(reason: str | None, why: Any = None) -> Act:
    """A person says why in words; the hub, with reason None, by its evidence."""
    changes: dict[str, Any] = {"original": None, "fix_release": None, "resolved_at": None, "verified_at": None}
    detail = _given(reason=None if reason is None else _reason(reason), why=why)
    now = timezone.now()
    # Whoever reopens it knows of it; what the hub reopens waits to be taken.
    changes |= {"mitigated_at": None, "acknowledged_at": None if reason is None else now, "returned_at": None}
    changes |= {"cycle_started_at": now, "slept": [], "warned": []}

    def each(incident: Incident) -> dict[str, Any]:
        cycles = [*incident.past_cycles, timers.kept(incident.stamps)]
        return {"cycle": incident.cycle + 1, "past_cycles": cycles[-MOST_CYCLES:]}

    return Act("reopened", "reopen", changes, detail, each=each)


def duplicate(original: Incident) -> Act:
    def check(incident: Incident) -> None:
        if original.workspace_id != incident.workspace_id or original.pk == incident.pk:
            raise ValidationError({"original": _("Choose another incident of this workspace.")})

    if original.original_id:
        raise ValidationError({"original": _("That one is a duplicate itself.")})
    return Act("marked_duplicate", "duplicate", {"original": original, **AWAKE}, check=check)


def assign(assignee: User | None, workspace_id: int) -> Act:
    if assignee and not Membership.objects.filter(workspace=workspace_id, user=assignee).exists():
        raise ValidationError({"assignee": _("This person is not in the workspace.")})
    return Act("assigned", changes={"assignee": assignee})


def set_severity(severity: str, reason: str = "") -> Act:
    """A person's word stands: the hub never computes over it. `auto` gives it back to the hub."""
    from incidents.models.incident import Severity

    if severity == AUTO:
        return Act(
            "severity_set", detail=_given(reason=reason.strip()[:500] or None),
            each=lambda incident: {"severity": suggested(incident), "is_severity_forced": False},
        )  # fmt: skip
    if severity not in Severity.values:
        raise ValidationError({"severity": _("Unknown severity.")})

    def check(incident: Incident) -> None:
        if suggested(incident) not in (Severity.UNSET, severity) and not reason.strip():
            raise ValidationError({"reason": _("The hub suggests another one: say why in a few words.")})

    changes = {"severity": severity, "is_severity_forced": True}
    return Act("severity_set", changes=changes, detail=_given(reason=reason.strip()[:500] or None), check=check)


def inform(wording: str, workaround: str = "", expected_on: date | None = None) -> Act:
    """An empty wording takes it off the list of known problems, with all that was told."""
    said = wording.strip()
    if len(said) > MOST_WORDS or len(workaround.strip()) > MOST_WORDS:
        raise ValidationError({"wording": _("Say it in %(n)s characters.") % {"n": MOST_WORDS}})
    if not said:
        return Act("silenced", changes={"wording": "", "workaround": "", "expected_on": None})
    return Act(
        "informed", changes={"wording": said, "workaround": workaround.strip(), "expected_on": expected_on},
        each=lambda incident: {} if incident.told_at else {"told_at": timezone.now()},
    )  # fmt: skip


AUTO = "auto"


def suggested(incident: Incident) -> str:
    """The severity that the incident's numbers suggest."""
    return impact.severity(incident.ledger)[0]


def _reason(reason: str) -> str:
    if not reason.strip():
        raise ValidationError({"reason": _("Say why in a few words.")})
    return reason.strip()[:500]


def _given(**detail: Any) -> dict[str, Any]:
    return {name: value for name, value in detail.items() if value is not None}


def perform(
    locked: Iterable[Incident], act: Act, by: User | None, batch: UUID | None = None
) -> tuple[list[Event], dict[int, Refusal]]:
    """Does one act to incidents that the caller holds locked: the recorded events, and pk -> why it was refused.

    One UPDATE for all that change alike and one INSERT of events, however many they are.
    """
    now = timezone.now()
    refused: dict[int, Refusal] = {}
    alike: defaultdict[str, list[tuple[Incident, dict[str, Any]]]] = defaultdict(list)
    for incident in locked:
        try:
            changes = _changes(incident, act, by, now)
        except (lifecycle.IllegalMove, ValidationError) as refusal:
            refused[incident.pk] = refusal
            continue
        alike[repr(sorted((name, plain(value)) for name, value in changes.items()))].append((incident, changes))
    events: list[Event] = []
    for group in alike.values():
        moved, watches = _follow([i for i, _c in group], act)
        for incident, changes in group:
            before = {name: plain(getattr(incident, name)) for name in changes}
            detail = {"before": before, "after": {n: plain(v) for n, v in changes.items()}, **act.detail}
            if incident.pk in moved:
                detail["moved"] = moved[incident.pk]
            if incident.pk in watches:
                detail["watches"] = watches[incident.pk]
            events.append(_event(incident, f"incident.{act.past}", by, now, detail, batch))
        _update([i for i, _c in group], group[0][1], by, now)
    return Event.objects.bulk_create(events), refused


def take_back(
    locked: Mapping[int, Incident], events: Iterable[Event], by: User, batch: UUID | None = None
) -> tuple[list[Event], list[Incident]]:
    """Undoes recorded changes of incidents that the caller holds locked: the events of it, and the incidents that were
    changed since and stay as they are."""
    from incidents.models.report import Report

    made: list[Event] = []
    stale: list[Incident] = []
    now = timezone.now()
    for event in events:
        incident = locked[event.subject_id]
        before, after = event.detail.get("before"), event.detail.get("after") or {}
        if not before:
            raise ValidationError(_("This cannot be undone."))
        if {name: plain(getattr(incident, name)) for name in after} != after:
            stale.append(incident)
            continue
        if event.detail.get("moved"):
            Report.objects.filter(pk__in=event.detail["moved"]).update(incident=incident)
        if event.detail.get("watches"):
            Watch.objects.give_back(event.detail["watches"], incident.pk)
        _update([incident], {name: stored(type(incident), name, value) for name, value in before.items()}, by, now)
        detail = {"undone": event.pk, "of": event.verb, "after": before}
        made.append(_event(incident, "incident.undone", by, now, detail, batch))
    return Event.objects.bulk_create(made), stale


def _changes(incident: Incident, act: Act, by: User | None, now: datetime) -> dict[str, Any]:
    changes = {**act.changes, **act.each(incident)}
    if act.move:
        changes["status"] = lifecycle.after(act.move, incident.status)
        if by is not None and "acknowledged_at" not in changes and incident.acknowledged_at is None:
            changes["acknowledged_at"] = now
        if by is not None and "returned_at" not in changes and incident.returned_at is not None:
            changes["returned_at"] = None
        if incident.status == "snoozed" and incident.snoozed_at:
            changes["slept"] = [*incident.slept, [incident.snoozed_at.isoformat(), now.isoformat()]]
    act.check(incident)
    return changes


def _follow(incidents: list[Incident], act: Act) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Complaints, those of its own duplicates too, and watchers go with a duplicate to its original:
    incident -> reports, incident -> watches."""
    if act.past != "marked_duplicate":
        return {}, {}
    from incidents.models.report import Report

    moved: defaultdict[int, list[int]] = defaultdict(list)
    reports = Report.objects.filter(incident__in=[i.pk for i in incidents])
    for pk, incident in reports.order_by("pk").values_list("pk", "incident"):
        moved[incident].append(pk)
    original = act.changes["original"]
    if moved:
        Report.objects.filter(pk__in=[pk for pks in moved.values() for pk in pks]).update(incident=original)
        type(original).objects.filter(pk=original.pk).update(weighed_at=None)
    watches = Watch.objects.move(original._meta.label_lower, [i.pk for i in incidents], original.pk)
    return moved, watches


def _update(incidents: list[Incident], changes: Mapping[str, Any], by: User | None, now: datetime) -> None:
    from incidents.models.incident import Incident

    # What a person does answers "still on it?"; it is no value that one would take back.
    values = {**changes, **({"touched_at": now, "asked_at": None} if by else {})}
    for incident in incidents:
        for name, value in values.items():
            setattr(incident, name, value)
        incident.version += 1
    dues = [incident.set_dues() for incident in incidents]
    if all(due == dues[0] for due in dues):
        values |= dues[0]
    Incident.objects.filter(pk__in=[i.pk for i in incidents]).update(version=F("version") + 1, **values)
    if dues[0].keys() - values.keys():
        Incident.objects.bulk_update(incidents, list(dues[0]), batch_size=500)


def _event(
    incident: Incident, verb: str, by: User | None, at: datetime, detail: dict[str, Any], batch: UUID | None
) -> Event:
    return Event(
        workspace_id=incident.workspace_id, verb=verb, subject_type=incident._meta.label_lower,
        subject_id=incident.pk, by=by, at=at, recorded_at=at, detail=detail, batch=batch, is_untold=True,
    )  # fmt: skip


def plain(value: Any) -> Any:
    """A field's value as JSON keeps it."""
    if isinstance(value, models.Model):
        return value.pk
    return value.isoformat() if isinstance(value, date) else value


def stored(model: type[models.Model], name: str, value: Any) -> Any:
    """The value that `plain` told; None for a row that is gone."""
    found = model._meta.get_field(name)
    if isinstance(found, models.DateTimeField) and value is not None:
        return datetime.fromisoformat(value)
    if isinstance(found, models.DateField) and value is not None:
        return date.fromisoformat(value)
    if isinstance(found, models.ForeignKey) and value is not None:
        return found.related_model._default_manager.filter(pk=value).first()  # type: ignore[union-attr]
    return value
