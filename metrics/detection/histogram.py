"""Durations as counts in logarithmic bins: fixed edges, so that merging is adding.

After DDSketch (Masson, Rim, Lee, VLDB 2019) with a fixed range: bin i ≥ 1 holds
(SMALLEST·GAMMA^(i−1), SMALLEST·GAMMA^i] ms; bin 0 holds zero, negative and missing values.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .evidence import CAP, FloatArray

ERROR = 0.02
GAMMA = (1 + ERROR) / (1 - ERROR)
SMALLEST = 1e-3
"""ms; anything faster is told as this."""
BINS = 705
"""Up to 1.7e9 ms, nearly three weeks; anything slower is told as that. Fits a 16-bit integer."""

_LOG_GAMMA = math.log(GAMMA)
_MIDDLES: FloatArray = np.concatenate(
    ([0.0], SMALLEST * np.exp(_LOG_GAMMA * np.arange(1, BINS)) * 2 / (GAMMA + 1))
)


def bin_of(values_ms: ArrayLike) -> NDArray[np.int16]:
    """Bin of each duration in ms; any shape in, the same shape out."""
    values = np.nan_to_num(np.asarray(values_ms, dtype=np.float64), nan=0.0, posinf=1e300, neginf=0.0)
    exponent = np.log(np.maximum(values, SMALLEST) / SMALLEST) / _LOG_GAMMA
    # The small slack keeps a value that lies exactly on an edge in the bin it closes.
    bins = np.clip(np.ceil(exponent - 1e-9), 1, BINS - 1)
    return np.where(values > 0, bins, 0).astype(np.int16)


def value_of(bins: ArrayLike) -> FloatArray:
    """The duration in ms told for each bin: within ERROR of everything the bin holds."""
    return np.asarray(_MIDDLES[np.clip(np.asarray(bins, dtype=np.int64), 0, BINS - 1)], dtype=np.float64)


def histogram(values_ms: ArrayLike) -> FloatArray:
    """Counts per bin, shape (BINS,), of durations in ms."""
    return np.bincount(bin_of(values_ms).ravel(), minlength=BINS).astype(np.float64)


def merge(*hists: FloatArray) -> FloatArray:
    """The histogram of all events together: exact, because all share the edges."""
    total = np.zeros_like(np.asarray(hists[0], dtype=np.float64))
    for hist in hists:
        total = total + hist
    return total


def quantile(hist: FloatArray, q: float) -> float:
    """The q-quantile in ms (lower rank ⌊q(n−1)⌋) of counts per bin, shape (bins,); 0 when empty."""
    cumulated = np.cumsum(hist)
    total = float(cumulated[-1]) if cumulated.size else 0.0
    if total <= 0:
        return 0.0
    return _at_rank(cumulated, math.floor(q * (total - 1)) if total > 1 else 0)


def quantile_interval(
    hist: FloatArray, q: float, *, level: float = 0.95, deff: float = 1.0
) -> tuple[float, float]:
    """Distribution-free interval of the q-quantile in ms from binomial order statistics.

    Coverage is at least `level` (Conover, Practical Nonparametric Statistics, 3.2) up to the width of a
    bin. deff > 1 counts every deff events as one.
    """
    cumulated = np.cumsum(hist)
    total = float(cumulated[-1]) if cumulated.size else 0.0
    if total <= 0:
        return 0.0, 0.0
    effective = max(1, round(total / max(deff, 1.0)))
    lower, upper = order_ranks(effective, q, level=level)
    stretch = total / effective
    low = _at_rank(cumulated, min(max((lower - 1) * stretch, 0.0), total - 1))
    high = _at_rank(cumulated, min(max((upper - 1) * stretch, 0.0), total - 1))
    return low, high


def order_ranks(n: int, q: float, *, level: float = 0.95) -> tuple[int, int]:
    """1-based ranks (l, u) with P(X₍l₎ ≤ q-quantile ≤ X₍u₎) ≥ level where 1 ≤ l, u ≤ n allow it."""
    sd = math.sqrt(n * q * (1 - q))
    first, last = max(0, math.floor(n * q - 12 * sd - 12)), min(n, math.ceil(n * q + 12 * sd + 12))
    k = np.arange(first, last + 1, dtype=np.float64)
    # pmf by the ratio of neighbours: no log-gamma, and exact far beyond any table.
    steps = np.log((n - k[:-1]) / (k[:-1] + 1)) + math.log(q / (1 - q))
    log_pmf = np.concatenate(([0.0], np.cumsum(steps)))
    pmf = np.exp(log_pmf - log_pmf.max())
    cdf = np.cumsum(pmf) / pmf.sum()
    tail = (1 - level) / 2
    lower = first + int(np.searchsorted(cdf, tail))
    upper = first + int(np.searchsorted(cdf, 1 - tail)) + 1
    return max(lower, 1), min(upper, n)


def _at_rank(cumulated: FloatArray, rank: float) -> float:
    """The value at a 0-based rank."""
    return float(value_of(min(int(np.searchsorted(cumulated, rank, side="right")), len(cumulated) - 1)))


def slow_counts(hists: FloatArray, edge: NDArray[np.int64]) -> FloatArray:
    """Events in bins above `edge`, per row: hists (buckets, bins), edge (buckets,) -> (buckets,)."""
    above = np.arange(hists.shape[1])[None, :] > edge[:, None]
    return np.asarray((hists * above).sum(axis=1), dtype=np.float64)


def quantile_bins(hists: FloatArray, q: float) -> NDArray[np.int64]:
    """Bin that holds the q-quantile of each row, (buckets, bins) -> (buckets,)."""
    cumulated = np.cumsum(hists, axis=1)
    reached = cumulated >= q * cumulated[:, -1:]
    return np.asarray(np.argmax(reached, axis=1), dtype=np.int64)


def latency_change(hist: FloatArray, q: float, share_change: float) -> float:
    """The change of the q-quantile itself that makes (1 + share_change) times as many events slow."""
    at, deeper = quantile(hist, q), quantile(hist, max(0.0, 1 - (1 - q) * (1 + share_change)))
    if deeper <= 0 or (1 - q) * (1 + share_change) >= 1:
        return CAP
    return min(CAP, max(at / deeper - 1, 0.0))
