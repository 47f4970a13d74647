"""Requests of real clients, byte for byte, become the expected events."""

import pytest

from metrics.intake import otlp, otlp_facts, otlp_metrics, posthog, segment, sentry

from .conftest import CAPTURES, NOW, captured

SENTRY = {
    ("sentry-browser", "001"): [("session", "sessions", 1, 0)],
    ("sentry-browser", "002"): [("error", "errors", 1, 1)],
    ("sentry-browser", "003"): [("feedback", "feedback", 1, 0)],
    ("sentry-browser", "004"): [],
    ("sentry-browser", "005"): [("session", "sessions", 0, 1)],
    ("sentry-browser", "006"): [("error", "errors", 1, 1)],
    ("sentry-browser", "007"): [("use", "Pageload", 1, 1)],
    ("sentry-browser", "008"): [],
    ("sentry-node", "001"): [("use", "/", 1, 0)],
    ("sentry-node", "002"): [("feedback", "feedback", 1, 0)],
    ("sentry-node", "003"): [("session", "sessions", 1, 0)],
    ("sentry-node", "006"): [("session", "sessions", 0, 0)],
    ("sentry-cli", "019"): [],
    ("sentry-cli", "020"): [],
}
POSTHOG = {
    "002": [("use", "pageview")],
    "005": [("identify", "identify")],
    "007": [("use", "checkout_failed")],
    "008": [("use", "pageleave")],
}
SEGMENT = {"003": ("use", "Checkout Failed"), "006": ("identify", "identify"), "007": ("use", "pageview")}


@pytest.mark.parametrize(("folder", "number"), SENTRY)
def test_sentry(folder, number):
    request = captured(folder, number)
    line = request.body.split(b"\n", 1)[0]
    assert sentry.key_of(request.headers, request.query, line) == "0123456789abcdef0123456789abcdef"
    parsed = sentry.parse_envelope(request.body, "1", NOW)
    assert [(event.kind, event.name, event.n, event.bad) for event in parsed.events] == SENTRY[folder, number]
    assert parsed.events or parsed.outcomes
    for event in parsed.events:
        assert (event.release, event.environment, event.user) == ("shop@2.4.1", "production", "u-77")
        assert event.platform == {"sentry-browser": "web", "sentry-node": "server"}[folder]
        assert event.flags == 0
        assert NOW - 400 < event.at < NOW
    assert len(parsed.reply["id"]) in (0, 32)


def test_sentry_details():
    [event] = sentry.parse_envelope(captured("sentry-browser", "006").body, "1", NOW).events
    assert event.props["type"] == "ReferenceError"
    assert event.props["value"] == "nope is not defined"
    assert event.props["handled"] is False
    assert (event.props["browser"], event.props["os"]) == ("Chrome", "Linux")
    [event] = sentry.parse_envelope(captured("sentry-browser", "003").body, "1", NOW).events
    assert event.props["text"] == "No puedo pagar"
    [event] = sentry.parse_envelope(captured("sentry-browser", "007").body, "1", NOW).events
    assert (event.value, event.props["path"]) == (206.5, "/sentry.html")


@pytest.mark.parametrize("number", POSTHOG)
def test_posthog(number):
    request = captured("posthog-browser", number)
    payload = posthog.load(request.body, request.headers["content-type"], request.query)
    assert posthog.key_of(payload, request.query, request.headers) == "phc_testtoken"
    parsed = posthog.to_events(payload, "1", NOW)
    assert [(event.kind, event.name) for event in parsed.events] == POSTHOG[number]
    [event] = parsed.events
    assert (event.release, event.user, event.platform) == ("2.4.1", "u-77", "web")
    assert event.session == "01a20198-23b9-716e-b0c0-2d9e156a0c7d"
    assert event.flags == 0
    assert "phc_testtoken" not in str(event)


def test_posthog_flags_request_carries_the_key_too():
    request = captured("posthog-browser", "004")
    payload = posthog.load(request.body, request.headers["content-type"], request.query)
    assert posthog.key_of(payload, request.query, request.headers) == "phc_testtoken"


@pytest.mark.parametrize("number", SEGMENT)
def test_segment(number):
    request = captured("segment-browser", number)
    payload = segment.load(request.body)
    assert segment.key_of(payload, {}, request.headers) == segment.key_of(payload, {}, {}) == "wk_test"
    kind = segment.TYPES[request.path.rpartition("/")[2]]
    [event] = segment.parse(payload, kind, len(request.body), "1", NOW).events
    assert (event.kind, event.name) == SEGMENT[number]
    assert (event.user, event.platform, event.flags) == ("u-77", "web", 0)
    assert NOW - 400 < event.at < NOW
    assert "wk_test" not in str(event)


def test_otlp():
    def told(number):
        request = captured("otlp-node", number)
        return otlp.load(request.body, request.headers["content-type"], request.path.rpartition("/")[2])

    [span] = otlp_facts.spans(told("001"), "1", NOW).events
    assert (span.kind, span.name, span.release) == ("use", "op", "2.4.1")
    assert span.value == pytest.approx(0.217573)
    counts = [otlp_metrics.metrics(told(number), "1", NOW).events[0].props["counter"] for number in ("002", "003")]
    assert [count["count"] for count in counts] == [2, 2]
    assert counts[0]["series"] == counts[1]["series"]
    assert counts[0]["at"] < counts[1]["at"]


def test_no_capture_is_forgotten():
    kept = {(path.parent.name, path.name[:3]) for path in CAPTURES.glob("*/*.body.bin")}
    assert kept == set(SENTRY) | {("posthog-browser", number) for number in (*POSTHOG, "004")} | {
        ("segment-browser", number) for number in SEGMENT
    } | {("otlp-node", number) for number in ("001", "002", "003")}
