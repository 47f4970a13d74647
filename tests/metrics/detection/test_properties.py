"""What must hold for any numbers at all, found by hypothesis (https://hypothesis.readthedocs.io)."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metrics.counting import sketch
from metrics.detection.asking import Question, differences
from metrics.detection.before_after import before_after
from metrics.detection.concurrent import concurrent_latency, concurrent_rate
from metrics.detection.evidence import NOT_ENOUGH, WORSE, Evidence, Side
from metrics.detection.faults import Seen, e_value, judge
from metrics.detection.short_history import short_history
from metrics.detection.slices import Part, explain

pytestmark = pytest.mark.filterwarnings("ignore")
settings.register_profile(
    "house", max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")

count, sizes = st.integers(0, 5_000), st.integers(1, 12)


@st.composite
def sides(draw, buckets=sizes):
    """Both sides of a comparison: [(n_old, bad_old, n_new, bad_new)] per bucket."""
    size = draw(buckets)
    rows = draw(st.lists(st.tuples(count, count, count, count), min_size=size, max_size=size))
    return [(n_a, min(k_a, n_a), n_b, min(k_b, n_b)) for n_a, k_a, n_b, k_b in rows]


def pair(rows) -> tuple[Side, Side]:
    table = np.array(rows, dtype=np.float64)
    return Side(table[:, 0], table[:, 1]), Side(table[:, 2], table[:, 3])


def is_finite(evidence: Evidence) -> bool:
    return all(math.isfinite(value) for value in asdict(evidence).values() if isinstance(value, float))


@given(sides(), st.data())
def test_one_more_failure_is_never_less_evidence(rows, data):
    place = data.draw(st.integers(0, len(rows) - 1))
    n_a, k_a, n_b, k_b = rows[place]
    more = [*rows]
    more[place] = (n_a, k_a, max(n_b, k_b + 1), k_b + 1)
    if max(n_b, k_b + 1) == n_b and n_a:  # with the same uses on both sides
        before, after = concurrent_rate(*pair(rows)), concurrent_rate(*pair(more))
        if before.evidence:  # 0: nothing was said yet
            assert after.evidence >= before.evidence * (1 - 1e-9)


@given(sides(st.integers(2, 12)), st.randoms())
def test_the_order_of_buckets_does_not_matter_for_the_estimates(rows, chance):
    shuffled = [*rows]
    chance.shuffle(shuffled)
    one, other = concurrent_rate(*pair(rows)), concurrent_rate(*pair(shuffled))
    for name in ("n_old", "bad_old", "n_new", "bad_new", "old", "new", "low", "high", "ratio_low", "ratio_high"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9), name


@given(st.lists(st.lists(st.floats(0.1, 1e6), max_size=30), min_size=1, max_size=6), st.randoms())
def test_the_order_in_which_histograms_are_merged_does_not_matter(parts, chance):
    from metrics.detection.histogram import bin_of

    packs = []
    for values in parts:
        bins: dict[int, int] = {}
        for place in bin_of(values).tolist() if values else ():
            bins[place] = bins.get(place, 0) + 1
        packs.append(sketch.pack(bins))
    shuffled = [*packs]
    chance.shuffle(shuffled)
    assert sketch.dense(packs).tolist() == sketch.dense(shuffled).tolist()
    assert sketch.dense(packs).sum() == sum(map(len, parts))


@given(sides())
def test_every_number_is_finite_and_every_interval_holds_its_estimate(rows):
    old, new = pair(rows)
    for evidence in (concurrent_rate(old, new), short_history(old, new, measure="failure_rate")):
        assert is_finite(evidence)
        if evidence.status != NOT_ENOUGH:
            assert evidence.low <= evidence.new <= evidence.high
            assert evidence.ratio_low <= evidence.ratio_high


@given(st.integers(0, 40), st.integers(0, 40))
def test_no_traffic_is_not_enough_data(before, after):
    nothing = Side(np.zeros(after), np.zeros(after))
    empty, full = Side(np.zeros(before), np.zeros(before)), Side(np.full(after, 100.0), np.full(after, 5.0))
    hist = Side(np.zeros(after), np.zeros(after), None, np.zeros((after, 705)))
    answers = [
        concurrent_rate(nothing, nothing), concurrent_rate(full, nothing), concurrent_rate(nothing, full),
        concurrent_latency(hist, hist), short_history(empty, nothing, measure="failure_rate"),
        before_after(np.zeros(before), np.zeros(after), bucket_s=300, direction=-1, measure="volume"),
        *(evidence for _state, evidence in judge([Seen(0, 0, 0, 1, 0, 0, 0, 0)])),
    ]  # fmt: skip
    assert {evidence.status for evidence in answers} == {NOT_ENOUGH}


@given(st.integers(1, 60), st.integers(0, 1_000))
def test_a_gap_is_not_a_drop(gap, seed):
    """What is not known is no zero: the last known value goes on."""
    rng = np.random.default_rng(seed)
    pre, post = rng.poisson(200, 5 * 288).astype(float), rng.poisson(200, 72).astype(float)
    post[12 : min(72, 12 + gap) : 2] = np.nan
    told = before_after(pre, post, bucket_s=300, direction=-1, measure="volume")
    assert told.status != WORSE


@given(sides(), st.integers(1, 60))
def test_more_signals_never_make_a_flag_easier(rows, signals):
    old, new = pair(rows)
    few, many = concurrent_rate(old, new), concurrent_rate(old, new, signals=signals)
    assert many.threshold >= few.threshold
    assert not (many.status == WORSE and few.status != WORSE)


@given(sides(), st.floats(0, 0.9))
def test_a_wider_margin_never_makes_a_flag_easier(rows, margin):
    old, new = pair(rows)
    wide = Question("concurrent_rate", {"old": old, "new": new}).tuned(0.9, 0).answer()
    narrow = Question("concurrent_rate", {"old": old, "new": new}).tuned(margin, 0).answer()
    assert not (wide.status == WORSE and narrow.status != WORSE and narrow.evidence < narrow.threshold)


@given(st.floats(0, 1e7), st.floats(0, 1e7), st.floats(0, 1e5), st.floats(0, 1e5), st.floats(1, 50))
def test_a_fault_with_more_errors_is_never_less_sure(n_past, n_new, bad_past, bad_new, deff):
    def evidence(bad: float) -> float:
        return e_value(Seen(n_new, bad, bad, deff, n_past, bad_past, n_past, bad_past), n_past, bad_past, 0.25)

    assert evidence(bad_new + 1) >= evidence(bad_new) * (1 - 1e-9)


@given(sides())
def test_a_question_survives_being_stored(rows):
    old, new = pair(rows)
    question = Question("concurrent_rate", {"old": old, "new": new, "signals": 3}, 7)
    again = Question.of_json(question.as_json())
    assert differences(asdict(question.answer()), again.answer()) == {}


@given(st.dictionaries(st.sampled_from(["plan=a", "plan=b", "platform=x"]), st.tuples(count, count, count, count)))
def test_a_place_is_part_of_what_is_beyond(parts):
    told = {name: Part(a, min(b, a), c, min(d, c)) for name, (a, b, c, d) in parts.items()}
    whole = Part(*(sum(getattr(p, name) for p in told.values()) + 100 for name in ("n_old", "bad_old", "n_new", "bad_new")))
    for place in explain(whole, told):
        assert 0.8 <= place.share <= 1
        assert 0 < place.traffic <= 0.8
