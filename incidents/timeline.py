"""An incident's story, told from its recorded events and comments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import unescape
from typing import Any

from django.db.models import F, TextField, Value
from django.db.models.functions import Cast, Coalesce, Concat, NullIf
from django.utils import formats, timezone
from django.utils.html import strip_tags
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import User
from activity.models import Event
from incidents import clocks, telling
from incidents.models import Incident, Severity, Update
from metrics import words
from productops.lib.tell import customers, percent, whole
from releases.models import Release

#: Entries shown; older ones are in the API.
MOST = 200


#: What is no entry of its own: pins are shown on what they pin.
PINS = ("incident.pinned", "incident.unpinned")
MOST_PINNED = 10
#: How much later than it happened an entry may be written down before that is said.
_LATER = timedelta(minutes=5)


@dataclass(frozen=True)
class Entry:
    """One thing that happened. `kind` is how it is set off: act, hub, or what was said (UpdateKind).
    `noted_at`: when it was written down, if that was later."""

    pk: int
    at: datetime
    by: str
    is_hub: bool
    text: str
    kind: str = "act"
    why: str = ""
    html: str = ""
    undo: int = 0  # id of the event, when it can be taken back
    noted_at: datetime | None = None
    is_pinned: bool = False

    @property
    def plain(self) -> str:
        """What was said, without its marks."""
        return " ".join(unescape(strip_tags(self.html)).split())[:400]


#: What events name: kind -> key -> name.
Names = dict[str, dict[int, str]]


def tell(incident: Incident) -> list[Entry]:
    """Newest first. Two queries, however long the story is."""
    return told(list(Event.objects.about(incident).select_related("by").order_by("-at", "-id")[:MOST]))


def told(events: list[Event]) -> list[Entry]:
    """Events of one incident in words, in their order, which is the newest first."""
    names = _named(events)
    undone = {event.detail.get("undone") for event in events if event.verb == "incident.undone"}
    latest = next((e for e in sorted(events, key=lambda e: -e.pk) if e.detail.get("before") and e.by_id), None)
    pinned = pins(events)
    return [
        Entry(
            pk=event.pk,
            kind=_kind(event),
            noted_at=event.recorded_at if event.recorded_at - event.at > _LATER else None,
            is_pinned=event.pk in pinned,
            at=event.at,
            by=str(event.by) if event.by else _("The hub"),
            is_hub=event.by_id is None,
            text=_text(event, names),
            why=_why(event),
            html=names["update"].get(event.detail.get("update") or 0, ""),
            undo=event.pk if latest and event.pk == latest.pk and event.pk not in undone else 0,
        )
        for event in events
        if event.verb not in PINS
    ]


def pins(events: Iterable[Event]) -> set[int]:
    """The entries that are pinned now."""
    found: set[int] = set()
    for event in sorted(events, key=lambda event: event.pk):
        if event.verb == "incident.pinned":
            found.add(event.detail["entry"])
        elif event.verb == "incident.unpinned":
            found.discard(event.detail["entry"])
    return found


def _kind(event: Event) -> str:
    return "hub" if event.by_id is None else str(event.detail.get("kind", "act")) if "update" in event.detail else "act"


def _named(events: list[Event]) -> Names:
    """In one query, or none when nothing is named. Of an update, its text."""
    wanted: dict[str, set[int]] = {"person": set(), "release": set(), "incident": set(), "update": set()}
    for event in events:
        after = event.detail.get("after") or {}
        for kind, field in (("person", "assignee"), ("release", "fix_release"), ("incident", "original")):
            wanted[kind].add(after.get(field) or 0)
        wanted["incident"].add(event.detail.get("other") or 0)
        wanted["person"].add(event.detail.get("owner") or 0)
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
        "put_back": _("put it back to the queue"),
        "confirmed": _("is still on it"),
        "stamped": _("put the times right"),
        "review_begun": _("began the review"),
        "review_finished": _("finished the review"),
        "review_failed": _("marked the review as ineffective"),
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
    if verb in {"linked", "unlinked"}:
        return _linked(verb, after, names)
    if verb in {"updated", "noted"}:
        return str(_SAID.get(after.get("kind", ""), ""))
    if verb.startswith("timer_") or verb == "asked":
        return _timed(verb, after)
    if verb in _ACTIONS:
        return str(_ACTIONS[verb]) % {"title": after.get("title", "")}
    return verb.replace("_", " ")


_SAID = {
    "internal": gettext_lazy("told the team"),
    "customers": gettext_lazy("told customers"),
    "seen": gettext_lazy("saw"),
    "done": gettext_lazy("did"),
    "decided": gettext_lazy("decided"),
}
_ACTIONS = {
    "action_added": gettext_lazy("added to do: “%(title)s”"),
    "action_done": gettext_lazy("did “%(title)s”"),
    "action_dropped": gettext_lazy("dropped “%(title)s”"),
    "action_reopened": gettext_lazy("reopened “%(title)s”"),
    "action_due": gettext_lazy("reminds of “%(title)s”, which is due"),
}


def _linked(verb: str, after: dict[str, Any], names: Names) -> str:
    other = names["incident"].get(after.get("other") or 0, "")
    if verb == "unlinked":
        return _("took off the link to %(other)s") % {"other": other}
    said = {
        "related": _("linked it to %(other)s"),
        "caused_by": _("said it is caused by %(other)s"),
        "causes": _("said it causes %(other)s"),
        "recurs": _("saw that it came back after %(other)s"),
        "recurred": _("saw it come back as %(other)s"),
    }
    return said.get(after.get("kind", ""), "%(other)s") % {"other": other}


def _timed(verb: str, after: dict[str, Any]) -> str:
    if verb == "asked":
        return _("asks: still on it?")
    kind = str(clocks.NAMES.get(after["why"]["kind"], "")).lower()
    said = _("sees a timer at risk: %(kind)s") if verb == "timer_at_risk" else _("sees a timer late: %(kind)s")
    return said % {"kind": kind}


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
    if why.get("rule") == "timer":
        return _("Rule “timers”, version %(version)s: %(target)s for severity %(severity)s") % {
            "version": why["version"], "target": clocks.target(why["target"]),
            "severity": str(dict(Severity.choices).get(why["severity"], "")).lower(),
        }  # fmt: skip
    if why.get("rule") == "recurrence":
        return _("The same came back %(days)s after it was resolved, within %(most)s days") % {
            "days": ngettext("%(n)s day", "%(n)s days", why["days"]) % {"n": why["days"]}, "most": why["most"],
        }  # fmt: skip
    if why.get("rule") in {"verify", "still_broken"}:
        return " ".join(filter(None, (telling.head(why), telling.body(why), telling.why(why))))
    return ""


