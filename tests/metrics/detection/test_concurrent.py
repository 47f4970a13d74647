import dataclasses
import math

import numpy as np
import pytest

from metrics.detection import concurrent as c
from metrics.detection.evidence import Side
from metrics.detection.histogram import BINS, histogram
from metrics.detection.thresholds import alpha_for


def numbers(found):
    return [v for v in dataclasses.asdict(found).values() if isinstance(v, float)]


def sides(rng, n=1000, old=0.05, new=0.05, buckets=24):
    size = np.full(buckets, float(n))
    return tuple(Side(size, rng.binomial(n, p, buckets).astype(float)) for p in (old, new))


def slow_log_e(both, margin):
    """The e-process, one bucket, stratum and alternative at a time."""
    theta0, out = 1 + margin, []
    log_lr = [0.0] * len(c.ALTERNATIVES)
    for t in range(len(both.n_old)):
        for s in range(both.n_old.shape[1]):
            a, b = both.n_old[t, s], both.n_new[t, s]
            if a <= 0 or b <= 0:
                continue
            p0 = theta0 * b / (a + theta0 * b)
            for i, delta in enumerate(c.ALTERNATIVES):
                theta = theta0 * (1 + delta)
                p = theta * b / (a + theta * b)
                log_lr[i] += both.bad_new[t, s] * math.log(p / p0) + both.bad_old[t, s] * math.log(
                    (1 - p) / (1 - p0)
                )
        deff = both.deff[t]
        out.append(math.log(sum(w * math.exp(x / deff) for w, x in zip(c.PRIOR, log_lr, strict=True))))
    return out


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.25])
def test_e_process_agrees_with_the_slow_reference(margin):
    rng = np.random.default_rng(1)
    n = [rng.poisson(40, (30, 3)).astype(float) for _ in range(2)]
    n[0][3], n[1][7] = 0, 0
    bad = [rng.binomial(x.astype(int), 0.1).astype(float) for x in n]
    both = c.Counts(n[0], bad[0], n[1], bad[1], np.linspace(1, 3, 30))
    assert sum(c.PRIOR) == pytest.approx(1)
    assert c.log_e_process(both, margin) == pytest.approx(slow_log_e(both, margin), abs=1e-9)


def test_expectation_of_e_is_at_most_one_without_a_change():
    rng = np.random.default_rng(2)
    size, ends = np.full((10, 1), 50.0), []
    for _ in range(4000):
        bad = rng.poisson(3, (2, 10, 1)).astype(float)
        ends.append(math.exp(c.log_e_process(c.Counts(size, bad[0], size, bad[1], np.ones(10)), 0.0)[-1]))
    assert np.mean(ends) == pytest.approx(1.0, abs=0.35)


def test_peeking_at_every_bucket_rarely_flags_unchanged_releases():
    rng = np.random.default_rng(3)
    flags = [
        c.concurrent_rate(*sides(rng, 400, buckets=96), randomised=True).status == "worse" for _ in range(600)
    ]
    assert np.mean(flags) <= alpha_for(1)


def test_shared_swings_of_the_rate_do_not_flag():
    rng, flags = np.random.default_rng(4), 0
    for _ in range(200):
        rate = 0.05 * np.exp(rng.normal(0, 0.8, 96))
        n = np.full(96, 400.0)
        pair = [Side(n, rng.binomial(400, np.minimum(rate, 0.9)).astype(float)) for _ in range(2)]
        flags += c.concurrent_rate(*pair, randomised=True).status == "worse"
    assert flags / 200 <= alpha_for(1)


@pytest.mark.parametrize("signals", [1, 20])
def test_tripled_errors_are_seen_in_half_a_minute(signals):
    rng = np.random.default_rng(5)
    n, seen = np.array([1500.0]), 0
    for _ in range(50):
        pair = [Side(n, rng.binomial(1500, [p]).astype(float)) for p in (0.05, 0.15)]
        found = c.concurrent_rate(*pair, signals=signals)
        seen += found.status == "worse" and found.first_bucket == 0
    assert seen == 50


def clustered(rng, users=4000, heavy=(60, 25, 15, 10, 8)):
    """An A/A split by user: a few clients make most of some 220 errors; counts and squares per bucket."""
    each = np.zeros(users, int)
    each[: len(heavy)] = heavy
    light = rng.choice(np.arange(len(heavy), users), 220 - sum(heavy))
    np.add.at(each, light, 1)
    is_new = rng.random(users) < 0.5
    out = []
    for mask in (~is_new, is_new):
        bad, squares = np.zeros(24), np.zeros(24)
        for errors in each[mask & (each > 0)]:
            at = np.sort(rng.integers(0, 24, errors))
            np.add.at(bad, at, 1.0)
            np.add.at(squares, at, 2.0 * np.arange(1, errors + 1) - 1)
        out.append(Side(np.full(24, 500.0), bad, squares))
    return out


def test_heavy_clients_do_not_flag_unchanged_releases():
    rng, tempered, raw = np.random.default_rng(6), 0, 0
    for _ in range(1000):
        old, new = clustered(rng)
        tempered += c.concurrent_rate(old, new, randomised=True).status == "worse"
        bare = [dataclasses.replace(s, bad_sq=None) for s in (old, new)]
        raw += c.concurrent_rate(*bare, randomised=True).status == "worse"
    assert tempered / 1000 <= 0.01
    assert raw / 1000 >= 0.15


def test_early_adopters_within_the_margin_do_not_flag():
    rng = np.random.default_rng(7)
    flags = [c.concurrent_rate(*sides(rng, 2000, 0.05, 0.0625)).status == "worse" for _ in range(200)]
    assert np.mean(flags) <= alpha_for(1)


