"""Before / after a release without a control: a whitened seasonal step against its own placebo.

The step is measured as if released at every earlier moment too; the spread of those placebo steps is the
scale. It carries autocorrelation, overdispersion and whatever season the baseline left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .baseline import DAY_S, MEMORY, Whitened, baselines, whiten
from .evidence import (
    BEFORE_AFTER,
    CAP,
    NOT_ENOUGH,
    VERSION,
    VISIBLE,
    Z95,
    Evidence,
    FloatArray,
    capped,
    silent,
    status_of,
)
from .series import LogSeries, log_counts, log_gauge
from .thresholds import GAUGE_MARGIN, RATE_MARGIN, z_star

HISTORY_DAYS = 3
LEAST_BUCKETS = 2
MIN_NEFF = 2.0
CHOICE_S = (900, 1800, 3600, 7200, 14_400, 21_600)
"""Windows over which baselines compete, s."""
MDE_S = 3600
PATIENCE = 0.1
"""How much dearer each e-fold of hours after the first makes a flag: looks add up, true steps show early."""
POWER_Z = 0.5
"""Added to z* in the stated change; measured: ≥ 95 % of such changes are flagged within a day."""
GRID = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 240, 288, 384, 576, 1440)
"""Windows in buckets at which the placebo scale is measured; between them it is interpolated in logs."""

_T99_OVER_NORMAL = (
    (2, 2.9940),
    (3, 1.9519),
    (4, 1.6107),
    (5, 1.4465),
    (6, 1.3510),
    (8, 1.2451),
    (10, 1.1881),
    (15, 1.1189),
    (20, 1.0868),
    (30, 1.0564),
    (60, 1.0275),
    (120, 1.0136),
)
"""t_{.99, df} / 2.326, from tables."""
_T99_INVERSE = [0.0] + [1 / d for d, _ in reversed(_T99_OVER_NORMAL)]
_T99_FACTOR = [1.0] + [f for _, f in reversed(_T99_OVER_NORMAL)]


@dataclass(frozen=True)
class Steps:
    """Steps D_T in log units and their placebo scale s_T for T = 1..len buckets; s is inf where unknown."""

    step: FloatArray
    scale: FloatArray


def before_after(
    pre: FloatArray,
    post: FloatArray,
    *,
    bucket_s: int,
    direction: int,
    measure: str,
    signals: int = 1,
    pre_n: FloatArray | None = None,
    pre_bad: FloatArray | None = None,
    post_n: FloatArray | None = None,
    post_bad: FloatArray | None = None,
    margin: float | None = None,
) -> Evidence:
    """Evidence that a series stepped at its release.

    pre, post:  gauge values per bucket, shapes (before,), (after,); ignored when counts are given.
    bucket_s:   seconds per bucket. direction: 1 up is bad, −1 down is bad, 0 either is.
    *_n, *_bad: events and bad events per bucket, same shapes, for rates. margin: another one, as a share.
    The window ends a day after the release; what follows is the next day's question.
    """
    if pre_n is not None and pre_bad is not None and post_n is not None and post_bad is not None:
        series, usual = log_counts(pre_n, pre_bad, post_n, post_bad, bucket_s), RATE_MARGIN
    else:
        series, usual = log_gauge(pre, post, bucket_s, is_count=measure in ("volume", "users")), GAUGE_MARGIN
    margin = usual if margin is None else margin
    threshold, day = z_star(signals), DAY_S // series.bucket_s
    buckets = len(post) if post_n is None else len(post_n)
    history = HISTORY_DAYS * day - series.release
    if history > 0 or series.length <= series.release + LEAST_BUCKETS - 1 or not series.is_known:
        missing = history if history > 0 else LEAST_BUCKETS - (series.length - series.release)
        return silent(
            BEFORE_AFTER,
            measure,
            threshold=threshold,
            margin=margin,
            buckets=buckets,
            needed=float(missing * series.factor) if series.is_known or not series.release else -1.0,
        )
    white, placebo = choose(series)
    steps = measure_steps(white, placebo, series.release, min(series.length - series.release, day))
    return _judge(series, white, placebo, steps, direction, measure, margin, threshold, buckets)


class Placebo:
    """The steps at every bucket before the release, where nothing was released: the scale of what happens anyway."""

    def __init__(self, white: Whitened, release: int) -> None:
        self._known = white.noise[: release - white.start]
        self._weights = white.weights
        self._sums = np.concatenate(([0.0], np.cumsum(self._known)))
        self._scales: dict[int, float] = {}

    def scale(self, window: int) -> float:
        """s_T: robust scale of the step over `window` buckets, widened for heavy tails and few windows.

        max(1.48·MAD, q95/1.96, q98/2.326) of |D| × t_{.99, history/T} / 2.326; inf when history is too short.
        """
        if window not in self._scales:
            self._scales[window] = self._measure(window)
        return self._scales[window]

    def _measure(self, window: int) -> float:
        effective = len(self._known) / window
        if effective < MIN_NEFF:
            return math.inf
        h = self._weights[:window]
        steps = np.sort(np.abs(self._correlate(window))) / float(h @ h)
        middle, q95, q98 = (_quantile(steps, q) for q in (0.5, 0.95, 0.98))
        spread = max(1.4826 * middle, q95 / Z95, q98 / 2.3263, 1e-6)
        return spread * t99_over_normal(effective)

    def _correlate(self, window: int) -> FloatArray:
        """Σ hᵢ e₍t+i₎ at each t; beyond MEMORY all weights are one, so that running sums will do."""
        if window <= MEMORY:
            return np.correlate(self._known, self._weights[:window], mode="valid")
        rest = float(self._weights[window - 1])
        head = self._head[: len(self._known) - window + 1]
        return head + rest * (self._sums[window:] - self._sums[:-window])

    @cached_property
    def _head(self) -> FloatArray:
        """What the first weights add to the last one."""
        return np.correlate(self._known, self._weights[:MEMORY] - self._weights[-1], mode="valid")


def choose(series: LogSeries) -> tuple[Whitened, Placebo]:
    """The baseline with the least geometric mean of s_T over CHOICE_S."""
    day = max(LEAST_BUCKETS, DAY_S // series.bucket_s)
    windows = sorted({max(LEAST_BUCKETS, round(s / series.bucket_s)) for s in CHOICE_S})
    best: tuple[float, Whitened, Placebo] | None = None
    for name, (expected, start) in baselines(series.y, series.release, series.bucket_s).items():
        white = whiten(name, series.y, expected, start, series.release, day)
        placebo = Placebo(white, series.release)
        scales = np.array([placebo.scale(t) for t in windows])
        known = scales[np.isfinite(scales)]
        cost = float(np.mean(np.log(known))) if len(known) else math.inf
        if best is None or cost < best[0]:
            best = (cost, white, placebo)
    assert best is not None
    return best[1:]


def _quantile(ordered: FloatArray, q: float) -> float:
    """Linear between the two nearest of ascending values."""
    at = q * (len(ordered) - 1)
    low = int(at)
    below, above = float(ordered[low]), float(ordered[min(low + 1, len(ordered) - 1)])
    return below + (above - below) * (at - low)


def t99_over_normal(df: float) -> float:
    """t_{.99, df} / 2.326 for df ≥ 2, interpolated in 1/df."""
    return float(np.interp(1 / max(df, MIN_NEFF), _T99_INVERSE, _T99_FACTOR))


def measure_steps(white: Whitened, placebo: Placebo, release: int, buckets: int) -> Steps:
    """D_T and s_T after the release for T = 1..buckets."""
    after = white.noise[release - white.start :][:buckets]
    h = white.weights[:buckets]
    step = np.cumsum(h * after) / np.cumsum(h * h)
    grid = np.array([t for t in GRID if t < buckets] + [max(buckets, LEAST_BUCKETS)])
    measured = np.array([placebo.scale(int(t)) for t in grid])
    known = np.isfinite(measured)
    scale = np.full(buckets, math.inf)
    if known.any():
        sizes = np.arange(1, buckets + 1)
        fill = np.exp(np.interp(np.log(sizes), np.log(grid[known]), np.log(measured[known])))
        scale = np.where((sizes >= LEAST_BUCKETS) & (sizes <= grid[known].max()), fill, math.inf)
    return Steps(step, scale)


def _judge(
    series: LogSeries,
    white: Whitened,
    placebo: Placebo,
    steps: Steps,
    direction: int,
    measure: str,
    margin: float,
    threshold: float,
    buckets: int,
) -> Evidence:
    allowed = math.log1p(margin)
    toward = np.abs(steps.step) if direction == 0 else direction * steps.step
    scale = steps.scale * patience(len(steps.scale), series.bucket_s)
    z, away = (toward - allowed) / scale, (-toward - allowed) / scale
    flagged = np.flatnonzero(z >= threshold)
    mde = detectable(placebo, series, direction, margin, threshold)
    transient = bool(len(flagged)) and _has_recovered(series, white, direction, allowed)
    status = status_of(bool(len(flagged)), bool(away[-1] >= threshold), mde)
    first = min((int(flagged[0]) + 1) * series.factor, buckets) - 1 if len(flagged) else None
    old, low, ratio, high = _estimate(series, white, steps)
    return Evidence(
        method=BEFORE_AFTER,
        measure=measure,
        version=VERSION,
        status=status,
        transient=transient,
        n_old=series.n_old,
        bad_old=series.bad_old,
        n_new=series.n_new,
        bad_new=series.bad_new,
        old=old,
        new=capped_value(old * ratio),
        low=capped_value(old * low),
        high=capped_value(old * high),
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
        evidence=capped(float(np.max(z))),
        threshold=threshold,
        margin=margin,
        mde=mde,
        deff=1.0,
        needed=_needed(series, placebo, direction, margin, threshold) if status == NOT_ENOUGH else 0.0,
        first_bucket=first,
        buckets=buckets,
        control=white.name,
    )


def patience(buckets: int, bucket_s: int) -> FloatArray:
    """Factor on z* after each bucket, shape (buckets,): 1 in the first hour, then 1 + PATIENCE·log(hours)."""
    hours = np.arange(1, buckets + 1) * bucket_s / 3600
    return np.asarray(1 + PATIENCE * np.log(np.maximum(1.0, hours)), dtype=np.float64)


def _estimate(series: LogSeries, white: Whitened, steps: Steps) -> tuple[float, float, float, float]:
    """What the baseline expected, in the measure's unit, and the ratio to it: low, estimate, high (95 %)."""
    judged = np.flatnonzero(np.isfinite(steps.scale))
    last = int(judged[-1]) if len(judged) else 0
    step, scale = float(steps.step[last]), min(float(steps.scale[last]), CAP)
    old = series.level(white.expected[series.release : series.release + last + 1])
    low, ratio, high = (series.ratio_of(step + k * Z95 * scale) for k in (-1, 0, 1))
    return old, low, ratio, high


