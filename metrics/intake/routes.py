"""Which protocol answers at which address, and how each says yes and no."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.conf import settings

from metrics.intake import otlp, otlp_facts, otlp_metrics, own, posthog, segment, sentry
from metrics.intake.event import HISTORY_LIMIT, PAST_LIMIT, Parsed, Refused

_SENTRY = re.compile(r"/api/(\d{1,15})/(envelope|store)/?")
_POSTHOG = frozenset({"/batch", "/e", "/capture", "/i/v0/e", "/track", "/engage"})
_POSTHOG_V1 = "/i/v1/analytics/events"
_FLAGS = frozenset({"/flags", "/decide"})
_CONFIG = re.compile(r"/array/([\w-]{1,200})/config")
_SEGMENT = {f"/v1/{name}": kind for name, kind in segment.TYPES.items()}
_OTLP = {"/v1/traces": otlp_facts.spans, "/v1/logs": otlp_facts.logs, "/v1/metrics": otlp_metrics.metrics}
_SETTINGS = re.compile(r"(?:/cdn)?/v1/projects/([\w-]{1,200})/settings")
_OWN = "/api/v1/events"


@dataclass
class Call:
    """One HTTP request at the door. Header names are lower case; `body` has its encodings undone."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    client: str
    now: float
    body: bytes = b""
    key: str = ""  # once it was found


@dataclass
class Answer:
    status: int
    body: dict[str, Any] | bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class Opened(NamedTuple):
    """A request whose key was found. `parse`: the events, once the key's product is known. `held`: what it holds
    without parsing it (how many events, all by kind), where that can be told."""

    key: str
    parse: Callable[[str], Parsed]
    held: Callable[[], tuple[int, Counter[str]] | None] = lambda: None


@dataclass(frozen=True)
class Protocol:
    name: str
    open: Callable[[Call], Opened]
    refuse: Callable[[Refused], Answer]
    product: Callable[[Call], str] = lambda call: ""
    methods: frozenset[str] = frozenset({"POST"})
    is_kept: bool = True  # False where clients only ask something
    accept: Callable[[Call, Parsed], Answer] = lambda call, parsed: Answer(200, parsed.reply)


def match(path: str) -> Protocol | None:
    """The protocol that answers at `path`, or None when the path is not the door's."""
    if path.startswith("/api/"):
        if path.rstrip("/") == _OWN:
            return OWN
        return SENTRY if _SENTRY.fullmatch(path) else None
    bare = path.rstrip("/")
    if bare in _POSTHOG:
        return POSTHOG
    if bare == _POSTHOG_V1:
        return POSTHOG_V1
    if bare in _SEGMENT:
        return SEGMENT
    if bare in _OTLP:
        return OTLP
    if bare in _FLAGS:
        return FLAGS
    if _CONFIG.fullmatch(bare):
        return CONFIG
    return SETTINGS if _SETTINGS.fullmatch(bare) else None


