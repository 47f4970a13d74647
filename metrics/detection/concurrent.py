"""Concurrent control: old and new release side by side, watched all the time.

Given m bad events in a bucket, those of the new release are Bin(m, θ·n_new / (n_old + θ·n_new)) under a rate
ratio θ, whatever season or shared incident moved m. A mean of likelihood ratios over several θ is an
e-process: it exceeds 1/α under θ ≤ θ₀ with probability ≤ α however often one looks (Ville 1939).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .evidence import (
    CAP,
    CONCURRENT,
    NOT_ENOUGH,
    SAME,
    VERSION,
    VISIBLE,
    Z95,
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
from .thresholds import FEWEST_BAD, alpha_for

ALTERNATIVES = (0.15, 0.25, 0.5, 1.0, 2.0, 4.0, 9.0)
"""δ: the alternatives are rate ratios θ₀(1 + δ)."""
PRIOR = (3 / 11, 4 / 11, 2 / 11, 1 / 11, 0.6 / 11, 0.3 / 11, 0.1 / 11)
"""Weight of each alternative, summing to 1: large changes show themselves soon enough with little."""
MARGIN_PLAIN = 0.25
MARGIN_STRATIFIED = 0.10
MARGIN_RANDOMISED = 0.0
POWER_Z = 1.645
"""The stated detectable change is seen in 95 of 100 cases."""
LEAST_SHARE = 0.05
"""Least share of the traffic that the old release must still have to serve as a control."""


@dataclass(frozen=True)
class Counts:
    """Both sides of a comparison, shapes (buckets, strata), and the running design effect (buckets,)."""

    n_old: FloatArray
    bad_old: FloatArray
    n_new: FloatArray
    bad_new: FloatArray
    deff: FloatArray

    @property
    def totals(self) -> tuple[float, float, float, float]:
        """n_old, bad_old, n_new, bad_new."""
        return (
            float(self.n_old.sum()),
            float(self.bad_old.sum()),
            float(self.n_new.sum()),
            float(self.bad_new.sum()),
        )

    def swapped(self) -> Counts:
        return Counts(self.n_new, self.bad_new, self.n_old, self.bad_old, self.deff)


def concurrent_rate(
    old: Side,
    new: Side,
    *,
    bad_is_up: bool = True,
    signals: int = 1,
    stratified: bool = False,
    randomised: bool = False,
    measure: str = "failure_rate",
    margin: float | None = None,
    people: Sequence[float] = (),
) -> Evidence:
    """Evidence that a rate of the new release differs from that of the old one in the same buckets.

    bad_is_up:   False when fewer of the counted events is worse (completed orders, say).
    stratified:  the strata make both sides comparable; early adopters bias a plain comparison, so its
                 margin is wider. randomised: chance alone decided who got the new release; no margin.
    margin:      another one, as a share.
    people:      where bad counts people and n only what they did: (of the old release, bad ones, of the new, bad ones);
                 told in place of the sums.
    """
    if margin is None:
        margin = MARGIN_RANDOMISED if randomised else MARGIN_STRATIFIED if stratified else MARGIN_PLAIN
    both = _both(old, new)
    control = "randomised" if randomised else "stratified" if stratified else "plain"
    n_old, bad_old, n_new, bad_new = both.totals
    if (reason := _too_few(both)) > 0:
        return _silent(both, measure, margin, signals, reason, control)
    final = float(both.deff[-1])
    if people:
        n_old, bad_old, n_new, bad_new = people
    estimates = wilson(bad_old, n_old, deff=final), wilson(bad_new, n_new, deff=final), _pooled_ratio(both, final)
    found = _judged(both, estimates, measure, margin, signals, bad_is_up, control)
    return replace(found, n_old=n_old, bad_old=bad_old, n_new=n_new, bad_new=bad_new)


def concurrent_latency(
    old: Side,
    new: Side,
    *,
    quantile: float = 0.95,
    signals: int = 1,
    randomised: bool = False,
    margin: float | None = None,
) -> Evidence:
    """Evidence that the new release is slower: more events above the pooled quantile of the bucket.

    Needs `hist` on both sides, shapes (buckets, bins); estimates are in ms. The margin applies to the share
    of slow events.
    """
    measure = f"latency_p{round(quantile * 100)}"
    usual, control = (MARGIN_RANDOMISED, "randomised") if randomised else (MARGIN_PLAIN, "plain")
    margin = usual if margin is None else margin
    both = _slow(old, new, quantile)
    if (reason := _too_few(both)) > 0 or old.hist is None or new.hist is None:
        return _silent(both, measure, margin, signals, max(reason, 1.0), control)
    deff = float(both.deff[-1])
    total_old, total_new = old.hist.sum(axis=0), new.hist.sum(axis=0)
    values = [
        Interval(quantile_of(h, quantile), *quantile_interval(h, quantile, deff=deff))
        for h in (total_old, total_new)
    ]
    ratios = ratio_of_estimates(values[0], values[1])
    found = _judged(both, (values[0], values[1], ratios), measure, margin, signals, True, control)
    mde = latency_change(total_old, quantile, found.mde)
    if found.status == NOT_ENOUGH and mde <= VISIBLE:
        return replace(found, mde=mde, status=SAME, needed=0.0)
    return replace(found, mde=mde)


def usable_control(old: Side, new: Side) -> bool:
    """Whether the old release has kept LEAST_SHARE of the traffic over the buckets."""
    total = float(np.sum(old.n) + np.sum(new.n))
    return total > 0 and float(np.sum(old.n)) >= LEAST_SHARE * total


def log_e_process(both: Counts, margin: float) -> FloatArray:
    """log E after each bucket, shape (buckets,), against θ ≤ 1 + margin; tempered by the design effect.

    E = Σ over δ of PRIOR · ∏ LR[θ₀(1 + δ) : θ₀]; each product is raised to 1/deff.
    """
    gains_new, gains_old = _gains(both, margin)
    gain = both.bad_new * gains_new + both.bad_old * gains_old
    runs = np.log(PRIOR)[:, None] + np.cumsum(gain.sum(axis=2), axis=1) / both.deff
    top = runs.max(axis=0)
    return np.asarray(top + np.log(np.exp(runs - top).sum(axis=0)), dtype=np.float64)


def _gains(both: Counts, margin: float) -> tuple[FloatArray, FloatArray]:
    """log LR of one bad event of the new side, and of the old side, for each alternative: shapes (alternatives,
    buckets, strata); 0 where a side is empty."""
    theta = (1.0 + margin) * (1.0 + np.array((0.0, *ALTERNATIVES)))[:, None, None]
    comparable = (both.n_old > 0) & (both.n_new > 0)
    n_old, n_new = np.where(comparable, both.n_old, 1.0), np.where(comparable, both.n_new, 0.0)
    total = np.log(n_old + theta * n_new)
    fewer = total[:1] - total[1:]  # the old side's share shrinks by as much as all events grow
    return np.where(comparable, fewer + np.log(theta[1:] / theta[:1]), 0.0), fewer


def _both(old: Side, new: Side) -> Counts:
    n_old, n_new = counts(old.n, old.n), counts(new.n, new.n)
    bad_old, bad_new = counts(old.bad, old.n), counts(new.bad, new.n)
    squares = [None if s.bad_sq is None else counts(s.bad_sq, s.n) for s in (old, new)]
    deff = np.maximum(design_effect(bad_old, squares[0]), design_effect(bad_new, squares[1]))
    return Counts(n_old, bad_old, n_new, bad_new, deff)


def _slow(old: Side, new: Side, q: float) -> Counts:
    """Slow events per bucket: those above the bin that holds the pooled quantile of the bucket."""
    empty = np.zeros((0, 1))
    if old.hist is None or new.hist is None or not old.hist.size:
        return Counts(empty, empty, empty, empty, np.ones(0))
    edge = quantile_bins(old.hist + new.hist, q)
    sides = [(h.sum(axis=1)[:, None], slow_counts(h, edge)[:, None]) for h in (old.hist, new.hist)]
    deff = _both(old, new).deff if old.bad_sq is not None and len(old.n) == len(edge) else np.ones(len(edge))
    return Counts(sides[0][0], sides[0][1], sides[1][0], sides[1][1], deff)


def _too_few(both: Counts) -> float:
    """About how many more events it takes to have FEWEST_BAD bad ones; 0 when there are enough."""
    n_old, bad_old, n_new, bad_new = both.totals
    bad, n = bad_old + bad_new, n_old + n_new
    if min(n_old, n_new) > 0 and bad >= FEWEST_BAD:
        return 0.0
    return max(1.0, math.ceil((FEWEST_BAD - min(bad, FEWEST_BAD - 1)) / max((bad + 0.5) / (n + 1), 1e-6)))


def _silent(both: Counts, measure: str, margin: float, signals: int, needed: float, control: str) -> Evidence:
    return silent(
        CONCURRENT,
        measure,
        threshold=1 / alpha_for(signals),
        margin=margin,
        buckets=len(both.n_old),
        needed=needed,
        control=control,
        totals=both.totals,
    )


def _judged(
    both: Counts,
    estimates: tuple[Interval, Interval, Interval],
    measure: str,
    margin: float,
    signals: int,
    bad_is_up: bool,
    control: str,
) -> Evidence:
    (old, new, ratios), limit = estimates, -math.log(alpha_for(signals))
    feared, hoped = (both, both.swapped()) if bad_is_up else (both.swapped(), both)
    log_e = np.where(_enough_by(both), log_e_process(feared, margin), -math.inf)
    flagged = np.flatnonzero(log_e >= limit)
    is_better = bool(log_e_process(hoped, margin).max() >= limit)
    mde = detectable(feared, margin, limit)
    status = status_of(bool(len(flagged)), is_better, mde)
    n_old, bad_old, n_new, bad_new = both.totals
    return Evidence(
        method=CONCURRENT,
        measure=measure,
        version=VERSION,
        status=status,
        transient=bool(len(flagged)) and _has_recovered(feared, margin),
        n_old=n_old,
        bad_old=bad_old,
        n_new=n_new,
        bad_new=bad_new,
        old=old.value,
        new=new.value,
        low=new.low,
        high=new.high,
        ratio=capped(ratios.value),
        ratio_low=capped(ratios.low),
        ratio_high=capped(ratios.high),
        evidence=float(np.exp(np.clip(log_e.max(), -30.0, math.log(CAP)))),
        threshold=1 / alpha_for(signals),
        margin=margin,
        mde=mde if bad_is_up else mde / (1 + mde),
        deff=float(both.deff[-1]),
        needed=_needed(feared, margin, limit) if status == NOT_ENOUGH else 0.0,
        first_bucket=int(flagged[0]) if len(flagged) else None,
        buckets=len(both.n_old),
        control=control,
    )


def _enough_by(both: Counts) -> FloatArray:
    """Per bucket, whether FEWEST_BAD bad events have been seen by then."""
    return np.asarray(np.cumsum((both.bad_old + both.bad_new).sum(axis=1)) >= FEWEST_BAD)


def _has_recovered(both: Counts, margin: float) -> bool:
    """Whether the last quarter of the buckets, by itself, is back within the margin."""
    tail = slice(-max(1, len(both.n_old) // 4), None)
    last = Counts(both.n_old[tail], both.bad_old[tail], both.n_new[tail], both.bad_new[tail], both.deff[tail])
    n_old, bad_old, n_new, bad_new = last.totals
    if len(both.n_old) < 4 or min(n_old, n_new) <= 0 or bad_old + bad_new < FEWEST_BAD:
        return False
    return _pooled_ratio(last, 1.0).value <= 1 + margin


def _pooled_ratio(both: Counts, deff: float) -> Interval:
    """Mantel-Haenszel rate ratio over buckets and strata (Greenland & Robins 1985), rates as person-time."""
    weight = both.n_old + both.n_new
    safe = np.where(weight > 0, weight, 1.0)
    r = float((both.bad_new * both.n_old / safe).sum())
    s = float((both.bad_old * both.n_new / safe).sum())
    if min(r, s) <= 0:
        return ratio(both.totals[1], both.totals[0], both.totals[3], both.totals[2], deff=deff)
    variance = float(((both.bad_old + both.bad_new) * both.n_old * both.n_new / safe**2).sum()) / (r * s)
    half = Z95 * math.sqrt(deff * variance)
    return Interval(
        r / s, math.exp(max(math.log(r / s) - half, -30.0)), math.exp(min(math.log(r / s) + half, 30.0))
    )


class _Information:
    """What log LR of each alternative would come to, if the rate ratio were theta.

    The base rate is the pooled one, corrected for the ratio in the data being no larger than it is.
    """

    def __init__(self, both: Counts, margin: float) -> None:
        n_old, bad_old, n_new, bad_new = both.totals
        comparable = (both.n_old > 0) & (both.n_new > 0)
        base = (bad_old + bad_new) / max(n_old + n_new, 1.0)
        self._old, self._new = base * both.n_old[comparable], base * both.n_new[comparable]
        gains_new, gains_old = (gains[:, comparable] for gains in _gains(both, margin))
        # Poisson totals: the variance of a sum of independent gains is the sum of their squares.
        self._for_new = np.concatenate((gains_new, gains_new**2))
        self._for_old = np.concatenate((gains_old, gains_old**2))

    def at(self, theta: float) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of log LR as untempered sums, shapes (alternatives,)."""
        found = self._for_new @ (theta * self._new) + self._for_old @ self._old
        return found[: len(ALTERNATIVES)], found[len(ALTERNATIVES) :]


