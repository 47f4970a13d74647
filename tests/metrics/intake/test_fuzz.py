"""Bytes and values nobody meant: only Refused or clean events come out."""

import gzip
import random
import re
from contextlib import suppress

import orjson
import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from metrics.intake import otlp, otlp_facts, otlp_metrics, own, posthog, segment, sentry
from metrics.intake.event import KINDS, LIMITS, Event, Parsed, Refused

from .conftest import CAPTURES, NOW, captured
from .test_own import FULL

HEX = re.compile("[0-9a-f]{32}")
BODIES = [path.read_bytes() for path in sorted(CAPTURES.glob("sentry-*/*.body.bin"))]
FORMS = [path.read_bytes() for path in sorted(CAPTURES.glob("posthog-*/*.body.bin"))]
PAYLOADS = [gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body for body in FORMS]
OWN = [orjson.dumps([FULL, {"name": "a", "kind": "error"}]), b'{"name":"a"}\n{"name":"b"}']
ODD = [None, True, False, 0, -1, 1e308, 2**63, "", "x", "\0", "x" * 5000, [], [[]], {}, {"a": {}}, [None],
    "../../etc",
       {"values": 4}, [["a"]], "0" * 32, "NaN", "9999-12-31", 1e18, {"value": [1]}]  # fmt: skip


def check(parsed):
    assert isinstance(parsed, Parsed)
    for event in parsed.events:
        assert isinstance(event, Event)
        assert HEX.fullmatch(event.id)
        assert event.kind in KINDS
        assert NOW - 32 * 86_400 < event.at < NOW + 2 * 86_400
        assert 0 <= event.bad <= event.n or event.props.get("update") is True
        assert event.value is None or 0 <= event.value < float("inf")
        for name, limit in LIMITS.items():
            assert type(getattr(event, name)) is str
            assert len(getattr(event, name)) <= limit
        stored = orjson.dumps(event.props)
        assert b"\\u0000" not in stored
        assert len(stored) < 1_000_000
    for (category, outcome, reason), count in parsed.outcomes.items():
        assert category in (*KINDS, "other")
        assert outcome in ("invalid", "filtered", "too_large", "client_discard")
        assert re.fullmatch("[a-z0-9_:]{1,43}", reason)
        assert count > 0
    orjson.dumps(parsed.reply)


def attempt(parse):
    try:
        parsed = parse()
    except Refused as caught:
        refused = caught
    else:
        return check(parsed)
    assert refused.status in (400, 413, 415)
    assert re.fullmatch("[a-z_]+", refused.reason)
    return refused.detail.encode()


def mutated(seeded, body):
    body = bytearray(body)
    for _ in range(seeded.randint(1, 6)):
        if not body:
            break
        at = seeded.randrange(len(body))
        choice = seeded.random()
        if choice < 0.25:
            del body[at:]
        elif choice < 0.5:
            body[at] = seeded.randrange(256)
        elif choice < 0.65:
            del body[at : at + seeded.randint(1, 40)]
        elif choice < 0.8:
            body[at:at] = seeded.choice(
                [b"\n", b'"', b"{", b"]", b"\\u0000", b"\\ud800", b"null", b"1e999", b","]
            )
        else:
            body[at:at] = body[max(0, at - 30) : at]
    return bytes(body)


def twisted(seeded, value):
    """The value with some of its inner values replaced by odd ones."""
    if seeded.random() < 0.06:
        return seeded.choice(ODD)
    if type(value) is dict:
        return {key: twisted(seeded, item) for key, item in value.items()}
    if type(value) is list:
        return [twisted(seeded, item) for item in value]
    return value


@pytest.mark.parametrize("seed", range(4))
def test_sentry_bytes(seed):
    seeded = random.Random(seed)
    for _ in range(100):
        for body in BODIES:
            bad = mutated(seeded, body)
            attempt(lambda bad=bad: sentry.parse_envelope(bad, "1", NOW))
            attempt(lambda bad=bad: sentry.parse_store(bad, "1", NOW))
            sentry.key_of({"x-sentry-auth": bad[:50].decode("latin-1")}, {}, bad.split(b"\n")[0])