def key_of_headers(headers: Mapping[str, str]) -> str:
    """The key of a request whose body could not be read, where a header carries it; "" else."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return segment.key_of({}, {}, headers)
        except Refused:
            return ""
    return (given.strip() if scheme.lower() == "bearer" else headers.get("x-ingest-key", ""))[:200]


def _open_sentry(call: Call) -> Opened:
    first_line = call.body[:4096].split(b"\n", 1)[0]
    key = sentry.key_of(call.headers, call.query, first_line) or ""
    parse = sentry.parse_store if "/store" in call.path else sentry.parse_envelope
    return Opened(key, lambda product: parse(call.body, product, call.now))


def _sentry_product(call: Call) -> str:
    found = _SENTRY.fullmatch(call.path)
    return found[1] if found else ""


def _refuse_sentry(refused: Refused) -> Answer:
    status = 403 if refused.reason in {"no_key", "unknown_key"} else refused.status
    body = {"detail": str(refused), "causes": [refused.reason]}
    headers = {"X-Sentry-Error": refused.reason}
    if refused.status == 429:  # https://develop.sentry.dev/sdk/expected-features/rate-limiting/
        headers["X-Sentry-Rate-Limits"] = f"{refused.wait}::project:{refused.reason}"
    return Answer(status, body, headers)


def _open_posthog(call: Call) -> Opened:
    payload = posthog.load(call.body, call.headers.get("content-type", ""), call.query)
    key = posthog.key_of(payload, call.query, call.headers) or ""
    return Opened(key, lambda product: posthog.to_events(payload, product, call.now), lambda: posthog.held(payload))


def _open_posthog_v1(call: Call) -> Opened:
    opened = _open_posthog(call)

    def answered(product: str) -> Parsed:
        parsed = opened.parse(product)
        parsed.reply = {"results": {}}  # none of them is to be sent again
        return parsed

    return opened._replace(parse=answered)


def _open_config(call: Call) -> Opened:
    found = _CONFIG.fullmatch(call.path.rstrip("/"))
    key = found[1] if found else ""
    return Opened(key, lambda product: Parsed([], reply=posthog.config_reply(key)))


def _open_segment(call: Call) -> Opened:
    payload = segment.load(call.body)
    kind, size = _SEGMENT[call.path.rstrip("/")], len(call.body)
    key = segment.key_of(payload, call.query, call.headers)
    return Opened(key, lambda product: segment.parse(payload, kind, size, product, call.now))


def _open_settings(call: Call) -> Opened:
    found = _SETTINGS.fullmatch(call.path.rstrip("/"))
    key = found[1] if found else ""
    scheme, _sign, host = settings.BASE_URL.partition("://")
    host = call.headers.get("host") or host  # where this page reached us, whatever we are called elsewhere
    return Opened(key, lambda product: Parsed([], reply=segment.settings_reply(key, host, scheme)))


def _refuse_segment(refused: Refused) -> Answer:
    return Answer(refused.status, {"success": False, "code": refused.reason, "message": str(refused)})


def _open_otlp(call: Call) -> Opened:
    path, kind = call.path.rstrip("/"), call.headers.get("content-type", "")

    def parse(product: str) -> Parsed:
        return _OTLP[path](otlp.load(call.body, kind, path.rpartition("/")[2]), product, call.now)

    return Opened(otlp.key_of(call.headers), parse)


def _accept_otlp(call: Call, parsed: Parsed) -> Answer:
    """An empty message says that everything was taken, in either encoding."""
    if otlp.is_protobuf(call.headers.get("content-type", "")):
        return Answer(200, b"", content_type=otlp.PROTOBUF)
    return Answer(200, {"partialSuccess": {}})


def _refuse_otlp(refused: Refused) -> Answer:
    return Answer(refused.status, {"code": 16 if refused.status == 401 else 3, "message": str(refused)})


def _open_flags(call: Call) -> Opened:
    return Opened(_open_posthog(call).key, lambda product: Parsed([], reply=posthog.flags_reply()))


def _refuse_posthog(refused: Refused) -> Answer:
    kind = "authentication_error" if refused.status == 401 else "validation_error"
    code = "invalid_api_key" if refused.status == 401 else refused.reason
    return Answer(refused.status, {"type": kind, "code": code, "detail": str(refused), "attr": None})


def _open_own(call: Call) -> Opened:
    scheme, _, given = call.headers.get("authorization", "").partition(" ")
    key = given.strip() if scheme.lower() == "bearer" else call.headers.get("x-ingest-key", "")
    content_type = call.headers.get("content-type", "")
    past = HISTORY_LIMIT if call.query.get("history") == "1" else PAST_LIMIT
    return Opened(key, lambda product: own.parse(call.body, content_type, product, call.now, past))


def _refuse_own(refused: Refused) -> Answer:
    body = {
        "type": "about:blank",
        "title": refused.reason.replace("_", " ").capitalize(),
        "status": refused.status,
        "detail": str(refused),
        "reason": refused.reason,
    }
    headers = {"WWW-Authenticate": 'Bearer realm="Productops"'} if refused.status == 401 else {}
    return Answer(refused.status, body, headers, "application/problem+json")


SENTRY = Protocol("sentry", _open_sentry, _refuse_sentry, _sentry_product)
POSTHOG = Protocol("posthog", _open_posthog, _refuse_posthog, methods=frozenset({"GET", "POST"}))
POSTHOG_V1 = Protocol("posthog", _open_posthog_v1, _refuse_posthog)
FLAGS = Protocol("flags", _open_flags, _refuse_posthog, is_kept=False)
CONFIG = Protocol("flags", _open_config, _refuse_posthog, methods=frozenset({"GET"}), is_kept=False)
SEGMENT = Protocol("segment", _open_segment, _refuse_segment)
OTLP = Protocol("otlp", _open_otlp, _refuse_otlp, accept=_accept_otlp)
SETTINGS = Protocol("segment", _open_settings, _refuse_segment, methods=frozenset({"GET"}), is_kept=False)
OWN = Protocol("productops", _open_own, _refuse_own, lambda call: call.query.get("product", ""))
