"""One PostHog event at a time. `docs/signals.md` lists the mapping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from .batch import Batch
from .clean import build, event_id, text
from .clock import instant, timestamp
from .event import CLAMPED, PAST_LIMIT, TRUNCATED, Parsed
from .faults import fault
from .measure import MEASURES, counts, duration
from .origin import CUSTOMER_KEYS, PLAN_KEYS, first, mapping, posthog_platform
from .scrub import scrub, scrub_text

#: Properties kept per event.
PROPS = 30

_RELEASE = ("release", "app_version", "$app_version", "$release_id", "$release", "version")
_ENVIRONMENT = ("environment", "env", "$environment")
_GROUPS = ("company", "organization", "customer", "account", "tenant", "workspace", "team", "project")
#: Signs of a user who does not get on, kept under their own names with props {"struggle": true}.
_STRUGGLES = frozenset(("$rageclick", "$dead_click", "$dead_swipe"))
#: Nothing is counted by these: screen recordings, heat maps, flag look-ups, joined identities.
_UNUSED = {
    "$create_alias": "alias",
    "$merge_dangerously": "alias",
    "$snapshot": "not_used",
    "$snapshot_items": "not_used",
    "$performance_event": "not_used",
    "$heatmap": "not_used",
    "$$heatmap": "not_used",
    "$feature_flag_called": "not_used",
    "$opt_in": "not_used",
}
_IDENTIFY = frozenset(("$identify", "$groupidentify", "$set", "$set_once", "$unset"))
_EXCEPTION, _SURVEY = "$exception", "survey sent"
#: Names that say more than that something was used.
SPECIAL = _STRUGGLES | _UNUSED.keys() | _IDENTIFY | {_EXCEPTION, _SURVEY}
#: Where a country may stand, the best first.
COUNTRIES = ("country", "$geoip_country_code")
#: Properties that became fields or count nothing; every other one starting with `$` is dropped too, except
#: those that say where something happened.
_FIELDS = frozenset(
    (*_RELEASE, *_ENVIRONMENT, *PLAN_KEYS, *CUSTOMER_KEYS, "feature", "platform", "country", "distinct_id",
     "token", "api_key", *MEASURES)
)  # fmt: skip
_KEPT = {
    "$current_url": "url",
    "$pathname": "path",
    "$screen_name": "screen",
    "$browser": "browser",
    "$os": "os",
    "$referring_domain": "referrer",
    "$el_text": "element",
    "$event_type": "event_type",
}


class Shape(NamedTuple):
    """What follows from the names of an event's properties alone: those of one client are almost always the same."""

    kept: dict[str, str]  # kept as -> property
    flags: int
    release: tuple[str, ...]  # properties that may tell it, the best first
    environment: tuple[str, ...]
    customer: tuple[str, ...]
    plan: tuple[str, ...]


#: Shapes remembered, and names and characters of one that is.
SHAPES, SHAPE_NAMES, SHAPE_TEXT = 500, 100, 4_000
_shapes: dict[tuple[str, ...], Shape] = {}


def shape_of(properties: dict[str, Any]) -> Shape:
    names = tuple(properties)
    if found := _shapes.get(names):
        return found
    kept, flags = _select(dict(zip(names, names, strict=True)))
    told = (_RELEASE, _ENVIRONMENT, CUSTOMER_KEYS, PLAN_KEYS)
    shape = Shape(kept, flags, *(tuple(name for name in each if name in properties) for each in told))
    if len(names) <= SHAPE_NAMES and sum(map(len, names)) <= SHAPE_TEXT:
        if len(_shapes) >= SHAPES:
            _shapes.clear()
        _shapes[names] = shape
    return shape


def take(raw: Any, batch: Batch) -> None:
    """Turn one raw event into facts or into an outcome."""
    if type(raw) is not dict:
        return batch.miss("other", "invalid", "no_object")
    name = raw.get("event")
    properties = raw.get("properties")
    if type(properties) is not dict:
        properties = {}
    if name is None and ("$set" in raw or "$set_once" in raw):
        name = "$set"  # the /engage address of old clients
    if type(name) is not str or not name.strip():
        return batch.miss("other", "invalid", "no_event_name")
    if reason := _UNUSED.get(name):
        return batch.miss("use", "filtered", reason)
    if batch.historical:
        at = instant(raw.get("timestamp"))
        if at is not None and at < batch.now - PAST_LIMIT:
            return batch.miss("use", "filtered", "too_old")
    if name in _IDENTIFY:
        return _identify(raw, properties, batch)
    if name == _EXCEPTION:
        return _exception(raw, properties, batch)
    if name == _SURVEY and _survey(raw, properties, batch):
        return None
    return _use(name, raw, properties, batch)


def kinds_of(raws: list[Any]) -> tuple[int, Counter[str]]:
    """(how many of them `take` would make events of, all by the kind they are counted as): without the work."""
    kinds: Counter[str] = Counter()
    left_out = 0
    for raw in raws:
        name = raw.get("event") if type(raw) is dict else None
        if type(name) is str and name.strip() and name not in SPECIAL:
            kinds["use"] += 1
            continue
        batch = Batch("", 0.0)
        take(raw, batch)
        kinds += Parsed(batch.events, batch.outcomes).held()
        left_out += not batch.events
    return len(raws) - left_out, kinds


def _use(name: str, raw: dict[str, Any], properties: dict[str, Any], batch: Batch) -> None:
    shape = shape_of(properties)
    props, flags = _props(properties, shape)
    if name in _STRUGGLES:
        props["struggle"] = True
    n, bad = counts(properties)
    name = name.lstrip("$") or name
    _add(batch, raw, properties, "use", name, props, flags, n, bad, duration(properties), shape=shape)


