"""From the evidence of many signals to one word about a release, with machine-readable reasons."""

from __future__ import annotations

from collections.abc import Sequence

from .before_after import before_after
from .concurrent import concurrent_latency, concurrent_rate, usable_control
from .evidence import BEFORE_AFTER, BETTER, CONCURRENT, NOT_ENOUGH, SAME, WORSE, Evidence, Side
from .short_history import short_history
from .thresholds import ALPHA, alpha_for, z_star

__all__ = [
    "Evidence",
    "Side",
    "alpha_for",
    "before_after",
    "concurrent_latency",
    "concurrent_rate",
    "e_bh",
    "short_history",
    "usable_control",
    "verdict",
    "z_star",
]

HEALTHY, WATCH, REGRESSED = "healthy", "watch", "regressed"


def verdict(evidences: Sequence[Evidence], incidents_open: int = 0) -> tuple[str, ...]:
    """The word for a release, then its reasons as "code:measure:method" or "incidents:count".

    regressed:  a measure is worse and stays so. Codes: worse.
    watch:      worse but over again (transient), moved while the old release moved alike (shared), or people
                report incidents (incidents).
    not_enough: nothing could be judged. healthy: something could, and nothing is worse.
    Improvements (better) are told and never change the word.
    """
    regressed, watched, told = [], [], []
    for found in evidences:
        reason = f"{found.measure}:{found.method}"
        if found.status == WORSE and found.transient:
            watched.append(f"transient:{reason}")
        elif found.status == WORSE and _is_shared(found, evidences):
            watched.append(f"shared:{reason}")
        elif found.status == WORSE:
            regressed.append(f"worse:{reason}")
        elif found.status in (BETTER, NOT_ENOUGH):
            told.append(f"{found.status}:{reason}")
    if incidents_open > 0:
        watched.append(f"incidents:{incidents_open}")
    reasons = (*regressed, *watched, *told)
    if regressed:
        return REGRESSED, *reasons
    if watched:
        return WATCH, *reasons
    if any(found.status in (SAME, BETTER) for found in evidences):
        return HEALTHY, *reasons
    return NOT_ENOUGH, *reasons


def e_bh(e_values: Sequence[float], alpha: float = ALPHA) -> list[bool]:
    """Which e-values to flag at false discovery rate alpha, under any dependence (Wang & Ramdas 2022)."""
    order = sorted(range(len(e_values)), key=lambda i: -e_values[i])
    size = len(order)
    last = max((k for k, i in enumerate(order, 1) if k * e_values[i] >= size / alpha), default=0)
    chosen = set(order[:last])
    return [i in chosen for i in range(size)]


def _is_shared(found: Evidence, evidences: Sequence[Evidence]) -> bool:
    """Whether a concurrent control, able to see it, shows that the old release moved alike."""
    return found.method == BEFORE_AFTER and any(
        other.method == CONCURRENT and other.measure == found.measure and other.status in (SAME, BETTER)
        for other in evidences
    )
