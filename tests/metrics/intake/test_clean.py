import math
import re

import pytest

from metrics.intake.clean import VALUES_LIMIT, build, event_id, json_loads, number, text, timestamp
from metrics.intake.clock import instant, skew
from metrics.intake.event import CLAMPED, FUTURE_LIMIT, LIMITS, PAST_LIMIT, TRUNCATED, Refused

NOW = 1795323100.25
DAY = 86_400


@pytest.mark.parametrize(
    ("raw", "limit", "expected"),
    [
        ("abc", 5, ("abc", False)),
        ("abcdef", 5, ("abcde", True)),
        ("a\0b", 5, ("ab", False)),
        ("\0" * 9, 5, ("", True)),
        ("a\ud83d", 5, ("a\ufffd", False)),
        ("año 😀", 5, ("año 😀", False)),
        (12, 5, ("12", False)),
        (None, 5, ("", False)),
        (True, 5, ("", False)),
        ({"a": 1}, 5, ("", False)),
        (["a"], 5, ("", False)),
    ],
)
def test_text_is_clean_and_cut(raw, limit, expected):
    assert text(raw, limit) == expected


def test_numbers_are_finite_and_positive():
    assert number(1) == 1.0
    assert [number(wrong) for wrong in (-1, math.inf, math.nan, True, "1", None)] == [None] * 6


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"a":\n 1,}', "line 2, column 3 (byte 8)"),
        ('{"é":\n"éé" x'.encode(), "line 2, column 6 (byte 14)"),
        (b"", "line 1, column 1 (byte 0)"),
        (b"[NaN]", "byte 1"),
        (b"[1e999]", "byte 1"),
        (b"[" * 100_000, "byte 1025"),
        (b"[" + b"9" * 10_000 + b"]", "byte 1"),
        (b'{"a":1}\n["\xff"]', "line 2, column 3 (byte 10)"),
        ('{"a":1}'.encode("utf-16"), "UTF-16"),
        ('{"a":1}'.encode("utf-16-le"), "UTF-16"),
        (b'["\\ud800', "byte"),
    ],
)
def test_broken_json_says_where(body, where):
    with pytest.raises(Refused) as refused:
        json_loads(body)
    assert (refused.value.status, refused.value.reason) == (400, "bad_json")
    assert where in refused.value.detail


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'["\\ud83d"]', ["\ufffd"]),
        (b'["\\ud83d\\ude00 \\udc00 \\\\ud800"]', ["😀 \ufffd \\ud800"]),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"[18446744073709551616]", [18446744073709551616.0]),
        (b'["a\\u0000b"]', ["a\0b"]),
    ],
)
def test_odd_json_is_read(body, value):
    assert json_loads(body) == value


def test_bodies_that_would_blow_up_in_memory_are_413():
    with pytest.raises(Refused) as refused:
        json_loads(b"[" + b"[]," * VALUES_LIMIT + b"[]]")
    assert refused.value.status == 413


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        ("2026-11-22T04:51:40Z", 1795323100.0),
        ("2026-11-22T04:51:40.250+00:00", NOW),
        ("2026-11-22 04:51:40", 1795323100.0),
        ("2026-11-22T05:51:40+01:00", 1795323100.0),
        ("2026-11-21T23:51:40.25-05:00", NOW),
        (1795323100, 1795323100.0),
        (NOW, NOW),
        (1795323100250, NOW),
        (1795323100250000, NOW),
        (1795323100250000000, NOW),
        (1795323100.25 * 1e9, NOW),
        ("1795323100", 1795323100.0),
        ("1795323100.25", NOW),
        ("1795323100250", NOW),
    ],
)
def test_times_in_all_forms(raw, seconds):
    at, clamped = timestamp(raw, NOW)
    assert at == pytest.approx(seconds, abs=0.001)
    assert not clamped


@pytest.mark.parametrize(
    "raw",
    ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "yesterday", "nan", "inf",
    "1e400",
     "x" * 1000, "2026-13-45", 0, -1, 1e300, -1e300, math.nan, math.inf, 10**30, True, [], {},
     NOW - PAST_LIMIT - 1,
     NOW + FUTURE_LIMIT + 1, NOW - 365 * DAY, "20261122"],
)  # fmt: skip
def test_nonsense_and_far_times_become_the_arrival(raw):
    assert timestamp(raw, NOW) == (NOW, True)


@pytest.mark.parametrize("raw", [None, ""])
def test_no_time_is_the_arrival_and_no_correction(raw):
    assert timestamp(raw, NOW) == (NOW, False)


def test_times_at_the_edges_stay():
    assert timestamp(NOW - PAST_LIMIT + 1, NOW) == (NOW - PAST_LIMIT + 1, False)
    assert timestamp(NOW + FUTURE_LIMIT - 1, NOW) == (NOW + FUTURE_LIMIT - 1, False)


def test_a_wrong_clock_shifts_what_came_along():
    assert skew(NOW - 299, NOW) == 0
    assert skew("nonsense", NOW) == 0
    assert skew(NOW - 3600, NOW) == 3600
    assert timestamp(NOW - 3700, NOW, 3600) == (NOW - 100, True)
    assert instant("2026-11-22") is not None


def test_uuids_stay_and_other_ids_are_scoped_to_the_product():
    plain = "0123456789abcdef0123456789abcdef"
    assert event_id("1", "01234567-89AB-CDEF-0123-456789ABCDEF") == plain
    assert event_id("1", plain) == event_id("2", plain) == plain
    assert event_id("1", "order-7") == event_id("1", "order-7")
    assert event_id("1", "order-7") != event_id("2", "order-7")


@pytest.mark.parametrize(
    "raw",
    ["../../etc/x", "", "x" * 10_000, "\0", "\ud800", None, 7, 0, True, [], {}, "0" * 32,
    "01234567-89abcdef-0123",
     "0123456789abcdef0123456789abcde\n", "٠" * 32],
)  # fmt: skip
def test_ids_are_always_32_hex_digits(raw):
    assert re.fullmatch("[0-9a-f]{32}", event_id("1", raw))


def test_without_an_id_the_parts_decide_or_chance():
    assert event_id("1", None, ("a", "b")) == event_id("1", "", ("a", "b"))
    assert event_id("1", None, ("a", "b")) != event_id("1", None, ("ab",))
    assert event_id("1", None) != event_id("1", None)
    assert event_id("1", "0" * 32) != event_id("1", "0" * 32)


def test_build_cuts_every_text_and_flags_it():
    event = build("0" * 32, "use", "n" * 999, 1.0, *["x\0" * 999] * 8, "es")
    assert event.flags == TRUNCATED
    for name, limit in LIMITS.items():
        value = getattr(event, name)
        assert len(value) <= limit
        assert "\0" not in value
    assert event.country == "ES"


@pytest.mark.parametrize("country", ["ESP", "e1", "é!", 34, None, ["es"], {"a": 1}])
def test_a_country_that_is_none_is_left_out(country):
    assert build("0" * 32, "use", "n", 1.0, country=country).country == ""


@pytest.mark.parametrize("raw", [None, "", {"a": 1}, [], "\0", False])
def test_the_environment_is_production_unless_named(raw):
    assert build("0" * 32, "use", "n", 1.0, environment=raw).environment == "production"


def test_flags_are_distinct_bits():
    assert CLAMPED & TRUNCATED == 0
