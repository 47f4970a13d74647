"""Whether a fix is one: errors under continuous looking, power, and what may never happen."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binom

from metrics.detection import fixed
from metrics.detection.fixed import BROKEN, FIXED, NOT_ENOUGH, prove

BEFORE, BAD = 0.04, 0.13
RUNS, EVENTS, STEP = 2_000, 6_000, 40


def answers(rate: float, seed: int, runs: int = RUNS) -> list[str]:
    """What the first look that says something says, looking after every STEP events."""
    rng = np.random.default_rng(seed)
    found = []
    for _run in range(runs):
        bad = np.cumsum(rng.binomial(STEP, rate, EVENTS // STEP))
        said = NOT_ENOUGH
        for place, k in enumerate(bad.tolist(), 1):
            said = prove(place * STEP, k, baseline=BEFORE, broken=BAD, margin=0.1).answer
            if said != NOT_ENOUGH:
                break
        found.append(said)
    return found


@pytest.mark.parametrize("rate", [math.sqrt(BEFORE * 1.1 * BAD), BAD, 0.3])
def test_what_is_still_broken_is_hardly_ever_called_fixed(rate):
    assert answers(rate, 1).count(FIXED) / RUNS <= fixed.ALPHA + 0.005


@pytest.mark.parametrize("rate", [BEFORE * 1.1, BEFORE, 0.01])
def test_what_is_back_is_hardly_ever_called_broken(rate):
    assert answers(rate, 2).count(BROKEN) / RUNS <= fixed.ALPHA + 0.005


def test_the_truth_is_found():
    assert answers(BEFORE, 3, 300).count(FIXED) >= 290
    assert answers(BAD, 4, 300).count(BROKEN) >= 295


def test_half_a_fix_is_none():
    """Lower than broken, but far from back."""
    said = [prove(n, round(n * 0.09), baseline=BEFORE, broken=BAD, margin=0.1).answer for n in (300, 3_000, 30_000)]
    assert said[-1] == BROKEN
    assert FIXED not in said


def test_the_likelihood_ratio_is_that_of_binomials():
    found = prove(500, 20, baseline=BEFORE, broken=BAD, margin=0.1)
    ratio = binom.pmf(20, 500, found.limit) / binom.pmf(20, 500, found.halfway)
    assert found.evidence_fixed == pytest.approx(ratio, rel=1e-6)


def test_nothing_is_said_of_few_events_and_of_none():
    none = prove(0, 0, baseline=BEFORE, broken=BAD, margin=0.1)
    assert (none.answer, none.rate.low, none.rate.high) == (NOT_ENOUGH, 0.0, 1.0)
    assert none.needed >= fixed.FEWEST
    assert prove(fixed.FEWEST - 1, 0, baseline=BEFORE, broken=0.9, margin=0.1).answer == NOT_ENOUGH
    assert prove(50, 50, baseline=BEFORE, broken=BAD, margin=0.1).answer == NOT_ENOUGH


def test_more_bad_events_never_speak_for_the_fix():
    proofs = [prove(1_000, bad, baseline=BEFORE, broken=BAD, margin=0.1) for bad in range(0, 1_001, 10)]
    assert all(a.evidence_fixed >= b.evidence_fixed for a, b in pairwise(proofs))
    order = [FIXED, NOT_ENOUGH, BROKEN]
    places = [order.index(proof.answer) for proof in proofs]
    assert places == sorted(places)
    assert set(places) == {0, 1, 2}


def test_clustered_events_need_more():
    alone = prove(900, 36, baseline=BEFORE, broken=BAD, margin=0.1)
    clustered = prove(900, 36, baseline=BEFORE, broken=BAD, margin=0.1, deff=5.0)
    assert (alone.answer, clustered.answer) == (FIXED, NOT_ENOUGH)
    assert clustered.rate.high > alone.rate.high
    assert clustered.needed > 0 == alone.needed


def test_what_never_failed_before_need_not_be_at_zero_again():
    assert prove(4_000, 4, baseline=0.0, broken=0.05, margin=0.1).answer == FIXED
    assert prove(4_000, 120, baseline=0.0, broken=0.05, margin=0.1).answer == BROKEN


def test_about_as_many_events_as_said_are_needed():
    first = prove(200, 8, baseline=BEFORE, broken=BAD, margin=0.1)
    n = 200 + first.needed
    assert prove(n, round(n * BEFORE), baseline=BEFORE, broken=BAD, margin=0.1).answer == FIXED


@pytest.mark.parametrize(("baseline", "broken"), [(0.5, 0.5), (0.9, 0.2), (1.0, 1.0), (0.0, 0.0)])
def test_odd_rates_break_nothing(baseline, broken):
    for n, bad in ((0, 0), (500, 0), (500, 500)):
        found = prove(n, bad, baseline=baseline, broken=broken, margin=0.1)
        assert 0 < found.limit < found.halfway < 1
        assert math.isfinite(found.needed)
