"""Whose notice an event becomes. Decided once: in the transaction that marks the event as told of."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.conf import settings
from django.db import OperationalError, transaction
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import MailPace, Membership, NewIncidents, User, Workspace
from activity.models import Event
from incidents import timeline
from incidents.models import Incident, Report, Severity
from notices import mailing
from notices.models import Notice, Reason, Watch, Watching
from productops.lib.tell import whole
from releases.models import Decision, Release

log = logging.getLogger(__name__)

#: Events looked at in one transaction.
MOST = 500
#: More new incidents than this within the span are a storm, told of by one notice each.
STORM, STORM_SPAN = 20, timedelta(minutes=10)
#: How long a new incident may wait to be weighed before anybody is told of it.
WEIGHING = timedelta(seconds=20)

INCIDENT, RELEASE, STORM_TYPE = "incidents.incident", "releases.release", "incidents.storm"
_SEVERE = (Severity.HIGH, Severity.CRITICAL)
#: What changes nothing for anybody, or is told by another event.
_QUIET = {
    "severity_suggested", "complaint_joined", "complaints_joined", "complaint_left", "confirmed", "stamped", "pinned",
    "unpinned", "undone",
}  # fmt: skip
#: What people hear who talk to customers.
_FOR_CUSTOMERS = {"opened", "informed", "resolved", "verified", "reopened", "declined", "marked_duplicate"}
#: What only whoever has the incident has to hear.
_FOR_ASSIGNEE = {"complaint_joined", "complaints_joined", "asked", "timer_at_risk", "timer_late"}


@dataclass
class Around:
    """Who has to do with the incidents of some events. `watches`: incident -> person -> state."""

    members: Mapping[int, Membership]
    watches: Mapping[int, Mapping[int, str]] = field(default_factory=dict)
    customers: Mapping[int, set[int]] = field(default_factory=dict)
    releases: Mapping[int, set[int]] = field(default_factory=dict)


def notify(now: datetime) -> int:
    """Tells of what nobody was told of yet; how many events."""
    with transaction.atomic():
        waiting = Event.objects.filter(is_untold=True).select_for_update(skip_locked=True, of=("self",))
        events = list(waiting.select_related("by", "workspace").order_by("workspace", "id")[:MOST])
        return sum(_try(list(few), now) for _pk, few in groupby(events, lambda event: event.workspace_id))


def _try(events: list[Event], now: datetime) -> int:
    """Whatever is wrong with one event, nobody waits for it: alone it is tried once more, and then left."""
    try:
        with transaction.atomic():
            return _tell(events, now)
    except OperationalError:
        raise  # of the database, not of the event
    except Exception:
        log.exception("Nobody could be told of event %s and %s more", events[0].pk, len(events) - 1)
    if len(events) > 1:
        return sum(_try([event], now) for event in events)
    return Event.objects.filter(pk=events[0].pk).update(is_untold=False)


def _tell(events: list[Event], now: datetime) -> int:
    workspace = events[0].workspace
    found = Incident.objects.in_full().filter(pk__in=[e.subject_id for e in events if e.subject_type == INCIDENT])
    incidents = {incident.pk: incident for incident in found}
    ready = [event for event in events if not _is_being_weighed(event, incidents.get(event.subject_id), now)]
    of_incidents = [e for e in ready if e.subject_type == INCIDENT and e.subject_id in incidents]
    _join(workspace, of_incidents, incidents)
    around = _around(workspace, incidents.values(), of_incidents)
    told: list[tuple[Event, int, Reason]] = []
    stormy: set[int] = set()
    is_storm = any(_verb(e) == "opened" for e in of_incidents) and _opened(workspace, now - STORM_SPAN) > STORM
    for event in of_incidents:
        reasons = recipients(event, incidents[event.subject_id], around)
        if is_storm and _verb(event) == "opened":
            stormy |= set(reasons)
            continue
        told += [(event, person, reason) for person, reason in reasons.items()]
    notices = _notices(told, incidents, around)
    notices += _calls([e for e in ready if e.subject_type == RELEASE], around)
    _send(workspace, notices, around, now)
    if stormy:
        _tell_of_storm(workspace, stormy, around, now)
    return Event.objects.filter(pk__in=[event.pk for event in ready]).update(is_untold=False)


def _verb(event: Event) -> str:
    return event.verb.rpartition(".")[2]


def _is_being_weighed(event: Event, incident: Incident | None, now: datetime) -> bool:
    is_young = incident is not None and incident.weighed_at is None and event.recorded_at > now - WEIGHING
    return is_young and _verb(event) == "opened"


def _join(workspace: Workspace, events: Iterable[Event], incidents: Mapping[int, Incident]) -> None:
    """Whoever takes part watches."""
    pairs = set()
    for event in events:
        incident = incidents[event.subject_id].root
        taking_part = set(event.detail.get("mentioned") or ())
        if event.by_id and _verb(event) not in {"undone", "complaint_left"}:
            taking_part.add(event.by_id)
        if assignee := (event.detail.get("after") or {}).get("assignee"):
            taking_part.add(assignee)
        pairs |= {(incident.pk, person) for person in taking_part}
    known = set(User.objects.filter(pk__in={person for _i, person in pairs}).values_list("pk", flat=True))
    Watch.objects.join(workspace, INCIDENT, [pair for pair in pairs if pair[1] in known])


def _around(workspace: Workspace, incidents: Iterable[Incident], events: list[Event]) -> Around:
    members = Membership.objects.filter(workspace=workspace, user__is_active=True).select_related("user")
    around = Around({member.user_id: member for member in members})
    keys = [incident.pk for incident in incidents]
    watches: defaultdict[int, dict[int, str]] = defaultdict(dict)
    for subject, person, state in Watch.objects.filter(
        subject_type=INCIDENT, subject_id__in=keys
    ).values_list("subject_id", "user", "state"):
        watches[subject][person] = state
    around.watches = watches
    releases = {incident.release_id for incident in incidents if incident.release_id}
    of_release: defaultdict[int, set[int]] = defaultdict(set)
    for subject, person in Watch.objects.filter(
        subject_type=RELEASE, subject_id__in=releases, state=Watching.WATCHING
    ).values_list("subject_id", "user"):
        of_release[subject].add(person)
    around.releases = of_release
    around.customers = _of_customers({e.subject_id for e in events if _is_for_customers(e)})
    return around


def _is_for_customers(event: Event) -> bool:
    return _verb(event) in _FOR_CUSTOMERS or event.detail.get("kind") == "customers"


def _of_customers(incidents: set[int]) -> dict[int, set[int]]:
    """incident -> those who logged its complaints, and those who look after the customers."""
    people: defaultdict[int, set[int]] = defaultdict(set)
    if incidents:
        rows = Report.objects.filter(incident__in=incidents).order_by()
        for incident, *some in rows.values_list(
            "incident", "complaint__logged_by", "complaint__customer__owner"
        ).distinct():
            people[incident] |= {person for person in some if person}
    return people


def recipients(event: Event, incident: Incident, around: Around) -> dict[int, Reason]:
    """person -> why, the strongest reason of each. Nobody is told of what they did themselves."""
    verb, after = _verb(event), event.detail.get("after") or {}
    reasons: dict[int, Reason] = {}

    def tell(people: Iterable[int], reason: Reason) -> None:
        reasons.update(dict.fromkeys(people, reason))

    watches = around.watches.get(incident.pk, {})
    if _is_for_triage(event, incident):
        tell((p for p, member in around.members.items() if _hears(member, incident)), Reason.TRIAGE)
    if verb not in _QUIET | _FOR_ASSIGNEE:
        tell((p for p, state in watches.items() if state == Watching.WATCHING), Reason.WATCHING)
    if verb == "opened" and incident.release_id:
        tell(around.releases.get(incident.release_id, ()), Reason.RELEASE)
    if _is_for_customers(event):
        tell(around.customers.get(incident.pk, ()), Reason.CUSTOMER)
    for person, state in watches.items():
        if state == Watching.MUTED:
            reasons.pop(person, None)
    if incident.assignee_id and (verb not in _QUIET or verb in _FOR_ASSIGNEE):
        tell([incident.assignee_id], Reason.ASKED if verb == "asked" else Reason.ASSIGNED)
    if verb == "assigned" and after.get("assignee"):
        tell([after["assignee"]], Reason.ASSIGNED)
    tell(event.detail.get("mentioned") or (), Reason.MENTIONED)
    if owner := event.detail.get("owner"):
        tell([owner], Reason.ASKED)
    return {p: reason for p, reason in reasons.items() if p != event.by_id and p in around.members}


def _is_for_triage(event: Event, incident: Incident) -> bool:
    """Something new to decide on, or something that became severe."""
    verb, detail = _verb(event), event.detail
    if verb in {"opened", "woken", "put_back"}:
        return True
    if verb == "reopened":
        return event.by_id is None
    if verb == "timer_late":
        return incident.assignee_id is None
    if verb in {"severity_suggested", "severity_set"}:
        was, now = (detail.get(when, {}).get("severity") for when in ("before", "after"))
        return now in _SEVERE and was not in (now, *_SEVERE) and was != Severity.UNSET
    return False


def _hears(member: Membership, incident: Incident) -> bool:
    wanted = member.hears_of
    return wanted == NewIncidents.ALL or (wanted == NewIncidents.SEVERE and incident.severity in _SEVERE)


def is_urgent(event: Event, incident: Incident, reason: Reason) -> bool:
    """Whether its mail goes out at once."""
    verb = _verb(event)
    if reason in (Reason.MENTIONED, Reason.ASKED):
        return True
    if reason == Reason.ASSIGNED:
        if verb in {"assigned", "timer_at_risk"}:
            return incident.severity in _SEVERE
        return verb == "timer_late" or (verb == "reopened" and event.by_id is None)
    if reason == Reason.TRIAGE:
        return incident.severity == Severity.CRITICAL or verb == "timer_late"
    return False


def _notices(
    told: list[tuple[Event, int, Reason]], incidents: Mapping[int, Incident], around: Around
) -> list[Notice]:
    """In each reader's language."""
    by_language: defaultdict[str, list[tuple[Event, int, Reason]]] = defaultdict(list)
    for event, person, reason in told:
        by_language[_language(around.members[person].user)].append((event, person, reason))
    made = []
    for language, theirs in by_language.items():
        with translation.override(language):
            events = {event.pk: event for event, _p, _r in theirs}
            texts = dict(zip(events, timeline.told(list(events.values())), strict=True))
            for event, person, reason in theirs:
                incident = incidents[event.subject_id]
                entry = texts[event.pk]
                text = f"{entry.by} {entry.text}" + (f": {entry.plain}" if entry.plain else "")
                made.append(Notice(
                    workspace=event.workspace, user_id=person, key=f"event:{event.pk}", subject_type=INCIDENT,
                    subject_id=incident.pk, reason=reason, is_urgent=is_urgent(event, incident, reason),
                    title=f"INC-{incident.number} · {incident.headline}"[:240], text=text[:600], at=event.recorded_at,
                    path=reverse("incidents:detail", args=[event.workspace.slug, incident.number]),
                ))  # fmt: skip
    return made


