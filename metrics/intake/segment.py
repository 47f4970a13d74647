"""Segment's wire: bodies of analytics.js, analytics-python and their kin as events. See docs/signals.md.

Shape: {"batch": [{"type", "messageId", "timestamp", "userId", "event", "properties", "context", ...}], "sentAt",
"writeKey"}, or one message of the type its address names. The key is also the user name of Basic authorization.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any

import orjson

from .batch import Batch
from .clean import build, event_id, json_loads
from .clock import skew, timestamp
from .decode import BATCH_EVENTS, EVENT_LIMIT
from .event import CLAMPED, TRUNCATED, Parsed, Refused
from .measure import MEASURES, counts, duration
from .origin import CUSTOMER_KEYS, PLAN_KEYS, first, mapping, system_platform
from .scrub import scrub

#: Properties kept per event.
PROPS = 30

#: Address -> type, for messages that do not name theirs. /v1/batch holds messages of every type.
TYPES = {
    **dict.fromkeys(("t", "track"), "track"),
    **dict.fromkeys(("p", "page"), "page"),
    **dict.fromkeys(("s", "screen"), "screen"),
    **dict.fromkeys(("i", "identify"), "identify"),
    **dict.fromkeys(("g", "group"), "group"),
    **dict.fromkeys(("a", "alias"), "alias"),
    **dict.fromkeys(("batch", "b", "import"), ""),
}
_RELEASE = ("release", "app_version", "version")
_ENVIRONMENT = ("environment", "env")
_FIELDS = frozenset(
    (*_RELEASE, *_ENVIRONMENT, *PLAN_KEYS, *CUSTOMER_KEYS, *MEASURES, "feature", "platform", "country", "session_id")
)
#: Libraries that run in a browser; every other one that names no device runs on a server.
_BROWSERS = ("analytics.js", "@segment/analytics-next")


def load(body: bytes) -> dict[str, Any]:
    """The payload; Refused 400 when it is no JSON object. A page that closes sends it as text."""
    payload = json_loads(body)
    if type(payload) is not dict:
        raise Refused(400, "bad_json", "The body must be a JSON object.")
    return payload


def key_of(payload: Mapping[str, Any], query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """The write key: the user of Basic authorization, else `writeKey` of the body, else of the query; "" when none."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user = b64decode(given.strip().encode(), validate=True).decode().partition(":")[0]
        except (Base64Error, UnicodeError, ValueError):
            raise Refused(401, "no_key", "The Authorization header is not Basic base64(writeKey:).") from None
        if user:
            return user[:200]
    key = payload.get("writeKey") or query.get("writeKey", "")
    return key[:200] if type(key) is str else ""


def parse(payload: Mapping[str, Any], kind: str, size: int, product: str, now: float) -> Parsed:
    """All facts of a payload; `kind` is the type that the address names, "" for a batch; `size` the body's bytes.

    Raises Refused 400 `bad_batch`, 413 `too_many_events`.
    """
    rows = payload.get("batch", None if kind else [])
    messages = [payload] if rows is None else rows
    if type(messages) is not list:
        raise Refused(400, "bad_batch", '"batch" must be a list of messages.')
    if len(messages) > BATCH_EVENTS:
        raise Refused(413, "too_many_events", f"More than {BATCH_EVENTS} messages in one request.")
    batch = Batch(product, now, skew(payload.get("sentAt"), now))
    shared = mapping(payload.get("context"))
    for message in messages:
        if size > EVENT_LIMIT and _is_oversized(message):
            batch.miss("other", "too_large", "event")
        else:
            _take(message, kind, shared if rows is not None else {}, batch)
    return batch.parsed({"success": True})


def _take(message: Any, kind: str, shared: dict[str, Any], batch: Batch) -> None:
    """One message. What the batch's context says holds unless the message's own says otherwise."""
    if type(message) is not dict:
        return batch.miss("other", "invalid", "no_object")
    said = message.get("type") or kind
    context = {**shared, **mapping(message.get("context"))}
    properties = mapping(message.get("properties"))
    if said == "track":
        name = message.get("event")
        if type(name) is not str or not name.strip():
            return batch.miss("other", "invalid", "no_event_name")
        return _use(name.strip(), message, context, properties, batch)
    if said in ("page", "screen"):
        shown = message.get("name") or properties.get("name")
        if said == "screen" and shown:
            properties = {**properties, "screen": shown}
        return _use("pageview" if said == "page" else "screen", message, context, properties, batch)
    if said in ("identify", "group"):
        return _identify(message, context, batch)
    if said == "alias":
        return batch.miss("identify", "filtered", "alias")
    return batch.miss("other", "invalid", "unknown_type")