def _props(properties: dict[str, Any], shape: Shape | None = None) -> tuple[dict[str, Any], int]:
    """What is left of the properties: no fields, no `$` noise, scrubbed, at most PROPS."""
    if properties.get("$referring_domain") == "$direct":
        kept, flags = _select(properties)
    else:
        shape = shape or shape_of(properties)
        kept, flags = {name: properties[key] for name, key in shape.kept.items()}, shape.flags
    clean, more = scrub(kept, PROPS)
    return clean, flags | more


def _select(properties: dict[str, Any]) -> tuple[dict[str, Any], int]:
    kept: dict[str, Any] = {}
    flags = 0
    for key, value in properties.items():
        if key[:1] == "$":
            if (renamed := _KEPT.get(key)) and value != "$direct":
                kept.setdefault(renamed, value)
        elif key not in _FIELDS:
            if len(kept) >= PROPS:
                flags = TRUNCATED
                break
            kept[key] = value
    return kept, flags


def _add(
    batch: Batch,
    raw: dict[str, Any],
    properties: dict[str, Any],
    kind: str,
    name: str,
    props: dict[str, Any],
    flags: int = 0,
    n: int = 1,
    bad: int = 0,
    value: float | None = None,
    customer: Any = "",
    plan: Any = "",
    shape: Shape | None = None,
) -> None:
    said = raw.get("timestamp") or properties.get("$time")
    at, late = timestamp(said, batch.now, batch.shift)
    shape = shape or shape_of(properties)
    user = raw.get("distinct_id") or properties.get("distinct_id") or raw.get("$distinct_id", "")
    batch.events.append(
        build(
            _id(raw, properties, said, batch.product),
            kind,
            name,
            at,
            first(properties, shape.release),
            first(properties, shape.environment),
            user,
            customer or customer_of(properties, shape.customer),
            properties.get("$session_id") or raw.get("session_id", ""),
            properties.get("feature", ""),
            properties.get("platform") or _platform(properties),
            plan or first(properties, shape.plan),
            properties.get("country") or properties.get("$geoip_country_code", ""),
            n,
            bad,
            value,
            flags | (CLAMPED if late else 0),
            props,
        )
    )


def _platform(properties: dict[str, Any]) -> str:
    """From library and system; clients of the v1 protocol name their library in a header only."""
    if "$lib" not in properties and (properties.get("$is_server") or "$python_version" in properties):
        return "server"
    return posthog_platform(properties.get("$lib"), properties.get("$os"))


def _id(raw: dict[str, Any], properties: dict[str, Any], said: Any, product: str) -> str:
    """The event's uuid; without one, a dated event is told apart by its whole content, so a resent batch
    of an old client still counts once."""
    own = raw.get("uuid") or properties.get("$insert_id")
    if own:
        return event_id(product, own)
    if said is None:
        return event_id(product, None)
    try:
        return event_id(product, None, (orjson.dumps(raw).hex(),))
    except orjson.JSONEncodeError:
        return event_id(product, None)


def customer_of(properties: dict[str, Any], keys: Iterable[str] = CUSTOMER_KEYS) -> Any:
    groups = properties.get("$groups")
    return (first(groups, _GROUPS) if groups else "") or first(properties, keys)


def _identify(raw: dict[str, Any], properties: dict[str, Any], batch: Batch) -> None:
    """Who a person or customer is; for a group the group's key is the customer."""
    told: dict[str, Any] = {}
    for place in (raw.get("$set_once"), properties.get("$set_once"), raw.get("$set"), properties.get("$set"),
                  properties.get("$group_set")):  # fmt: skip
        told |= {key: value for key, value in mapping(place).items() if key[:1] != "$" and value is not None}
    traits, flags = scrub(told, PROPS)
    email = traits.get("email")
    if type(email) is str and "@" in email:
        traits["email_domain"] = email.rsplit("@", 1)[1].lower()[:100]
    customer = ""
    if properties.get("$group_key") not in (None, ""):
        customer, _ = text(properties["$group_key"], 120)
        traits["group_type"], _ = text(properties.get("$group_type"), 60)
    plan = first(traits, PLAN_KEYS)
    customer = customer or customer_of(properties) or first(traits, CUSTOMER_KEYS)
    props = {"traits": traits}
    _add(batch, raw, properties, "identify", "identify", props, flags, customer=customer, plan=plan)


def _exception(raw: dict[str, Any], properties: dict[str, Any], batch: Batch) -> None:
    """An error; `$exception_list` begins with the exception that was caught, causes follow."""
    chain = properties.get("$exception_list")
    error = chain[0] if type(chain) is list and chain and type(chain[0]) is dict else None
    if error is None:
        error = {"type": properties.get("$exception_type"), "value": properties.get("$exception_message")}
    fingerprint = properties.get("$exception_fingerprint")
    message = properties.get("$exception_message")
    found, flags = fault(error, message if type(message) is str else "", fingerprint)
    props, more = _props(properties)
    level, _ = text(properties.get("$exception_level"), 20)
    props = {**props, **found, "level": level or "error"}
    _add(batch, raw, properties, "error", "errors", props, flags | more, 1, 1)


def _survey(raw: dict[str, Any], properties: dict[str, Any], batch: Batch) -> bool:
    """A survey answered in words is feedback; False when there are none."""
    words = [
        value
        for key, value in properties.items()
        if key.startswith("$survey_response") and type(value) is str
        if value.strip() and not value.isdecimal()
    ]
    if not words:
        return False
    shown, flags = scrub_text("\n".join(dict.fromkeys(words[:10])))
    props, more = _props(properties)
    _add(batch, raw, properties, "feedback", "feedback", {**props, "text": shown}, flags | more)
    return True
