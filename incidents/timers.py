"""How long things may take, and how long they took. Pure: times and targets in, deadlines and measures out.

Targets are told as "15min", "4h", "1d". Where working hours hold, only they count and a day is a working day. The clock
stands while an incident is snoozed. Source of the targets: the service-level practice of docs/triage.md, "Timers".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

#: Of a target, when it is at risk.
RISK = 0.8
#: Working time is looked for so many days ahead and no further.
HORIZON = 3_660
_SPAN = re.compile(r"([1-9][0-9]{0,3}) ?(min|h|d)")

ACKNOWLEDGE, RESOLVE, UPDATE, STALE, ANSWER = KINDS = ("acknowledge", "resolve", "update", "stale", "answer")
#: severity -> the targets of KINDS; "" for none.
DEFAULTS: dict[str, tuple[str, ...]] = {
    "critical": ("15min", "4h", "1h", "2h", "15min"),
    "high": ("1h", "1d", "4h", "8h", "1h"),
    "medium": ("8h", "5d", "", "5d", "1d"),
    "low": ("3d", "", "", "", ""),
}


@dataclass(frozen=True)
class Hours:
    """When people work: weekdays (Monday is 0) from `opens` to `closes` in a zone."""

    days: frozenset[int]
    opens: time
    closes: time
    zone: str

    @property
    def day(self) -> timedelta:
        return timedelta(
            hours=self.closes.hour - self.opens.hour, minutes=self.closes.minute - self.opens.minute
        )


@dataclass(frozen=True)
class Policy:
    """`targets`: severity -> kind -> span. `always`: severities that do not wait for working hours."""

    targets: Mapping[str, Mapping[str, str]] = field(
        default_factory=lambda: {s: dict(zip(KINDS, spans, strict=True)) for s, spans in DEFAULTS.items()}
    )
    hours: Hours | None = None
    always: frozenset[str] = frozenset({"critical"})
    version: int = 1

    def hours_of(self, severity: str) -> Hours | None:
        return None if severity in self.always else self.hours

    def target(self, severity: str, kind: str) -> timedelta | None:
        text = self.targets.get(severity, {}).get(kind, "")
        return span(text, self.hours_of(severity)) if text else None

    def told(self, severity: str, kind: str) -> str:
        return self.targets.get(severity, {}).get(kind, "")


@lru_cache(64)
def _read(text: str) -> Policy:
    import json

    given = json.loads(text)
    if not given:
        return Policy()
    hours = given.get("hours")
    return Policy(
        given["targets"],
        Hours(frozenset(hours["days"]), time.fromisoformat(hours["opens"]), time.fromisoformat(hours["closes"]),
              hours["zone"]) if hours else None,
        frozenset(given["always"]),
        given["version"],
    )  # fmt: skip


def policy_of(kept: Mapping[str, Any]) -> Policy:
    """The policy that a workspace keeps as JSON; {} for the defaults."""
    import json

    return _read(json.dumps(kept, sort_keys=True))


def as_json(policy: Policy) -> dict[str, Any]:
    hours = policy.hours
    return {
        "targets": {severity: dict(kinds) for severity, kinds in policy.targets.items()},
        "hours": hours and {
            "days": sorted(hours.days), "opens": f"{hours.opens:%H:%M}", "closes": f"{hours.closes:%H:%M}",
            "zone": hours.zone,
        },
        "always": sorted(policy.always),
        "version": policy.version,
    }  # fmt: skip


def problem(policy: Policy) -> str:
    """What is wrong with a policy, as a code: "" when nothing is."""
    for kinds in policy.targets.values():
        if any(text and not _SPAN.fullmatch(text) for text in kinds.values()):
            return "span"
    hours = policy.hours
    if hours and (not hours.days or not hours.days <= set(range(7))):
        return "days"
    if hours and hours.closes <= hours.opens:
        return "hours"
    if hours and hours.zone not in available_timezones():
        return "zone"
    return ""


def span(text: str, hours: Hours | None = None) -> timedelta:
    """ "15min" as a length of (working) time; raises ValueError."""
    found = _SPAN.fullmatch(text)
    if not found:
        raise ValueError(text)
    n, unit = int(found[1]), found[2]
    if unit == "d":
        return n * (hours.day if hours else timedelta(days=1))
    return timedelta(minutes=n) if unit == "min" else timedelta(hours=n)


def worked(start: datetime, end: datetime, hours: Hours | None) -> timedelta:
    """How much of start..end counts."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    if end <= start:
        return timedelta(0)
    if hours is None:
        return end - start
    total = timedelta(0)
    for opens, closes in _shifts(start, hours):
        if opens >= end:
            break
        total += max(timedelta(0), min(end, closes) - max(start, opens))
    return total