def _language(user: User) -> str:
    return user.language or settings.LANGUAGE_CODE


def _calls(events: list[Event], around: Around) -> list[Notice]:
    """Go, watch or roll back, for those who watch the release."""
    releases = Release.objects.select_related("product").in_bulk({event.subject_id for event in events})
    watching: defaultdict[int, set[int]] = defaultdict(set)
    for subject, person in Watch.objects.filter(
        subject_type=RELEASE, subject_id__in=releases, state=Watching.WATCHING
    ).values_list("subject_id", "user"):
        watching[subject].add(person)
    made = []
    for event in events:
        release = releases.get(event.subject_id)
        for person in (watching[event.subject_id] - {event.by_id}) & around.members.keys() if release else ():
            with translation.override(_language(around.members[person].user)):
                decision = Decision(event.detail["decision"])
                said = _("%(who)s called: %(decision)s") % {"who": event.by, "decision": decision.label}
                reason = event.detail.get("reason")
                made.append(Notice(
                    workspace=event.workspace, user_id=person, key=f"event:{event.pk}", subject_type=RELEASE,
                    subject_id=event.subject_id, reason=Reason.RELEASE, is_urgent=decision == Decision.ROLL_BACK,
                    title=f"{release.product} {release}"[:240], text=(f"{said}: {reason}" if reason else said)[:600],
                    at=event.recorded_at, path=reverse("releases:watch", args=[event.workspace.slug, event.subject_id]),
                ))  # fmt: skip
    return made


