"""The hub's own intake, `POST /api/v1/events`: a list, {"events": [...]}, or one JSON object per line.

Nothing is half stored here: one event with a wrong type refuses the whole request and names its place.
Too long texts are cut and too old times clamped, both flagged, because neither makes a client wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from . import table
from .clean import build, event_id, json_loads
from .clock import instant, skew, timestamp
from .decode import BATCH_EVENTS, EVENT_LIMIT
from .event import CLAMPED, KINDS, PAST_LIMIT, Event, Parsed, Refused
from .faults import fault
from .measure import COUNT_LIMIT
from .scrub import scrub, scrub_text

#: Properties kept per event, unknown fields included.
PROPS = 60

_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")


class Field(NamedTuple):
    """One field of an event: JSON type (several joined by |), whether it must be there, its meaning."""

    name: str
    type: str
    required: bool
    meaning: str


#: The contract, for the OpenAPI schema and the docs.
FIELDS = (
    Field("name", "string", True, "What was done, at most 100 characters, e.g. checkout.paid."),
    Field("id", "string|integer", False, "Your id of this fact; sent again with the same id it counts once."),
    Field("at", "string|number", False, "When: ISO 8601 or unix time in s, ms, us or ns. Default: arrival."),
    Field("timestamp", "string|number", False, "Another name for at."),
    Field("kind", "string", False, "One of use, error, session, feedback, identify. Default: use."),
    Field("ok", "boolean", False, "Whether it worked. Default: true; an error has failed anyway."),
    Field("n", "integer", False, "How many this event stands for, 0 to 1,000,000. Default: 1."),
    Field("bad", "integer", False, "How many of the n failed; instead of ok."),
    Field("duration_ms", "number", False, "How long it took, in milliseconds."),
    Field("release", "string", False, "Version that was running."),
    Field("environment", "string", False, "Default: production."),
    Field("user", "string|integer", False, "Your id of the person."),
    Field("customer", "string|integer", False, "Your id of the paying customer."),
    Field("session", "string|integer", False, "Your id of the visit."),
    Field("feature", "string", False, "Part of the product."),
    Field("platform", "string", False, "web, ios, android, desktop, server, ..."),
    Field("plan", "string", False, "What the customer pays for."),
    Field("country", "string", False, "Two letters, ISO 3166-1."),
    Field("text", "string", False, "The words of a feedback; required for that kind."),
    Field("traits", "object", False, "What is known of the customer; required for kind identify."),
    Field("props", "object", False, "Anything else; unknown fields are put here too."),
)


def parse(body: bytes, content_type: str, product: str, now: float, past: float = PAST_LIMIT) -> Parsed:
    """All events of a request, which may be `past` seconds old. Raises Refused 400 `bad_json` (position), `bad_csv`,
    `invalid_event` (index and field), 413 `too_many_events`, `too_large` (one event above EVENT_LIMIT).
    """
    rows, sent_at = _rows(body, content_type.split(";")[0].strip().lower())
    if len(rows) > BATCH_EVENTS:
        raise Refused(413, "too_many_events", f"More than {BATCH_EVENTS} events in one request.")
    shift = skew(sent_at, now)
    large = len(body) > EVENT_LIMIT
    events = []
    for index, row in enumerate(rows):
        try:
            if large and _size(row) > EVENT_LIMIT:
                raise Refused(413, "too_large", f"Event {index} is larger than {EVENT_LIMIT} bytes.")
            events.append(_event(row, product, now, shift, past))
        except _Wrong as wrong:
            raise Refused(400, "invalid_event", f"Event {index}: {wrong}") from None
    return Parsed(events, {}, {"accepted": len(events)})


def read(row: Any, product: str, now: float, past: float) -> Event:
    """One event of a file. Raises Refused 400 `invalid_event`."""
    try:
        return _event(row, product, now, 0.0, past)
    except _Wrong as wrong:
        raise Refused(400, "invalid_event", str(wrong)) from None


class _Wrong(ValueError):
    """Names the field and what it should have been."""


def _size(row: Any) -> int:
    try:
        return len(orjson.dumps(row))
    except orjson.JSONEncodeError:
        raise _Wrong("it is nested too deeply.") from None


def _rows(body: bytes, content_type: str) -> tuple[list[Any], Any]:
    """(raw events, the client's sent_at)."""
    if content_type in _LINES:
        return _lines(body), None
    if content_type == table.CSV:
        return table.rows(body), None
    try:
        payload = json_loads(body)
    except Refused:
        if not _looks_like_lines(body):
            raise
        return _lines(body), None
    if type(payload) is list:
        return payload, None
    if type(payload) is dict and "events" in payload:
        if type(payload["events"]) is not list:
            raise Refused(400, "invalid_event", '"events" must be a list.')
        return payload["events"], payload.get("sent_at")
    if type(payload) is dict:
        return [payload], None
    raise Refused(400, "invalid_event", "The body must be a list of events or an object with events.")


def _looks_like_lines(body: bytes) -> bool:
    lead = body[:EVENT_LIMIT].lstrip().split(b"\n", 1)
    if len(lead) < 2 or not lead[0].startswith(b"{"):
        return False
    try:
        return type(json_loads(lead[0])) is dict
    except Refused:
        return False


def _lines(body: bytes) -> list[Any]:
    rows: list[Any] = []
    start = 0
    for count, line in enumerate(body.split(b"\n", 2 * BATCH_EVENTS), 1):
        if line.strip():
            if len(rows) >= BATCH_EVENTS:
                raise Refused(413, "too_many_events", f"More than {BATCH_EVENTS} events in one request.")
            try:
                rows.append(json_loads(line))
            except Refused as refused:
                where = f"Line {count}, starting at byte {start}: {refused.detail}"
                raise Refused(refused.status, refused.reason, where) from None
        start += len(line) + 1
    return rows


def _text(value: Any, name: str) -> Any:
    if type(value) is str:
        return value
    raise _Wrong(f'"{name}" must be a string.')


def _reference(value: Any, name: str) -> Any:
    if type(value) is str or type(value) is int:
        return value
    raise _Wrong(f'"{name}" must be a string or a whole number.')


def _count(value: Any, name: str) -> Any:
    if type(value) is int and 0 <= value <= COUNT_LIMIT:
        return value
    raise _Wrong(f'"{name}" must be a whole number from 0 to {COUNT_LIMIT}.')


def _moment(value: Any, name: str) -> Any:
    if instant(value) is not None:
        return value
    raise _Wrong(f'"{name}" must be an ISO 8601 date with time or a unix time.')


def _ok(value: Any, name: str) -> Any:
    if type(value) is bool:
        return value
    raise _Wrong(f'"{name}" must be true or false.')


def _milliseconds(value: Any, name: str) -> Any:
    if (type(value) is int or type(value) is float) and 0 <= value <= 1e12:
        return float(value)
    raise _Wrong(f'"{name}" must be a number of milliseconds, 0 or more.')


def _kind(value: Any, name: str) -> Any:
    if type(value) is str and value in KINDS:
        return value
    raise _Wrong(f'"{name}" must be one of {", ".join(KINDS)}.')


def _country(value: Any, name: str) -> Any:
    if type(value) is str and len(value) == 2 and value.isascii() and value.isalpha():
        return value
    raise _Wrong(f'"{name}" must be two letters (ISO 3166-1).')


def _mapping(value: Any, name: str) -> Any:
    if type(value) is dict:
        return value
    raise _Wrong(f'"{name}" must be an object.')


_BY_NAME: dict[str, Callable[[Any, str], Any]] = {
    "at": _moment, "timestamp": _moment, "kind": _kind, "ok": _ok, "duration_ms": _milliseconds,
    "country": _country, "n": _count, "bad": _count, "traits": _mapping, "props": _mapping,
}  # fmt: skip
_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    field.name: _BY_NAME.get(field.name, _reference if "integer" in field.type else _text) for field in FIELDS
}
#: Fields of Event that are texts, in its order.
_TEXTS = ("release", "environment", "user", "customer", "session", "feature", "platform", "plan", "country")


