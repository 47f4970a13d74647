"""Sentry's errors, transactions, spans and feedback as events. `docs/signals.md` lists the mapping."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .clean import build, event_id, number, stable_id, text, timestamp
from .clock import instant
from .decode import BATCH_EVENTS
from .event import CLAMPED, SCRUBBED, TRUNCATED, Event, Refused
from .faults import fault
from .origin import (
    CUSTOMER_KEYS,
    FEATURE_KEYS,
    PLAN_KEYS,
    agent,
    first,
    mapping,
    pairs,
    pattern,
    sdk_platform,
    sentry_platform,
)
from .scrub import scrub, scrub_text

#: Trace statuses that count as a failure: the server's fault, or nobody knows whose. Not in here, because
#: the caller got the right answer: ok, cancelled, not_found, invalid_argument, unauthenticated,
#: permission_denied, already_exists, failed_precondition, out_of_range, resource_exhausted. Not in here
#: either: `unknown`, which several clients send when nobody set a status; `unknown_error` is the failure.
FAILURES = frozenset(
    ("internal_error", "internal", "error", "unknown_error", "deadline_exceeded", "unavailable", "data_loss",
     "aborted", "unimplemented")
)  # fmt: skip
#: Span v2 only knows ok and error; the word beside it tells whether the caller was at fault.
_CALLERS_FAULT = frozenset(
    ("cancelled", "not_found", "invalid_argument", "unauthenticated", "permission_denied", "already_exists",
     "failed_precondition", "out_of_range", "resource_exhausted")
)  # fmt: skip
#: Levels of a message that report nothing wrong.
_CALM = ("debug", "info", "log")


@dataclass
class Envelope:
    """What is being filled: events and outcomes, with what all items of a request share.

    shift: seconds to add to the client's timestamps. trace: the envelope header's `trace`, a fallback for
    release and environment. platform: the same for what its `sdk` runs on.
    """

    product: str
    now: float
    shift: float
    trace: Any
    platform: str = ""
    events: list[Event] = field(default_factory=list)
    outcomes: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def miss(self, category: str, outcome: str, reason: str, count: int = 1) -> None:
        """Count something that was not taken; a request cannot open more than 40 reasons of its own."""
        key = (category, outcome, reason)
        if key not in self.outcomes and len(self.outcomes) >= 40:
            key = ("other", outcome, "other_reason")
        self.outcomes[key] = self.outcomes.get(key, 0) + count

    def at(self, value: Any) -> tuple[float, int]:
        """(unix seconds, flags) of a timestamp of this request."""
        seconds, clamped = timestamp(value, self.now, self.shift)
        return seconds, CLAMPED if clamped else 0


def event(payload: dict[str, Any], box: Envelope, _raw: bytes) -> None:
    """An `event` item: a feedback or a transaction when its own `type` says so, else an error."""
    kind = payload.get("type")
    if kind == "feedback":
        feedback(payload, box, _raw)
    elif kind == "transaction":
        transaction(payload, box, _raw)
    else:
        box.events.append(_error(payload, box))


def transaction(payload: dict[str, Any], box: Envelope, _raw: bytes) -> None:
    """A request or task that ended: one use, bad by its trace status, value in ms."""
    trace = mapping(mapping(payload.get("contexts")).get("trace"))
    status = trace.get("status")
    props: dict[str, Any] = {}
    for key in ("op", "status"):
        cleaned, _ = text(trace.get(key), 60)
        if cleaned:
            props[key] = cleaned
    end, begin = payload.get("timestamp"), payload.get("start_timestamp")
    box.events.append(
        _event(
            payload,
            box,
            kind="use",
            name=_name(payload.get("transaction")) or "unnamed",
            bad=1 if type(status) is str and status in FAILURES else 0,
            value=_duration(begin, end),
            props=props,
        )
    )


def feedback(payload: dict[str, Any], box: Envelope, _raw: bytes) -> None:
    """A complaint in the user's words, in `contexts.feedback` (widget) or in the message."""
    said = mapping(mapping(payload.get("contexts")).get("feedback"))
    words = said.get("message") or _message(payload)
    if type(words) is not str or not words.strip():
        box.miss("feedback", "invalid", "no_text")
        return
    props, flags = _said(words, said.get("name"), said.get("contact_email"))
    url = said.get("url") or mapping(payload.get("request")).get("url")
    flags |= _add_text(props, "url", url, 500)
    about = said.get("associated_event_id")
    if type(about) is str and about:
        props["event_id"] = event_id(box.product, about)
    contact = props.get("email")
    box.events.append(
        _event(payload, box, kind="feedback", name="feedback", contact=contact, props=props, flags=flags)
    )


