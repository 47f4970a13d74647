"""Signs of not getting on, in what one user did."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.detection.sessions import (
    AGAIN,
    DEAD,
    HASTE,
    HELP,
    MARKED,
    NEAR,
    PAUSE,
    RAGE,
    RETRIES,
    SIGNS,
    UNFINISHED,
    Act,
    cut,
    part_of,
    signs,
)

FILTERS, CHECKOUT = 1, 2


def use(at: float, name: str = "save_filter", feature: int = FILTERS, part: str = "", is_struggle: bool = False) -> Act:
    return Act(at, name, feature, part, is_struggle)


def test_a_plain_use_shows_nothing():
    assert signs([use(0), use(100, "apply_filter")]) == {FILTERS: set()}


@pytest.mark.parametrize(("name", "sign"), [("$rageclick", RAGE), ("$dead_click", DEAD), ("$dead_swipe", DEAD)])
def test_clicks_belong_to_what_was_used_last(name, sign):
    assert signs([use(0), use(50, "pay", CHECKOUT), use(50 + NEAR, name, 0)]) == {FILTERS: set(), CHECKOUT: {sign}}
    assert signs([use(0), use(NEAR + 1, name, 0)]) == {FILTERS: set()}
    assert signs([use(0, name, FILTERS)]) == {}  # clicks alone are no use


def test_the_same_action_three_times_more_within_a_minute():
    within = [use(k * HASTE / AGAIN) for k in range(AGAIN + 1)]
    assert signs(within) == {FILTERS: {RETRIES}}
    assert signs(within[:-1]) == {FILTERS: set()}
    assert signs([use(k * (HASTE / AGAIN + 1)) for k in range(9)]) == {FILTERS: set()}
    assert signs([use(k, "pageview") for k in range(9)]) == {FILTERS: set()}
    assert signs([use(k, f"step_{k}") for k in range(9)]) == {FILTERS: set()}


def test_what_is_called_a_retry_counts_as_one():
    again = [use(k, "retry", FILTERS, "retry") for k in range(1, AGAIN + 1)]
    assert signs([use(0), *again]) == {FILTERS: {RETRIES}}
    assert signs([use(0), *again[:-1]]) == {FILTERS: set()}


def test_help_looked_for_in_the_middle_of_something():
    assert signs([use(0), use(NEAR, "help_opened", 0, "help")]) == {FILTERS: {HELP}}
    assert signs([use(0), use(NEAR + 1, "help_opened", 0, "help")]) == {FILTERS: set()}
    assert signs([use(0, "help_opened", 0, "help"), use(10)]) == {FILTERS: set()}
    # Help about something else than what was just done.
    assert signs([use(0), use(1, "pay", CHECKOUT), use(5, "help", FILTERS, "help")]) == {FILTERS: set(), CHECKOUT: set()}


def test_begun_and_not_finished():
    begun, done = use(0, "checkout_started", CHECKOUT, "start"), use(60, "checkout_completed", CHECKOUT, "finish")
    ends = frozenset({CHECKOUT})
    assert signs([begun], ends) == {CHECKOUT: {UNFINISHED}}
    assert signs([begun, done], ends) == {CHECKOUT: set()}
    assert signs([begun, done, begun._replace(at=90)], ends) == {CHECKOUT: {UNFINISHED}}
    assert signs([begun]) == {CHECKOUT: set()}  # nobody ever told of an end


def test_what_the_product_marks():
    assert signs([use(0), use(5, "shook_head", 0, "", True)]) == {FILTERS: {MARKED}}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("checkout_started", "start"), ("Checkout Started", "start"), ("beginCheckout", ""), ("Order Completed", "finish"),
        ("signupFinished", "finish"), ("help_opened", "help"), ("HelpOpened", "help"), ("GET /docs/intro", "help"),
        ("retry", "retry"), ("payment retried", "retry"), ("start", ""), ("restarted", ""), ("helper", ""), ("", ""),
        ("checkout", ""), ("ünïcode", ""),
    ],
)  # fmt: skip
def test_names_say_what_they_are_a_part_of(name, part):
    assert part_of(name) == part


def test_a_pause_ends_a_session():
    assert list(cut([0, 10, 10 + PAUSE, 11 + 2 * PAUSE])) == [slice(0, 3), slice(3, 4)]
    assert list(cut([])) == []


acts = st.lists(
    st.builds(
        Act,
        st.floats(0, 4000),
        st.sampled_from(["pay", "search", "$rageclick", "help", "retry", "checkout_started", "pageview"]),
        st.integers(0, 3),
        st.sampled_from(["", "start", "finish", "help", "retry", "none"]),
        st.booleans(),
    ),
    max_size=40,
).map(lambda found: sorted(found, key=lambda act: act.at))


@given(acts, st.frozensets(st.integers(1, 3)))
def test_whatever_is_done(found, finishing):
    told = signs(found, finishing)
    assert 0 not in told
    assert told.keys() <= {act.feature for act in found}
    assert all(seen <= set(SIGNS) for seen in told.values())
    # More of the same session hides nothing but what was finished after all.
    for feature, seen in signs(found[: len(found) // 2], finishing).items():
        assert seen - {UNFINISHED} <= told[feature]


@given(st.lists(st.floats(0, 1e6), max_size=50).map(sorted))
def test_sessions_are_all_there_is(times):
    parts = [times[part] for part in cut(times)]
    assert [at for part in parts for at in part] == times
    assert all(b - a <= PAUSE for part in parts for a, b in pairwise(part))
