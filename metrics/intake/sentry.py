"""Sentry's wire: who is calling, the envelope's framing, and which item becomes what.

Format: https://develop.sentry.dev/sdk/data-model/envelopes/. An envelope is a header line and items, each
a header line and a payload; `length` is optional, and without it the payload ends at the next newline.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from . import sentry_items, sentry_sessions
from .clean import event_id, json_loads
from .clock import skew
from .decode import BATCH_EVENTS, EVENT_LIMIT
from .event import Parsed, Refused
from .origin import mapping, sdk_platform
from .sentry_items import Envelope

_AUTH_KEY = re.compile(r"\bsentry_key=([\w-]{1,200})")
_KEY = re.compile(r"[\w-]{1,200}", re.ASCII)
_ID = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TYPE = re.compile(r"[^a-z0-9_]")

#: Most items (and blank lines) in one envelope, and bytes of a container item, which holds many spans.
ITEMS, CONTAINER_LIMIT = 1_000, 10 * EVENT_LIMIT

_Reader = Callable[[Any, Envelope, bytes], None]
#: type -> (reader, outcome category, limit in bytes). Types not named here are skipped and counted.
_READERS: dict[str, tuple[_Reader, str, int]] = {
    "event": (sentry_items.event, "error", EVENT_LIMIT),
    "error": (sentry_items.event, "error", EVENT_LIMIT),
    "transaction": (sentry_items.transaction, "use", EVENT_LIMIT),
    "span": (sentry_items.spans, "use", CONTAINER_LIMIT),
    "feedback": (sentry_items.feedback, "feedback", EVENT_LIMIT),
    "user_report": (sentry_items.user_report, "feedback", EVENT_LIMIT),
    "session": (sentry_sessions.session, "session", EVENT_LIMIT),
    "sessions": (sentry_sessions.sessions, "session", EVENT_LIMIT),
    "client_report": (sentry_sessions.client_report, "other", EVENT_LIMIT),
}


def key_of(headers: Mapping[str, str], query: Mapping[str, str], body_first_line: bytes) -> str | None:
    """The project key, from `X-Sentry-Auth`, `Authorization: Sentry`, `?sentry_key=` or the envelope's dsn.

    The first place that names a well-formed key wins; None when none does. Header names match in any case.
    """
    for name, value in headers.items():
        low = name.lower()
        if low == "x-sentry-auth" or (low == "authorization" and value[:7].lower() == "sentry "):
            found = _AUTH_KEY.search(value)
            if found:
                return found[1]
    key = query.get("sentry_key", "")
    if _KEY.fullmatch(key):
        return key
    if b'"dsn"' not in body_first_line:
        return None
    try:
        header = json_loads(body_first_line)
        user = urlsplit(header["dsn"]).username if type(header) is dict else None
    except (Refused, ValueError, KeyError, TypeError, AttributeError):
        return None
    return user if user and _KEY.fullmatch(user) else None


def parse_envelope(body: bytes, product: str, now: float) -> Parsed:
    """All facts of one envelope. Raises Refused 400 `bad_envelope` (position in the detail) when the
    framing is broken; an item that is too large or broken inside is counted and the others go on.
    """
    end = body.find(b"\n")
    head = body[:end] if end >= 0 else body
    header = _header(head, 0, "envelope header")
    shift, sdk = skew(header.get("sent_at"), now), mapping(header.get("sdk"))
    box = Envelope(product, now, shift, header.get("trace"), sdk_platform(sdk.get("name")))
    # The framing is checked to the end first: a request that breaks off must not be half stored.
    for kind, payload in list(_items(body, len(head) + 1)):
        _take(kind, payload, box)
    return Parsed(box.events, box.outcomes, {"id": _reply_id(header.get("event_id"), box)})


def parse_store(body: bytes, product: str, now: float) -> Parsed:
    """The one event of a request to the old `/store/` address, a bare JSON object."""
    if len(body) > EVENT_LIMIT:
        raise Refused(413, "too_large", f"The event is larger than {EVENT_LIMIT} bytes.")
    payload = json_loads(body)
    if type(payload) is not dict:
        raise Refused(400, "bad_event", "The body must be one JSON object, the event.")
    box = Envelope(product, now, 0.0, None)
    sentry_items.event(payload, box, body)
    return Parsed(box.events, box.outcomes, {"id": _reply_id(payload.get("event_id"), box)})


def _take(kind: str, payload: bytes, box: Envelope) -> None:
    known = _READERS.get(kind)
    if known is None:
        box.miss("other", "filtered", f"unknown_item:{_TYPE.sub('_', kind.lower())[:30]}")
        return
    reader, category, limit = known
    if len(payload) > limit:
        box.miss(category, "too_large", "item")
        return
    try:
        content = json_loads(payload)
    except Refused as refused:
        box.miss(category, "invalid" if refused.status == 400 else "too_large", refused.reason)
        return
    if type(content) is not dict:
        box.miss(category, "invalid", "no_object")
        return
    reader(content, box, payload)
    if len(box.events) > BATCH_EVENTS:
        raise Refused(413, "too_many_events", f"More than {BATCH_EVENTS} events in one envelope.")


def _items(body: bytes, position: int) -> Iterator[tuple[str, bytes]]:
    count = 0
    while position < len(body):
        end = body.find(b"\n", position)
        end = len(body) if end < 0 else end
        line = body[position:end]
        # Blank lines count too: twenty million of them would keep a worker busy for seconds.
        count += 1
        if count > ITEMS:
            raise Refused(413, "too_many_events", f"More than {ITEMS} items in one envelope.")
        if not line.strip():
            position = end + 1
            continue
        header = _header(line, position, "item header")
        start = end + 1
        stop = _payload_end(body, header, start, position)
        kind = header.get("type")
        if type(kind) is not str or not kind:
            raise _broken(position, 'the item header has no "type"')
        yield kind, body[start:stop]
        position = stop + 1


def _payload_end(body: bytes, header: dict[str, Any], start: int, position: int) -> int:
    length = header.get("length")
    if length is None:
        stop = body.find(b"\n", start)
        return max(start, len(body)) if stop < 0 else stop
    if type(length) is not int or length < 0:
        raise _broken(position, '"length" must be a whole number of bytes')
    stop = start + length
    if length and stop > len(body):
        raise _broken(start, f"the payload should have {length} bytes, {max(len(body) - start, 0)} are there")
    if body[stop : stop + 1] not in (b"\n", b"") and body[stop : stop + 2] != b"\r\n":
        raise _broken(stop, "a newline must follow the payload")
    return stop


def _header(line: bytes, position: int, what: str) -> dict[str, Any]:
    try:
        header = json_loads(line)
    except Refused as refused:
        raise _broken(position, f"the {what} is no JSON. {refused.detail}") from None
    if type(header) is not dict:
        raise _broken(position, f"the {what} must be a JSON object")
    return header


def _broken(position: int, what: str) -> Refused:
    return Refused(400, "bad_envelope", f"Broken envelope at byte {position}: {what.rstrip('.')}.")


def _reply_id(raw: Any, box: Envelope) -> str:
    """The client's own id in the form it expects back, never an echo of anything else it sent."""
    if type(raw) is str and _ID.fullmatch(raw):
        return event_id(box.product, raw)
    return ""
