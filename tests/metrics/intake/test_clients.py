"""The installed Python clients, pointed at a server that keeps their bytes."""

import os
import subprocess
import sys
import time

import pytest

from metrics.intake import posthog, sentry

SENTRY = """
import sys
import sentry_sdk
sentry_sdk.init(f"http://0123456789abcdef0123456789abcdef@{sys.argv[1]}/42", release="shop@2",
                traces_sample_rate=1.0, environment="staging", _experiments=eval(sys.argv[2]))
sentry_sdk.set_user({"id": "u-7", "ip_address": "1.2.3.4"})
sentry_sdk.set_tag("customer", "acme")
def charge(card):
    password = "hunter2"
    raise ValueError(f"declined {card}")
with sentry_sdk.start_transaction(name="GET /orders/42", op="http.server") as transaction:
    transaction.set_status("internal_error")
    with sentry_sdk.start_span(op="db"):
        pass
try:
    charge("4111111111111111")
except ValueError:
    sentry_sdk.capture_exception()
sentry_sdk.capture_message("hello", level="info")
sentry_sdk.capture_event({"type": "feedback", "contexts": {"feedback": {"message": "too slow"}}})
from sentry_sdk.sessions import track_session
with track_session(sentry_sdk.get_isolation_scope(), session_mode="request"):
    pass
with track_session(sentry_sdk.get_isolation_scope(), session_mode="application"):
    pass
sentry_sdk.flush(5)
"""
POSTHOG = """
import sys
from posthog import Posthog
client = Posthog("phc_x", host=f"http://{sys.argv[1]}", flush_at=100, gzip=sys.argv[2] == "gzip",
                 super_properties={"release": "shop@2"}, enable_exception_autocapture=False)
client.capture("paid", distinct_id="u-7", properties={"amount": 5, "ok": False}, groups={"company": "acme"})
client.set(distinct_id="u-7", properties={"plan": "pro", "email": "ana@acme.io"})
client.group_identify("company", "acme", {"name": "Acme", "mrr": 90})
client.alias("old", "u-7")
try:
    raise ValueError("declined 4111111111111111")
except ValueError as error:
    client.capture_exception(error, distinct_id="u-7")
client.flush()
client.shutdown()
"""


def run(script, address, argument, **extra):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SENTRY_", "POSTHOG_"))
    }
    environment |= {"no_proxy": "*", "NO_PROXY": "*"} | extra
    subprocess.run([sys.executable, "-c", script, address, argument], check=True, env=environment, timeout=20)


@pytest.mark.parametrize("options", ["{}", "{'transport_compression_algo': 'gzip'}"])
def test_sentry_sdk(sink, options):
    address, seen = sink
    run(SENTRY, address, options)
    now = time.time()
    events, outcomes, encodings = [], {}, set()
    for request in seen:
        encodings.add(request.headers["content-encoding"])
        line = request.body.split(b"\n", 1)[0]
        assert request.path == "/api/42/envelope/"
        assert sentry.key_of(request.headers, request.query, line) == "0123456789abcdef0123456789abcdef"
        parsed = sentry.parse_envelope(request.body, "1", now)
        events += parsed.events
        outcomes |= parsed.outcomes
    assert encodings == {"gzip" if "gzip" in options else "br"}
    found = {(event.kind, event.name): event for event in events if event.n}
    use = found["use", "/orders/*"]
    assert (use.bad, use.customer, use.platform, use.props["status"]) == (
        1,
        "acme",
        "server",
        "internal_error",
    )
    assert use.value >= 0
    error = found["error", "errors"]
    assert (error.release, error.environment, error.user) == ("shop@2", "staging", "u-7")
    assert error.props["value"] == "declined [scrubbed]"
    assert error.props["frames"][-1]["function"] == "charge"
    assert found["error", "messages"].props["message"] == "hello"
    assert found["feedback", "feedback"].props["text"] == "too slow"
    sessions = [event for event in events if event.kind == "session"]
    assert sum(event.n for event in sessions) == 2
    assert sum(event.bad for event in sessions) == 0
    for secret in ("hunter2", "1.2.3.4", "4111111111111111"):
        assert secret not in str(events)
    assert all(abs(event.at - now) < 120 and len(event.id) == 32 for event in events)
    assert {outcome for _, outcome, _ in outcomes} <= {"filtered", "client_discard"}


@pytest.mark.parametrize("wrapping", ["plain", "gzip"])
@pytest.mark.parametrize("mode", ["v0", "v1"])
def test_posthog_python(sink, wrapping, mode):
    address, seen = sink
    run(POSTHOG, address, wrapping, POSTHOG_CAPTURE_MODE=mode)
    now = time.time()
    events, outcomes = [], {}
    for request in seen:
        payload = posthog.load(request.body, request.headers.get("content-type", ""), request.query)
        assert posthog.key_of(payload, request.query, request.headers) == "phc_x"
        parsed = posthog.to_events(payload, "1", now)
        events += parsed.events
        outcomes |= parsed.outcomes
    assert {request.path for request in seen} == {"/batch/" if mode == "v0" else "/i/v1/analytics/events"}
    assert sorted((event.kind, event.name) for event in events) == [
        ("error", "errors"), ("identify", "identify"), ("identify", "identify"), ("use", "paid"),
    ]  # fmt: skip
    assert outcomes == {("use", "filtered", "alias"): 1}
    use = next(event for event in events if event.kind == "use")
    assert (use.bad, use.customer, use.user, use.release) == (1, "acme", "u-7", "shop@2")
    assert use.props["amount"] == 5
    error = next(event for event in events if event.kind == "error")
    assert (error.props["type"], error.props["value"]) == ("ValueError", "declined [scrubbed]")
    who = {
        event.customer or event.user: event.props["traits"] for event in events if event.kind == "identify"
    }
    assert who["acme"]["mrr"] == 90
    assert who["u-7"]["email_domain"] == "acme.io"
    assert all(event.platform == "server" for event in events if event.kind in ("use", "error"))
    assert all(abs(event.at - now) < 120 for event in events)
