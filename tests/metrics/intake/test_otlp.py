"""OpenTelemetry's spans, log records and metrics become facts, the same from protobuf and JSON."""

from __future__ import annotations

import time

import orjson
import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from metrics.intake import otlp, otlp_facts, otlp_metrics, stacks
from metrics.intake.decode import BATCH_EVENTS
from metrics.intake.event import AGGREGATED, SCRUBBED, Refused

NOW = 1_795_323_100.0
BEGAN = "1795322812061000000"
ENDED = "1795322812311000000"
RESOURCE = {
    "service.version": "2.4.1",
    "deployment.environment.name": "staging",
    "telemetry.sdk.language": "python",
}


def attrs(values):
    kinds = {str: "stringValue", bool: "boolValue", int: "intValue", float: "doubleValue"}
    return [{"key": key, "value": {kinds[type(value)]: value}} for key, value in values.items()]


def body(signal, *items, resource=None):
    resources, scopes, kind = {
        "traces": ("resourceSpans", "scopeSpans", "spans"),
        "logs": ("resourceLogs", "scopeLogs", "logRecords"),
        "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
    }[signal]
    told = {"attributes": attrs(RESOURCE if resource is None else resource)}
    return orjson.dumps({resources: [{"resource": told, scopes: [{kind: list(items)}]}]})


def take(signal, *items, **more):
    parse = {"traces": otlp_facts.spans, "logs": otlp_facts.logs, "metrics": otlp_metrics.metrics}[signal]
    return parse(otlp.load(body(signal, *items, **more), "application/json", signal), "1", NOW)


def span(said=None, /, **fields):
    return {
        "traceId": "9eda19ee572055f314cd2dba3bc530f0", "spanId": "59f084e33061fc64", "name": "GET /orders/42", "kind": 2,
        "startTimeUnixNano": BEGAN, "endTimeUnixNano": ENDED, "attributes": attrs(said or {}), **fields,
    }  # fmt: skip


def raised(**more):
    said = {"exception.type": "ValueError", "exception.message": "no stock", "exception.stacktrace": TRACE}
    return {"name": "exception", "timeUnixNano": ENDED, "attributes": attrs({**said, **more})}


TRACE = """Traceback (most recent call last):
  File "/srv/shop/views.py", line 12, in pay
    total()
  File "/srv/shop/orders.py", line 7, in total
    raise ValueError("no stock")
ValueError: no stock
"""


def test_a_span_of_centuries_has_no_duration():
    endless = span(startTimeUnixNano="1000000000000000000", endTimeUnixNano="9223372036854775807")
    assert take("traces", endless).events[0].value is None


def test_an_entry_span_is_a_use():
    said = {"user.id": "u1", "customer": "acme", "plan": "Pro", "feature": "Orders", "session.id": "s", "http.method": "GET"}
    [made] = take("traces", span(said)).events
    assert (made.kind, made.name, made.n, made.bad, made.value) == ("use", "/orders/*", 1, 0, 250.0)
    assert (made.release, made.environment, made.platform) == ("2.4.1", "staging", "server")
    assert (made.user, made.customer, made.plan, made.feature, made.session) == ("u1", "acme", "Pro", "Orders", "s")
    assert made.props == {"http.method": "GET"}
    assert made.at == pytest.approx(1795322812.061, abs=1e-6)
    assert take("traces", span({"http.route": "/orders/{id}"}, name="x")).events[0].name == "/orders/*"


@pytest.mark.parametrize("code", [2, "STATUS_CODE_ERROR"])
def test_a_failed_span_with_its_exception(code):
    failed, error = take("traces", span(status={"code": code}, events=[raised(), {"name": "log"}])).events
    assert (failed.name, failed.bad) == ("/orders/*", 1)
    assert (error.kind, error.name, error.n, error.bad) == ("error", "errors", 1, 1)
    assert (error.props["type"], error.props["value"]) == ("ValueError", "no stock")
    assert [frame["function"] for frame in error.props["frames"]] == ["pay", "total"]
    assert failed.id != error.id


def test_steps_inside_are_counted_as_left_out():
    parsed = take("traces", span(kind=3, parentSpanId="aa"), span(kind=1, parentSpanId="aa"), span(kind=5, parentSpanId="aa"))
    assert [event.name for event in parsed.events] == ["/orders/*"]
    assert parsed.outcomes == {("use", "filtered", "inner_span"): 2}
    assert len(take("traces", span(kind=1)).events) == 1  # a root span is an entry