def test_swapped_sides_swap_worse_and_better():
    old, new = sides(np.random.default_rng(8), new=0.1)
    worse, better = c.concurrent_rate(old, new), c.concurrent_rate(new, old)
    assert (worse.status, better.status) == ("worse", "better")
    assert worse.ratio == pytest.approx(1 / better.ratio)
    assert c.concurrent_rate(new, old, bad_is_up=False).status == "worse"
    assert c.concurrent_rate(old, new, bad_is_up=False).status == "better"


def test_splitting_into_equal_strata_changes_nothing():
    old, new = sides(np.random.default_rng(9), new=0.08)
    strata = [Side(np.stack((s.n, s.n), 1), np.stack((s.bad, s.bad), 1)) for s in (old, new)]
    doubled = [Side(s.n * 2, s.bad * 2) for s in (old, new)]
    a, b = c.concurrent_rate(*strata), c.concurrent_rate(*doubled)
    assert a.evidence == pytest.approx(b.evidence)
    assert a.ratio == pytest.approx(b.ratio)


def test_stratification_removes_the_bias_of_a_mix():
    rng = np.random.default_rng(10)
    n_old, n_new = np.tile([2000.0, 200.0], (24, 1)), np.tile([200.0, 2000.0], (24, 1))
    pair = [Side(n, rng.binomial(n.astype(int), [0.02, 0.1]).astype(float)) for n in (n_old, n_new)]
    assert c.concurrent_rate(*pair, stratified=True).status == "same"
    plain = [Side(s.n.sum(1), s.bad.sum(1)) for s in pair]
    assert c.concurrent_rate(*plain).status == "worse"


def test_more_data_narrows_and_lowers_the_detectable_change():
    small, large = sides(np.random.default_rng(11), 300), sides(np.random.default_rng(11), 30_000)
    a, b = c.concurrent_rate(*small), c.concurrent_rate(*large)
    assert b.high - b.low < a.high - a.low
    assert b.margin < b.mde < a.mde


def test_stated_detectable_change_is_detected():
    rng = np.random.default_rng(12)
    mde = c.concurrent_rate(*sides(rng, 1000)).mde
    seen = [
        c.concurrent_rate(*sides(rng, 1000, 0.05, 0.05 * (1 + mde))).status == "worse" for _ in range(200)
    ]
    assert np.mean(seen) >= 0.93


def test_too_few_bad_events_say_how_many_more_are_needed():
    n = np.full(4, 100.0)
    found = c.concurrent_rate(Side(n, np.array([1.0, 0, 0, 0])), Side(n, np.array([0, 2.0, 0, 0])))
    assert found.status == "not_enough"
    assert 500 <= found.needed <= 3000
    weak = c.concurrent_rate(Side(n, np.full(4, 2.0)), Side(n, np.full(4, 2.0)))
    assert weak.status == "not_enough"
    assert weak.needed > 0


@pytest.mark.parametrize("shape", [(0,), (3,), (3, 2)])
def test_nothing_at_all_is_not_enough_and_finite(shape):
    nothing = Side(np.zeros(shape), np.zeros(shape))
    for found in (c.concurrent_rate(nothing, nothing), c.concurrent_latency(nothing, nothing)):
        assert found.status == "not_enough"
        assert np.isfinite(numbers(found)).all()


def test_missing_counts_are_taken_as_none():
    old, new = sides(np.random.default_rng(13))
    bad = new.bad.copy()
    bad[2] = np.nan
    assert np.isfinite(numbers(c.concurrent_rate(old, Side(new.n, bad)))).all()


def test_a_spell_that_is_over_is_transient():
    rng = np.random.default_rng(14)
    old, new = sides(rng, 2000)
    bad = new.bad.copy()
    bad[:6] *= 4
    found = c.concurrent_rate(old, Side(new.n, bad))
    assert (found.status, found.transient) == ("worse", True)


def latencies(rng, factor=1.0, n=400, buckets=12):
    hist = np.stack([histogram(rng.lognormal(5, 0.6, n) * factor) for _ in range(buckets)])
    return Side(np.full(buckets, float(n)), np.zeros(buckets), None, hist)


def test_slower_release_is_flagged_in_ms():
    rng = np.random.default_rng(15)
    found = c.concurrent_latency(latencies(rng), latencies(rng, 1.5))
    assert found.status == "worse"
    assert found.measure == "latency_p95"
    assert found.ratio == pytest.approx(1.5, rel=0.15)
    assert found.old == pytest.approx(math.exp(5 + 1.645 * 0.6), rel=0.1)
    assert found.low <= found.new <= found.high
    assert 0 < found.mde < 1


def test_equal_latencies_rarely_flag():
    rng = np.random.default_rng(16)
    flags = [
        c.concurrent_latency(latencies(rng, n=150), latencies(rng, n=150), randomised=True).status == "worse"
        for _ in range(150)
    ]
    assert np.mean(flags) <= alpha_for(1)
    assert latencies(rng).hist.shape[1] == BINS


def test_latency_of_a_constant_is_same():
    hist = np.zeros((5, BINS))
    hist[:, 300] = 200
    side = Side(np.full(5, 200.0), np.zeros(5), None, hist)
    assert c.concurrent_latency(side, side).status == "not_enough"


def test_control_needs_a_share_of_the_traffic():
    one = Side(np.full(3, 4.0), np.zeros(3))
    assert c.usable_control(one, Side(np.full(3, 70.0), np.zeros(3)))
    assert not c.usable_control(one, Side(np.full(3, 100.0), np.zeros(3)))
