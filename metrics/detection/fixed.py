"""Is a claimed fix true? The rate of bad events since the fix, against what it was before the break and while broken.

Two tests that may be looked at all the time (e-processes, Ville 1939), each wrong with probability at most ALPHA:
against "still halfway broken or worse" (Wald 1945), and against "back within the margin". Where both stand, it is not
known yet; a rate surely lower than broken, but not back, is found out by the second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .concurrent import ALTERNATIVES, PRIOR
from .rates import Interval, wilson

VERSION = 1
FIXED, BROKEN, NOT_ENOUGH = "fixed", "broken", "not_enough"
ALPHA = 0.01
#: Least events that anything is said of.
FEWEST = 200
#: A rate below this share of the broken one is back, whatever it was before: nothing is ever exactly 0.
TRACE = 0.1
#: Least distance between "back" and "halfway", so that two rates close together are told apart at all.
APART = 1.25


@dataclass(frozen=True)
class Proof:
    """n, bad: events since the fix. rate: 95 % interval. limit: up to this rate it is back; halfway: from this rate on
    it is still broken. needed: about how many more events until "fixed" can be said, if the rate is back; 0 once
    something is said. evidence_fixed, evidence_broken: E for each answer, which 1/ALPHA makes."""

    answer: str
    n: float
    bad: float
    rate: Interval
    limit: float
    halfway: float
    evidence_fixed: float
    evidence_broken: float
    needed: float
    version: int = VERSION


def prove(n: float, bad: float, *, baseline: float, broken: float, margin: float, deff: float = 1.0) -> Proof:
    """baseline, broken: the rates before and while it was broken, 0..1. margin: 0.1 = 10 % above the baseline is
    back. deff: how strongly bad events cluster, ≥ 1 (rates.design_effect)."""
    limit = min(max(baseline * (1 + margin), broken * TRACE, 1e-6), 0.9)
    halfway = min(max(math.sqrt(limit * max(broken, limit)), limit * APART), 0.95)
    deff = max(1.0, deff)
    log_fixed = _log_ratio(n, bad, limit, halfway) / deff
    log_broken = _log_mixture(n, bad, limit, deff)
    line = -math.log(ALPHA)
    answer = NOT_ENOUGH
    if n >= FEWEST and log_broken >= line:
        answer = BROKEN
    elif n >= FEWEST and log_fixed >= line:
        answer = FIXED
    gain = _log_ratio(1.0, limit, limit, halfway) / deff
    needed = max(FEWEST - n, (line - max(log_fixed, 0.0)) / gain, 1.0) if answer == NOT_ENOUGH else 0.0
    return Proof(
        answer, n, bad, wilson(bad, n, deff=deff), limit, halfway, _exp(log_fixed), _exp(log_broken), math.ceil(needed)
    )


def _log_ratio(n: float, bad: float, one: float, other: float) -> float:
    """log of the likelihood of `bad` in `n` at rate `one`, over that at rate `other`."""
    return bad * math.log(one / other) + (n - bad) * math.log((1 - one) / (1 - other))


def _log_mixture(n: float, bad: float, limit: float, deff: float) -> float:
    """log of the mean likelihood ratio of the rates limit·(1 + δ) to `limit`."""
    runs = [
        math.log(weight) + _log_ratio(n, bad, min(limit * (1 + delta), 0.99), limit) / deff
        for delta, weight in zip(ALTERNATIVES, PRIOR, strict=True)
    ]
    top = max(runs)
    return top + math.log(sum(math.exp(run - top) for run in runs))


def _exp(value: float) -> float:
    return math.exp(min(max(value, -30.0), 13.0))
