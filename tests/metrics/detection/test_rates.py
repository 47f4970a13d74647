import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from metrics.detection import rates
from metrics.detection.before_after import t99_over_normal


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (37, 1200), (3, 100_000)])
def test_wilson_agrees_with_statsmodels(k, n):
    found = rates.wilson(k, n)
    assert (found.low, found.high) == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-12)


@pytest.mark.parametrize(
    ("k_old", "n_old", "k_new", "n_new"), [(5, 100, 12, 90), (0, 50, 4, 60), (80, 1000, 75, 1000)]
)
def test_difference_agrees_with_statsmodels(k_old, n_old, k_new, n_new):
    found = rates.difference(k_old, n_old, k_new, n_new)
    wanted = confint_proportions_2indep(k_new, n_new, k_old, n_old, compare="diff", method="newcomb")
    assert (found.low, found.high) == pytest.approx(wanted, abs=1e-9)


def test_ratio_agrees_with_statsmodels():
    found = rates.ratio(40, 1000, 60, 900)
    wanted = confint_proportions_2indep(60, 900, 40, 1000, compare="ratio", method="log")
    assert (found.low, found.high) == pytest.approx(wanted, rel=1e-9)


def test_swapping_sides_inverts_the_ratio():
    one, other = rates.ratio(40, 1000, 60, 900), rates.ratio(60, 900, 40, 1000)
    assert one.value == pytest.approx(1 / other.value)
    assert (one.low, one.high) == pytest.approx((1 / other.high, 1 / other.low))


def test_design_effect_counts_as_fewer_events():
    assert rates.wilson(40, 400, deff=4) == rates.wilson(10, 100)
    assert rates.ratio(40, 400, 80, 400, deff=4) == rates.ratio(10, 100, 20, 100)


def test_nothing_known_stays_finite():
    for found in (
        rates.wilson(0, 0),
        rates.difference(0, 0, 0, 0),
        rates.ratio(0, 0, 0, 0),
        rates.ratio(0, 9, 0, 9),
    ):
        assert np.isfinite([found.value, found.low, found.high]).all()


def test_running_design_effect_of_users():
    bad, squares = np.array([[3.0], [1.0]]), np.array([[9.0], [1.0]])
    assert rates.design_effect(bad, squares).tolist() == [3.0, 2.5]
    assert rates.design_effect(bad, None).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("df", [2, 3.5, 4, 7, 12, 45, 500])
def test_t_factor_agrees_with_scipy(df):
    from scipy import stats

    assert t99_over_normal(df) == pytest.approx(stats.t.ppf(0.99, df) / stats.norm.ppf(0.99), rel=0.02)
