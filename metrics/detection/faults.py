"""Which errors are new with a release, come back with it, or came far more often: by the order of releases, per use.

What older releases did is known as a rate with an uncertainty: Gamma(bad + ½, uses). Under a rate ratio θ the errors
of the new release are then negative binomial, and a mean of their likelihood ratios over several θ against the largest
harmless one is an e-value that may be looked at after every use (Robbins 1970; Grünwald et al. 2024). Errors of one
user cluster; counts are divided by their design effect.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .concurrent import MARGIN_PLAIN
from .evidence import CAP, FAULTS, NOT_ENOUGH, SAME, VERSION, WORSE, Evidence, capped
from .judge import e_bh
from .rates import ratio, wilson

ALPHA = 0.01
"""Share of false ones among the faults of a release that are called sure."""
NEW, BACK, ESCALATING = "new", "back", "escalating"
MORE = 1.0
"""A fault that was there before must more than double."""
TIMES = (1.5, 3.0, 10.0, 100.0, 1_000.0)
"""The alternatives, as multiples of the largest harmless ratio; each has the same weight."""
USERS = 3
"""Different users a sure fault must have hit, where users are known."""
FEWEST = 5
"""Errors below which nothing is said."""
EXPECTED = 5.0
"""Errors that the release before should have had, had the fault been there, for it to have been gone."""


@dataclass(frozen=True)
class Seen:
    """One fault with one release and with the older ones. n: uses and sessions, bad: errors, users: different ones on
    the new release (0: unknown), deff: design effect ≥ 1 of errors that users repeat. `n_past`, `bad_past`: of all
    older releases in the same time, `n_last`, `bad_last`: of the one directly before; is_known: whether an older
    release ever had it."""

    n_new: float
    bad_new: float
    users: float
    deff: float
    n_past: float
    bad_past: float
    n_last: float
    bad_last: float
    is_known: bool = False


def judge(seen: Sequence[Seen]) -> list[tuple[str, Evidence]]:
    """(NEW, BACK or ESCALATING, the evidence) of each; with control of false ones among all of them."""
    found = [_judge(each) for each in seen]
    sure = e_bh([evidence.evidence for _state, evidence in found], ALPHA)
    threshold = len(seen) / ALPHA
    return [
        (state, replace(evidence, threshold=threshold, status=_status(state, evidence, is_sure, each)))
        for (state, evidence), is_sure, each in zip(found, sure, seen, strict=True)
    ]


def state_of(seen: Seen) -> str:
    """By the order of releases alone, without asking how sure it is."""
    if seen.bad_past <= 0:
        return BACK if seen.is_known else NEW
    # Gone: the release before had none, though at the rate of those before it some were to be expected.
    older_n, older_bad = seen.n_past - seen.n_last, seen.bad_past - seen.bad_last
    if seen.bad_last <= 0 and older_n > 0 and older_bad / older_n * seen.n_last >= EXPECTED * seen.deff:
        return BACK
    return ESCALATING


def e_value(seen: Seen, n_old: float, bad_old: float, margin: float) -> float:
    """Evidence that the rate is more than (1 + margin) times the old one, capped."""
    k, a = seen.bad_new / seen.deff, bad_old / seen.deff + 0.5
    n, b, harmless = max(seen.n_new / seen.deff, 1e-9), max(n_old / seen.deff, 1e-9), 1 + margin
    logs = []
    for times in TIMES:
        theta = harmless * times
        logs.append((a + k) * (math.log(b + harmless * n) - math.log(b + theta * n)) + k * math.log(times))
    top = max(logs)
    return min(CAP, math.exp(min(50.0, top + math.log(sum(math.exp(x - top) for x in logs) / len(TIMES)))))


def _judge(seen: Seen) -> tuple[str, Evidence]:
    state = state_of(seen)
    n_old, bad_old = (seen.n_last, seen.bad_last) if state == BACK else (seen.n_past, seen.bad_past)
    margin = MORE if state == ESCALATING else MARGIN_PLAIN
    old, new = wilson(bad_old, n_old, deff=seen.deff), wilson(seen.bad_new, seen.n_new, deff=seen.deff)
    ratios = ratio(bad_old, n_old, seen.bad_new, seen.n_new, deff=seen.deff)
    return state, Evidence(
        method=FAULTS, measure="error_rate", version=VERSION, status=NOT_ENOUGH, transient=False,
        n_old=n_old, bad_old=bad_old, n_new=seen.n_new, bad_new=seen.bad_new,
        old=old.value if n_old > 0 else 0.0, new=new.value, low=new.low, high=new.high,
        ratio=ratios.value, ratio_low=ratios.low, ratio_high=ratios.high,
        evidence=capped(e_value(seen, n_old, bad_old, margin)), threshold=1 / ALPHA, margin=margin, mde=CAP,
        deff=seen.deff, needed=0.0, first_bucket=None, buckets=1, control="releases",
    )  # fmt: skip


def _status(state: str, evidence: Evidence, is_sure: bool, seen: Seen) -> str:
    is_enough = seen.bad_new >= FEWEST and (seen.users == 0 or seen.users >= USERS)
    if is_sure and is_enough:
        return WORSE
    return SAME if state == ESCALATING and evidence.ratio_high <= 1 + MORE else NOT_ENOUGH
