"""Who was hurt: more failures than usual, and use that fell away."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metrics.detection.touched import FALSE, FEWEST, has_fallen, median, tail, unusual


@pytest.mark.parametrize("mean", [0.01, 0.5, 3.0, 40.0, 700.0, 2000.0])
@pytest.mark.parametrize("k", [1, 3, 10, 60, 900, 2100])
def test_as_scipy(k, mean):
    assert tail(k, mean) == pytest.approx(stats.poisson.sf(k - 1, mean), abs=1e-4)


def test_the_ends():
    assert (tail(0, 5), tail(3, 0), tail(0, 0)) == (1.0, 0.0, 1.0)


def test_few_of_those_told_are_there_by_chance():
    """A hundred customers, ten of them with four times their usual failures: the false ones among those told."""
    rng = np.random.default_rng(1)
    shares, found = [], 0
    for _run in range(500):
        usual = rng.uniform(2, 10, 100)
        k = rng.poisson(usual * np.where(np.arange(100) < 10, 4, 1))
        told = unusual({str(i): (float(k[i]), float(usual[i])) for i in range(100)}, 100)
        wrong = sum(int(name) >= 10 for name in told)
        shares.append(wrong / max(1, len(told)))
        found += len(told) - wrong
    assert np.mean(shares) <= FALSE
    assert found / 500 >= 8


def test_nobody_by_one_or_two():
    assert unusual({"a": (FEWEST - 1, 0.0), "b": (FEWEST, 0.0)}, 2) == ["b"]
    assert unusual({}, 0) == []


def test_those_without_failures_count_among_all():
    """Three failures where a tenth is usual happen to one in 6,000: nothing among a hundred thousand."""
    rare = {"a": (3.0, 0.1)}
    assert unusual(rare, 100) == ["a"]
    assert unusual(rare, 100_000) == []


@given(st.lists(st.floats(0, 100), max_size=4), st.integers(0, 6))
def test_the_median_counts_days_without_use(seen, more):
    known = len(seen) + more
    assert median(seen, known) == pytest.approx(statistics.median([*seen, *[0.0] * more]) if known else 0.0)


def test_fallen():
    assert has_fallen(4, 10)
    assert not has_fallen(5, 10)
    assert not has_fallen(0, 9)
