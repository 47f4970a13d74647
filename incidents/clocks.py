"""Timers and measures in words: what is due, what it took, and how that is spread over many."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from incidents import timers
from incidents.models import Incident, Severity
from incidents.models.incident import IncidentQuerySet
from productops.lib import csvs

#: What timers and measures are called.
NAMES = {
    "know": pgettext_lazy("time to", "Know"),
    "acknowledge": pgettext_lazy("time to", "Acknowledge"),
    "mitigate": pgettext_lazy("time to", "Mitigate"),
    "resolve": pgettext_lazy("time to", "Resolve"),
    "verify": pgettext_lazy("time to", "Verify"),
    "tell": pgettext_lazy("time to", "Tell"),
    "update": pgettext_lazy("time to", "Update"),
    "stale": gettext_lazy("Ask whether somebody is still on it"),
    "answer": gettext_lazy("Back to the queue without an answer"),
}
#: From what to what each measure goes.
SPANS = {
    "know": gettext_lazy("from the first customer hit until the hub or a person opened it"),
    "acknowledge": gettext_lazy("from opening until somebody took it"),
    "mitigate": gettext_lazy("from opening until customers were helped"),
    "resolve": gettext_lazy("from opening until a fix was claimed"),
    "verify": gettext_lazy("from the claim until it was proven"),
    "tell": gettext_lazy("from opening until customers could be told"),
}
_NARROW = "\u202f"
#: Of how many a percentile is told.
ENOUGH = 5


def length(span: timedelta | float | None) -> str:
    """A length of time in its two largest units: "2 d 4 h", "35 min"."""
    if span is None:
        return "–"
    minutes = round((span.total_seconds() if isinstance(span, timedelta) else span) / 60)
    if minutes < 1:
        return f"<{_NARROW}1{_NARROW}{_('min')}"
    parts = [(minutes // 1_440, _("d")), (minutes // 60 % 24, _("h")), (minutes % 60, _("min"))]
    told = [f"{n}{_NARROW}{unit}" for n, unit in parts if n]
    first = next(at for at, (n, _unit) in enumerate(parts) if n)
    return " ".join(told[:2] if first < 2 and parts[first + 1][0] else told[:1])


def short(span: timedelta) -> str:
    """In its largest unit alone."""
    return " ".join(length(span).split(" ")[:1])


def target(text: str) -> str:
    """ "15min" in the reader's words."""
    found = re.fullmatch(r"(\d+) ?(\D+)", text)
    units = {"min": _("min"), "h": _("h"), "d": _("d")}
    return f"{found[1]}{_NARROW}{units.get(found[2], found[2])}" if found else "–"


@dataclass(frozen=True)
class Clock:
    """One timer as it is shown."""

    kind: str
    name: str
    state: str
    text: str
    due_at: datetime | None


def clocks(incident: Incident, now: datetime) -> list[Clock]:
    """The timers of an incident, those that still run first."""
    policy = timers.policy_of(incident.workspace.timers)
    found = timers.timers(incident.stamps, policy, now)
    shown = [Clock(t.kind, str(NAMES[t.kind]), t.state, _told(t, now), t.due_at) for t in found]
    return sorted(shown, key=lambda clock: clock.state in {"met", "missed", "invalid"})


def _told(timer: timers.Timer, now: datetime) -> str:
    within = target(timer.target)
    if timer.state == "invalid":
        return _("the stamps contradict each other")
    if timer.state == "paused":
        return _("stands while it is snoozed, %(used)s of %(target)s used") % {
            "used": length(timer.used), "target": within
        }  # fmt: skip
    if timer.state in {"met", "missed"}:
        return _("%(used)s of %(target)s") % {"used": length(timer.used), "target": within}
    assert timer.due_at
    if timer.state == "late":
        return _("late by %(span)s, target %(target)s") % {"span": length(now - timer.due_at), "target": within}
    return _("%(span)s left of %(target)s") % {"span": length(timer.due_at - now), "target": within}


