"""OpenTelemetry's wire (OTLP/HTTP, protobuf and JSON) as plain dictionaries of OTLP/JSON's names.

Specification: https://opentelemetry.io/docs/specs/otlp/. In JSON, ids are hex, enums numbers or names and 64-bit
integers may be texts; unknown fields are ignored. What becomes of spans and logs is in otlp_facts.py, of metrics in
otlp_metrics.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .clean import json_loads, text
from .decode import BATCH_EVENTS
from .event import Refused
from .origin import mapping

PROTOBUF = "application/x-protobuf"
#: Two bytes make an object that costs eighty, so protobuf may hold less than JSON, whose values are counted.
PROTOBUF_LIMIT = 8 * 2**20
#: An empty message in a field of the numbers 1 to 15. Counts of histograms look like one in eight bytes at most.
_EMPTY = [bytes((field << 3 | 2, 0)) for field in range(1, 16)]
#: Levels of nested attribute values; what lies deeper is left out.
_DEPTH = 4
_WIDEST = 2**63 - 1


class Told(NamedTuple):
    """One span, log record or metric, with what its resource says."""

    resource: dict[str, Any]
    item: dict[str, Any]
    scope: str  # name and version of the instrumentation


class _Signal(NamedTuple):
    request: Callable[[], Any]
    resources: str  # field of the request, in protobuf's spelling and in JSON's
    scopes: str
    items: str


_SIGNALS = {
    "traces": _Signal(ExportTraceServiceRequest, "resource_spans", "scope_spans", "spans"),
    "logs": _Signal(ExportLogsServiceRequest, "resource_logs", "scope_logs", "log_records"),
    "metrics": _Signal(ExportMetricsServiceRequest, "resource_metrics", "scope_metrics", "metrics"),
}


def key_of(headers: Mapping[str, str]) -> str:
    """The key: a bearer token, or the header `x-ingest-key` (set by OTEL_EXPORTER_OTLP_HEADERS)."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return (given.strip() if scheme.lower() == "bearer" else headers.get("x-ingest-key", ""))[:200]


def load(body: bytes, content_type: str, signal: str) -> list[Told]:
    """Everything a request holds. Raises Refused 400 `bad_protobuf`, `bad_json`; 413 `too_many_events`."""
    wanted = _SIGNALS[signal]
    found = list(_first(_of_protobuf(body, wanted) if is_protobuf(content_type) else _of_json(body, wanted)))
    if len(found) > BATCH_EVENTS:
        raise Refused(413, "too_many_events", f"More than {BATCH_EVENTS} items in one request.")
    return found


def is_protobuf(content_type: str) -> bool:
    return "protobuf" in content_type.lower()


def _first(told: Iterable[Told]) -> Iterator[Told]:
    for place, each in enumerate(told):
        if place > BATCH_EVENTS:
            return
        yield each


def _of_json(body: bytes, wanted: _Signal) -> Iterator[Told]:
    payload = json_loads(body)
    if type(payload) is not dict:
        raise Refused(400, "bad_json", "The body must be a JSON object.")
    for outer in _list(payload.get(_camel(wanted.resources))):
        resource = attributes(mapping(outer.get("resource")).get("attributes"))
        for scope in _list(outer.get(_camel(wanted.scopes))):
            for item in _list(scope.get(_camel(wanted.items))):
                yield Told(resource, item, _scope(scope.get("scope")))


def _of_protobuf(body: bytes, wanted: _Signal) -> Iterator[Told]:
    if len(body) > PROTOBUF_LIMIT:
        raise Refused(413, "too_large", f"A protobuf body may have {PROTOBUF_LIMIT} bytes at most, inflated.")
    if sum(map(body.count, _EMPTY)) > max(10_000, len(body) // 7):
        raise Refused(413, "too_large", "The body is made of empty messages.")
    request = wanted.request()
    try:
        request.ParseFromString(body)
    except (DecodeError, RecursionError) as error:
        raise Refused(400, "bad_protobuf", f"The body is not an OTLP message: {error}"[:200]) from None
    for outer in getattr(request, wanted.resources):
        resource = attributes(_plain(outer.resource).get("attributes"))
        for scope in getattr(outer, wanted.scopes):
            for item in getattr(scope, wanted.items):
                yield Told(resource, _plain(item), _scope(_plain(scope.scope)))


def _scope(raw: Any) -> str:
    about = mapping(raw)
    return f"{text(about.get('name'), 120)[0]} {text(about.get('version'), 40)[0]}"


def _plain(message: Any, depth: int = 12) -> dict[str, Any]:
    """A protobuf message as OTLP/JSON has it: set fields only, lower camel case, bytes as hex."""
    found: dict[str, Any] = {}
    if depth <= 0:
        return found
    for field, value in message.ListFields():
        found[field.json_name] = (
            [_value(each, depth) for each in value] if hasattr(value, "extend") else _value(value, depth)
        )
    return found


def _value(value: Any, depth: int) -> Any:
    if type(value) is bytes:
        return value.hex()
    return _plain(value, depth - 1) if hasattr(value, "ListFields") else value


def attributes(raw: Any, depth: int = _DEPTH) -> dict[str, Any]:
    """`[{"key", "value": {"stringValue"}}]` as an object."""
    return {
        pair["key"]: any_value(pair.get("value"), depth) for pair in _list(raw)[:200] if type(pair.get("key")) is str
    }


def any_value(raw: Any, depth: int = _DEPTH) -> Any:
    """An AnyValue as a plain value; None for an empty one."""
    value = mapping(raw)
    for name in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
        if name in value:
            return value[name]
    if "intValue" in value:
        return whole(value["intValue"])
    if depth <= 0:
        return None
    if "arrayValue" in value:
        return [any_value(each, depth - 1) for each in _list(mapping(value["arrayValue"]).get("values"))[:50]]
    if "kvlistValue" in value:
        return attributes(mapping(value["kvlistValue"]).get("values"), depth - 1)
    return None


def whole(value: Any) -> int:
    """A 64-bit integer, which JSON may hold as a text; 0 for what is none, the nearest one for what is larger."""
    if type(value) is str and len(value) <= 20 and re.fullmatch(r"-?[0-9]+", value):
        value = int(value)
    if type(value) is float and math.isfinite(value):
        value = int(value)
    return max(-_WIDEST, min(_WIDEST, value)) if type(value) is int else 0


def seconds(nanos: Any) -> float | None:
    """Unix seconds of unix nanoseconds; None for zero, which means that nothing was said."""
    found = whole(nanos)
    return found / 1e9 if found > 0 else None


def _list(raw: Any) -> list[dict[str, Any]]:
    return [each for each in raw if type(each) is dict] if type(raw) is list else []


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(map(str.title, rest))
