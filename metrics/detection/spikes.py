"""Whether more came in the last 24 hours than is usual for them: few, whole numbers with a weekly rhythm. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

VERSION = 1
#: Modified z-score from which it is a spike (Iglewicz & Hoaglin 1993), and the least that one must hold.
Z, FEWEST, CUSTOMERS = 3.5, 5, 3
#: 24-hour windows before: of the same weekday where there are so many, else of all days, of which there must be a week.
SAME_WEEKDAY, ANY_DAY = 6, 7
#: Normal scale of a median absolute deviation.
_MAD = 1.4826


@dataclass(frozen=True)
class Spike:
    """n: in the last 24 hours, by `customers` of them. usual: median of `windows` earlier ones, by weekday or not.
    z: how many robust deviations n lies above it."""

    n: int
    customers: int
    usual: float
    z: float
    windows: int
    is_by_weekday: bool
    version: int = VERSION


def spike(n: int, customers: int, days: Sequence[int]) -> Spike | None:
    """days: counts of the 24-hour windows before, the latest first, as long as there was anybody to count. None: no
    spike, or too little history to say so.

    The deviation is never taken smaller than that of a Poisson count with the same median: after quiet weeks it would
    be 0, and a single complaint a spike.
    """
    if n < FEWEST or customers < CUSTOMERS:
        return None
    weekly = days[6::7]
    is_by_weekday = len(weekly) >= SAME_WEEKDAY
    earlier = weekly if is_by_weekday else days
    if len(earlier) < (SAME_WEEKDAY if is_by_weekday else ANY_DAY):
        return None
    usual = float(median(earlier))
    scatter = max(_MAD * median(abs(count - usual) for count in earlier), sqrt(max(usual, 1.0)))
    z = (n - usual) / scatter
    return Spike(n, customers, usual, z, len(earlier), is_by_weekday) if z >= Z else None
