"""Errors by their group: new, back, more often; sure only when they are, however often one looks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from metrics.detection.faults import ALPHA, BACK, ESCALATING, FEWEST, NEW, TIMES, USERS, Seen, e_value, judge, state_of

RUNS, LOOKS = 500, 60


def seen(bad_new, n_new=1e4, n_past=1e5, bad_past=0.0, n_last=None, bad_last=0.0, **more):
    return Seen(**{"n_new": n_new, "bad_new": bad_new, "users": bad_new, "deff": 1.0, "n_past": n_past,
                   "bad_past": bad_past, "n_last": n_past / 2 if n_last is None else n_last, "bad_last": bad_last,
                   **more})  # fmt: skip


@pytest.mark.parametrize(("rate", "n_old", "n_new"), [
    (1e-2, 1e3, 2e4), (1e-3, 1e3, 2e4), (1e-3, 1e5, 2e4), (1e-4, 1e4, 2e5), (1e-5, 1e5, 2e6),
])  # fmt: skip
@pytest.mark.parametrize("cluster", [1, 4])
def test_what_is_as_frequent_as_before_is_hardly_ever_sure(rate, n_old, n_new, cluster):
    """Looked at after every step; a fault so rare that older releases happen not to have had it is the hard case."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _run in range(RUNS):
        past = rng.poisson(rate * n_old / cluster, 2) * cluster
        so_far = np.cumsum(rng.poisson(rate * n_new / LOOKS / cluster, LOOKS)) * cluster
        looks = [
            seen(float(k), n_new * (i + 1) / LOOKS, 2 * n_old, float(past.sum()), n_old, float(past[1]), deff=cluster)
            for i, k in enumerate(so_far.tolist())
        ]
        wrong += any(judge([look])[0][1].status == "worse" for look in looks)
    assert wrong / RUNS <= ALPHA


@pytest.mark.parametrize(("n_past", "needed"), [(1e4, 25), (1e5, 8), (1e6, 5)])
def test_a_new_fault_is_sure_after_a_few_errors(n_past, needed):
    assert judge([seen(needed, n_past=n_past)])[0][1].status == "worse"
    assert judge([seen(FEWEST - 1, n_past=1e9)])[0][1].status == "not_enough"


def test_among_many_faults_each_needs_more():
    one, quiet = seen(8, n_past=3e4), seen(1, n_past=3e4)
    assert judge([one])[0][1].status == "worse"
    told = judge([one, *[quiet] * 49])
    assert told[0][1].status == "not_enough"
    assert told[0][1].threshold == pytest.approx(50 / ALPHA)


@pytest.mark.parametrize(("each", "state"), [
    (seen(9), NEW),
    (seen(9, is_known=True), BACK),
    (seen(9, bad_past=50, n_last=5e4, bad_last=0), BACK),
    (seen(9, bad_past=50, n_last=5e4, bad_last=20), ESCALATING),
    (seen(9, bad_past=4, n_last=5e4, bad_last=0), ESCALATING),  # four in the half before: none is no surprise
    (seen(9, bad_past=50, n_last=5e4, bad_last=0, deff=12.0), ESCALATING),
])  # fmt: skip
def test_states_go_by_the_order_of_releases(each, state):
    assert state_of(each) == state


def test_a_fault_that_was_there_must_more_than_double():
    assert judge([seen(150, n_past=1e5, bad_past=1000, bad_last=500)])[0][1].status == "same"
    assert judge([seen(400, n_past=1e5, bad_past=1000, bad_last=500)])[0][1].status == "worse"


def test_one_user_is_no_release():
    assert judge([seen(60, users=float(USERS - 1))])[0][1].status == "not_enough"
    assert judge([seen(60, deff=60.0)])[0][1].status == "not_enough"
    assert judge([seen(60, users=0.0)])[0][1].status == "worse"  # a server that names no users


def test_the_first_release_of_all_has_nothing_to_compare_with():
    assert judge([seen(500, n_past=0.0)])[0][1].status == "not_enough"


def test_the_e_value_is_the_ratio_of_the_marginal_likelihoods():
    each, k, n, b, a = seen(6, 2e3, 9e3, 2.0), 6, 2e3, 9e3, 2.5

    def marginal(theta):
        grid = stats.gamma(a, scale=1 / b)
        return integrate.quad(lambda rate: stats.poisson.pmf(k, rate * theta * n) * grid.pdf(rate), 0, 0.02)[0]

    wanted = np.mean([marginal(1.25 * times) for times in TIMES]) / marginal(1.25)
    assert e_value(each, 9e3, 2.0, 0.25) == pytest.approx(wanted, rel=1e-3)


def test_more_errors_are_never_less_evidence():
    found = [e_value(seen(float(k), bad_past=20), 1e5, 20.0, 1.0) for k in range(0, 200, 5)]
    assert found == sorted(found)


@pytest.mark.parametrize("each", [
    seen(0.0, n_new=0.0, n_past=0.0), seen(1e9, n_new=1.0), seen(5.0, n_past=1e15), seen(1e6, deff=1e6),
])  # fmt: skip
def test_numbers_stay_finite(each):
    (_state, evidence), = judge([each])
    numbers = [v for v in vars(evidence).values() if isinstance(v, float)]
    assert all(math.isfinite(number) for number in numbers)


def test_none_is_none():
    assert judge([]) == []