def _send(workspace: Workspace, notices: list[Notice], around: Around, now: datetime) -> None:
    """Stores them, and the mails of the urgent ones: one for each person and thing."""
    urgent: defaultdict[tuple[int, str, int], list[Notice]] = defaultdict(list)
    for notice in notices if mailing.may_mail(workspace) else ():
        if notice.is_urgent and around.members[notice.user_id].user.mail != MailPace.NONE:
            urgent[notice.user_id, notice.subject_type, notice.subject_id].append(notice)
    for (person, _type, _pk), theirs in urgent.items():
        mail = mailing.compose(workspace, around.members[person].user, theirs, f"{theirs[0].key}:{person}", now)
        mail.save(force_insert=True)
        for notice in theirs:
            notice.mail = mail
    Notice.objects.give(notices)


def _opened(workspace: Workspace, since: datetime) -> int:
    return Incident.objects.of(workspace).filter(opened_at__gt=since).count()


def _tell_of_storm(workspace: Workspace, people: set[int], around: Around, now: datetime) -> None:
    """One notice for each person, which grows while the storm lasts."""
    last = Notice.objects.filter(workspace=workspace, subject_type=STORM_TYPE, at__gt=now - STORM_SPAN)
    known = last.order_by("-at").first()
    recent = Incident.objects.of(workspace).filter(opened_at__gt=now - STORM_SPAN).order_by("opened_at", "pk")
    first = known.subject_id if known else recent.values_list("pk", flat=True)[0]
    began = Incident.objects.values_list("opened_at", flat=True).get(pk=first)
    n = _opened(workspace, began - timedelta(microseconds=1))
    key = f"storm:{first}"
    path = reverse("incidents:index", args=[workspace.slug]) + "?q=age%3A%3C1h+sort%3Anewest&as=list"
    has = set(Notice.objects.filter(key=key, user__in=people).values_list("user", flat=True))
    new, seen = [], []
    for person in sorted(people):
        with translation.override(_language(around.members[person].user)):
            text = ngettext(
                "%(n)s new incident at once. It is one notice, however many come.",
                "%(n)s new incidents at once. It is one notice, however many come.", n,
            ) % {"n": whole(n)}  # fmt: skip
            values: dict[str, Any] = {"title": _("A storm of new incidents"), "text": text, "at": now}
        if person in has:
            Notice.objects.filter(key=key, user=person).update(**values, read_at=None)
            seen.append((workspace.pk, person))
            continue
        new.append(Notice(
            workspace=workspace, user_id=person, key=key, subject_type=STORM_TYPE, subject_id=first,
            reason=Reason.TRIAGE, is_urgent=True, path=path, **values,
        ))  # fmt: skip
    _send(workspace, new, around, now)
    Notice.objects.recount(seen)