def user_report(payload: dict[str, Any], box: Envelope, _raw: bytes) -> None:
    """The feedback item of old clients; its event_id is the error's, so the own id is derived from it."""
    words = payload.get("comments")
    if type(words) is not str or not words.strip():
        box.miss("feedback", "invalid", "no_text")
        return
    props, flags = _said(words, payload.get("name"), payload.get("email"))
    about = payload.get("event_id")
    made = stable_id(box.product, "user_report", about, words)
    if type(about) is str and about:
        props["event_id"] = event_id(box.product, about)
    box.events.append(
        build(made, "feedback", "feedback", box.now, *_trace(box), user=props.get("email", ""),
              flags=flags, props=props)
    )  # fmt: skip


def spans(payload: dict[str, Any], box: Envelope, _raw: bytes) -> None:
    """A span container (v2) or one span: only segments, the roots of a service's work, are uses."""
    items = payload.get("items", [payload])
    if type(items) is not list:
        box.miss("use", "invalid", "no_items")
        return
    unused = 0
    for span in items:
        if type(span) is not dict:
            box.miss("use", "invalid", "no_object")
        elif span.get("is_segment") is True:
            if len(box.events) >= BATCH_EVENTS:
                raise Refused(413, "too_many_events", f"More than {BATCH_EVENTS} events in one envelope.")
            box.events.append(_segment(span, box))
        else:
            unused += 1
    if unused:
        box.miss("use", "filtered", "not_used", unused)


def _segment(span: dict[str, Any], box: Envelope) -> Event:
    told = {**_attributes(span.get("data")), **_attributes(span.get("attributes"))}
    begin, end = span.get("start_timestamp"), span.get("end_timestamp", span.get("timestamp"))
    at, flags = box.at(end)
    why, _ = text(told.get("sentry.status.message"), 60)
    status, _ = text(span.get("status"), 60)
    bad = (status == "error" and why not in _CALLERS_FAULT) or (status != "error" and status in FAILURES)
    props: dict[str, Any] = {}
    for key, value in (("op", told.get("sentry.op")), ("status", why or status)):
        flags |= _add_text(props, key, value, 60)
    flags |= _add_text(props, "path", pattern(told.get("url.path")), 200)
    name = told.get("sentry.segment.name") or span.get("name") or told.get("sentry.transaction")
    language = sdk_platform(told.get("sentry.sdk.name"))
    platform = sentry_platform(told, {"os": {"name": told.get("os.name")}}, "") or language or box.platform
    release, environment = _trace(box)
    return build(
        stable_id(box.product, "span", span.get("trace_id"), span.get("span_id")),
        "use",
        _name(name) or "unnamed",
        at,
        release=told.get("sentry.release") or release,
        environment=told.get("sentry.environment") or environment,
        user=first(told, ("user.id", "user.email", "user.name", "user.username")),
        customer=first(told, CUSTOMER_KEYS) or first(told, ("customer.id", "user.customer", "user.segment")),
        session=first(told, ("session.id", "session_id")),
        feature=first(told, FEATURE_KEYS),
        platform=platform,
        plan=first(told, PLAN_KEYS) or first(told, ("user.plan",)),
        country=told.get("user.geo.country_code", ""),
        bad=1 if bad else 0,
        value=_duration(begin, end),
        flags=flags,
        props=props,
    )


def _attributes(raw: Any) -> dict[str, Any]:
    """Span attributes as plain values; v2 wraps each as {"value": ..., "type": ...}."""
    return {
        key: value.get("value") if type(value) is dict else value
        for key, value in list(mapping(raw).items())[:200]
        if type(key) is str
    }


def _error(payload: dict[str, Any], box: Envelope) -> Event:
    raw = payload.get("exception")
    found = raw.get("values") if type(raw) is dict else raw
    chain = [one for one in found[-20:] if type(one) is dict] if type(found) is list else []
    message = _message(payload)
    # Causes come first and the exception that reached the user last.
    template = _template(payload) or message or _name(payload.get("transaction"))
    props, flags = fault(chain[-1] if chain else None, template, payload.get("fingerprint"))
    level, _ = text(payload.get("level"), 20)
    props["level"] = level or "error"
    calm = not chain and level in _CALM
    flags |= _add_text(props, "message", message, 1000)
    flags |= _add_text(props, "transaction", _name(payload.get("transaction")), 200)
    flags |= _surroundings(payload, props)
    return _event(
        payload,
        box,
        kind="error",
        name="messages" if calm else "errors",
        bad=0 if calm else 1,
        props=props,
        flags=flags,
    )


