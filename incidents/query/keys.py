"""The keys of a query: what each means and which values it takes. Read by the search, completion and help."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from incidents.models.incident import IncidentKind, Severity, Status

Said = str | Promise


@dataclass(frozen=True)
class Key:
    """`values`: value -> what it means; empty where any is taken. `kind`: choice, text, number, age or sort."""

    about: Said
    kind: str = "text"
    values: dict[str, Said] | None = None
    example: str = ""


IS: dict[str, Said] = {
    "undecided": _("needs a decision"),
    "open": _("somebody's work"),
    "done": _("resolved, closed, declined or a duplicate"),
    "silent": _("touched customers who never wrote"),
    "snoozed": _("asleep"),
    "unassigned": _("nobody has it"),
    "overridden": _("a person set the severity"),
    "rising": _("more are hit than an hour ago"),
    "known": _("agents may tell customers of it"),
    "late": _("a timer has run out"),
    "at_risk": _("four fifths of a timer are used"),
    "asked": _("waits for the answer whether somebody is still on it"),
    "watched": _("you watch it"),
    "recurring": _("came back after it was resolved"),
}
HAS: dict[str, Said] = {
    "complaints": _("somebody complained"),
    "release": _("belongs to a release"),
    "fix": _("a release carries the fix"),
    "feature": _("belongs to a feature"),
    "assignee": _("somebody has it"),
    "review": _("has a review"),
    "links": _("is linked to another"),
}
SORTS: dict[str, Said] = {
    "pain": _("worst for customers first"),
    "newest": _("newest first"),
    "oldest": _("oldest first"),
    "severity": _("most severe first"),
    "revenue": _("most revenue first"),
    "due": _("the next timer first"),
}

KEYS: dict[str, Key] = {
    "is": Key(_("state"), "choice", IS),
    "status": Key(_("status"), "choice", dict(Status.choices)),
    "severity": Key(_("severity; can be compared"), "choice", dict(Severity.choices), "severity:>=high"),
    "assigned": Key(_("who has it"), "text", {"me": _("you"), "none": _("nobody")}),
    "release": Key(_("version it came with"), "text", {"latest": _("the newest"), "none": _("no release")}),
    "fix": Key(_("version that carries the fix"), "text", {"none": _("no release")}),
    "customer": Key(_("customer who complained or was hit")),
    "feature": Key(_("feature")),
    "product": Key(_("product")),
    "environment": Key(_("environment")),
    "signal": Key(_("what is measured")),
    "kind": Key(_("kind"), "choice", dict(IncidentKind.choices)),
    "impact": Key(_("customers touched"), "number", None, "impact:>100"),
    "heard": Key(_("customers who complained"), "number", None, "heard:>=3"),
    "silent": Key(_("customers touched and silent"), "number", None, "silent:>10"),
    "revenue": Key(_("revenue touched, per month"), "number", None, "revenue:>1000"),
    "pain": Key(_("pain score"), "number", None, "pain:>20"),
    "age": Key(_("how long ago it was opened"), "age", None, "age:<24h"),
    "duplicate": Key(_("duplicates of this number"), "number", None, "duplicate:7"),
    "has": Key(_("has something"), "choice", HAS),
    "sort": Key(_("order"), "sort", SORTS),
}

#: Severities from the least to the most.
SEVERITIES = ("unset", "low", "medium", "high", "critical")
