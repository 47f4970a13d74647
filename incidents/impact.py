"""How bad an incident is for customers: severity and the pain score that orders the queue. Pure.

pain = 4·heard + 2·√silent + 3·log10(1 + revenue) + 40·share + (3 when rising) + 5·churn
Every input opens the rows behind it; the formula is shown beside the number.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, timedelta
from math import log10, sqrt
from typing import Any

VERSION = 1
#: How long before its day a promise is at risk.
SOON = timedelta(days=2)
FORMULA = "4·heard + 2·√silent + 3·log10(1 + revenue) + 40·share + 3·rising + 5·may leave"


@dataclass(frozen=True)
class Ledger:
    """heard: customers who complained; silent: customers touched who did not; churn: complaints that say they
    may leave; revenue: per month of both, in the workspace's currency; share: of sessions (or uses) hit, 0..1,
    None when not known; trend: last hour against the hour before as a ratio, None when not known; hits: failed uses;
    promises: customers who were told a day that has passed, or passes within SOON, while it is not fixed."""

    heard: int = 0
    silent: int = 0
    churn: int = 0
    revenue: float = 0.0
    share: float | None = None
    trend: float | None = None
    hits: int = 0
    promises: int = 0

    @property
    def customers(self) -> int:
        return self.heard + self.silent

    @property
    def is_rising(self) -> bool:
        return self.trend is not None and self.trend > 1.2

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "version": VERSION}


def at_risk(expected_on: date | None, today: date, is_open: bool, heard: int) -> int:
    """How many customers hold a promise that is late or soon will be."""
    return heard if is_open and expected_on is not None and expected_on <= today + SOON else 0


def pain(ledger: Ledger) -> float:
    return round(
        4 * ledger.heard
        + 2 * sqrt(ledger.silent)
        + 3 * log10(1 + max(0.0, ledger.revenue))
        + 40 * (ledger.share or 0.0)
        + (3 if ledger.is_rising else 0)
        + 5 * ledger.churn,
        1,
    )


def severity(ledger: Ledger) -> tuple[str, list[str]]:
    """The suggested severity and the reasons, as codes with their numbers ("share>=0.2")."""
    for name, rules in _LADDER:
        met = [code for code, is_met in rules(ledger) if is_met]
        if met:
            return name, met
    return ("low", ["touched>0"]) if ledger.customers else ("unset", [])


def _critical(x: Ledger) -> list[tuple[str, bool]]:
    return [
        ("share>=0.25", (x.share or 0) >= 0.25),
        ("customers>=50", x.customers >= 50),
        ("share>=0.1&rising", (x.share or 0) >= 0.1 and x.is_rising),
    ]


def _high(x: Ledger) -> list[tuple[str, bool]]:
    return [
        ("share>=0.08", (x.share or 0) >= 0.08),
        ("customers>=20", x.customers >= 20),
        ("heard>=5", x.heard >= 5),
        ("churn>=2", x.churn >= 2),
    ]


def _medium(x: Ledger) -> list[tuple[str, bool]]:
    return [
        ("share>=0.02", (x.share or 0) >= 0.02),
        ("customers>=5", x.customers >= 5),
        ("heard>=2", x.heard >= 2),
        ("churn>=1", x.churn >= 1),
    ]


_LADDER = (("critical", _critical), ("high", _high), ("medium", _medium))