def advance(start: datetime, amount: timedelta, hours: Hours | None) -> datetime:
    """When `amount` of counted time has passed since `start`."""
    start = start.astimezone(UTC)
    if hours is None:
        return start + amount
    left = amount
    closes = start
    for opens, closes in _shifts(start, hours):
        here = closes - max(start, opens)
        if here >= left:
            return max(start, opens) + left
        left -= max(timedelta(0), here)
    return closes


def _shifts(start: datetime, hours: Hours) -> Iterable[tuple[datetime, datetime]]:
    """The working times from the day of `start` on. In UTC, since a difference of local times forgets the hour that a
    clock is put forward."""
    zone = ZoneInfo(hours.zone)
    day = start.astimezone(zone).date()
    for n in range(HORIZON):
        on = day + timedelta(days=n)
        if on.weekday() in hours.days:
            opens, closes = (datetime.combine(on, at, zone) for at in (hours.opens, hours.closes))
            yield opens.astimezone(UTC), closes.astimezone(UTC)


@dataclass(frozen=True)
class Stamps:
    """What happened to an incident in its present cycle, and when."""

    severity: str
    status: str
    started_at: datetime  # of this cycle
    cycle: int = 1
    impact_started_at: datetime | None = None
    acknowledged_at: datetime | None = None
    returned_at: datetime | None = None  # back to the queue, since when nobody took it
    mitigated_at: datetime | None = None
    resolved_at: datetime | None = None
    verified_at: datetime | None = None
    told_at: datetime | None = None  # customers, first
    spoken_at: datetime | None = None  # last update
    touched_at: datetime | None = None  # by a person, last
    asked_at: datetime | None = None  # "still on it?"
    snoozed_at: datetime | None = None
    slept: Sequence[tuple[datetime, datetime]] = ()


_KEPT = ("acknowledged_at", "mitigated_at", "resolved_at", "verified_at", "told_at")


def kept(stamps: Stamps) -> dict[str, Any]:
    """A cycle that ends, as JSON."""
    moments = {name: getattr(stamps, name) for name in ("started_at", "impact_started_at", *_KEPT)}
    said = {name: moment.isoformat() for name, moment in moments.items() if moment}
    return {**said, "cycle": stamps.cycle, "slept": [[a.isoformat(), b.isoformat()] for a, b in stamps.slept]}


def past(kept: Mapping[str, Any], severity: str) -> Stamps:
    """What `kept` told. It was over, however it ended."""
    read = {name: datetime.fromisoformat(kept[name]) for name in _KEPT if name in kept}
    slept = [(datetime.fromisoformat(a), datetime.fromisoformat(b)) for a, b in kept["slept"]]
    impact = kept.get("impact_started_at")
    return Stamps(
        severity, "closed", datetime.fromisoformat(kept["started_at"]), kept["cycle"],
        impact_started_at=datetime.fromisoformat(impact) if impact else None, slept=slept, **read,
    )  # fmt: skip


@dataclass(frozen=True)
class Timer:
    """`state`: running, at_risk, late, paused, met, missed or invalid. `used`: counted time until now or until met."""

    kind: str
    state: str
    target: str
    used: timedelta
    due_at: datetime | None = None
    risk_at: datetime | None = None


@dataclass(frozen=True)
class Measure:
    """`state`: recorded, pending, none (does not apply) or invalid (it ended before it began)."""

    name: str
    state: str
    took: timedelta | None = None


ONGOING = ("new", "triaged", "in_progress", "mitigated", "snoozed")
HELD = ("triaged", "in_progress")


