"""Limits to the event: the minute and the month they count in, and what a client is told."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from metrics.intake.allowance import LONGEST_WAIT, Allowance

NOW = datetime(2026, 11, 22, 14, 30, 12, tzinfo=UTC)


def allowance(**given) -> Allowance:
    fields = {"per_minute": None, "per_month": None, "minute": None, "in_minute": 0, "month": None, "in_month": 0}
    return Allowance(**{**fields, **given})


def test_nothing_beyond_the_limit_and_everything_up_to_it():
    quota = allowance(per_month=1_000)
    taken = sum(7 for _request in range(200) if quota.ask(7, NOW) is None)
    assert taken == quota.taken == 994
    assert quota.ask(6, NOW) is None  # a smaller one still fits
    assert quota.ask(1, NOW).left == 0


def test_what_was_taken_before_counts():
    quota = allowance(per_month=10, month=date(2026, 11, 1), in_month=9)
    assert quota.ask(2, NOW).reason == "over_quota"
    assert quota.ask(1, NOW) is None


@pytest.mark.parametrize("months", [1, 2])
def test_a_new_month_begins_at_zero(months):
    quota = allowance(per_month=10, month=date(2026, 12 - months, 1), in_month=10)
    assert quota.ask(10, datetime(2026, 12, 1, tzinfo=UTC)) is None
    assert quota.month == date(2026, 12, 1)


def test_a_late_request_of_the_month_before_does_not_turn_time_back():
    quota = allowance(per_month=10, month=date(2026, 12, 1), in_month=4)
    assert quota.ask(1, NOW) is None
    assert (quota.month, quota.in_month) == (date(2026, 12, 1), 4)


def test_a_minute_is_told_apart_from_a_month():
    rate = allowance(per_minute=5, per_month=7)
    assert rate.ask(5, NOW) is None
    refused = rate.ask(1, NOW)
    assert (refused.status, refused.reason, refused.wait) == (429, "rate_limited", 48)
    used = allowance(per_minute=5, per_month=7, minute=NOW.replace(second=0), in_minute=5, month=date(2026, 11, 1), in_month=5)
    assert used.ask(1, NOW + timedelta(minutes=1)) is None
    assert used.ask(2, NOW + timedelta(minutes=1)).reason == "over_quota"


def test_nobody_is_sent_away_for_weeks():
    """A raised limit must be noticed."""
    assert allowance(per_month=1, month=date(2026, 11, 1), in_month=1).ask(1, NOW).wait == LONGEST_WAIT


def test_december_ends_with_the_year():
    at = datetime(2026, 12, 31, 23, 59, 58, tzinfo=UTC)
    refused = allowance(per_month=1, month=date(2026, 12, 1), in_month=1).ask(1, at)
    assert refused.wait == 2