@pytest.mark.parametrize("seed", range(4))
def test_sentry_values(seed):
    seeded = random.Random(seed)
    kinds = (
        "event",
        "transaction",
        "span",
        "feedback",
        "user_report",
        "session",
        "sessions",
        "client_report",
    )
    for _ in range(60):
        for body in BODIES:
            head, item, payload = body.rstrip(b"\n").split(b"\n", 2)
            twist = orjson.dumps(twisted(seeded, orjson.loads(payload)))
            header = orjson.dumps(twisted(seeded, orjson.loads(head)))
            line = item if seeded.random() < 0.6 else orjson.dumps({"type": seeded.choice(kinds)})
            bad = b"\n".join([header, line, twist])
            attempt(lambda bad=bad: sentry.parse_envelope(bad, "1", NOW))


@pytest.mark.parametrize("seed", range(4))
def test_posthog(seed):
    seeded = random.Random(seed)
    types = ("application/json", "text/plain", "application/x-www-form-urlencoded")
    for _ in range(120):
        for body in FORMS + PAYLOADS:
            bad, kind = mutated(seeded, body), seeded.choice(types)
            attempt(lambda bad=bad, kind=kind: posthog.parse(bad, kind, {}, "1", NOW))
        for body in PAYLOADS[:4]:
            if body[:1] == b"{":
                payload = twisted(seeded, orjson.loads(body))
                posthog.key_of(payload, {}, {})
                attempt(lambda payload=payload: posthog.to_events(payload, "1", NOW))


@pytest.mark.parametrize("seed", range(4))
def test_segment(seed):
    seeded = random.Random(seed)
    messages = [captured("segment-browser", number).body for number in ("003", "006", "007")]
    bodies = [*messages, b'{"batch": [' + b",".join(messages) + b'], "context": {"app": {"version": "1"}}, "sentAt": "x"}']
    for _ in range(120):
        for body in bodies:
            bad, kind = mutated(seeded, body), seeded.choice(list(segment.TYPES.values()))
            attempt(lambda bad=bad, kind=kind: segment.parse(segment.load(bad), kind, len(bad), "1", NOW))
            payload = twisted(seeded, orjson.loads(body))
            if isinstance(payload, dict):
                with suppress(Refused):
                    assert len(segment.key_of(payload, {}, {"authorization": bad[:40].decode("latin-1")})) <= 200
                attempt(lambda payload=payload, kind=kind: segment.parse(payload, kind, 2**21, "1", NOW))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
def test_otlp(seed, signal):
    seeded = random.Random(seed)
    parse = {"traces": otlp_facts.spans, "logs": otlp_facts.logs, "metrics": otlp_metrics.metrics}[signal]
    plain = [captured("otlp-node", number).body for number in ("001", "002", "003")]
    packed = [Parse(plain[0], ExportTraceServiceRequest()), Parse(plain[1], ExportMetricsServiceRequest())]
    for _ in range(100):
        for body in plain:
            bad = mutated(seeded, body)
            attempt(lambda bad=bad: parse(otlp.load(bad, "application/json", signal), "1", NOW))
            twist = orjson.dumps(twisted(seeded, orjson.loads(body)))
            attempt(lambda twist=twist: parse(otlp.load(twist, "", signal), "1", NOW))
        for message in packed:
            bad = mutated(seeded, message.SerializeToString())
            attempt(lambda bad=bad: parse(otlp.load(bad, otlp.PROTOBUF, signal), "1", NOW))


@pytest.mark.parametrize("seed", range(4))
def test_own(seed):
    seeded = random.Random(seed)
    for _ in range(400):
        for body in OWN:
            bad, kind = mutated(seeded, body), seeded.choice(["", "application/x-ndjson"])
            attempt(lambda bad=bad, kind=kind: own.parse(bad, kind, "1", NOW))
        twist = orjson.dumps(
            twisted(seeded, [FULL | {"kind": seeded.choice(KINDS), "text": "t", "traits": {"a": 1}}])
        )
        attempt(lambda twist=twist: own.parse(twist, "", "1", NOW))
