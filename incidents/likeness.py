"""Whether two incidents belong together, and whether one is another come back. Pure.

score = 0.5·text + 0.3 same signal + 0.2 same feature + 0.15 same release + 0.15 within a day (0.05 within a week)
text: the share of character 3-grams that both titles have of all they have (Jaccard). At most 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

VERSION = 1
#: From here on it is worth a suggestion; how many are made for one incident.
LEAST, MOST = 0.45, 3
#: How long after it was resolved the same problem counts as the same come back.
RECURS = timedelta(days=90)
#: How alike the titles of two bugs of one feature are that count as the same.
SAME_TEXT = 0.5


@dataclass(frozen=True)
class Facts:
    """What is compared of an incident. `measure`: what its regression measures."""

    pk: int
    opened_at: datetime
    grams: frozenset[str] = frozenset()
    kind: str = ""
    signal: int | None = None
    measure: str = ""
    feature: int | None = None
    release: int | None = None
    environment: str = ""
    grouping_key: str = ""
    resolved_at: datetime | None = None


def text(a: Facts, b: Facts) -> float:
    both = len(a.grams & b.grams)
    return both / len(a.grams | b.grams) if both else 0.0


def compare(a: Facts, b: Facts) -> tuple[float, dict[str, Any]]:
    """The score, and what matched with its numbers."""
    alike, apart = text(a, b), abs(a.opened_at - b.opened_at)
    parts = {
        "text": round(0.5 * alike, 3) if alike >= 0.2 else 0,
        "signal": 0.3 if a.signal and a.signal == b.signal else 0,
        "feature": 0.2 if a.feature and a.feature == b.feature else 0,
        "release": 0.15 if a.release and a.release == b.release else 0,
        "time": 0.15 if apart <= timedelta(days=1) else 0.05 if apart <= timedelta(days=7) else 0,
    }
    matched = {name: part for name, part in parts.items() if part}
    return min(1.0, round(sum(matched.values()), 3)), {"rule": "likeness", "version": VERSION, "matched": matched}


def best(incident: Facts, others: list[Facts]) -> list[tuple[float, Facts, dict[str, Any]]]:
    """The few that most likely belong to it."""
    scored = [(*compare(incident, other), other) for other in others if other.pk != incident.pk]
    # Time and release alone are what everything of a bad day has in common.
    told = [(score, other, why) for score, why, other in scored if score >= LEAST and _is_telling(why["matched"])]
    return sorted(told, key=lambda each: (-each[0], each[1].pk))[:MOST]


def _is_telling(matched: dict[str, float]) -> bool:
    return bool(matched.keys() & {"text", "signal", "feature"})


def earlier(incident: Facts, others: list[Facts]) -> tuple[Facts, int] | None:
    """The resolved incident that this one is again, and the days since then."""
    same = [
        other
        for other in others
        if other.resolved_at and timedelta(0) <= incident.opened_at - other.resolved_at <= RECURS
        and other.pk != incident.pk and _is_same(incident, other)
    ]  # fmt: skip
    last = max(same, key=lambda other: other.resolved_at or other.opened_at, default=None)
    if last is None or last.resolved_at is None:
        return None
    return last, (incident.opened_at - last.resolved_at).days


def _is_same(a: Facts, b: Facts) -> bool:
    if a.environment != b.environment:
        return False
    if a.measure or b.measure:
        return a.signal == b.signal and a.signal is not None and a.measure == b.measure
    if a.grouping_key:
        return a.grouping_key == b.grouping_key
    return bool(a.feature and a.feature == b.feature and a.kind == b.kind and text(a, b) >= SAME_TEXT)