def _use(
    name: str, message: dict[str, Any], context: dict[str, Any], properties: dict[str, Any], batch: Batch
) -> None:
    kept: dict[str, Any] = {}
    flags = 0
    for key, value in properties.items():
        if key in _FIELDS:
            continue
        if len(kept) >= PROPS:
            flags = TRUNCATED
            break
        kept[key] = value
    props, more = scrub(kept, PROPS)
    page, seen = _page(mapping(context.get("page")), batch)
    more |= seen
    props = {**page, **props}
    n, bad = counts(properties)
    _add(batch, message, context, properties, "use", name, props, flags | more, n, bad, duration(properties))


def _page(page: dict[str, Any], batch: Batch) -> tuple[dict[str, Any], int]:
    """Where it happened. Messages of a batch may share one page, which is looked at once."""
    if batch.page is None or batch.page[0] is not page:
        batch.page = (page, *scrub({key: page[key] for key in ("url", "path") if key in page}))
    return batch.page[1], batch.page[2]


def _identify(message: dict[str, Any], context: dict[str, Any], batch: Batch) -> None:
    """Who a person or customer is; a group is the customer."""
    told = {key: value for key, value in mapping(message.get("traits")).items() if value is not None}
    company = mapping(told.get("company"))
    traits, flags = scrub(told, PROPS)
    email = traits.get("email")
    if type(email) is str and "@" in email:
        traits["email_domain"] = email.rsplit("@", 1)[1].lower()[:100]
    customer = first(message, ("groupId",)) or first(company, ("id", "name")) or first(traits, CUSTOMER_KEYS)
    _add(batch, message, context, traits, "identify", "identify", {"traits": traits}, flags, customer=customer)


def _add(
    batch: Batch,
    message: dict[str, Any],
    context: dict[str, Any],
    properties: dict[str, Any],
    kind: str,
    name: str,
    props: dict[str, Any],
    flags: int,
    n: int = 1,
    bad: int = 0,
    value: float | None = None,
    customer: Any = "",
) -> None:
    at, late = timestamp(message.get("timestamp"), batch.now, batch.shift)
    traits, app = mapping(context.get("traits")), mapping(context.get("app"))
    batch.events.append(
        build(
            _id(message, batch.product),
            kind,
            name,
            at,
            first(properties, _RELEASE) or app.get("version", ""),
            first(properties, _ENVIRONMENT) or first(context, _ENVIRONMENT),
            message.get("userId") or message.get("anonymousId", ""),
            customer or _customer(context, properties, traits),
            properties.get("session_id") or context.get("sessionId", ""),
            properties.get("feature", ""),
            properties.get("platform") or _platform(context),
            first(properties, PLAN_KEYS) or first(traits, PLAN_KEYS),
            properties.get("country") or mapping(context.get("location")).get("country", ""),
            n,
            bad,
            value,
            flags | (CLAMPED if late else 0),
            props,
        )
    )


def _customer(context: dict[str, Any], properties: dict[str, Any], traits: dict[str, Any]) -> Any:
    return first(properties, CUSTOMER_KEYS) or first(context, ("groupId",)) or first(traits, CUSTOMER_KEYS)


def _id(message: dict[str, Any], product: str) -> str:
    """The client's messageId; without one a dated message is told apart by its whole content."""
    own = message.get("messageId")
    if own or message.get("timestamp") is None:
        return event_id(product, own)
    try:
        return event_id(product, None, (orjson.dumps(message).hex(),))
    except orjson.JSONEncodeError:
        return event_id(product, None)


def _is_oversized(message: Any) -> bool:
    """Deeper than the encoder goes counts too: nothing of it would be kept."""
    try:
        return len(orjson.dumps(message)) > EVENT_LIMIT
    except orjson.JSONEncodeError:
        return True


def _platform(context: dict[str, Any]) -> str:
    device = mapping(context.get("device")).get("type")
    system = system_platform(device) or system_platform(mapping(context.get("os")).get("name"))
    library = mapping(context.get("library")).get("name")
    if library in _BROWSERS or (type(library) is str and "userAgentData" in context):
        return "web"
    return system or ("server" if type(library) is str else "")


def settings_reply(key: str, host: str, scheme: str) -> dict[str, Any]:
    """What analytics.js asks its CDN for: where to send, and that there is nothing else to load."""
    target = {"apiKey": key, "apiHost": f"{host}/v1", "protocol": scheme, "unbundledIntegrations": []}
    plan = {"track": {"__default": {"enabled": True, "integrations": {}}}}
    return {"integrations": {"Segment.io": target}, "plan": plan}
