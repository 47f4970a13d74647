"""How much evidence a flag needs when several signals of one release are watched at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .evidence import BEFORE_AFTER, CONCURRENT

ALPHA = 0.05
"""Chance that a release without any change is ever flagged by the concurrent e-processes together."""

RATE_MARGIN = 0.10
GAUGE_MARGIN = 0.05
TAIL = 4 / 3
SHORT_MARGIN = 0.25
SHORT_Z = 5.0
FEWEST_BAD = 10.0


def alpha_for(signals: int) -> float:
    """α of one of `signals` concurrent signals (Bonferroni over e-values)."""
    return ALPHA / max(1, signals)


def z_star(signals: int) -> float:
    """Threshold of one of `signals` before/after signals, measured on series where nothing changed.

    Beyond 20 the tail of such series tells: each 1.33 of z makes a false flag e times rarer, far less than for a
    normal distribution (5,000 days of real series, see docs/detection.md).
    """
    for most, z in ((1, 3.0), (3, 3.5), (6, 4.0), (20, 5.0)):
        if signals <= most:
            return z
    return 5.0 + TAIL * math.log(signals / 20)


def needed(method: str, signals: int) -> float:
    """The evidence from which a method flags one of `signals`; infinity where their number does not matter."""
    if method == CONCURRENT:
        return 1 / alpha_for(signals)
    return z_star(signals) if method == BEFORE_AFTER else math.inf


def together(found: Sequence[tuple[str, float]]) -> int:
    """As how many signals those found count, given (method, evidence) of each: all M of them, or M/k when k are beyond
    what M/k signals need, so that of what is flagged only a small share is false (Benjamini & Hochberg 1995; for
    e-values, whatever their dependence, Wang & Ramdas 2022)."""
    high = [(method, value) for method, value in found if value >= needed(method, 1)]
    for k in range(len(high), 1, -1):
        signals = math.ceil(len(found) / k)
        if sum(value >= needed(method, signals) for method, value in high) >= k:
            return signals
    return len(found)
