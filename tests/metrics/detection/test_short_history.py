import dataclasses

import numpy as np
import pytest

from metrics.detection.evidence import Side
from metrics.detection.histogram import histogram
from metrics.detection.short_history import Tally, overdispersion, short_history


def numbers(found):
    return [v for v in dataclasses.asdict(found).values() if isinstance(v, float)]


def side(rng, rate, buckets, n=6000):
    size = np.full(buckets, float(n))
    return Side(size, rng.binomial(n, rate, buckets).astype(float))


@pytest.mark.parametrize("minutes", [1, 10, 60])
def test_tripled_errors_are_seen_in_half_a_minute(minutes):
    rng = np.random.default_rng(1)
    for _ in range(50):
        found = short_history(side(rng, 0.05, minutes), side(rng, 0.15, 1, 3000), measure="failure_rate")
        assert found.status == "worse"
        assert found.first_bucket == 0
        assert found.ratio == pytest.approx(3, rel=0.3)


def test_unchanged_and_wandering_rates_do_not_flag():
    rng, flags = np.random.default_rng(2), 0
    for _ in range(400):
        wander = 0.05 * np.exp(np.cumsum(rng.normal(0, 0.04, 90)))
        bad = rng.binomial(2000, np.minimum(wander, 0.9)).astype(float)
        n = np.full(90, 2000.0)
        found = short_history(Side(n[:60], bad[:60]), Side(n[60:], bad[60:]), measure="failure_rate")
        flags += found.status == "worse"
    assert flags / 400 <= 0.01


def test_overdispersion_is_measured():
    rng = np.random.default_rng(3)
    n = np.full(400, 1000.0)
    assert overdispersion(Tally(n, rng.binomial(1000, 0.05, 400).astype(float), 1.0)) < 2
    clustered = 10.0 * rng.binomial(100, 0.05, 400)
    assert 7 < overdispersion(Tally(n, clustered, 1.0)) < 20


def test_clustered_errors_widen_the_interval():
    rng = np.random.default_rng(4)
    old, new = side(rng, 0.05, 10), side(rng, 0.07, 2)
    clustered = dataclasses.replace(new, bad_sq=new.bad * 30)
    a, b = (short_history(old, x, measure="failure_rate") for x in (new, clustered))
    assert b.deff == pytest.approx(30)
    assert b.high - b.low > a.high - a.low
    assert b.evidence < a.evidence


def test_falls_are_worse_when_the_events_are_wanted():
    rng = np.random.default_rng(5)
    old, new = side(rng, 0.15, 10), side(rng, 0.05, 2)
    assert short_history(old, new, measure="failure_rate").status == "better"
    assert short_history(old, new, measure="failure_rate", bad_is_up=False).status == "worse"


@pytest.mark.parametrize("measure", ["volume", "users"])
def test_levels_are_never_told(measure):
    rng = np.random.default_rng(6)
    found = short_history(side(rng, 0.05, 60), side(rng, 0.9, 60), measure=measure)
    assert (found.status, found.needed) == ("not_enough", 3 * 1440 - 60)


def test_too_little_says_how_much_is_needed():
    few = Side(np.array([50.0]), np.array([5.0]))
    found = short_history(few, Side(np.array([50.0]), np.array([30.0])), measure="failure_rate")
    assert (found.status, found.needed) == ("not_enough", 150)
    quiet = Side(np.full(9, 50.0), np.zeros(9))
    assert short_history(quiet, quiet, measure="failure_rate").status == "not_enough"
    small = Side(np.full(9, 50.0), np.full(9, 2.0))
    found = short_history(small, small, measure="failure_rate")
    assert found.status == "not_enough"
    assert found.needed != 0


def latencies(rng, factor, buckets):
    hist = np.stack([histogram(rng.lognormal(5, 0.6, 500) * factor) for _ in range(buckets)])
    return Side(np.full(buckets, 500.0), np.zeros(buckets), None, hist)


@pytest.mark.parametrize(
    ("measure", "factor", "status"),
    [
        ("latency_p95", 1.0, "same"),
        ("latency_p95", 1.6, "worse"),
        ("latency_p50", 1.6, "worse"),
    ],
)
def test_latency(measure, factor, status):
    rng = np.random.default_rng(7)
    found = short_history(latencies(rng, 1.0, 40), latencies(rng, factor, 20), measure=measure)
    assert found.status == status
    assert found.ratio == pytest.approx(factor, rel=0.1)


@pytest.mark.parametrize("measure", ["failure_rate", "latency_p95", "volume"])
def test_nothing_at_all_is_finite(measure):
    nothing = Side(np.zeros(0), np.zeros(0))
    found = short_history(nothing, nothing, measure=measure)
    assert found.status == "not_enough"
    assert np.isfinite(numbers(found)).all()
