"""Coverage-guided fuzzing of everything that reads a stranger's bytes: only Refused or clean events may come out.

    python tests/fuzz/decoders.py NAME [options of libFuzzer] [corpus folder]

NAME is one of TARGETS. The first byte of an input chooses one of its shapes, the rest is what that shape sends.
Needs `pip install atheris`.
"""

from __future__ import annotations

import gzip
import random
import re
import sys
import tempfile
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote_from_bytes

import atheris  # type: ignore[import-not-found]
import brotli  # type: ignore[import-untyped]
import orjson
import zstandard
from google.protobuf.json_format import MessageToDict, ParseDict

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=["metrics", "productops"]):
    from metrics.counting import chunks, grouping
    from metrics.intake import clean, otlp, posthog, posthog_alike, routes, stored
    from metrics.intake.batch import Batch
    from metrics.intake.clock import skew
    from metrics.intake.decode import decode
    from metrics.intake.event import KINDS, LIMITS, Event, Parsed, Refused
    from metrics.intake.posthog_events import take as take_one
    from productops.bench import bodies
    from tests.metrics.intake.conftest import CAPTURES, NOW
    from tests.metrics.intake.test_fuzz import twisted
    from tests.metrics.intake.test_own import FULL

OPTIONS = ("-rss_limit_mb=1024", "-timeout=5", "-max_len=65536", "-report_slow_units=1", "-print_final_stats=1")
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress,
}  # fmt: skip
STACKED = [*ENCODERS, *(f"{outer}, {inner}" for outer in ENCODERS for inner in ENCODERS), "identity", "gzip, x"]


class Shape(NamedTuple):
    """One way to send: `wrap` goes around the fuzzed bytes; a parameter named `query` may carry them, not the body."""

    path: str
    kind: str = "application/json"
    method: str = "POST"
    wrap: Callable[[bytes], bytes] = bytes
    query: str = ""

    def call(self, raw: bytes) -> routes.Call:
        sent, headers = self.wrap(raw), {"content-type": self.kind, "authorization": "Basic a2V5Og=="}
        query = {self.query: sent.decode("utf-8", "replace")} if self.query else {}
        return routes.Call(self.method, self.path, query, headers, "", NOW, b"" if self.query else sent)


POSTHOG = [
    *(Shape(path, "application/x-www-form-urlencoded") for path in ("/batch/", "/e/", "/engage/")),
    Shape("/e/", wrap=lambda raw: b"data=" + quote_from_bytes(b64encode(raw)).encode()),
    Shape("/e/", "text/plain", wrap=lambda raw: gzip.compress(raw, 1)),
    Shape("/e/", method="GET", query="data"),
    Shape("/e/", method="GET", query="data", wrap=b64encode),
]
TARGETS: dict[str, list[Shape]] = {
    "decode": [],
    "sentry-envelope": [Shape("/api/1/envelope/")],
    "sentry-store": [Shape("/api/1/store/")],
    "posthog": POSTHOG,
    "posthog-v1": [Shape("/i/v1/analytics/events")],
    "segment": [Shape(f"/v1/{name}") for name in ("batch", "t", "i", "p", "s", "g", "a")],
    **{f"otlp-{signal}-json": [Shape(f"/v1/{signal}")] for signal in otlp._SIGNALS},
    **{f"otlp-{signal}-protobuf": [Shape(f"/v1/{signal}", otlp.PROTOBUF)] for signal in otlp._SIGNALS},
    "own-json": [Shape("/api/v1/events")],
    "own-ndjson": [Shape("/api/v1/events", "application/x-ndjson")],
}
POINT = {"timeUnixNano": "1795323099000000000", "count": "3", "explicitBounds": [1], "bucketCounts": [1, 2], "asInt": 1}
SUMS = {"dataPoints": [POINT], "isMonotonic": True, "aggregationTemporality": 1}
STACK = {"key": "exception.stacktrace", "value": {"stringValue": 'E\n  File "/a.py", line 1, in f\n at f (/a.js:1:2)'}}
LOG = {"severityNumber": 17, "body": {"stringValue": "it broke"}, "attributes": [STACK]}
METRICS = [{"name": "m", "unit": "s", kind: SUMS} for kind in ("sum", "histogram", "exponentialHistogram")]
MADE = {
    "posthog": [
        *(orjson.dumps({"event": "a", "properties": {key: 5}}) for key in ("duration_ms", "$duration", "n")),
        *(bodies.posthog("k", n, random.Random(n)).replace(bodies.SEQ, b"0198f1de-7c4a-7d30") for n in (1, 3, 9)),
    ],
    "own-json": [orjson.dumps([FULL]), orjson.dumps({"events": [FULL], "sent_at": 1})],
    "own-ndjson": [orjson.dumps(FULL) + b"\n" + orjson.dumps(FULL)],
    "otlp-logs-json": [orjson.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [LOG]}]}]})],
    "otlp-metrics-json": [orjson.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": METRICS}]}]})],
}


def seeds(target: str) -> Iterator[bytes]:
    """Captured requests and a few made ones, each in every shape of the target."""
    family = "segment" if target == "decode" else target.split("-")[0]
    found = [path.read_bytes() for path in sorted(CAPTURES.glob(f"{family}-*/*.body.bin"))]
    found += MADE.get(target.replace("protobuf", "json"), [])
    if target == "sentry-store":
        found = [line for body in found for line in body.split(b"\n") if len(line) > 200]
    if target.endswith("protobuf"):
        found = [_packed(target, orjson.loads(body)) for body in found]
    for place in range(len(TARGETS[target])):
        yield from (bytes((place,)) + (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body) for body in found)
    for place, name in enumerate(STACKED if target == "decode" else ()):
        body = found[0]
        for encoding in name.split(", "):
            body = ENCODERS.get(encoding, bytes)(body)
        yield bytes((place,)) + body


