"""What a detector is given and what it answers. Plain values, comparable across methods and releases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]

VERSION = 1
"""Version of the algorithms and their constants. Stored with every evidence; raise it with any change."""

WORSE, BETTER, SAME, NOT_ENOUGH = "worse", "better", "same", "not_enough"
CONCURRENT, BEFORE_AFTER, SHORT_HISTORY = "concurrent", "before_after", "short_history"
FAULTS = "faults"
"""The comparison of an error group with older releases, by their order (faults.py)."""

Z95 = 1.959963984540054
"""Two-sided 95 % point of the normal distribution."""

CAP = 1e6
"""Stands for "unbounded" in ratios and detectable changes, so that every field stays finite."""

VISIBLE = 1.0
"""Without a flag, "same" is said only when a change of this size (1.0 = a doubling) would have been seen."""


@dataclass(frozen=True)
class Side:
    """One release in one environment, bucket by bucket; both sides of a comparison share the buckets.

    n, bad:  counts, shape (buckets,) or (buckets, strata).
    bad_sq:  same shape; increments per bucket of the running sum over users of (bad events of that user)²
             within a day. Says how clustered bad events are. None: events are taken as independent.
    hist:    counts per duration bin (see histogram.bin_of), shape (buckets, bins), or None.
    """

    n: FloatArray
    bad: FloatArray
    bad_sq: FloatArray | None = None
    hist: FloatArray | None = None


@dataclass(frozen=True)
class Evidence:
    """The answer of one method about one measure of one release. Every number is finite.

    n_*, bad_*:       events and bad events on each side (latency: events and slow events; gauges: 0).
    old, new:         estimates in the measure's unit (rate 0..1, ms, count per bucket); `old` is what the
                      control or the baseline expected in the same buckets.
    low, high:        95 % interval of `new`; ratio_low, ratio_high: 95 % interval of ratio = new / old.
    evidence:         the largest reached, against `threshold`: E against 1/α, or z against z*.
    margin:           changes up to this ratio (0.1 = 10 %) never count as worse.
    mde:              smallest change (0.31 = 31 %) the method would see.
    deff:             design effect used: variance over that of independent events, ≥ 1.
    needed:           when not_enough: about how many more events (before_after: buckets); 0 when there is
                      enough; −1 when waiting will not help.
    first_bucket:     0-based index after the release of the first flagged bucket, or None.
    transient:        flagged, but the last quarter of the window is back within the margin.
    """

    method: str
    measure: str
    version: int
    status: str
    transient: bool
    n_old: float
    bad_old: float
    n_new: float
    bad_new: float
    old: float
    new: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    evidence: float
    threshold: float
    margin: float
    mde: float
    deff: float
    needed: float
    first_bucket: int | None
    buckets: int
    control: str = ""
    """Which control was used: strata or plain pooling, or the name of the baseline."""


def silent(
    method: str,
    measure: str,
    *,
    threshold: float,
    margin: float,
    buckets: int,
    needed: float,
    control: str = "",
    totals: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
) -> Evidence:
    """Evidence that says nothing yet; totals are n_old, bad_old, n_new, bad_new."""
    n_old, bad_old, n_new, bad_new = totals
    return Evidence(
        method=method,
        measure=measure,
        version=VERSION,
        status=NOT_ENOUGH,
        transient=False,
        n_old=n_old,
        bad_old=bad_old,
        n_new=n_new,
        bad_new=bad_new,
        old=0.0,
        new=0.0,
        low=0.0,
        high=0.0,
        ratio=1.0,
        ratio_low=0.0,
        ratio_high=CAP,
        evidence=0.0,
        threshold=threshold,
        margin=margin,
        mde=CAP,
        deff=1.0,
        needed=needed,
        first_bucket=None,
        buckets=buckets,
        control=control,
    )


def capped(value: float) -> float:
    """The value, with infinities at ±CAP and NaN at 0."""
    return float(np.clip(np.nan_to_num(value, nan=0.0, posinf=CAP, neginf=-CAP), -CAP, CAP))


def status_of(is_worse: bool, is_better: bool, mde: float) -> str:
    """Status of a judged measure; without a flag, "same" needs a method that would have seen VISIBLE."""
    if is_worse:
        return WORSE
    if is_better:
        return BETTER
    return SAME if mde <= VISIBLE else NOT_ENOUGH


def counts(values: FloatArray | None, like: FloatArray) -> FloatArray:
    """Counts as (buckets, strata), missing and negative entries as 0; shape of `like` when None."""
    array = np.zeros_like(like, dtype=np.float64) if values is None else np.asarray(values, dtype=np.float64)
    array = np.maximum(np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0), 0.0)
    return array.reshape(len(array), -1) if array.size else np.zeros((0, 1))
