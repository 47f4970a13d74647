import numpy as np
import pytest
from scipy import stats

from metrics.detection import histogram as h


def test_every_duration_is_told_within_two_percent():
    values = np.exp(np.random.default_rng(1).uniform(np.log(2e-3), np.log(1e9), 50_000))
    told = h.value_of(h.bin_of(values))
    assert np.max(np.abs(told - values) / values) <= 0.02 + 1e-9


def test_zero_negative_and_missing_go_to_bin_zero():
    bins = h.bin_of([0.0, -5.0, np.nan, -np.inf])
    assert bins.dtype == np.int16
    assert bins.tolist() == [0, 0, 0, 0]
    assert h.bin_of([np.inf, 1e300]).tolist() == [h.BINS - 1] * 2
    assert h.bin_of([1e-9]).tolist() == [1]


def test_bins_keep_order():
    bins = h.bin_of(np.sort(np.random.default_rng(2).lognormal(5, 2, 5000)))
    assert np.all(np.diff(bins) >= 0)


def test_merging_is_exact():
    a, b = np.random.default_rng(3).lognormal(5, 1, (2, 1000))
    merged = h.merge(h.histogram(a), h.histogram(b))
    assert np.array_equal(merged, h.histogram(np.concatenate((a, b))))


@pytest.mark.parametrize("q", [0.0, 0.5, 0.95, 0.99, 1.0])
def test_quantile_agrees_with_sorting(q):
    values = np.random.default_rng(4).lognormal(5, 1, 10_001)
    assert h.quantile(h.histogram(values), q) == pytest.approx(
        np.quantile(values, q, method="lower"), rel=0.021
    )


def test_empty_histogram_is_zero():
    assert h.quantile(np.zeros(h.BINS), 0.95) == 0
    assert h.quantile(np.zeros(0), 0.95) == 0
    assert h.quantile_interval(np.zeros(h.BINS), 0.95) == (0.0, 0.0)


@pytest.mark.parametrize("n", [5, 60, 1000, 100_000])
@pytest.mark.parametrize("q", [0.05, 0.5, 0.95])
def test_order_ranks_agree_with_the_binomial(n, q):
    lower, upper = h.order_ranks(n, q)
    assert lower == max(1, int(stats.binom.ppf(0.025, n, q)))
    assert upper == min(n, int(stats.binom.ppf(0.975, n, q)) + 1)


def test_quantile_interval_covers():
    rng, true = np.random.default_rng(5), float(np.exp(stats.norm.ppf(0.95)))
    hits = 0
    for _ in range(400):
        low, high = h.quantile_interval(h.histogram(rng.lognormal(0, 1, 500)), 0.95)
        hits += low * 0.98 <= true <= high * 1.02
    assert hits / 400 >= 0.95


def test_more_events_narrow_and_clustering_widens_the_interval():
    hist = h.histogram(np.random.default_rng(6).lognormal(5, 1, 2000))
    width = [
        np.diff(h.quantile_interval(hist * k, 0.95, deff=d))[0] for k, d in ((1, 1.0), (9, 1.0), (1, 5.0))
    ]
    assert width[1] < width[0] < width[2]
