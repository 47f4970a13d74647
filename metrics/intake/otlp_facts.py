"""OpenTelemetry's spans and log records as events. `docs/signals.md` lists the mapping."""

from __future__ import annotations

from typing import Any

from .batch import Batch
from .clean import build, number, stable_id, text
from .clock import timestamp
from .event import CLAMPED, Parsed
from .faults import fault
from .origin import CUSTOMER_KEYS, FEATURE_KEYS, PLAN_KEYS, first, mapping, pattern, system_platform
from .otlp import Told, any_value, attributes, seconds, whole
from .scrub import scrub
from .stacks import frames

#: Attributes kept per event.
PROPS = 30
#: Spans that are a use of the product: what a server was asked, what a worker took from a queue. Others are steps.
_ENTRIES = frozenset((2, 5, "SPAN_KIND_SERVER", "SPAN_KIND_CONSUMER"))
_FAILED = (2, "STATUS_CODE_ERROR")
#: Severity from which a log record counts as an error (SEVERITY_NUMBER_ERROR).
ERROR = 17

ENVIRONMENT = ("deployment.environment.name", "deployment.environment", "environment", "env")
_USER = ("enduser.id", "user.id", "user.email", "enduser.pseudo.id", "user")
_FIELDS = frozenset((
    *ENVIRONMENT, *_USER, *CUSTOMER_KEYS, *PLAN_KEYS, *FEATURE_KEYS, "session.id", "geo.country.iso_code",
    "exception.type", "exception.message", "exception.stacktrace",
))  # fmt: skip


def spans(told: list[Told], product: str, now: float) -> Parsed:
    """Entry spans as uses, and the exceptions noted on them as errors."""
    batch = Batch(product, now)
    for resource, span, _scope in told:
        _span(resource, span, batch)
    return batch.parsed()


def logs(told: list[Told], product: str, now: float) -> Parsed:
    """Records of severity ERROR and above as errors."""
    batch = Batch(product, now)
    for resource, record, _scope in told:
        _log(resource, record, batch)
    return batch.parsed()


def _span(resource: dict[str, Any], span: dict[str, Any], batch: Batch) -> None:
    if span.get("parentSpanId") and not _is_entry(span.get("kind")):
        return batch.miss("use", "filtered", "inner_span")
    said = attributes(span.get("attributes"))
    name = pattern(said.get("http.route") or span.get("name"))
    if not name:
        return batch.miss("use", "invalid", "no_event_name")
    began, ended = whole(span.get("startTimeUnixNano")), whole(span.get("endTimeUnixNano"))
    value = number((ended - began) / 1e6) if 0 < began <= ended else None
    at = seconds(began)
    code = mapping(span.get("status")).get("code")
    bad = 1 if code == _FAILED[0] or code == _FAILED[1] else 0
    id_ = stable_id(batch.product, "span", *_where(span))
    _add(batch, id_, "use", name, at, resource, said, {}, bad, value)
    for place, noted in enumerate(_exceptions(span)):
        more = {**said, **attributes(noted.get("attributes"))}
        _error(batch, stable_id(id_, place), seconds(noted.get("timeUnixNano")) or at, resource, more, "")
    return None


def _is_entry(kind: Any) -> bool:
    return kind in _ENTRIES if type(kind) is int or type(kind) is str else False


def _where(item: dict[str, Any]) -> tuple[str, str]:
    return text(item.get("traceId"), 64)[0], text(item.get("spanId"), 64)[0]


def _exceptions(span: dict[str, Any]) -> list[dict[str, Any]]:
    events = span.get("events")
    found = [e for e in events if type(e) is dict and e.get("name") == "exception"] if type(events) is list else []
    return found[:10]


def _log(resource: dict[str, Any], record: dict[str, Any], batch: Batch) -> None:
    if _severity(record) < ERROR:
        return batch.miss("error", "filtered", "log_below_error")
    said = attributes(record.get("attributes"))
    body = any_value(record.get("body"))
    at = seconds(record.get("timeUnixNano")) or seconds(record.get("observedTimeUnixNano"))
    # Records have no id; the same one sent again has the same nanosecond, place and words.
    where = (whole(record.get("timeUnixNano")), *_where(record))
    id_ = stable_id(batch.product, "log", *where, body, sorted(said.items(), key=str))
    _error(batch, id_, at, resource, said, body if type(body) is str else "")
    return None


def _severity(record: dict[str, Any]) -> int:
    number = record.get("severityNumber")
    if type(number) is str:  # "SEVERITY_NUMBER_ERROR2"
        name = number.rpartition("_")[2].rstrip("234")
        return {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}.get(name, 0)
    return whole(number)


def _error(
    batch: Batch, id_: str, at: float | None, resource: dict[str, Any], said: dict[str, Any], message: str
) -> None:
    error: dict[str, Any] = {"type": said.get("exception.type"), "value": said.get("exception.message") or message}
    error["stacktrace"] = {"frames": frames(said.get("exception.stacktrace"))}
    found, flags = fault(error, message)
    _add(batch, id_, "error", "errors", at, resource, said, {**found, "level": "error"}, 1, None, flags)


def _add(
    batch: Batch,
    id_: str,
    kind: str,
    name: str,
    at: float | None,
    resource: dict[str, Any],
    said: dict[str, Any],
    props: dict[str, Any],
    bad: int,
    value: float | None,
    flags: int = 0,
) -> None:
    moment, late = timestamp(at, batch.now)
    kept, more = scrub({k: v for k, v in said.items() if k not in _FIELDS and v is not None}, PROPS)
    version, _ = text(resource.get("service.version"), 120)
    batch.events.append(
        build(
            id_,
            kind,
            name,
            moment,
            version,
            first(resource, ENVIRONMENT) or first(said, ENVIRONMENT),
            first(said, _USER),
            first(said, CUSTOMER_KEYS) or first(resource, CUSTOMER_KEYS),
            first(said, ("session.id",)) or first(resource, ("session.id",)),
            first(said, FEATURE_KEYS),
            platform(resource),
            first(said, PLAN_KEYS) or first(resource, PLAN_KEYS),
            first(said, ("geo.country.iso_code",)),
            1,
            bad,
            value,
            flags | more | (CLAMPED if late else 0),
            {**kept, **props},
        )
    )


def platform(resource: dict[str, Any]) -> str:
    """From the resource: a mobile system, a browser, else a server when it names its language at all."""
    language = resource.get("telemetry.sdk.language")
    system = system_platform(resource.get("os.name")) or system_platform(resource.get("os.type"))
    if system:
        return system
    if language == "webjs" or "browser.platform" in resource:
        return "web"
    return {"swift": "ios"}.get(str(language), "server") if language else ""