def _packed(target: str, told: Any) -> bytes:
    message = ParseDict(told, otlp._SIGNALS[target.split("-")[1]].request(), ignore_unknown_fields=True)
    return bytes(message.SerializeToString())


def check(parsed: Parsed) -> None:
    """What everything behind the door relies on."""
    for event in parsed.events:
        assert re.fullmatch("[0-9a-f]{32}", event.id), event.id
        assert event.kind in KINDS
        assert NOW - 32 * 86_400 < event.at < NOW + 2 * 86_400
        assert 0 <= event.bad <= event.n < 2**31 or event.props.get("update") is True, (event.n, event.bad)
        assert event.value is None or 0 <= event.value <= 1e12, event.value
        for name, limit in LIMITS.items():
            assert len(getattr(event, name)) <= limit, name
        stored = orjson.dumps(event[:])
        assert b"\\u0000" not in stored.replace(rb"\\", b"")
        assert len(stored) < 1_000_000
    for (category, outcome, reason), n in parsed.outcomes.items():
        assert re.fullmatch("[a-z]+/[a-z_]+/[a-z0-9_:]{1,60}/[1-9][0-9]*", f"{category}/{outcome}/{reason}/{n}")
    orjson.dumps(parsed.reply)
    events = [Event._make(parts) for parts in orjson.loads(orjson.dumps([event[:] for event in parsed.events]))]
    signals = {(event.kind, event.name): place for place, event in enumerate(events, 1)}
    known = grouping.Known(signals, {}, frozenset(), frozenset(), frozenset())
    for place in grouping.group(events, known).places:
        assert place.sum.timed < 2**31 * len(events), place.sum.timed
    kept = [event for chunk in chunks.chunked(events) for event in chunks.unpack(chunks.pack(chunk))]
    assert sorted(event.id for event in kept) == sorted(event.id for event in events)
    assert sorted(repr(event.props) for event in kept) == sorted(repr(event.props) for event in events)


def take(shapes: list[Shape], data: bytes) -> None:
    """One input through the functions the door uses."""
    which, raw = data[0] if data else 0, data[1:]
    try:
        if shapes:
            call = shapes[which % len(shapes)].call(raw)
            protocol = routes.match(call.path)
            assert protocol
            opened = protocol.open(call)
            check(parsed := opened.parse("1"))
            if protocol is routes.POSTHOG:
                compare(opened, parsed, call)
        else:
            decode(raw, STACKED[which % len(STACKED)], 4 * 2**20)
    except Refused as refused:
        if refused.status not in (400, 401, 413, 415) or b"\0" in refused.detail.encode():
            raise AssertionError(refused) from refused


def compare(opened: routes.Opened, parsed: Parsed, call: routes.Call) -> None:
    """By columns or one by one, read or only looked at: all say the same, and it comes back as it was."""
    assert opened.held() in (None, (len(parsed.events), parsed.held()))
    head, raws = posthog._listed(posthog.load(call.body, call.headers["content-type"], call.query))
    sent = head.get("sent_at", head.get("sentAt"))
    batch = Batch("1", NOW, skew(sent, NOW), head.get("historical_migration") is True)
    for raw in raws:
        if raw is not posthog.OVERSIZED:
            take_one(raw, batch)
    assert repr(batch.events) == repr(parsed.events)
    assert stored.unpack(stored.pack(parsed.events, {}))[0] == parsed.events


def _exchanged(target: str, body: bytes, chance: random.Random) -> bytes:
    if target.endswith("protobuf"):
        message = otlp._SIGNALS[target.split("-")[1]].request().FromString(body)
        return _packed(target, twisted(chance, MessageToDict(message)))
    place = chance.randrange(len(lines := body.split(b"\n")))
    lines[place] = orjson.dumps(twisted(chance, orjson.loads(lines[place])))
    return b"\n".join(lines)


def mutator(target: str) -> Callable[[bytes, int, int], bytes]:
    """libFuzzer's own mutations, and every other time a value of the JSON (or protobuf) inside is exchanged."""

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        found = b""
        if target != "decode" and chance.random() < 0.5:
            with suppress(Exception):  # what is no JSON is left to libFuzzer
                found = _exchanged(target, data[1:], chance)
        return data[:1] + found if 0 < len(found) < most else bytes(atheris.Mutate(data, most))

    return mutate


def main() -> None:
    if not TARGETS.keys() & set(sys.argv[1:2]):
        sys.exit(f"NAME is one of: {', '.join(TARGETS)}")
    target, *given = sys.argv[1:]
    posthog_alike.FEWEST = 1
    clean.urandom = bytes  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "seeds").mkdir()
        for place, seed in enumerate(seeds(target)):
            Path(folder, "seeds", str(place)).write_bytes(seed)
        words = {word for seed in seeds(target) for word in re.findall(rb'"[\w$./-]{1,40}"', seed)}
        Path(folder, "words").write_bytes(b"\n".join(sorted(words | {b'"x"'})))
        arguments = [sys.argv[0], *OPTIONS, f"-dict={folder}/words", *given, f"{folder}/seeds"]
        atheris.Setup(arguments, lambda data: take(TARGETS[target], data), custom_mutator=mutator(target))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
