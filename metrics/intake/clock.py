"""Timestamps as clients send them, turned into unix seconds and kept inside the window that is stored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from .event import FUTURE_LIMIT, PAST_LIMIT

#: Characters of a moment told as a text.
LONGEST_MOMENT = 40
#: A client clock further off than this, in seconds, shifts the timestamps that came along.
SKEW_LIMIT = 300.0


def instant(value: Any) -> float | None:
    """Unix seconds of an ISO 8601 text or of a number in s, ms, us or ns; None when it is neither.

    Text without an offset is UTC. The unit of a number follows from its size: seconds stay below 1e11
    (year 5138), milliseconds below 1e14, microseconds below 1e17.
    """
    kind = type(value)
    if kind is str:
        return _from_text(value)
    if kind is not float and kind is not int:
        return None
    size = abs(value)
    if size < 1e11:
        return float(value)
    if size < 1e14:
        return float(value) / 1e3
    if size < 1e17:
        return float(value) / 1e6
    # False for NaN, so NaN ends as None too.
    return float(value) / 1e9 if size < 1e20 else None


def _from_text(value: str) -> float | None:
    if not 4 <= len(value) <= LONGEST_MOMENT:
        return None
    try:
        moment = datetime.fromisoformat(value)
        if value.isdecimal():
            return instant(int(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        pass
    try:
        return instant(float(value))
    except ValueError:
        return None


def timestamp(value: Any, now: float, shift: float = 0.0, past: float = PAST_LIMIT) -> tuple[float, bool]:
    """(unix seconds to store, whether that differs from what the client said).

    Nothing said means the time of arrival, which is no correction. Nonsense, more than `past` seconds ago or
    more than FUTURE_LIMIT ahead becomes the arrival and counts as one. `shift` comes from `skew`.
    """
    if value is None or value == "":
        return now, False
    at = instant(value)
    if at is None:
        return now, True
    at += shift
    if not now - past <= at <= now + FUTURE_LIMIT:
        return now, True
    return at, shift != 0.0


def skew(sent_at: Any, now: float) -> float:
    """Seconds to add to a client's timestamps; 0 when its clock is right within SKEW_LIMIT or unknown."""
    sent = instant(sent_at)
    if sent is None or abs(now - sent) <= SKEW_LIMIT:
        return 0.0
    return now - sent
