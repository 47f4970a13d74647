"""Before / after with hardly any history: a release an hour, or a minute, after measuring began.

No season can be learnt, so only large and immediate shifts are told: five standard errors beyond a margin
of a quarter, with the overdispersion the buckets themselves show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .evidence import (
    NOT_ENOUGH,
    SHORT_HISTORY,
    VERSION,
    VISIBLE,
    Evidence,
    FloatArray,
    Side,
    capped,
    counts,
    silent,
    status_of,
)
from .histogram import latency_change, quantile_bins, quantile_interval, slow_counts
from .histogram import quantile as quantile_of
from .rates import Interval, design_effect, ratio, ratio_of_estimates, wilson
from .thresholds import FEWEST_BAD, SHORT_MARGIN, SHORT_Z

LEAST_BUCKETS = 5
LEAST_EVENTS = 200.0
WHOLE_HISTORY_BUCKETS = 3 * 24 * 60
"""Minutes of history after which before_after takes over."""
LEAST_BLOCKS = 4
POWER_Z = 1.645
"""The stated detectable change is seen in 95 of 100 cases."""
QUANTILES = {"latency_p50": 0.50, "latency_p95": 0.95}


@dataclass(frozen=True)
class Tally:
    """Events and bad (or slow) events per bucket, shapes (buckets,), with the clustering of the bad ones."""

    n: FloatArray
    bad: FloatArray
    clustering: float


def short_history(
    before: Side,
    after: Side,
    *,
    measure: str,
    signals: int = 1,
    bad_is_up: bool = True,
    margin: float = SHORT_MARGIN,
) -> Evidence:
    """Evidence of a shift between all buckets before an instant release and those after it.

    measure: "failure_rate" compares bad among n; "latency_p50" and "latency_p95" the share of events slower
    than that quantile before; levels ("volume", "users") need days of history and are never told.
    The number of signals does not matter: five standard errors allow twenty. margin: as a share, below 1.
    """
    buckets = len(after.n)
    if measure in ("volume", "users"):
        return _silent(measure, buckets, float(max(1, WHOLE_HISTORY_BUCKETS - len(before.n))), margin)
    q = QUANTILES.get(measure)
    old, new = _tallies(before, after, q)
    missing = _missing(old, new)
    if missing > 0:
        return _silent(measure, buckets, missing, margin, old, new)
    spread = max(overdispersion(old), overdispersion(new), old.clustering, new.clustering)
    direction = 1.0 if bad_is_up or q is not None else -1.0
    z = _running_z(old, new, spread, direction, margin)
    away = _running_z(old, new, spread, -direction, margin)
    flagged = [int(i) for i in np.flatnonzero(z >= SHORT_Z)]
    mde = detectable(old, new, spread, margin)
    if q is not None and before.hist is not None:
        mde = latency_change(before.hist.sum(axis=0), q, mde)
    status = status_of(bool(flagged), bool(away[-1] >= SHORT_Z), mde)
    estimates = _estimates(before, after, old, new, q, spread)
    return _told(measure, status, old, new, estimates, z, flagged, mde, spread, direction, margin)


def overdispersion(side: Tally) -> float:
    """Variance of a side's buckets over that of independent events, ≥ 1 (quasi-binomial; Wedderburn 1974).

    The largest over blocks of 1, 2, 4, … buckets: a rate that drifts shows only in longer blocks.
    """
    worst, n, bad = 1.0, side.n, side.bad
    rate = float(bad.sum() / n.sum()) if n.sum() > 0 else 0.0
    if not 0 < rate < 1:
        return worst
    while len(n) >= LEAST_BLOCKS:
        seen = n > 0
        if seen.sum() >= LEAST_BLOCKS:
            expected = n[seen] * rate
            squares = (bad[seen] - expected) ** 2 / (expected * (1 - rate))
            worst = max(worst, float(squares.sum() / (seen.sum() - 1)))
        whole = len(n) // 2 * 2
        n, bad = (
            n[len(n) - whole :].reshape(-1, 2).sum(axis=1),
            bad[len(bad) - whole :].reshape(-1, 2).sum(axis=1),
        )
    return worst


def detectable(old: Tally, new: Tally, spread: float, margin: float = SHORT_MARGIN) -> float:
    """Smallest change of the rate seen in 95 of 100 cases: (1 + margin)·exp((z* + 1.645)·se) − 1."""
    n_old, n_new = float(old.n.sum()), float(new.n.sum())
    rate = (float(old.bad.sum()) + 0.5) / (n_old + 1)
    variance = max(0.0, (1 - rate) * (1 / max(n_old * rate, 0.5) + 1 / max(n_new * rate, 0.5)))
    return capped(
        (1 + margin) * math.exp(min((SHORT_Z + 1.645) * math.sqrt(spread * variance), 20.0)) - 1
    )


def _tallies(before: Side, after: Side, q: float | None) -> tuple[Tally, Tally]:
    if q is None:
        return _tally(before), _tally(after)
    if before.hist is None or after.hist is None or not before.hist.size or not after.hist.size:
        empty = Tally(np.zeros(0), np.zeros(0), 1.0)
        return empty, empty
    edge = int(quantile_bins(before.hist.sum(axis=0)[None, :], q)[0])
    sides = []
    for side in (before.hist, after.hist):
        slow = slow_counts(side, np.full(len(side), edge, dtype=np.int64))
        sides.append(Tally(np.asarray(side.sum(axis=1), dtype=np.float64), slow, 1.0))
    return sides[0], sides[1]


def _tally(side: Side) -> Tally:
    n, bad = counts(side.n, side.n), counts(side.bad, side.n)
    squares = None if side.bad_sq is None else counts(side.bad_sq, side.n)
    deff = design_effect(bad, squares)
    return Tally(n.sum(axis=1), bad.sum(axis=1), float(deff[-1]) if len(deff) else 1.0)


def _missing(old: Tally, new: Tally) -> float:
    """About how many more events must be seen before anything can be told; 0 when there are enough."""
    n_old, n_new = float(old.n.sum()), float(new.n.sum())
    lacking = 0.0
    if len(old.n) < LEAST_BUCKETS and n_old < LEAST_EVENTS:
        lacking = LEAST_EVENTS - n_old
    bad, n = float(old.bad.sum() + new.bad.sum()), n_old + n_new
    if bad < FEWEST_BAD:
        lacking = max(lacking, (FEWEST_BAD - bad) * (n + 1) / (bad + 0.5))
    if min(n_old, n_new) <= 0:
        lacking = max(lacking, 1.0)
    return float(math.ceil(lacking))


def _running_z(old: Tally, new: Tally, spread: float, direction: float, margin: float) -> FloatArray:
    """z of the log rate ratio beyond the margin after each bucket, shape (buckets after,)."""
    n_old, bad_old = float(old.n.sum()) + 1, float(old.bad.sum()) + 0.5
    n_new, bad_new = np.cumsum(new.n) + 1, np.cumsum(new.bad) + 0.5
    log_ratio = np.log(bad_new / n_new) - math.log(bad_old / n_old)
    variance = np.maximum(1 / bad_new - 1 / n_new, 0.0) + max(1 / bad_old - 1 / n_old, 0.0)
    z = (direction * log_ratio - math.log1p(margin)) / np.sqrt(spread * np.maximum(variance, 1e-12))
    enough = old.bad.sum() + np.cumsum(new.bad) >= FEWEST_BAD
    return np.asarray(np.where(enough & (np.cumsum(new.n) > 0), z, 0.0), dtype=np.float64)


def _estimates(
    before: Side, after: Side, old: Tally, new: Tally, q: float | None, spread: float
) -> tuple[Interval, Interval, Interval]:
    """Old, new, and new / old, in the measure's unit."""
    n_old, k_old, n_new, k_new = (float(x.sum()) for x in (old.n, old.bad, new.n, new.bad))
    if q is None or before.hist is None or after.hist is None:
        rates = [wilson(k, n, deff=spread) for k, n in ((k_old, n_old), (k_new, n_new))]
        return rates[0], rates[1], ratio(k_old, n_old, k_new, n_new, deff=spread)
    hists = before.hist.sum(axis=0), after.hist.sum(axis=0)
    found = [Interval(quantile_of(h, q), *quantile_interval(h, q, deff=spread)) for h in hists]
    return found[0], found[1], ratio_of_estimates(found[0], found[1])


