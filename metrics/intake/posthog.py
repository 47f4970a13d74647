"""PostHog's wire: bodies of posthog-js, posthog-python and their kin as events.

The key is inside the body, so reading is split: `load` gives the payload, `key_of` the key in it,
`to_events` the facts. Shape: {"api_key", "batch": [{"event", "properties", ...}], "sent_at"}; older clients
send one event or a bare list. Nothing is read into an event's name: `checkout_failed` is a name like any
other, and only outcome properties (`ok`, `success`, `failed`, `status`, `error`, `bad`) say that something
went wrong.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import orjson

from .batch import Batch
from .clean import event_id, json_loads
from .clock import skew
from .decode import BATCH_EVENTS, DECODED_LIMIT, EVENT_LIMIT, decode
from .event import Parsed, Refused
from .posthog_alike import take_all
from .posthog_events import kinds_of

#: Stands in a batch for an event larger than EVENT_LIMIT, which is then counted and forgotten.
OVERSIZED: dict[str, Any] = {"event": "$oversized"}


def load(body: bytes, content_type: str, query: Mapping[str, str]) -> Any:
    """The payload (object or list) of a body whose Content-Encoding is already undone.

    posthog-js compresses without saying so: gzip is recognised by its first bytes, and forms carry
    `data=`, plain or base64, optionally gzipped (`compression=`). Raises Refused 400 `bad_json`,
    `bad_form`, `bad_encoding`; 413; 415 for a compression nobody else can undo.
    """
    compression = query.get("compression", "")
    if compression not in ("", "base64", "gzip", "gzip-js"):
        raise Refused(415, "bad_encoding", "The compression must be gzip, gzip-js or base64.")
    if not body:
        body = _unwrapped(query.get("data", ""))
        if not body:
            return {}
    elif "x-www-form-urlencoded" in content_type.lower() or body.startswith((b"data=", b"compression=")):
        body = _form(body)
    if body[:2] == b"\x1f\x8b":
        body = decode(body, "gzip", DECODED_LIMIT)
    payload = json_loads(body)
    if type(payload) is not dict and type(payload) is not list:
        raise Refused(400, "bad_json", "The body must be a JSON object or list.")
    if len(body) > EVENT_LIMIT:
        _drop_oversized(payload)
    return payload


def _form(body: bytes) -> bytes:
    """The `data` field of a form; a body that is no form in spite of its content type stays itself."""
    if body[:2] == b"\x1f\x8b" or body[:1] in (b"{", b"["):
        return body
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=20)
    except (UnicodeDecodeError, ValueError):
        raise Refused(400, "bad_form", "The form body is not URL-encoded text.") from None
    data = fields.get("data", [""])[0]
    if not data:
        raise Refused(400, "bad_form", "The form has no field named data.")
    return _unwrapped(data)


def _unwrapped(data: str) -> bytes:
    """Base64 undone; clients do not always name the compression, so JSON is told by its first letter."""
    raw = data.encode("utf-8", "replace")
    if not raw or raw[:1] in (b"{", b"["):
        return raw
    # An unescaped plus of base64 arrives as a space.
    raw = raw.replace(b" ", b"+")
    try:
        return b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except (Base64Error, ValueError):
        raise Refused(400, "bad_form", "The data field is neither JSON nor base64.") from None


def _drop_oversized(payload: Any) -> None:
    events = payload.get("batch") if type(payload) is dict else payload
    if type(events) is not list:
        return
    for index, event in enumerate(events[:BATCH_EVENTS]):
        try:
            size = len(orjson.dumps(event))
        except orjson.JSONEncodeError:
            size = EVENT_LIMIT + 1  # nested deeper than the encoder goes: nothing of it would be kept
        if size > EVENT_LIMIT:
            events[index] = OVERSIZED


def key_of(payload: Any, query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
    """The project key: `api_key` or `token` of the payload or its first event, a bearer token, the query."""
    seen = payload if type(payload) is dict else {}
    events = seen.get("batch") if seen else payload
    one = events[0] if type(events) is list and events and type(events[0]) is dict else {}
    for place in (seen, seen.get("properties"), one, one.get("properties")):
        if type(place) is dict:
            for name in ("api_key", "token", "$token"):
                key = place.get(name)
                if type(key) is str and 0 < len(key) <= 200:
                    return key
    for name, value in headers.items():
        if name.lower() == "authorization" and value[:7].lower() == "bearer " and value[7:].strip():
            return value[7:].strip()[:200]
    return (query.get("api_key") or query.get("token") or "")[:200] or None


def to_events(payload: Any, product: str, now: float) -> Parsed:
    """All facts of a payload; what is no event is counted. Raises Refused 413 `too_many_events`."""
    head, events = _listed(payload)
    shift = skew(head.get("sent_at", head.get("sentAt")), now)
    batch = Batch(product, now, shift, head.get("historical_migration") is True)
    fitting = [event for event in events if event is not OVERSIZED]
    for _event in range(len(events) - len(fitting)):
        batch.miss("other", "too_large", "event")
    take_all(fitting, batch)
    return batch.parsed({"status": 1})


def held(payload: Any) -> tuple[int, Counter[str]] | None:
    """(events, all that a payload holds by kind), at a tenth of the cost of `to_events`; None where only that tells."""
    head, events = _listed(payload)
    if head.get("historical_migration") is True or OVERSIZED in events:
        return None
    return kinds_of(events)


def _listed(payload: Any) -> tuple[dict[str, Any], list[Any]]:
    """(what is said of all, the events)."""
    head = payload if type(payload) is dict else {}
    events = head.get("batch", [head] if head else []) if type(payload) is dict else payload
    if type(events) is not list:
        raise Refused(400, "bad_batch", '"batch" must be a list of events.')
    if len(events) > BATCH_EVENTS:
        raise Refused(413, "too_many_events", f"More than {BATCH_EVENTS} events in one request.")
    return head, events


def parse(body: bytes, content_type: str, query: Mapping[str, str], product: str, now: float) -> Parsed:
    """`load` and `to_events` in one step, for callers that know the product already."""
    return to_events(load(body, content_type, query), product, now)


def config_reply(token: str) -> dict[str, Any]:
    """The answer to `/array/<key>/config`: nothing but events is asked of posthog-js."""
    return {
        "token": token,
        "supportedCompression": ["gzip", "gzip-js", "base64"],
        "hasFeatureFlags": False,
        "sessionRecording": False,
        "surveys": False,
        "heatmaps": False,
        "autocaptureExceptions": False,
        "capturePerformance": False,
    }


def flags_reply() -> dict[str, Any]:
    """The answer to `/flags/` (v2, v4) and `/decide/`: there are no flags here, and none failed."""
    return {
        "flags": {},
        "featureFlags": {},
        "featureFlagPayloads": {},
        "errorsWhileComputingFlags": False,
        "quotaLimited": [],
        "sessionRecording": False,
        "supportedCompression": ["gzip", "gzip-js", "base64"],
        "config": {"enable_collect_everything": False},
        "toolbarParams": {},
        "isAuthenticated": False,
        "siteApps": [],
        "requestId": event_id("", None),
    }
