"""What a series would have been without the release: seasonal baselines and autoregressive whitening."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .evidence import FloatArray

DAY_S = 86_400
ORDER = 6
"""Order of the autoregression."""
MEMORY = ORDER + 1
"""Buckets after which a step leaves the same trace in every further one."""
RIDGE = 0.01
"""Ridge penalty relative to the mean diagonal of the normal equations."""
LONGEST_MEMORY = 0.98
"""Largest Σφ kept; nearer to 1 the series has no level to step from."""
LEAST_WEIGHT = 0.02
DAYS = 7
NEIGHBOURS = 1
WEEKLY_HISTORY_DAYS = 17


@dataclass(frozen=True)
class Whitened:
    """A series freed of its baseline and its memory.

    name:     the baseline.
    expected: baseline in log units, shape (length,).
    start:    index from which the residuals are defined.
    noise:    one-step prediction errors e from `start`, shape (length − start,).
    weights:  trace h that a unit step leaves in e, shape (horizon,).
    """

    name: str
    expected: FloatArray
    start: int
    noise: FloatArray
    weights: FloatArray


def baselines(y: FloatArray, release: int, bucket_s: int) -> dict[str, tuple[FloatArray, int]]:
    """Candidate baselines of a log series, each with the index from which it is defined.

    y has shape (length,), its first `release` buckets lie before the release. A bucket's baseline uses
    earlier buckets only; `flat` is the median before the release.
    """
    day = max(1, round(DAY_S / bucket_s))
    flat = np.full_like(y, np.median(y[:release]))
    found = {"flat": (flat, 0)}
    if release >= 2 * day:
        found["yesterday"] = (_around(y, (day,), 0), day)
        found["daily"] = (_daily(y, day), 2 * day)
    if release >= WEEKLY_HISTORY_DAYS * day:
        found["weekly"] = (_around(y, (7 * day, 14 * day), NEIGHBOURS), 14 * day)
    return found


def _around(y: FloatArray, lags: tuple[int, ...], neighbours: int) -> FloatArray:
    """Median over the lags and their neighbouring buckets; 0 where the longest lag does not reach."""
    # A neighbour may not reach past the bucket itself when a day is only a few buckets long.
    near = min(neighbours, max(0, min(lags) // 12))
    first = max(lags)
    windows = [_shifted(y, lag + step, first) for lag in lags for step in range(-near, near + 1)]
    expected = np.zeros_like(y)
    expected[first:] = _median(np.stack(windows))
    return expected


def _median(rows: FloatArray) -> FloatArray:
    """Of each column; much faster than numpy's for many short columns."""
    ordered, middle = np.sort(rows, axis=0), len(rows) // 2
    return ordered[middle] if len(rows) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _shifted(y: FloatArray, lag: int, first: int) -> FloatArray:
    """y at (t − lag) for t ≥ first, the first value standing in for what lies before the series."""
    index = np.maximum(np.arange(first, len(y)) - lag, 0)
    return np.asarray(y[index], dtype=np.float64)


def _daily(y: FloatArray, day: int) -> FloatArray:
    """Median of the same slot ± NEIGHBOURS over up to DAYS earlier days."""
    expected = np.zeros_like(y)
    for days in range(2, DAYS + 1):
        begin, end = days * day, (days + 1) * day if days < DAYS else len(y)
        end = min(end, len(y))
        if begin < end:
            lags = tuple(day * d for d in range(1, days + 1))
            expected[begin:end] = _around(y[:end], lags, NEIGHBOURS)[begin:end]
    return expected


def whiten(
    name: str, y: FloatArray, expected: FloatArray, start: int, release: int, horizon: int
) -> Whitened:
    """Residuals from a baseline, whitened by an autoregression fitted before the release.

    Ridge AR(ORDER) on residuals clipped at ± 4 robust standard deviations; e = r − Σ φⱼ r₍t−j₎. The clip
    keeps past incidents from teaching the model that errors last.
    """
    r = y[start:] - expected[start:]
    known = r[: release - start]
    phi = _autoregression(known)
    noise = r.copy()
    for lag, weight in enumerate(phi, start=1):
        noise[lag:] -= weight * r[:-lag]
    remaining = 1.0 - np.concatenate(([0.0], np.cumsum(phi)))
    weights = np.full(horizon, max(LEAST_WEIGHT, float(remaining[-1])))
    head = min(horizon, len(remaining))
    weights[:head] = np.maximum(LEAST_WEIGHT, remaining[:head])
    return Whitened(name, expected, start + ORDER, noise[ORDER:], weights)


def _autoregression(r: FloatArray) -> FloatArray:
    """Coefficients φ₁..φ_ORDER of a ridge autoregression without intercept."""
    centre = _median(r)
    spread = 1.4826 * _median(np.abs(r - centre)) or float(np.std(r))
    if len(r) < 4 * ORDER or spread <= 1e-12:
        return np.zeros(ORDER)
    clipped = np.clip(r, centre - 4 * spread, centre + 4 * spread)
    windows = sliding_window_view(clipped, ORDER + 1)
    past, now = windows[:, :ORDER][:, ::-1], windows[:, ORDER]
    gram = past.T @ past
    penalty = RIDGE * np.trace(gram) / ORDER + 1e-12
    phi = np.linalg.solve(gram + penalty * np.eye(ORDER), past.T @ now)
    memory = float(phi.sum())
    if memory > LONGEST_MEMORY:
        phi = phi * (LONGEST_MEMORY / memory)
    return np.asarray(phi, dtype=np.float64)
