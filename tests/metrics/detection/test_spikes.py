"""Spikes of complaints: found when there is one, hardly ever when there is none, weekdays told apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import median_abs_deviation

from metrics.detection.spikes import ANY_DAY, CUSTOMERS, FEWEST, SAME_WEEKDAY, Z, spike

RUNS = 2_000


def weeks(rng: np.random.Generator, rates: list[float], many: int = 8) -> list[int]:
    """Counts of the days before, the latest first; rates of the seven weekdays, today's first and counted backwards."""
    return [int(rng.poisson(rates[(back + 1) % 7])) for back in range(7 * many)]


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0, 2.0, 5.0, 20.0])
def test_false_alarms_are_rare_at_every_rate(rate):
    rng = np.random.default_rng(1)
    found = 0
    for _run in range(RUNS):
        found += spike(int(rng.poisson(rate)), 99, weeks(rng, [rate] * 7)) is not None
    assert found / RUNS <= 0.01


def test_mondays_are_not_spikes():
    rng = np.random.default_rng(2)
    rates = [12.0, 0.5, 0.5, 4.0, 4.0, 4.0, 4.0]  # today, and Sunday and Saturday before it
    found = sum(spike(int(rng.poisson(12.0)), 99, weeks(rng, rates)) is not None for _run in range(RUNS))
    assert found / RUNS <= 0.01


@pytest.mark.parametrize(("rate", "times"), [(1.0, 8.0), (2.0, 5.0), (5.0, 4.0), (20.0, 2.5)])
def test_a_spike_is_found(rate, times):
    rng = np.random.default_rng(3)
    found = 0
    for _run in range(500):
        found += spike(int(rng.poisson(rate * times)), 99, weeks(rng, [rate] * 7)) is not None
    assert found / 500 >= 0.75


def test_the_score_is_the_modified_z_of_the_literature():
    days = [3, 9, 4, 20, 7, 12, 5] * 8
    weekly = days[6::7]
    assert spike(60, 9, days[:5] + days) is not None
    varied = [int(v) for v in np.random.default_rng(4).integers(0, 30, 56)]
    weekly = varied[6::7]
    found = spike(200, 9, varied)
    assert found is not None
    assert found.is_by_weekday
    assert found.usual == np.median(weekly)
    assert found.z == pytest.approx((200 - np.median(weekly)) / median_abs_deviation(weekly, scale="normal"), rel=1e-3)


@pytest.mark.parametrize(("n", "customers"), [(FEWEST - 1, 9), (50, CUSTOMERS - 1), (0, 0)])
def test_few_complaints_and_few_customers_are_no_spike(n, customers):
    assert spike(n, customers, [0] * 56) is None


def test_after_quiet_weeks_five_are_a_spike_and_one_is_none():
    found = spike(FEWEST, CUSTOMERS, [0] * 56)
    assert found is not None
    assert found.z >= Z
    assert found.usual == 0
    assert spike(1, 1, [0] * 56) is None


def test_history_decides_what_is_compared():
    assert spike(50, 9, [1] * (ANY_DAY - 1)) is None
    young = spike(50, 9, [1] * ANY_DAY)
    assert young is not None
    assert (young.is_by_weekday, young.windows) == (False, ANY_DAY)
    old = spike(50, 9, [1] * (7 * SAME_WEEKDAY))
    assert old is not None
    assert (old.is_by_weekday, old.windows) == (True, SAME_WEEKDAY)


def test_more_complaints_never_lower_the_score():
    days = [3, 1, 4, 1, 5, 9, 2, 6] * 7
    scores = [found.z for n in range(10, 100) if (found := spike(n, 9, days))]
    assert scores == sorted(scores)
    assert scores
