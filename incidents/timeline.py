"""An incident's story, told from its recorded events and comments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, TextField, Value
from django.db.models.functions import Cast, Coalesce, Concat, NullIf
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from activity.models import Event
from incidents import telling
from incidents.models import Incident, Severity, Update
from metrics import words
from productops.lib.tell import customers, percent, whole
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


#: What events name: kind -> key -> name.
Names = dict[str, dict[int, str]]


def tell(incident: Incident) -> list[Entry]:
    """Newest first. Two queries, however long the story is."""
    return told(list(Event.objects.about(incident).select_related("by").order_by("-at", "-id")[:MOST]))


def told(events: list[Event]) -> list[Entry]:
    """Events of one incident in words, in their order, which is the newest first."""
    names = _named(events)
    undone = {event.detail.get("undone") for event in events if event.verb == "incident.undone"}
    latest = next((e for e in events if e.detail.get("before") and e.by_id), None)
    return [
        Entry(
            at=event.at,
            by=str(event.by) if event.by else _("The hub"),
            is_hub=event.by_id is None,
            text=_text(event, names),
            why=_why(event),
            html=names["update"].get(event.detail.get("update") or 0, ""),
            undo=event.pk if latest and event.pk == latest.pk and event.pk not in undone else 0,
        )
        for event in events
    ]


def _named(events: list[Event]) -> Names:
    """In one query, or none when nothing is named. Of an update, its text."""
    wanted: dict[str, set[int]] = {"person": set(), "release": set(), "incident": set(), "update": set()}
    for event in events:
        after = event.detail.get("after") or {}
        for kind, field in (("person", "assignee"), ("release", "fix_release"), ("incident", "original")):
            wanted[kind].add(after.get(field) or 0)
        wanted["update"].add(event.detail.get("update") or 0)
    called = {
        "person": User.objects.annotate(said=Coalesce(NullIf("name", Value("")), "email", output_field=TextField())),
        "release": Release.objects.annotate(said=Cast("version", TextField())),
        "incident": Incident.objects.annotate(
            said=Concat(Value("INC-"), Cast("number", TextField()), output_field=TextField())
        ),
        "update": Update.objects.annotate(said=F("html")),
    }
    names: Names = {kind: {} for kind in wanted}
    parts: list[Any] = [
        called[kind].filter(pk__in=keys - {0}).order_by().annotate(of=Value(kind)).values_list("of", "pk", "said")
        for kind, keys in wanted.items()
        if keys - {0}
    ]
    if parts:
        for kind, pk, said in parts[0].union(*parts[1:], all=True):
            names[kind][pk] = said
    return names


def _text(event: Event, names: Names) -> str:
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
        "woken": _("woke it"),
        "silenced": _("took it off the known problems"),
        "commented": _("commented"),
        "complaint_joined": _("added a complaint"),
        "complaint_left": _("took a complaint out"),
        "undone": _("took back the last change"),
    }.get(verb)
    if told is None:
        told = _told_with_values(verb, {**detail, **after}, names)
    return f"{told}: {reason}" if reason else told


def _told_with_values(verb: str, after: dict[str, Any], names: Names) -> str:
    if verb == "assigned":
        name = names["person"].get(after.get("assignee") or 0)
        return _("assigned it to %(name)s") % {"name": name} if name else _("took the assignee off")
    if verb in {"severity_set", "severity_suggested"}:
        severity = dict(Severity.choices).get(after.get("severity", ""), "")
        return _("set severity to %(severity)s") % {"severity": str(severity).lower()}
    if verb == "resolved":
        version = names["release"].get(after.get("fix_release") or 0)
        return _("resolved it in %(version)s") % {"version": version} if version else _("resolved it without code")
    if verb == "informed":
        return _("told agents: “%(wording)s”") % {"wording": after.get("wording", "")}
    if verb == "marked_duplicate":
        other = names["incident"].get(after.get("original") or 0)
        return _("marked it as a duplicate of %(other)s") % {"other": other} if other else _("marked it as a duplicate")
    if verb == "snoozed":
        return _snoozed(after)
    if verb == "declined":
        return _("declined it")
    if verb == "complaints_joined":
        return ngettext("added %(n)s complaint", "added %(n)s complaints", after["n"]) % {"n": whole(after["n"])}
    if verb == "reopened":
        return _("reopened it")
    return verb.replace("_", " ")


def _snoozed(after: dict[str, Any]) -> str:
    if after.get("customers"):
        n = after["customers"]
        return ngettext(
            "snoozed it until %(n)s more customer is hit", "snoozed it until %(n)s more customers are hit", n
        ) % {"n": whole(n)}
    if after.get("wakes_on_release"):
        return _("snoozed it until the next release")
    if after.get("snoozed_until"):
        return _("snoozed it until %(moment)s") % {"moment": _moment(after["snoozed_until"])}
    return _("snoozed it")


def _woken(why: dict[str, Any]) -> str:
    if "customers" in why:
        return _("%(customers)s by now, as it was to wait for") % {"customers": customers(why["customers"])}
    if "release" in why:
        return _("%(version)s is out, which it was to wait for") % {"version": why["release"]}
    return _("The time it was to sleep is over")


def _moment(stamp: str) -> str:
    return formats.date_format(timezone.localtime(datetime.fromisoformat(stamp)), "SHORT_DATETIME_FORMAT")


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
    if why.get("rule") == "snooze":
        return _woken(why)
    if why.get("rule") == "complaints":
        return words.complaints_why(why)
    if why.get("rule") in {"verify", "still_broken"}:
        return " ".join(filter(None, (telling.head(why), telling.body(why), telling.why(why))))
    return ""


