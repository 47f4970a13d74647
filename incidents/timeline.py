"""An incident's story, told from its recorded events and comments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from activity.models import Event
from incidents import telling
from incidents.models import Incident, Severity, Update
from metrics import words
from productops.lib.tell import percent, whole
from releases.models import Release

#: Entries shown; older ones are in the API.
MOST = 200


@dataclass(frozen=True)
class Entry:
    at: datetime
    by: str
    is_hub: bool
    text: str
    why: str = ""
    html: str = ""
    undo: int = 0  # id of the event, when it can be taken back


def tell(incident: Incident) -> list[Entry]:
    """Newest first. Three queries, however long the story is."""
    events = list(Event.objects.about(incident).select_related("by").order_by("-at", "-id")[:MOST])
    updates = {u.pk: u for u in Update.objects.filter(incident=incident)}
    people, releases = _named(events)
    undone = {event.detail.get("undone") for event in events if event.verb == "incident.undone"}
    latest = next((e for e in events if e.detail.get("before") and e.by_id), None)
    return [
        Entry(
            at=event.at,
            by=str(event.by) if event.by else _("The hub"),
            is_hub=event.by_id is None,
            text=_text(event, people, releases),
            why=_why(event),
            html=updates[event.detail["update"]].html if event.detail.get("update") in updates else "",
            undo=event.pk if latest and event.pk == latest.pk and event.pk not in undone else 0,
        )
        for event in events
    ]


def _named(events: list[Event]) -> tuple[dict[int, str], dict[int, str]]:
    people: set[int] = set()
    releases: set[int] = set()
    for event in events:
        after = event.detail.get("after") or {}
        people.add(after.get("assignee") or 0)
        releases.add(after.get("fix_release") or 0)
    return (
        {user.pk: str(user) for user in User.objects.filter(pk__in=people)},
        {release.pk: release.version for release in Release.objects.filter(pk__in=releases)},
    )


def _text(event: Event, people: dict[int, str], releases: dict[int, str]) -> str:
    verb, detail = event.verb.removeprefix("incident."), event.detail
    after = detail.get("after") or {}
    reason = detail.get("reason", "")
    told = {
        "opened": _("opened it"),
        "accepted": _("accepted it"),
        "started": _("started work"),
        "mitigated": _("mitigated it"),
        "verified": _("verified the fix"),
        "closed": _("closed it"),
        "marked_duplicate": _("marked it as a duplicate"),
        "snoozed": _("snoozed it"),
        "woken": _("woke it"),
        "commented": _("commented"),
        "complaint_joined": _("added a complaint"),
        "complaint_left": _("took a complaint out"),
        "undone": _("took back the last change"),
    }.get(verb)
    if told is None:
        told = _told_with_values(verb, {**detail, **after}, people, releases)
    return f"{told}: {reason}" if reason else told


def _told_with_values(
    verb: str, after: dict[str, Any], people: dict[int, str], releases: dict[int, str]
) -> str:
    if verb == "assigned":
        name = people.get(after.get("assignee") or 0)
        return _("assigned it to %(name)s") % {"name": name} if name else _("took the assignee off")
    if verb in {"severity_set", "severity_suggested"}:
        severity = dict(Severity.choices).get(after.get("severity", ""), "")
        return _("set severity to %(severity)s") % {"severity": str(severity).lower()}
    if verb == "resolved":
        version = releases.get(after.get("fix_release") or 0)
        return _("resolved it in %(version)s") % {"version": version} if version else _("resolved it without code")
    if verb == "declined":
        return _("declined it")
    if verb == "complaints_joined":
        return ngettext("added %(n)s complaint", "added %(n)s complaints", after["n"]) % {"n": whole(after["n"])}
    if verb == "reopened":
        return _("reopened it")
    return verb.replace("_", " ")


def _met(code: str) -> str:
    """impact.severity's code in words: `customers>=20`, `share>=0.1&rising`."""
    name, _sign, rest = code.partition(">=")
    least, _sign, more = rest.partition("&")
    said = {
        "share": _("at least %(n)s of the uses are hit"),
        "customers": _("at least %(n)s customers are touched"),
        "heard": _("at least %(n)s customers complained"),
        "churn": _("at least %(n)s may leave"),
    }.get(name)
    if said is None:
        return _("somebody is touched") if code == "touched>0" else code
    told = said % {"n": percent(float(least)) if name == "share" else least}
    return _("%(what)s and rising") % {"what": told} if more == "rising" else told


def _why(event: Event) -> str:
    why = event.detail.get("why") or {}
    if why.get("rule") == "regression":
        return words.why(why["evidence"])
    if why.get("rule") == "impact":
        return _("Rule “impact”, version %(version)s: %(met)s") % {
            "version": why["version"],
            "met": "; ".join(map(_met, why["met"])),
        }
    if why.get("rule") == "complaints":
        return words.complaints_why(why)
    if why.get("rule") in {"verify", "still_broken"}:
        return " ".join(filter(None, (telling.head(why), telling.body(why), telling.why(why))))
    return ""