def detectable(both: Counts, margin: float, limit: float) -> float:
    """Smallest change (0.3 = 30 %) that E would show in 95 of 100 cases from as many events again."""
    information, deff = _Information(both, margin), float(both.deff[-1])
    low, high = math.log1p(margin), math.log(100.0)
    if not _is_seen(information.at(math.exp(high)), deff, limit):
        return CAP
    for _ in range(18):
        middle = (low + high) / 2
        low, high = (low, middle) if _is_seen(information.at(math.exp(middle)), deff, limit) else (middle, high)
    return math.expm1(high)


def _is_seen(information: tuple[FloatArray, FloatArray], deff: float, limit: float) -> bool:
    mean, square = information
    return bool(((mean - POWER_Z * np.sqrt(square * deff)) / deff >= limit - np.log(PRIOR)).any())


def _needed(both: Counts, margin: float, limit: float) -> float:
    """About how many more events until a change of VISIBLE would be seen; −1 when none would do."""
    deff = float(both.deff[-1])
    times = math.inf
    information = _Information(both, margin).at(max(1 + VISIBLE, (1 + margin) * 1.5))
    for mean, square, weight in zip(*information, PRIOR, strict=True):
        if mean > 0:
            # times·mean − z·√(times·square·deff) = wanted, solved for √times.
            wanted, slack = (limit - math.log(weight)) * deff, POWER_Z * math.sqrt(square * deff)
            times = min(times, ((slack + math.sqrt(slack**2 + 4 * mean * wanted)) / (2 * mean)) ** 2)
    n = both.totals[0] + both.totals[2]
    return float(math.ceil(max(0.0, times - 1) * n)) if math.isfinite(times) else -1.0