def _surroundings(payload: dict[str, Any], props: dict[str, Any]) -> int:
    """Page, browser, system and the client's own tags and extras; process environments never."""
    request, contexts = mapping(payload.get("request")), mapping(payload.get("contexts"))
    flags = _add_text(props, "url", request.get("url"), 500)
    headers = pairs(request.get("headers"))
    browser, system = agent(headers.get("User-Agent") or headers.get("user-agent"))
    told = mapping(contexts.get("browser")).get("name"), mapping(contexts.get("os")).get("name")
    for key, value in (("browser", told[0] or browser), ("os", told[1] or system)):
        flags |= _add_text(props, key, value, 60)
    for key, cap in (("tags", 50), ("extra", 30)):
        raw = pairs(payload.get(key))
        if raw:
            kept, more = scrub(raw, keys=cap)
            flags |= more
            if kept:
                props[key] = kept
    return flags


def _event(
    payload: dict[str, Any],
    box: Envelope,
    *,
    kind: str,
    name: str,
    bad: int = 0,
    value: float | None = None,
    contact: Any = "",
    props: dict[str, Any],
    flags: int = 0,
) -> Event:
    """The fields every event payload shares; a user's IP address is never read."""
    user, tags = mapping(payload.get("user")), pairs(payload.get("tags"))
    contexts = mapping(payload.get("contexts"))
    at, late = box.at(payload.get("timestamp"))
    release, environment = _trace(box)
    visit = first(tags, ("session", "session_id")) or first(mapping(contexts.get("session")), ("id", "sid"))
    return build(
        event_id(box.product, payload.get("event_id")),
        kind,
        name,
        at,
        release=payload.get("release") or release,
        environment=payload.get("environment") or environment,
        user=first(user, ("id", "email", "username")) or contact or "",
        customer=first(tags, CUSTOMER_KEYS)
        or first(mapping(contexts.get("customer")), ("id", "name"))
        or first(user, ("customer", "segment")),
        session=visit,
        feature=first(tags, FEATURE_KEYS),
        platform=sentry_platform(tags, contexts, payload.get("platform")) or box.platform,
        plan=first(tags, PLAN_KEYS) or first(user, ("plan",)),
        country=mapping(user.get("geo")).get("country_code", ""),
        bad=bad,
        value=value,
        flags=flags | late,
        props=props,
    )


def _trace(box: Envelope) -> tuple[Any, Any]:
    """(release, environment) of the envelope header, for items that name none."""
    trace = mapping(box.trace)
    return trace.get("release", ""), trace.get("environment", "")


def _name(raw: Any) -> str:
    return scrub_text(pattern(raw), 200)[0]


def _template(payload: dict[str, Any]) -> str:
    """The message before its values were filled in, which is what groups."""
    found = mapping(payload.get("logentry")).get("message") or mapping(payload.get("message")).get("message")
    return found if type(found) is str else ""


def _message(payload: dict[str, Any]) -> str:
    """The message as it reads, whichever of the three places a client uses."""
    for place in (payload.get("logentry"), payload.get("message")):
        found = mapping(place).get("formatted") or mapping(place).get("message") or place
        if type(found) is str and found:
            return found
    return ""


def _said(words: str, name: Any, email: Any) -> tuple[dict[str, Any], int]:
    shown, flags = scrub_text(words.strip(), 4096)
    props: dict[str, Any] = {"text": shown}
    for key, value in (("name", name), ("email", email)):
        flags |= _add_text(props, key, value, 200)
    return props, flags


def _add_text(props: dict[str, Any], key: str, value: Any, limit: int) -> int:
    """Put a scrubbed text under a key unless it is empty; the flags it earned."""
    if type(value) is not str or not value:
        return 0
    shown, flags = scrub_text(value, limit)
    if shown:
        props[key] = shown
    return flags & (SCRUBBED | TRUNCATED)


def _duration(begin: Any, end: Any) -> float | None:
    """Milliseconds between two timestamps of one client, None when they make no sense together."""
    first_at, last_at = instant(begin), instant(end)
    if first_at is None or last_at is None or not 0 <= last_at - first_at <= 86_400 * 31:
        return None
    return number(round((last_at - first_at) * 1000, 3))
