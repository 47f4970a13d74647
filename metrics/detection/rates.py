"""Intervals for rates, their differences and ratios.

All take a design effect `deff` ≥ 1: clustered events count as n/deff and k/deff independent ones (Kish 1965).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from .evidence import CAP, FloatArray


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval."""

    value: float
    low: float
    high: float


def z_of(level: float) -> float:
    """Two-sided normal point of a confidence level."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def wilson(k: float, n: float, *, level: float = 0.95, deff: float = 1.0) -> Interval:
    """Wilson score interval of k in n (Wilson 1927). Nothing known (n = 0): 0 to 1."""
    if n <= 0:
        return Interval(0.0, 0.0, 1.0)
    z, share, size = z_of(level), min(max(k / n, 0.0), 1.0), n / max(deff, 1.0)
    centre = share + z * z / (2 * size)
    half = z * math.sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    scale = 1 + z * z / size
    low = 0.0 if share == 0 else max(0.0, (centre - half) / scale)
    high = 1.0 if share == 1 else min(1.0, (centre + half) / scale)
    return Interval(share, low, high)


def difference(
    k_old: float, n_old: float, k_new: float, n_new: float, *, level: float = 0.95, deff: float = 1.0
) -> Interval:
    """new − old with Newcombe's hybrid score interval (Newcombe 1998, method 10)."""
    old, new = wilson(k_old, n_old, level=level, deff=deff), wilson(k_new, n_new, level=level, deff=deff)
    gap = new.value - old.value
    low = gap - math.hypot(new.value - new.low, old.high - old.value)
    high = gap + math.hypot(new.high - new.value, old.value - old.low)
    return Interval(gap, max(-1.0, low), min(1.0, high))


def ratio(
    k_old: float, n_old: float, k_new: float, n_new: float, *, level: float = 0.95, deff: float = 1.0
) -> Interval:
    """new / old with the log interval of Katz (1978); half an event added when a count is 0 (Walter 1975)."""
    if n_old <= 0 or n_new <= 0:
        return Interval(1.0, 0.0, CAP)
    deff = max(deff, 1.0)
    a, n_a, b, n_b = k_old / deff, n_old / deff, k_new / deff, n_new / deff
    if min(a, b) <= 0:
        a, n_a, b, n_b = a + 0.5, n_a + 0.5, b + 0.5, n_b + 0.5
    log_ratio = math.log(b / n_b) - math.log(a / n_a)
    half = z_of(level) * math.sqrt(max(0.0, 1 / a - 1 / n_a) + max(0.0, 1 / b - 1 / n_b))
    return Interval(_exp(log_ratio), _exp(log_ratio - half), _exp(log_ratio + half))


def ratio_of_estimates(old: Interval, new: Interval) -> Interval:
    """new / old of two positive estimates, from their own intervals (MOVER in logs; Zou & Donner 2008)."""
    if min(old.low, new.low, old.value, new.value) <= 0:
        value = new.value / old.value if old.value > 0 and new.value > 0 else 1.0
        return Interval(min(value, CAP), 0.0, CAP)
    centre = math.log(new.value / old.value)
    down = math.hypot(math.log(new.value / new.low), math.log(old.high / old.value))
    up = math.hypot(math.log(new.high / new.value), math.log(old.value / old.low))
    return Interval(_exp(centre), _exp(centre - down), _exp(centre + up))


def design_effect(bad: FloatArray, bad_sq: FloatArray | None) -> FloatArray:
    """Running design effect of clustered bad events, (buckets, strata) -> (buckets,), ≥ 1.

    When users fall on a side at random, the variance of the side's bad events is Σ x_u² p(1 − p) against
    Σ x_u p(1 − p) for independent events; so the effect is Σ x_u² / Σ x_u up to each bucket.
    """
    if bad_sq is None or not bad.size:
        return np.ones(len(bad))
    total, squares = np.cumsum(bad.sum(axis=1)), np.cumsum(bad_sq.sum(axis=1))
    return np.asarray(np.maximum(1.0, squares / np.maximum(total, 1.0)), dtype=np.float64)


def _exp(value: float) -> float:
    return min(CAP, math.exp(min(value, 50.0)))
