"""How much evidence a flag needs when several signals of one release are watched at once."""

from __future__ import annotations

ALPHA = 0.03
"""Chance that a release without any change is ever flagged by the concurrent e-processes together."""

RATE_MARGIN = 0.10
GAUGE_MARGIN = 0.05
SHORT_MARGIN = 0.25
SHORT_Z = 5.0
FEWEST_BAD = 10.0


def alpha_for(signals: int) -> float:
    """α of one of `signals` concurrent signals (Bonferroni over e-values)."""
    return ALPHA / max(1, signals)


def z_star(signals: int) -> float:
    """Threshold of one of `signals` before/after signals, measured on series where nothing changed."""
    for most, z in ((1, 3.0), (3, 3.5), (6, 4.0)):
        if signals <= most:
            return z
    return 5.0
