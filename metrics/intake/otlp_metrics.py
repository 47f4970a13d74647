"""OpenTelemetry's metrics as events. `docs/signals.md` lists the mapping.

A point stands for many uses: its event carries n, and for durations `timed`, the pairs [ms, how many]. Most
clients send running totals; their event carries them as `counter`, and the drain takes off what was counted
before (metrics/counting/counters.py), because only there is it known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from .batch import Batch
from .clean import build, stable_id, text
from .clock import timestamp
from .decode import BATCH_EVENTS
from .event import AGGREGATED, CLAMPED, Parsed, Refused
from .measure import counts
from .origin import CUSTOMER_KEYS, FEATURE_KEYS, PLAN_KEYS, first, mapping, pattern
from .otlp import Told, attributes, seconds, whole
from .otlp_facts import ENVIRONMENT, platform
from .scrub import scrub

PROPS = 20
#: Points of one metric, and buckets of one point.
POINTS, BUCKETS = 2_000, 200
#: Most that one point may add; the column is a 32-bit integer.
MOST = 2**31 - 1
#: Props that are ours; attributes of these names are left out.
RESERVED = frozenset(("counter", "timed", "bad"))
_TO_MS = {"ms": 1.0, "s": 1000.0, "us": 1e-3, "µs": 1e-3, "ns": 1e-6, "min": 60_000.0}
_CUMULATIVE = (2, "AGGREGATION_TEMPORALITY_CUMULATIVE")
_COUNTED = ("sum", "histogram", "exponentialHistogram")
_STATUS = ("http.response.status_code", "http.status_code")


def metrics(told: list[Told], product: str, now: float) -> Parsed:
    """Counters and histograms as uses. Gauges and summaries count nothing: outcome filtered."""
    batch = Batch(product, now)
    points = 0
    for each in told:
        points += _metric(each, batch)
        if points > BATCH_EVENTS:
            raise Refused(413, "too_many_events", f"More than {BATCH_EVENTS} points in one request.")
    return batch.parsed()


def _metric(told: Told, batch: Batch) -> int:
    """How many points it had."""
    metric = told.item
    name, _ = text(metric.get("name"), 100)
    data = next((mapping(metric[kind]) for kind in _COUNTED if kind in metric), None)
    if not name:
        return _skip(batch, "invalid", "no_event_name")
    if data is None or ("sum" in metric and data.get("isMonotonic") is not True):
        return _skip(batch, "filtered", "gauge")
    unit = str(metric.get("unit") or "")
    if "sum" in metric and unit not in ("", "1") and unit[:1] != "{":
        return _skip(batch, "filtered", "not_a_count")  # bytes, seconds of a processor
    raw = data.get("dataPoints")
    points = raw if type(raw) is list else []
    for point in points[:POINTS]:
        if type(point) is dict:
            _point(told, name, data, point, batch)
    for _point_too_many in points[POINTS : BATCH_EVENTS + 1]:
        batch.miss("use", "too_large", "points")
    return len(points)


def _skip(batch: Batch, outcome: str, reason: str) -> int:
    batch.miss("use", outcome, reason)
    return 1


def _point(told: Told, name: str, data: dict[str, Any], point: dict[str, Any], batch: Batch) -> None:
    resource, metric = told.resource, told.item
    said = attributes(point.get("attributes"))
    start, at = seconds(point.get("startTimeUnixNano")), seconds(point.get("timeUnixNano"))
    scale = _TO_MS.get(str(metric.get("unit")))
    if "sum" in metric:
        count, timed = _number(point), {}
    else:
        count, timed = whole(point.get("count")), dict(_buckets(point, scale)) if scale else {}
    if not math.isfinite(count) or count < 0:
        return batch.miss("use", "invalid", "not_a_count")
    if sum(timed.values()) > min(count, MOST):
        timed = {}  # a histogram that contradicts itself, or claims more than is counted, times nothing
    process = _process(resource, batch)
    about = sorted(said.items(), key=str)
    series = stable_id(process, "series", name, metric.get("unit"), "sum" in metric, told.scope, about)
    props: dict[str, Any] = {}
    moment, late = timestamp(at, batch.now)  # a clock far ahead would silence the series for as long
    n = min(round(count), MOST)
    if data.get("aggregationTemporality") in _CUMULATIVE:
        props["counter"] = {
            "series": series, "process": process, "start": start or 0.0, "at": moment, "count": count,
            "timed": {f"{value:.6g}": many for value, many in timed.items()},
        }  # fmt: skip
        n = 0
    elif n == 0:
        return batch.miss("use", "filtered", "no_change")
    elif timed:
        props["timed"] = [[value, many] for value, many in timed.items()]
    _add(batch, stable_id(series, start, at), name, moment, late, resource, said, n, props)
    return None


def _process(resource: dict[str, Any], batch: Batch) -> str:
    """32 hex digits for who sends: the same for the same resource, which many points share."""
    if batch.process is None or batch.process[0] is not resource:
        batch.process = resource, stable_id(batch.product, "process", sorted(resource.items(), key=str))
    return batch.process[1]


def _number(point: dict[str, Any]) -> float:
    if "asDouble" in point:
        value = point["asDouble"]
        return float(value) if type(value) is float or type(value) is int else math.nan
    return float(whole(point.get("asInt", 0)))


def _buckets(point: dict[str, Any], scale: float) -> Iterator[tuple[float, int]]:
    """(ms, how many) of each bucket that is not empty; the middle of its bounds stands for it."""
    if "explicitBounds" not in point and "scale" in point:
        yield from _exponential(point, scale)
        return
    raw = point.get("explicitBounds")
    bounds = [float(b) for b in raw[:BUCKETS] if type(b) in (int, float)] if type(raw) is list else []
    if not all(abs(bound) < 1e15 for bound in bounds):  # neither infinite nor NaN
        return
    told = point.get("bucketCounts")
    for place, many in enumerate(told[: len(bounds) + 1] if type(told) is list else []):
        if (n := whole(many)) > 0 and bounds:
            low = bounds[place - 1] if place else 0.0
            high = bounds[place] if place < len(bounds) else 1.5 * bounds[-1]
            yield max(0.0, (low + high) / 2) * scale, n


def _exponential(point: dict[str, Any], scale: float) -> Iterator[tuple[float, int]]:
    """Base-2 exponential buckets: number i of offset o holds (b^(o+i), b^(o+i+1)], b = 2^(2^-scale)."""
    if (zero := whole(point.get("zeroCount"))) > 0:
        yield 0.0, zero
    positive = mapping(point.get("positive"))
    told, offset = positive.get("bucketCounts"), whole(positive.get("offset"))
    step = 2.0 ** -max(-10, min(20, whole(point.get("scale"))))
    for place, many in enumerate(told[:BUCKETS] if type(told) is list else []):
        exponent = (offset + place + 0.5) * step
        if (n := whole(many)) > 0 and abs(exponent) < 60:
            yield 2.0**exponent * scale, n


def _add(
    batch: Batch,
    id_: str,
    name: str,
    moment: float,
    late: bool,
    resource: dict[str, Any],
    said: dict[str, Any],
    n: int,
    props: dict[str, Any],
) -> None:
    own = {key: value for key, value in said.items() if key not in RESERVED and value is not None}
    kept, flags = scrub(own, PROPS)
    route = pattern(said.get("http.route"))
    version, _ = text(resource.get("service.version"), 120)
    is_bad = _has_failed(said)
    batch.events.append(
        build(
            id_,
            "use",
            f"{name} {route}" if route else name,
            moment,
            version,
            first(resource, ENVIRONMENT),
            "",
            first(said, CUSTOMER_KEYS) or first(resource, CUSTOMER_KEYS),
            "",
            first(said, FEATURE_KEYS),
            platform(resource),
            first(said, PLAN_KEYS) or first(resource, PLAN_KEYS),
            first(said, ("geo.country.iso_code",)),
            n,
            n if is_bad else 0,
            None,
            flags | AGGREGATED | (CLAMPED if late else 0),
            {**kept, **props, **({"bad": True} if is_bad and "counter" in props else {})},
        )
    )


def _has_failed(said: dict[str, Any]) -> bool:
    """A series of failures: a server's error status, an error type, or what any event would say."""
    status = whole(next((said[key] for key in _STATUS if key in said), 0))
    if 400 <= status < 500:
        return False  # what the caller did wrong
    return status >= 500 or bool(said.get("error.type")) or counts(said)[1] > 0