def _told(
    measure: str,
    status: str,
    old: Tally,
    new: Tally,
    estimates: tuple[Interval, Interval, Interval],
    z: FloatArray,
    flagged: list[int],
    mde: float,
    spread: float,
    direction: float,
    margin: float,
) -> Evidence:
    was, now, ratios = estimates
    return Evidence(
        method=SHORT_HISTORY,
        measure=measure,
        version=VERSION,
        status=status,
        transient=bool(flagged) and _has_recovered(old, new, direction, margin),
        n_old=float(old.n.sum()),
        bad_old=float(old.bad.sum()),
        n_new=float(new.n.sum()),
        bad_new=float(new.bad.sum()),
        old=was.value,
        new=now.value,
        low=now.low,
        high=now.high,
        ratio=capped(ratios.value),
        ratio_low=capped(ratios.low),
        ratio_high=capped(ratios.high),
        evidence=capped(float(z.max())),
        threshold=SHORT_Z,
        margin=margin,
        mde=mde,
        deff=spread,
        needed=_needed(old, new, spread, margin) if status == NOT_ENOUGH else 0.0,
        first_bucket=flagged[0] if flagged else None,
        buckets=len(new.n),
        control="before",
    )


def _needed(old: Tally, new: Tally, spread: float, margin: float) -> float:
    """About how many more events until a change of VISIBLE would be seen; −1 when none would do."""
    rate = (float(old.bad.sum()) + 0.5) / (float(old.n.sum()) + 1)
    allowed = (
        (math.log((1 + VISIBLE) / (1 + margin)) / (SHORT_Z + 1.645)) ** 2 / spread / max(1 - rate, 1e-9)
    )
    left = allowed - 1 / max(float(old.bad.sum()), 0.5)
    if left <= 0:
        return -1.0
    return float(math.ceil(max(0.0, 1 / (left * rate) - float(new.n.sum()))))


def _has_recovered(old: Tally, new: Tally, direction: float, margin: float) -> bool:
    """Whether the last quarter of the buckets after the release is back within the margin."""
    tail = slice(-max(1, len(new.n) // 4), None)
    n_old, k_old, n_new, k_new = old.n.sum(), old.bad.sum(), new.n[tail].sum(), new.bad[tail].sum()
    if len(new.n) < 4 or n_new <= 0 or k_old * n_new / n_old < FEWEST_BAD / 2:
        return False
    last = math.log((k_new + 0.5) / (n_new + 1) / ((k_old + 0.5) / (n_old + 1)))
    return direction * last <= math.log1p(margin)


def _silent(
    measure: str, buckets: int, needed: float, margin: float, old: Tally | None = None, new: Tally | None = None
) -> Evidence:
    totals = (0.0, 0.0, 0.0, 0.0)
    if old is not None and new is not None:
        totals = (float(old.n.sum()), float(old.bad.sum()), float(new.n.sum()), float(new.bad.sum()))
    return silent(
        SHORT_HISTORY,
        measure,
        threshold=SHORT_Z,
        margin=margin,
        buckets=buckets,
        needed=needed,
        control="before",
        totals=totals,
    )