def timers(stamps: Stamps, policy: Policy, now: datetime) -> list[Timer]:
    """Those that this severity has, in the order they matter."""
    began = stamps.returned_at or stamps.started_at
    acknowledged = None if stamps.returned_at else stamps.acknowledged_at
    found = [
        _timer(ACKNOWLEDGE, began, acknowledged, stamps, policy, now),
        _timer(RESOLVE, stamps.started_at, stamps.resolved_at, stamps, policy, now),
    ]
    if stamps.status in ("new", *HELD) or (stamps.status == "snoozed"):
        since = max(filter(None, (stamps.spoken_at, stamps.started_at)))
        found.append(_timer(UPDATE, since, None, stamps, policy, now))
    return [timer for timer in found if timer is not None]


def _timer(
    kind: str, began: datetime, met_at: datetime | None, stamps: Stamps, policy: Policy, now: datetime
) -> Timer | None:
    amount = policy.target(stamps.severity, kind)
    if amount is None:
        return None
    hours, target = policy.hours_of(stamps.severity), policy.told(stamps.severity, kind)
    if met_at is None and stamps.status not in ONGOING:
        return None  # it is over, and this was never needed
    if met_at is not None and met_at < began:
        return Timer(kind, "invalid", target, timedelta(0))
    is_asleep = met_at is None and stamps.status == "snoozed"
    end = met_at or (stamps.snoozed_at if is_asleep and stamps.snoozed_at else now)
    used = worked(began, end, hours) - sum(
        (worked(max(a, began), min(b, end), hours) for a, b in stamps.slept), timedelta(0)
    )
    due_at = _due(began, amount, stamps.slept, hours)
    if is_asleep:
        return Timer(kind, "paused", target, used)
    if met_at is not None:
        return Timer(kind, "met" if used <= amount else "missed", target, used, due_at)
    risk_at = _due(began, amount * RISK, stamps.slept, hours)
    state = "late" if now >= due_at else "at_risk" if now >= risk_at else "running"
    return Timer(kind, state, target, used, due_at, risk_at)


def _due(
    began: datetime, amount: timedelta, slept: Sequence[tuple[datetime, datetime]], hours: Hours | None
) -> datetime:
    due = advance(began, amount, hours)
    for start, end in slept:
        if end > began and start < due:
            due = advance(due, worked(max(start, began), end, hours), hours)
    return due


def next_due(stamps: Stamps, policy: Policy) -> Timer | None:
    """The running timer that ends first, whenever one asks."""
    return min(_running(stamps, policy), key=lambda timer: timer.due_at or stamps.started_at, default=None)


def first_risk(stamps: Stamps, policy: Policy) -> datetime | None:
    """When the first of the running timers is at risk."""
    return min((timer.risk_at for timer in _running(stamps, policy) if timer.risk_at), default=None)


def _running(stamps: Stamps, policy: Policy) -> list[Timer]:
    return [timer for timer in timers(stamps, policy, stamps.started_at) if timer.risk_at]


def asks_at(stamps: Stamps, policy: Policy) -> datetime | None:
    """When whoever took it is asked whether they are still on it; once asked, when it goes back to the queue."""
    if stamps.status not in HELD or stamps.touched_at is None:
        return None
    kind, since = (ANSWER, stamps.asked_at) if stamps.asked_at else (STALE, stamps.touched_at)
    amount = policy.target(stamps.severity, kind)
    return advance(since, amount, policy.hours_of(stamps.severity)) if amount else None


MEASURES = ("know", "acknowledge", "mitigate", "resolve", "verify", "tell")


def measures(stamps: Stamps) -> list[Measure]:
    """By the clock on the wall. `know` and `tell` are told of the first cycle only."""
    is_first, is_over = stamps.cycle == 1, stamps.status not in ONGOING
    began = stamps.started_at
    return [
        _measure("know", stamps.impact_started_at if is_first else None, began, True),
        _measure("acknowledge", began, stamps.acknowledged_at, is_over),
        _measure("mitigate", began, stamps.mitigated_at, is_over),
        _measure("resolve", began, stamps.resolved_at, is_over),
        _measure("verify", stamps.resolved_at, stamps.verified_at, stamps.status == "closed"),
        _measure("tell", began if is_first else None, stamps.told_at, is_over),
    ]


def _measure(name: str, start: datetime | None, end: datetime | None, is_over: bool) -> Measure:
    if start is None or (end is None and is_over):
        return Measure(name, "none")
    if end is None:
        return Measure(name, "pending")
    return Measure(name, "invalid") if end < start else Measure(name, "recorded", end - start)