def capped_value(value: float) -> float:
    """A measured value kept finite; unlike a ratio it may be large."""
    return min(value, 1e300)


def detectable(
    placebo: Placebo, series: LogSeries, direction: int, margin: float, threshold: float, seconds: int = MDE_S
) -> float:
    """Smallest change seen within `seconds`: (1 + margin)·exp((z* + ½)·s) − 1, or the like fall below 1."""
    scale = placebo.scale(max(LEAST_BUCKETS, round(seconds / series.bucket_s)))
    step = math.log1p(margin) + (threshold + POWER_Z) * scale
    if direction < 0:
        return 1 - series.ratio_of(-step)
    times = series.ratio_of(step)
    return capped(times - 1)


def _needed(series: LogSeries, placebo: Placebo, direction: int, margin: float, threshold: float) -> float:
    """Buckets until a doubling would be seen; −1 when a whole day will not do."""
    elapsed = series.length - series.release
    for hours in (1, 2, 3, 4, 6, 8, 12, 16, 24):
        window = round(hours * 3600 / series.bucket_s)
        if detectable(placebo, series, direction, margin, threshold, hours * 3600) <= VISIBLE:
            return float(max(0, window - elapsed) * series.factor)
    return -1.0


def _has_recovered(series: LogSeries, white: Whitened, direction: int, allowed: float) -> bool:
    """Whether the last quarter of the window is back within the margin of the baseline."""
    r = series.y[series.release :] - white.expected[series.release :]
    quarter = r[-max(1, len(r) // 4) :]
    centre = float(np.median(quarter))
    return len(r) >= 4 * LEAST_BUCKETS and (abs(centre) if direction == 0 else direction * centre) <= allowed