@dataclass
class Spread:
    """One measure over many: seconds. `inside`: how many were within the target, of `aimed` that had one."""

    name: str
    took: list[float] = field(default_factory=list)
    pending: int = 0
    invalid: int = 0
    none: int = 0
    inside: int = 0
    aimed: int = 0

    @property
    def title(self) -> str:
        return str(NAMES[self.name])

    @property
    def n(self) -> int:
        return len(self.took)

    def at(self, share: int) -> str:
        return length(float(np.percentile(self.took, share))) if self.n >= ENOUGH else "–"

    @property
    def median(self) -> str:
        return self.at(50)

    @property
    def most(self) -> str:
        return self.at(90)

    def add(self, measure: timers.Measure) -> None:
        if measure.state == "recorded" and measure.took is not None:
            self.took.append(measure.took.total_seconds())
        else:
            setattr(self, measure.state, getattr(self, measure.state) + 1)


_READ = (
    "pk", "number", "severity", "status", "product_id", "release_id", "opened_at", "cycle_started_at", "cycle",
    "impact_started_at", "acknowledged_at", "returned_at", "mitigated_at", "resolved_at", "verified_at", "told_at",
    "spoken_at", "touched_at", "asked_at", "snoozed_at", "slept", "past_cycles",
)  # fmt: skip


def measured(incidents: IncidentQuerySet) -> Iterator[tuple[Incident, timers.Stamps]]:
    """Each cycle of each incident, with only what its times need."""
    for incident in incidents.only(*_READ).iterator(2_000):
        for stamps in (*incident.past_stamps, incident.stamps):
            yield incident, stamps


def spread(incidents: IncidentQuerySet, by: str, policy: timers.Policy) -> tuple[list[Spread], dict[Any, list[Spread]]]:
    """All six measures over all, and over each value of `by` (severity, product, release or month)."""
    whole, groups = _fresh(), dict[Any, list[Spread]]()
    for incident, stamps in measured(incidents):
        theirs = groups.setdefault(_key(incident, by), _fresh())
        for at, measure in enumerate(timers.measures(stamps)):
            for spreads in (whole, theirs):
                spreads[at].add(measure)
        for timer in timers.timers(stamps, policy, stamps.resolved_at or stamps.started_at):
            if timer.state in {"met", "missed"}:
                for spreads in (whole, theirs):
                    one = next(each for each in spreads if each.name == timer.kind)
                    one.aimed += 1
                    one.inside += timer.state == "met"
    return whole, groups


def _fresh() -> list[Spread]:
    return [Spread(name) for name in timers.MEASURES]


def _key(incident: Incident, by: str) -> Any:
    if by == "month":
        return timezone.localtime(incident.opened_at).strftime("%Y-%m")
    return incident.severity if by == "severity" else getattr(incident, f"{by}_id")


def csv_rows(incidents: IncidentQuerySet) -> Iterator[str]:
    """A line for each cycle: minutes, or the word for why there are none."""
    write = csvs.writer()
    yield write(["incident", "cycle", "severity", "product", "release", "opened_at", *timers.MEASURES])
    full = incidents.select_related("product", "release")
    for incident in full.only(*_READ, "product__slug", "release__version").iterator(2_000):
        for stamps in (*incident.past_stamps, incident.stamps):
            told = [_cell(measure) for measure in timers.measures(stamps)]
            product = incident.product.slug if incident.product else ""
            release = incident.release.version if incident.release else ""
            yield write(
                [f"INC-{incident.number}", stamps.cycle, incident.severity, product, release,
                 incident.opened_at.isoformat(), *told]
            )  # fmt: skip


def _cell(measure: timers.Measure) -> str:
    if measure.state == "recorded" and measure.took is not None:
        return f"{measure.took.total_seconds() / 60:.1f}"
    return "" if measure.state == "none" else measure.state


def severities() -> Iterable[tuple[str, str]]:
    return [(str(key), str(name)) for key, name in Severity.choices if key != Severity.UNSET][::-1]
