"""Series in log units, as the before/after method wants them: merged until counts are large enough."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .evidence import FloatArray

MERGE_S = (300, 900, 3600)
ENOUGH_BAD = 5.0
ENOUGH_EVENTS = 20.0
PRIOR = 3.0
"""Expected bad events added to both observed and expected ones: steadies small counts."""
OFFSET = 0.02
"""Share of the median added to a gauge before its logarithm."""


@dataclass(frozen=True)
class LogSeries:
    """y: log series, shape (length,), the first `release` buckets before the release.

    bucket_s: seconds per (merged) bucket; factor: original buckets per merged one.
    unit:     for rates the overall rate, so that level = unit·exp(y); offset: what log_gauge added.
    shrinkage: what was added to a typical bucket, relative to it: a change of the measure by a ratio ρ shows
              in y as log((ρ + shrinkage) / (1 + shrinkage)).
    """

    y: FloatArray
    release: int
    bucket_s: int
    factor: int
    unit: float
    offset: float
    is_known: bool
    shrinkage: float = 0.0
    n_old: float = 0.0
    bad_old: float = 0.0
    n_new: float = 0.0
    bad_new: float = 0.0

    @property
    def length(self) -> int:
        return len(self.y)

    def ratio_of(self, step: float) -> float:
        """The change of the measure, as a ratio ≥ 0, that a step in y tells of."""
        shown = math.exp(min(max(step, -13.0), 13.0))
        return max(0.0, shown * (1 + self.shrinkage) - self.shrinkage)

    def level(self, expected: FloatArray) -> float:
        """The typical value, in the measure's unit, of baseline values in log units."""
        if not len(expected):
            return 0.0
        return max(0.0, self.unit * math.exp(min(float(np.mean(expected)), 600.0)) - self.offset)


def log_gauge(pre: FloatArray, post: FloatArray, bucket_s: int, *, is_count: bool = False) -> LogSeries:
    """y = log(x + 2 % of the median before the release); missing values take the last known one.

    Counts (is_count) are averaged over merged buckets until a typical one holds ENOUGH_EVENTS.
    """
    before, after = _filled(pre), _filled(post)
    before, after = _bridged(before), _bridged(after)
    is_known = len(before) > 0 and bool(np.isfinite(before).all() and np.isfinite(after).all())
    if not is_known:
        return LogSeries(np.zeros(len(before) + len(after)), len(before), bucket_s, 1, 1.0, 0.0, False)
    typical = float(np.median(before)) if is_count else math.inf
    factor = _factor(bucket_s, lambda times: typical * times >= ENOUGH_EVENTS)
    before, after = _merged(before, factor, head=False) / factor, _merged(after, factor, head=True) / factor
    before, after = np.maximum(before, 0.0), np.maximum(after, 0.0)
    scale = float(np.median(before)) or float(np.mean(before)) if len(before) else 0.0
    is_known = scale > 0 and len(before) > 0
    offset = OFFSET * scale if is_known else 1.0
    y = np.log(np.concatenate((before, after)) + offset)
    return LogSeries(y, len(before), bucket_s * factor, factor, 1.0, offset, is_known, OFFSET)


def log_counts(
    pre_n: FloatArray, pre_bad: FloatArray, post_n: FloatArray, post_bad: FloatArray, bucket_s: int
) -> LogSeries:
    """y = log((k + 3) / (n·p̄ + 3)), p̄ the rate before the release.

    Buckets are merged until a typical one expects ENOUGH_BAD bad events.
    """
    n0, k0, n1, k1 = (
        np.nan_to_num(np.asarray(a, dtype=np.float64)) for a in (pre_n, pre_bad, post_n, post_bad)
    )
    rate = float(k0.sum() / n0.sum()) if n0.sum() > 0 else 0.0
    typical = float(np.median(n0[n0 > 0])) * rate if (n0 > 0).any() else 0.0
    factor = _factor(bucket_s, lambda times: typical * times >= ENOUGH_BAD)
    n = np.concatenate((_merged(n0, factor, head=False), _merged(n1, factor, head=True)))
    k = np.concatenate((_merged(k0, factor, head=False), _merged(k1, factor, head=True)))
    return LogSeries(
        y=np.log((k + PRIOR) / (n * rate + PRIOR)),
        release=len(n0) // factor,
        bucket_s=bucket_s * factor,
        factor=factor,
        unit=rate,
        offset=0.0,
        is_known=rate > 0,
        shrinkage=PRIOR / max(typical * factor, 1e-3),
        n_old=float(n0.sum()),
        bad_old=float(k0.sum()),
        n_new=float(n1.sum()),
        bad_new=float(k1.sum()),
    )


def _factor(bucket_s: int, is_enough: object) -> int:
    """How many buckets to merge: the shortest of MERGE_S with enough in it, else the longest."""
    assert callable(is_enough)
    longer = [s // bucket_s for s in MERGE_S if s >= bucket_s and s % bucket_s == 0] or [1]
    return next((times for times in longer if is_enough(times)), longer[-1])


def _merged(x: FloatArray, factor: int, *, head: bool) -> FloatArray:
    """Sums of `factor` buckets, counted from the release outwards; an incomplete last group is left out."""
    whole = len(x) // factor * factor
    kept = x[:whole] if head else x[len(x) - whole :]
    return np.asarray(kept.reshape(-1, factor).sum(axis=1), dtype=np.float64)


def _filled(x: FloatArray) -> FloatArray:
    return np.where(np.isfinite(x), x, np.nan).astype(np.float64) if len(x) else np.zeros(0)


def _bridged(x: FloatArray) -> FloatArray:
    """Missing values replaced by the last known one; NaN everywhere when half are missing."""
    missing = np.isnan(x)
    if not len(x) or not missing.any():
        return x
    if missing.mean() > 0.5:
        return np.full_like(x, np.nan)
    index = np.where(missing, -1, np.arange(len(x)))
    index = np.maximum.accumulate(index)
    index[index < 0] = int(np.flatnonzero(~missing)[0])
    return np.asarray(x[index], dtype=np.float64)
