import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from metrics.detection.baseline import ORDER, baselines, whiten
from metrics.detection.before_after import Placebo, before_after, measure_steps, t99_over_normal
from metrics.detection.concurrent import concurrent_rate
from metrics.detection.evidence import Side

DAY = 288
with gzip.open(Path(__file__).parent / "data" / "sample.jsonl.gz", "rt") as lines:
    SAMPLE = [json.loads(line) for line in lines]


def numbers(found):
    return [v for v in dataclasses.asdict(found).values() if isinstance(v, float)]


def seasonal(rng, days=8, noise=0.04, memory=0.6):
    """A daily season with autocorrelated noise; the last day is what follows the release."""
    shocks, level = rng.normal(0, noise, days * DAY), np.zeros(days * DAY)
    for t in range(1, len(level)):
        level[t] = memory * level[t - 1] + shocks[t]
    season = 0.5 * np.sin(2 * np.pi * np.arange(len(level)) / DAY)
    x = 200 * np.exp(season + level)
    return x[:-DAY], x[-DAY:]


def judge(pre, post, direction=1, **options):
    options = {"bucket_s": 300, "measure": "latency_p95"} | options
    return before_after(pre, post, direction=direction, **options)


def test_looking_all_day_rarely_flags_unchanged_seasons():
    rng = np.random.default_rng(1)
    flags = [judge(*seasonal(rng)).status == "worse" for _ in range(150)]
    assert np.mean(flags) <= 0.02


def test_steps_are_seen_within_minutes():
    rng = np.random.default_rng(2)
    for _ in range(20):
        pre, post = seasonal(rng)
        found = judge(pre, post * 1.5)
        assert found.status == "worse"
        assert found.first_bucket <= 5
        assert found.ratio_low <= 1.5 <= found.ratio_high or found.ratio == pytest.approx(1.5, rel=0.2)


@pytest.mark.parametrize(
    ("direction", "factor", "status"), [(-1, 0.6, "worse"), (1, 0.6, "better"), (0, 0.6, "worse")]
)
def test_direction_decides_what_is_worse(direction, factor, status):
    pre, post = seasonal(np.random.default_rng(3))
    assert judge(pre, post * factor, direction).status == status


def test_unit_of_the_gauge_does_not_matter():
    pre, post = seasonal(np.random.default_rng(4))
    a, b = judge(pre, post * 1.2), judge(pre * 1000, post * 1200)
    assert a.evidence == pytest.approx(b.evidence)
    assert a.first_bucket == b.first_bucket
    assert b.new == pytest.approx(1000 * a.new)


def test_later_buckets_do_not_change_an_earlier_flag():
    pre, post = seasonal(np.random.default_rng(5))
    whole = judge(pre, post * 1.3).first_bucket
    assert judge(pre, post[: whole + 1] * 1.3).first_bucket == whole
    assert judge(pre, post[:whole] * 1.3).first_bucket is None


def test_more_signals_need_more_evidence():
    pre, post = seasonal(np.random.default_rng(6))
    thresholds = [judge(pre, post, signals=m).threshold for m in (1, 2, 4, 20)]
    assert thresholds == [3.0, 3.5, 4.0, 5.0]
    assert judge(pre, post, signals=20).mde > judge(pre, post).mde


def test_noisier_history_hides_more():
    rng = np.random.default_rng(7)
    assert judge(*seasonal(rng, noise=0.02)).mde < judge(*seasonal(rng, noise=0.1)).mde


@pytest.mark.parametrize("window", [2, 7, 8, 60])
def test_placebo_agrees_with_the_slow_reference(window):
    rng = np.random.default_rng(8)
    y = np.log(np.concatenate(seasonal(rng, days=4)))
    release = 3 * DAY
    expected, start = baselines(y, release, 300)["daily"]
    white = whiten("daily", y, expected, start, release, DAY)
    assert white.start == start + ORDER
    h, steps = white.weights[:window], []
    for t in range(release - white.start - window + 1):
        steps.append(abs(sum(h[i] * white.noise[t + i] for i in range(window)) / sum(h**2)))
    middle, q95, q98 = np.quantile(steps, [0.5, 0.95, 0.98])
    slow = max(1.4826 * middle, q95 / 1.96, q98 / 2.3263) * t99_over_normal((release - white.start) / window)
    placebo = Placebo(white, release)
    assert placebo.scale(window) == pytest.approx(slow, rel=1e-4)
    first = white.noise[release - white.start :][:window]
    assert measure_steps(white, placebo, release, window).step[-1] == pytest.approx((h * first).sum() / (h * h).sum())


