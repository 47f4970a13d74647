"""Is a feature not understood? Shares of sessions that went wrong without an error, each beside the others. Pure.

Sessions of one customer are alike, so all intervals count customers: variance by clusters (Cochran, Sampling
Techniques, 3rd ed., 11.9), sizes made smaller by it and by the degrees of freedom (Korn & Graubard 1998).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from metrics.detection.rates import Interval, wilson, z_of

#: Fewer say nothing.
SESSIONS, ACCOUNTS = 30, 5
#: Times the share of the other features from which a surely higher one is told.
TIMES = 1.5
CONFUSING, SAME, NOT_ENOUGH = "confusing", "same", "not_enough"
LEVEL = 0.95


class Sums(NamedTuple):
    """Over accounts: how many, their sessions n, those with a sign k, and the squares and products of both."""

    accounts: float
    n: float
    k: float
    nn: float
    kk: float
    kn: float

    def __add__(self, other: object) -> Sums:
        assert isinstance(other, Sums)
        return Sums(*(a + b for a, b in zip(self, other, strict=True)))


ZERO = Sums(0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Told:
    """Of one feature. share: of its sessions; others: of those of the other features together; change: how much more
    it grew with the release than the others did (difference in differences), None where there was nothing before."""

    status: str
    sums: Sums
    share: Interval
    others: Interval
    change: Interval | None


def share(sums: Sums, level: float = LEVEL) -> Interval:
    """k in n by Wilson, with as many independent sessions as the accounts' likeness leaves."""
    if sums.n <= 0:
        return Interval(0.0, 0.0, 1.0)
    return wilson(sums.k, sums.n, level=level, deff=sums.n / max(_size(sums, level), 1e-9))


def _size(sums: Sums, level: float) -> float:
    """Effective sessions. A few accounts tell little of how alike the sessions of one are; so one more is thought of,
    whose sessions are all alike: else intervals of a dozen accounts hold the truth 91 times in 100, not 95."""
    p, m = sums.k / sums.n, sums.accounts
    size = sums.n
    if 0 < p < 1 and m > 1:
        seen = max(0.0, sums.kk - 2 * p * sums.kn + p * p * sums.nn)
        spread = (seen + p * (1 - p) * sums.nn / m) * m / (m - 1) / (1 + 1 / m)
        size = min(sums.n, p * (1 - p) * sums.n * sums.n / spread)
    elif m > 1:
        # Nobody, or everybody: nothing tells how alike the sessions of one are, so an account counts once at least.
        size = min(sums.n, max(m, sums.n * sums.n / sums.nn))
    return size * min(1.0, (z_of(level) / t_of(level, max(1.0, m - 1))) ** 2)


def t_of(level: float, freedom: float) -> float:
    """Two-sided point of Student's t by its expansion (Abramowitz & Stegun 26.7.5); good to 1 % from 4 degrees on."""
    z = z_of(level)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))


def minus(one: Interval, other: Interval) -> Interval:
    """one − other, from their own intervals (MOVER; Zou & Donner 2008)."""
    gap = one.value - other.value
    low = gap - math.hypot(one.value - one.low, other.high - other.value)
    return Interval(gap, low, gap + math.hypot(one.high - one.value, other.value - other.low))


def is_enough(sums: Sums) -> bool:
    return sums.n >= SESSIONS and sums.accounts >= ACCOUNTS


def judge(after: Mapping[int, Sums], before: Mapping[int, Sums]) -> dict[int, Told]:
    """Of each feature: with the release (`after`), and with what was used before it or beside it (`before`)."""
    enough = [feature for feature, sums in after.items() if feature and is_enough(sums)]
    level = 1 - (1 - LEVEL) / max(1, len(enough))  # one false one in twenty over all features (Bonferroni)
    found = {}
    for feature, sums in after.items():
        if not feature:
            continue
        rest = _together(after, feature)
        told = Told(NOT_ENOUGH, sums, share(sums), share(rest), _change(feature, after, before))
        found[feature] = replace(told, status=_status(sums, rest, level)) if is_enough(sums) else told
    return found


def _status(sums: Sums, rest: Sums, level: float) -> str:
    """Against the other features; a product's only feature is compared with nothing."""
    if not is_enough(rest):
        return SAME
    one, others = share(sums, level), share(rest, level)
    return CONFUSING if minus(one, others).low > 0 and one.value >= TIMES * others.value else SAME


def _change(feature: int, after: Mapping[int, Sums], before: Mapping[int, Sums]) -> Interval | None:
    # Others that were new, or hardly used, on either side would bring a change of their own.
    steady = [pk for pk, sums in after.items() if is_enough(sums) and is_enough(before.get(pk, ZERO))]
    others_now, others_then = (_together({pk: side[pk] for pk in steady}, feature) for side in (after, before))
    sides = (after[feature], before.get(feature, ZERO), others_now, others_then)
    if not all(is_enough(side) for side in sides):
        return None
    now, then, rest_now, rest_then = (share(side) for side in sides)
    return minus(minus(now, then), minus(rest_now, rest_then))


def _together(sums: Mapping[int, Sums], without: int) -> Sums:
    """The other features. An account that used several counts once for each: sizes only, never shares, would change."""
    total = ZERO
    for feature, each in sums.items():
        if feature and feature != without:
            total = total + each
    return total