def test_protobuf_says_the_same_as_json():
    plain = body("traces", span({"customer": "acme", "n": 4}, status={"code": 2}, events=[raised()]))
    # Protobuf's own JSON has ids as base64; hex of 16 and 8 bytes is put in afterwards.
    packed = Parse(plain, ExportTraceServiceRequest())
    target = packed.resource_spans[0].scope_spans[0].spans[0]
    target.trace_id, target.span_id = bytes.fromhex("9eda19ee572055f314cd2dba3bc530f0"), bytes.fromhex("59f084e33061fc64")
    one = otlp_facts.spans(otlp.load(plain, "application/json", "traces"), "1", NOW)
    two = otlp_facts.spans(otlp.load(packed.SerializeToString(), otlp.PROTOBUF, "traces"), "1", NOW)
    assert one == two
    assert len(one.events) == 2


def test_log_records_from_error_up_are_errors():
    def record(number, **fields):
        return {"timeUnixNano": BEGAN, "severityNumber": number, "body": {"stringValue": "Card declined 42"}, **fields}

    parsed = take("logs", record(9), record(13), record(17), record(21, traceId="aa"), record("SEVERITY_NUMBER_ERROR2", spanId="b"))
    assert [(event.kind, event.props["value"]) for event in parsed.events] == [("error", "Card declined 42")] * 3
    assert parsed.outcomes == {("error", "filtered", "log_below_error"): 2}
    assert len({event.id for event in parsed.events}) == 3
    assert take("logs", record(17)).events == take("logs", record(17)).events


def counter(value, said=None, /, *, unit="", temporality=1, at=ENDED, **fields):
    point = {"attributes": attrs(said or {}), "startTimeUnixNano": BEGAN, "timeUnixNano": at, "asInt": str(value)}
    return {"name": "orders", "unit": unit, "sum": {
        "aggregationTemporality": temporality, "isMonotonic": True, "dataPoints": [point], **fields}}  # fmt: skip


def test_what_a_delta_counter_adds():
    [made] = take("metrics", counter(7, {"plan": "Pro"})).events
    assert (made.name, made.n, made.bad, made.plan, made.release) == ("orders", 7, 0, "Pro", "2.4.1")
    assert made.flags & AGGREGATED
    assert take("metrics", counter(0)).outcomes == {("use", "filtered", "no_change"): 1}
    assert take("metrics", counter(-3)).outcomes == {("use", "invalid", "not_a_count"): 1}


@pytest.mark.parametrize(
    ("said", "is_bad"),
    [
        ({"http.response.status_code": 503}, True),
        ({"http.response.status_code": 404, "error.type": "404"}, False),
        ({"error.type": "timeout"}, True),
        ({"ok": False}, True),
        ({"http.response.status_code": 200}, False),
    ],
)
def test_a_series_of_failures(said, is_bad):
    assert take("metrics", counter(7, said)).events[0].bad == (7 if is_bad else 0)


def test_a_histogram_of_durations():
    point = {"timeUnixNano": ENDED, "count": "6", "explicitBounds": [0.1, 0.2], "bucketCounts": ["1", "2", "3"],
             "attributes": attrs({"http.route": "/pay"})}  # fmt: skip
    metric = {"name": "http.server.request.duration", "unit": "s",
              "histogram": {"aggregationTemporality": 1, "dataPoints": [point]}}  # fmt: skip
    [made] = take("metrics", metric).events
    assert (made.name, made.n) == ("http.server.request.duration /pay", 6)
    assert made.props["timed"] == [[50.0, 1], [pytest.approx(150.0), 2], [pytest.approx(250.0), 3]]
    point |= {"scale": 0, "zeroCount": "1", "positive": {"offset": 1, "bucketCounts": ["2", "3"]}}
    point.pop("explicitBounds")
    metric = {"name": "x", "unit": "ms", "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": [point]}}
    [made] = take("metrics", metric).events
    assert made.props["timed"] == [[0.0, 1], [pytest.approx(2**1.5), 2], [pytest.approx(2**2.5), 3]]


@pytest.mark.parametrize("unit", ["By", "s", "kBy"])
def test_sums_of_bytes_or_seconds_are_no_uses(unit):
    assert take("metrics", counter(7, unit=unit)).outcomes == {("use", "filtered", "not_a_count"): 1}


@pytest.mark.parametrize("unit", ["", "1", "{request}"])
def test_sums_of_things_are(unit):
    assert take("metrics", counter(7, unit=unit)).events[0].n == 7


