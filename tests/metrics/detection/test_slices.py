"""The part of the traffic that explains a regression: named when it does, not when the release is as bad everywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm

from metrics.detection.slices import ALL, ALPHA, BOTH, MOST, Part, difference, explain, in_points

RUNS = 2_000
#: Shares of three plans and of five platforms, independent of each other.
PLANS, PLATFORMS = (0.5, 0.3, 0.2), (0.35, 0.25, 0.2, 0.15, 0.05)


def draw(rng, uses, rate, times, deff=1):
    """(whole, parts) of both sides; `times`: factor on the new side's rate by plan and platform. Failures come `deff`
    at a time."""
    shares = np.outer(PLANS, PLATFORMS)
    n = [rng.multinomial(uses, shares.ravel()).reshape(shares.shape) for _side in range(2)]
    bad = [rng.binomial(n[0] // deff, rate) * deff, rng.binomial(n[1] // deff, np.minimum(1, rate * times)) * deff]
    four = np.stack([n[0], bad[0], n[1], bad[1]])
    parts = {f"plan={i}": Part(*four[:, i].sum(axis=1)) for i in range(len(PLANS))}
    parts |= {f"platform={i}": Part(*four[:, :, i].sum(axis=1)) for i in range(len(PLATFORMS))}
    return Part(*four.sum(axis=(1, 2))), parts


def where(plan=None, platform=None, times=4.0):
    factors = np.ones((len(PLANS), len(PLATFORMS)))
    factors[slice(None) if plan is None else plan, slice(None) if platform is None else platform] = times
    return factors


def names(whole, parts, deff=1.0):
    return tuple(place.name for place in explain(whole, parts, deff))


@pytest.mark.parametrize("uses", [200, 1_000, 20_000])
@pytest.mark.parametrize("deff", [1, 5])
def test_nothing_is_named_when_it_is_as_bad_everywhere(uses, deff):
    rng = np.random.default_rng(1)
    found = sum(bool(names(*draw(rng, uses, 0.04, where(), deff), deff)) for _run in range(RUNS))
    assert found / RUNS <= ALPHA


@pytest.mark.parametrize(("plan", "platform", "times", "wanted"), [
    (2, None, 4.0, ("plan=2",)), (None, 3, 5.0, ("platform=3",)), (1, 1, 12.0, ("platform=1", "plan=1")),
])  # fmt: skip
def test_the_part_is_named(plan, platform, times, wanted):
    rng = np.random.default_rng(2)
    found = [names(*draw(rng, 30_000, 0.04, where(plan, platform, times))) for _run in range(300)]
    assert sum(each == wanted for each in found) / 300 >= 0.9
    assert all(set(each) <= set(wanted) for each in found)


def test_two_parts_are_named_only_where_both_hold_nearly_all():
    whole = Part(100_000, 1_000, 100_000, 2_000)
    plan, platform = Part(30_000, 300, 30_000, 1_280), Part(40_000, 400, 40_000, 1_250)
    assert [round(place.share, 2) for place in explain(whole, {"plan=Free": plan})] == [0.98]
    assert names(whole, {"plan=Free": plan, "platform=web": platform}) == ("plan=Free",)
    platform = Part(40_000, 400, 40_000, 1_340)
    places = explain(whole, {"plan=Free": plan, "platform=web": platform})
    assert [place.name for place in places] == ["plan=Free", "platform=web"]
    assert all(place.share >= BOTH for place in places)
    assert [place.traffic for place in places] == [0.3, 0.4]
    assert [place.share >= ALL for place in places] == [True, False]


def test_a_part_with_nearly_all_of_the_traffic_explains_nothing():
    whole = Part(10_000, 100, 10_000, 400)
    assert names(whole, {"platform=web": Part(9_000, 90, (MOST + 0.1) * 10_000, 390)}) == ()


@pytest.mark.filterwarnings("ignore:divide by zero")  # the fit is exact
def test_the_difference_is_that_of_a_poisson_regression():
    part, rest = Part(4_000, 160, 5_000, 600), Part(9_000, 360, 8_000, 400)
    bad = [part.bad_new, part.bad_old, rest.bad_new, rest.bad_old]
    n = [part.n_new, part.n_old, rest.n_new, rest.n_old]
    design = [[1, 1, 1, 1], [1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]]  # all, new, part, new in part
    fit = sm.GLM(bad, design, family=sm.families.Poisson(), offset=np.log(n)).fit()
    assert difference(part, rest) == pytest.approx(fit.tvalues[3], rel=0.01)


def test_what_never_failed_before_has_a_place():
    whole, part = Part(4_500, 0, 4_500, 326), Part(2_266, 0, 2_236, 326)
    assert names(whole, {"plan=Free": part, "plan=Pro": whole.without(part)}) == ("plan=Free",)


def test_a_part_that_always_failed_more_is_not_blamed_for_what_all_share():
    whole, part = Part(20_000, 440, 20_000, 1_320), Part(10_000, 400, 10_000, 1_200)
    assert in_points(part, whole.without(part)) > 10
    assert names(whole, {"plan=Free": part}) == ()


def test_the_difference_in_points_is_that_of_a_linear_contrast():
    part, rest = Part(4_000, 160, 5_000, 600), Part(9_000, 360, 8_000, 400)
    rates = [(600, 5_000), (160, 4_000), (400, 8_000), (360, 9_000)]
    error = math.sqrt(sum(bad / n**2 for bad, n in rates))
    assert in_points(part, rest) == pytest.approx((0.12 - 0.04 - 0.05 + 0.04) / error, rel=0.01)


def test_clustered_failures_count_for_less():
    part, rest = Part(4_000, 160, 5_000, 600), Part(9_000, 360, 8_000, 400)
    assert difference(part, rest, 4.0) == pytest.approx(difference(part, rest) / 2, rel=0.02)


@pytest.mark.parametrize("parts", [
    {}, {"plan=a": Part(0, 0, 0, 0)}, {"plan=a": Part(0, 0, 50, 50)}, {"plan=a": Part(100, 1, 100, 60)},
    {"plan=a": Part(50, 1, 0, 0)},
])  # fmt: skip
def test_parts_without_both_sides_or_without_a_rest_are_left_out(parts):
    assert names(Part(100, 1, 100, 60), parts) == ()


def test_a_fall_and_an_empty_side_have_no_place():
    assert names(Part(100, 60, 100, 1), {"plan=a": Part(50, 30, 50, 1)}) == ()
    assert names(Part(0, 0, 100, 50), {"plan=a": Part(0, 0, 50, 50)}) == ()


def test_numbers_stay_finite():
    whole, part = Part(1e12, 0, 1e12, 1e9), Part(1e11, 0, 1e11, 1e9)
    assert math.isfinite(difference(part, whole.without(part), 1e6))