def test_baselines_use_earlier_buckets_only():
    y = np.random.default_rng(9).normal(size=20 * DAY)
    release = 19 * DAY
    changed = y.copy()
    changed[release + 50 :] += 5
    for name, (expected, _) in baselines(y, release, 300).items():
        assert np.array_equal(
            expected[: release + 51], baselines(changed, release, 300)[name][0][: release + 51]
        )


def counted(rng, factor=1.0, n=400.0, rate=0.05):
    size = np.full(8 * DAY, n)
    chance = rate * np.exp(0.3 * np.sin(2 * np.pi * np.arange(len(size)) / DAY))
    chance[-DAY:] *= factor
    bad = rng.binomial(size.astype(int), chance).astype(float)
    return {"pre_n": size[:-DAY], "pre_bad": bad[:-DAY], "post_n": size[-DAY:], "post_bad": bad[-DAY:]}


def test_rates_are_told_as_rates():
    counts = counted(np.random.default_rng(10), 2.0)
    found = judge(np.zeros(0), np.zeros(0), measure="failure_rate", **counts)
    assert found.status == "worse"
    assert found.first_bucket <= 12
    assert found.old == pytest.approx(0.05, rel=0.15)
    assert found.ratio == pytest.approx(2.0, rel=0.3)
    assert found.bad_new == counts["post_bad"].sum()


def test_rare_errors_are_merged_into_longer_buckets():
    counts = counted(np.random.default_rng(11), 6.0, n=40.0, rate=0.01)
    found = judge(np.zeros(0), np.zeros(0), measure="failure_rate", **counts)
    assert found.status == "worse"
    assert (found.first_bucket + 1) % 12 == 0


@pytest.mark.parametrize(("before", "after"), [(0, 0), (0, 10), (2 * DAY, 10), (4 * DAY, 0), (4 * DAY, 1)])
def test_too_little_is_not_enough(before, after):
    found = judge(np.full(before, 9.0), np.full(after, 9.0))
    assert found.status == "not_enough"
    assert found.needed == (max(3 * DAY - before, 0) or 2 - after)
    assert np.isfinite(numbers(found)).all()


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_constant_zero_and_missing_series_stay_finite(value):
    found = judge(np.full(5 * DAY, value), np.full(20, value))
    assert found.status in ("same", "not_enough")
    assert np.isfinite(numbers(found)).all()
    none = np.zeros(5 * DAY)
    counts = {"pre_n": none, "pre_bad": none, "post_n": none[:20], "post_bad": none[:20]}
    assert np.isfinite(numbers(judge(none, none[:20], measure="failure_rate", **counts))).all()


def test_gaps_are_bridged():
    pre, post = seasonal(np.random.default_rng(12))
    pre[100:110], post[3] = np.nan, np.nan
    found = judge(pre, post * 1.5)
    assert found.status == "worse"
    assert np.isfinite(numbers(found)).all()


def test_a_spell_that_is_over_is_transient():
    pre, post = seasonal(np.random.default_rng(13))
    post[:40] *= 2
    found = judge(pre, post)
    assert (found.status, found.transient) == ("worse", True)


@pytest.mark.parametrize("series", SAMPLE, ids=lambda s: f"{s['id']}-{s['label']}")
def test_real_series(series):
    if series["track"] == "G":
        pre, post = np.array(series["pre"]), np.array(series["post"])
        found = judge(pre, post, series["bad_direction"])
    else:
        old, new = (
            Side(np.array(series[f"n{s}"], float), np.array(series[f"k{s}"], float)) for s in ("A", "B")
        )
        found = concurrent_rate(old, new, randomised=True)
    assert np.isfinite(numbers(found)).all()
    if series["label"] == "aa":
        assert found.status != "worse"
    elif series["track"] == "R" or found.mde <= 0.5:
        assert found.status == "worse"