@pytest.mark.parametrize("bound", [float("inf"), float("nan"), -1e300])
def test_bounds_that_are_no_numbers_time_nothing(bound):
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="x", unit="s")
    metric.histogram.aggregation_temporality = 1
    metric.histogram.data_points.add(count=3, explicit_bounds=[0.1, bound], bucket_counts=[1, 1, 1], sum=bound)
    [made] = otlp_metrics.metrics(otlp.load(request.SerializeToString(), otlp.PROTOBUF, "metrics"), "1", NOW).events
    assert made.n == 3
    assert "timed" not in made.props


@pytest.mark.parametrize("count", ["99999999999999999999", 2**64 - 1, 1e300, -5, "x", None])
def test_numbers_beyond_64_bits_stay_storable(count):
    point = {"timeUnixNano": ENDED, "count": count, "asInt": count, "attributes": [{"key": "n", "value": {"intValue": count}}]}
    for kind, more in (("sum", {"isMonotonic": True}), ("histogram", {})):
        for temporality in (1, 2):
            data = {"aggregationTemporality": temporality, "dataPoints": [point], **more}
            for event in take("metrics", {"name": "x", "unit": "", kind: data}).events:
                orjson.dumps(event[:])
                assert 0 <= event.n < 2**31


def test_a_clock_far_ahead_does_not_silence_a_series():
    [made] = take("metrics", counter(7, temporality=2, at=str(4_000_000_000 * 10**9))).events
    assert made.props["counter"]["at"] == made.at == NOW


@pytest.mark.parametrize("name", ["counter", "timed", "bad"])
def test_attributes_named_like_our_own_are_left_out(name):
    for temporality in (1, 2):
        [made] = take("metrics", counter(7, {name: "x", "other": "y"}, temporality=temporality)).events
        assert made.props.get(name) != "x"
        assert made.props["other"] == "y"
        assert made.bad == 0


def test_a_histogram_that_contradicts_itself_times_nothing():
    point = {"timeUnixNano": ENDED, "count": "3", "explicitBounds": [1], "bucketCounts": [str(2**63 - 1)]}
    data = {"aggregationTemporality": 1, "dataPoints": [point]}
    [made] = take("metrics", {"name": "x", "unit": "ms", "histogram": data}).events
    assert made.n == 3
    assert "timed" not in made.props


def test_points_of_a_request_are_bounded():
    many = {"name": "x", "sum": {"aggregationTemporality": 1, "isMonotonic": True, "dataPoints": [{"asInt": 1}] * 2_500}}
    parsed = take("metrics", many)
    assert len(parsed.events) == 2_000
    assert parsed.outcomes == {("use", "too_large", "points"): 500}
    with pytest.raises(Refused) as refused:
        take("metrics", *[many] * 5)
    assert refused.value.status == 413


def test_histograms_of_many_zeros_are_no_bomb():
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for number in range(2_000):
        metric = metrics.add(name=f"m{number}", unit="ms")
        metric.histogram.aggregation_temporality = 1
        metric.histogram.data_points.add(count=18 * 60, explicit_bounds=list(range(1, 60)), bucket_counts=[18] * 60)
    assert len(otlp.load(request.SerializeToString(), otlp.PROTOBUF, "metrics")) == 2_000


def test_the_same_name_in_two_scopes_is_two_series():
    told = [{"metrics": [counter(7)], "scope": {"name": name}} for name in ("a", "b")]
    raw = orjson.dumps({"resourceMetrics": [{"scopeMetrics": told}]})
    first, second = otlp_metrics.metrics(otlp.load(raw, "", "metrics"), "1", NOW).events
    assert first.id != second.id


@pytest.mark.parametrize("raw", [b"\x0a\x00" * 1_000_000, b"\x0a\x02\x12\x00" * 600_000, b"a" * (otlp.PROTOBUF_LIMIT + 1)])
def test_bombs_of_empty_messages(raw):
    began = time.monotonic()
    with pytest.raises(Refused) as refused:
        otlp.load(raw, otlp.PROTOBUF, "metrics")
    assert refused.value.status == 413
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("kind", [[], {}, None, "x", 99])
def test_spans_with_odd_kinds_and_ids(kind):
    nested = "x"
    for _level in range(900):
        nested = [nested]
    span_ = span(kind=kind, parentSpanId="a", traceId=nested, spanId={})
    parse = otlp_facts.spans
    assert parse([otlp.Told({}, span_, "")], "1", NOW).outcomes == {("use", "filtered", "inner_span"): 1}
    assert len(parse([otlp.Told({}, {**span_, "kind": 2}, "")], "1", NOW).events) == 1