def _event(row: Any, product: str, now: float, shift: float, past: float) -> Event:
    if type(row) is not dict:
        raise _Wrong("it must be an object.")
    given: dict[str, Any] = {}
    more: dict[str, Any] = {}
    for key, value in row.items():
        check = _CHECKS.get(key)
        if check is None:
            more[key] = value
        elif value is not None:
            given[key] = check(value, key)
    get = given.get
    name = get("name", "").strip()
    if not name:
        raise _Wrong('"name" is required.')
    kind = get("kind", "use")
    n, bad = _outcome(get("n"), get("bad"), get("ok"), kind)
    props, flags = _props(kind, given, more)
    at, clamped = timestamp(get("at", get("timestamp")), now, shift, past)
    if clamped:
        flags |= CLAMPED
    release, environment, user, customer, session, feature, platform, plan, country = [
        get(field, "") for field in _TEXTS
    ]
    return build(
        event_id(product, get("id")), kind, name, at, release, environment, user, customer, session, feature,
        platform, plan, country, n, bad, get("duration_ms"), flags, props,
    )  # fmt: skip


def _outcome(n: int | None, bad: int | None, ok: bool | None, kind: str) -> tuple[int, int]:
    """(n, bad) from counts or from ok; errors are bad unless they say otherwise."""
    if n is None:
        n = 1
    if bad is None:
        return n, n if ok is False or (ok is None and kind == "error") else 0
    if ok is not None:
        raise _Wrong('send "ok" or "bad", not both.')
    if bad > n:
        raise _Wrong('"bad" must not be larger than "n".')
    return n, bad


def _props(kind: str, given: dict[str, Any], more: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """(props, flags): the given props, unknown fields, and what the kind needs."""
    told = given.get("props")
    if told:
        more = {**more, **told}
    props: dict[str, Any] = {}
    flags = 0
    if more:
        props, flags = scrub(more, PROPS)
    if "text" in given:
        props["text"], cut = scrub_text(given["text"])
        flags |= cut
    if kind == "use" or kind == "session":
        return props, flags
    if kind == "feedback" and not props.get("text", "").strip():
        raise _Wrong('"text" is required for kind feedback.')
    if kind == "identify" and "traits" not in given:
        raise _Wrong('"traits" is required for kind identify.')
    if kind == "error":
        _group(given["name"], props, more)
    if "traits" in given:
        props["traits"], hidden = scrub(given["traits"], PROPS)
        flags |= hidden
    return props, flags


def _group(name: str, props: dict[str, Any], raw: dict[str, Any]) -> None:
    """Give an error the same grouping the other protocols have, from type and message or its name."""
    kind, said = raw.get("type"), raw.get("message", raw.get("value"))
    message = said if type(said) is str else ""
    found, _ = fault({"type": kind if type(kind) is str else name}, message, raw.get("fingerprint"))
    props["group"], props["group_version"] = found["group"], found["group_version"]
