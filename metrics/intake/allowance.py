"""Whether a product may still send: pure, exact, and counted in the transaction that stores the events.

Docs: docs/decisions/0008-limits.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from metrics.intake.event import Refused

#: Clients are told to ask again after this many seconds at most, so that a raised limit is noticed.
LONGEST_WAIT = 300


class Limited(Refused):
    """More than the product may send. `left`: events that would still be taken until `ends`; `found_at`: when the
    count was read. Both in unix seconds."""

    def __init__(self, outcome: str, detail: str, left: int, ends: float, found_at: float) -> None:
        super().__init__(429, outcome, detail, _wait(ends, found_at))
        self.left, self.ends, self.found_at = left, ends, found_at

    def again(self, now: float) -> Limited:
        """The same for another request; the count is not read anew."""
        told = Limited(self.reason, self.detail, self.left, self.ends, self.found_at)
        told.wait = _wait(self.ends, now)
        return told


def _wait(ends: float, now: float) -> int:
    return max(1, min(LONGEST_WAIT, math.ceil(ends - now)))


@dataclass
class Allowance:
    """A product's limits (None: none) and what it sent in the minute and in the month that they name."""

    per_minute: int | None
    per_month: int | None
    minute: datetime | None
    in_minute: int
    month: date | None
    in_month: int
    taken: int = field(default=0)

    def turn(self, now: datetime) -> None:
        """Begins at zero where the minute or the month is over."""
        minute = now.astimezone(UTC).replace(second=0, microsecond=0)
        if self.minute is None or self.minute < minute:
            self.minute, self.in_minute = minute, 0
        month = minute.date().replace(day=1)
        if self.month is None or self.month < month:
            self.month, self.in_month = month, 0

    def ask(self, events: int, now: datetime) -> Limited | None:
        """Why that many more may not be taken; None when they may, and then they are."""
        self.turn(now)
        at = now.timestamp()
        in_minute, in_month = self.in_minute + self.taken, self.in_month + self.taken
        if self.per_month is not None and in_month + events > self.per_month:
            detail = f"This month's {self.per_month} events are used up. The owner of the hub can raise the limit."
            return Limited("over_quota", detail, self.per_month - in_month, _end_of_month(now), at)
        if self.per_minute is not None and in_minute + events > self.per_minute:
            detail = f"More than {self.per_minute} events in one minute."
            return Limited("rate_limited", detail, self.per_minute - in_minute, at // 60 * 60 + 60, at)
        self.taken += events
        return None


def _end_of_month(now: datetime) -> float:
    now = now.astimezone(UTC)
    year, month = (now.year, now.month + 1) if now.month < 12 else (now.year + 1, 1)
    return datetime(year, month, 1, tzinfo=UTC).timestamp()