def test_gauges_count_nothing():
    gauge = {"name": "memory", "gauge": {"dataPoints": [{"asDouble": 1.5}]}}
    falls = counter(4, isMonotonic=False)
    parsed = take("metrics", gauge, falls, {"name": "s", "summary": {}}, {"sum": {}})
    assert parsed.events == []
    assert parsed.outcomes == {("use", "filtered", "gauge"): 3, ("use", "invalid", "no_event_name"): 1}


def test_running_totals_are_told_to_the_drain():
    [made] = take("metrics", counter(7, temporality=2)).events
    told = made.props["counter"]
    assert (made.n, told["count"]) == (0, 7)
    assert (told["start"], told["at"]) == (pytest.approx(1795322812.061, abs=1e-6), pytest.approx(1795322812.311, abs=1e-6))
    [other] = take("metrics", counter(7, {"plan": "Pro"}, temporality=2)).events
    assert told["series"] != other.props["counter"]["series"]
    assert told["process"] == other.props["counter"]["process"]


def test_secrets_go():
    [made] = take("traces", span({"http.request.header.authorization": "x", "note": "Bearer abc123def456"})).events
    assert "abc123def456" not in str(made)
    assert made.flags & SCRUBBED


@pytest.mark.parametrize(
    ("resource", "platform"),
    [
        ({"telemetry.sdk.language": "webjs"}, "web"),
        ({"telemetry.sdk.language": "swift"}, "ios"),
        ({"os.name": "Android", "telemetry.sdk.language": "java"}, "android"),
        ({"telemetry.sdk.language": "nodejs"}, "server"),
        ({}, ""),
    ],
)
def test_platform(resource, platform):
    assert take("traces", span(), resource=resource).events[0].platform == platform


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
@pytest.mark.parametrize(
    ("raw", "kind", "reason"),
    [(b"{", "application/json", "bad_json"), (b"[]", "", "bad_json"), (b"\xff\xff", otlp.PROTOBUF, "bad_protobuf")],
)
def test_what_is_no_message_is_refused(signal, raw, kind, reason):
    with pytest.raises(Refused) as refused:
        otlp.load(raw, kind, signal)
    assert (refused.value.status, refused.value.reason) == (400, reason)


def test_too_many_items_are_refused():
    with pytest.raises(Refused) as refused:
        otlp.load(body("logs", *[{}] * (BATCH_EVENTS + 1)), "", "logs")
    assert refused.value.status == 413


@pytest.mark.parametrize("value", [None, 3, "x", [], [3], {}, {"attributes": 3}, {"attributes": [{"key": 1}, {"key": "a", "value": 3}]}])
@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
def test_odd_shapes_do_no_harm(signal, value):
    names = {"traces": ("resourceSpans", "scopeSpans", "spans"), "logs": ("resourceLogs", "scopeLogs", "logRecords"),
             "metrics": ("resourceMetrics", "scopeMetrics", "metrics")}[signal]  # fmt: skip
    parse = {"traces": otlp_facts.spans, "logs": otlp_facts.logs, "metrics": otlp_metrics.metrics}[signal]
    item = {"name": "x", "severityNumber": 17, "status": value, "events": [value], "sum": value, "histogram": value}
    for payload in (
        {names[0]: value},
        {names[0]: [value]},
        {names[0]: [{"resource": value, names[1]: value}]},
        {names[0]: [{names[1]: [{names[2]: [value, {**item, "attributes": value}]}]}]},
        {names[0]: [{names[1]: [{names[2]: [{"name": "x", "sum": {"isMonotonic": True, "dataPoints": [value]}}]}]}]},
    ):
        parsed = parse(otlp.load(orjson.dumps(payload), "", signal), "1", NOW)
        assert all(len(event.id) == 32 and event.at == NOW for event in parsed.events)
        assert all(n > 0 for n in parsed.outcomes.values())
        orjson.dumps([event[:] for event in parsed.events])


def test_frames_of_other_languages():
    script = "TypeError: x\n    at pay (/srv/app/pay.js:10:5)\n    at /srv/app/index.js:3:1"
    assert [(f["function"], f["filename"]) for f in stacks.frames(script)] == [("", "/srv/app/index.js"), ("pay", "/srv/app/pay.js")]
    java = "java.lang.X: y\n\tat shop.Orders.total(Orders.java:7)\n\tat shop.Views.pay(Views.java:12)"
    assert [(f["module"], f["function"], f["lineno"]) for f in stacks.frames(java)] == [("shop.Views", "pay", 12), ("shop.Orders", "total", 7)]
    assert stacks.frames("nothing") == stacks.frames(None) == []
