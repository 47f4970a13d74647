"""From bytes and untyped values of strangers to values that are safe to store."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from os import urandom
from typing import Any

import orjson

from .clock import timestamp
from .event import LIMITS, TRUNCATED, Event, Refused

__all__ = ["build", "event_id", "json_loads", "number", "text", "timestamp"]

#: Used when a client names none.
ENVIRONMENT = "production"
#: JSON values in one body; empty arrays cost 28 times their own size in memory.
VALUES_LIMIT = 1_000_000
#: Largest number that is taken: thirty years in milliseconds.
LARGEST = 1e12
#: Bytes of a body in which half characters are still mended.
MENDED = 2**20

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?|u[dD][c-fC-F][0-9a-fA-F]{2}|[^u])"
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}")
_NIL = "0" * 32
_FIELDS = (
    LIMITS["name"],
    LIMITS["release"],
    LIMITS["environment"],
    LIMITS["user"],
    LIMITS["customer"],
    LIMITS["session"],
    LIMITS["feature"],
    LIMITS["platform"],
    LIMITS["plan"],
)
_SHORTEST = min(_FIELDS)


def text(value: Any, limit: int) -> tuple[str, bool]:
    """(clean text of at most `limit` characters, whether it was cut).

    Numbers become text; None, booleans, lists and objects become "". NUL is removed, a lone surrogate
    becomes U+FFFD, because PostgreSQL stores neither.
    """
    if type(value) is not str:
        if type(value) is int or type(value) is float:
            value = str(value)
        else:
            return "", False
    # Printable text holds neither NUL nor surrogates, and asking is cheaper than searching for them.
    if len(value) <= limit and value.isprintable():
        return value, False
    # Removing NULs shortens; the slack keeps a hostile run of them from hiding real text cheaply.
    cut = len(value) > limit
    value = value[: 2 * limit].replace("\0", "")
    return _SURROGATE.sub("\ufffd", value)[:limit], cut


def number(value: Any) -> float | None:
    """A number from 0 to LARGEST, or None: sums of what is larger would not be finite for long."""
    if type(value) is float or type(value) is int:
        return float(value) if 0 <= value <= LARGEST else None
    return None


def json_loads(body: bytes) -> Any:
    """The value of a UTF-8 JSON body, with or without a byte order mark.

    Lone surrogates, which `JSON.stringify` sends for text cut in the middle of an emoji, become U+FFFD; in bodies
    above MENDED bytes they are broken JSON, because finding them costs too much.
    Raises Refused 400 `bad_json` with line, column and byte position; 413 `too_large` above VALUES_LIMIT.
    """
    if body[:3] == b"\xef\xbb\xbf":
        body = body[3:]
    if len(body) > VALUES_LIMIT and body.count(b",") + body.count(b"[") + body.count(b"{") > VALUES_LIMIT:
        raise Refused(413, "too_large", f"The body holds more than {VALUES_LIMIT} JSON values.")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "surrogate" not in error.msg or b"\\u" not in body or len(body) > MENDED:
            raise _bad_json(body, error) from None
    body = _ESCAPE.sub(_mend, body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _bad_json(body, error) from None


def _mend(match: re.Match[bytes]) -> bytes:
    found = match.group()
    return found if found[1:2] != b"u" or len(found) == 12 else rb"\ufffd"


def _bad_json(body: bytes, error: orjson.JSONDecodeError) -> Refused:
    if body[:2] in (b"\xff\xfe", b"\xfe\xff") or body[1:2] == b"\0":
        return Refused(400, "bad_json", "The body is UTF-16; JSON must be sent as UTF-8.")
    try:
        body.decode()
    except UnicodeDecodeError as wrong:
        before = body[: wrong.start]
        line, column = before.count(b"\n") + 1, wrong.start - before.rfind(b"\n")
        what = "this is not UTF-8"
        at = wrong.start
    else:
        line, column, what = error.lineno, error.colno, error.msg
        at = len(error.doc[: error.pos].encode()) if error.doc else 0
    return Refused(400, "bad_json", f"Broken JSON at line {line}, column {column} (byte {at}): {what}.")


def stable_id(*parts: Any) -> str:
    """32 hex digits that are the same for the same parts; the separator keeps ("a","b") off ("ab",)."""
    joined = "\0".join(map(str, parts))
    return blake2b(joined.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def event_id(product: str, raw: Any, fallback_parts: tuple[Any, ...] = ()) -> str:
    """The id to store for what a client calls its event: 32 hex digits, never anything else.

    A UUID stays itself, so a later lookup by the client's id works. Any other text or number is hashed
    together with the product, so it can neither name a path nor meet another product's id. Without an id
    the fallback parts are hashed; without those the id is random.
    """
    if type(raw) is str and raw:
        if len(raw) <= 36 and _UUID.fullmatch(raw):
            plain = raw.replace("-", "").lower()
            if plain != _NIL:
                return plain
        else:
            return stable_id(product, raw)
    elif type(raw) is int:
        return stable_id(product, raw)
    return stable_id(product, *fallback_parts) if fallback_parts else urandom(16).hex()


def hyphened_ids(told: Sequence[Any]) -> list[str] | None:
    """The same for many at once, when all are UUIDs as they are mostly written; else None."""
    try:
        joined, dashes = "".join(told), "-" * len(told)
        if set(map(len, told)) != {36} or any(joined[place::36] != dashes for place in (8, 13, 18, 23)):
            return None
        plain = bytes.fromhex(joined.replace("-", "")).hex()
    except (TypeError, ValueError):
        return None
    # It leaves out spaces.
    ids = [plain[place : place + 32] for place in range(0, 32 * len(told), 32)] if len(plain) == 32 * len(told) else []
    return ids if ids and _NIL not in ids else None


def build(
    id: str,
    kind: str,
    name: Any,
    at: float,
    release: Any = "",
    environment: Any = "",
    user: Any = "",
    customer: Any = "",
    session: Any = "",
    feature: Any = "",
    platform: Any = "",
    plan: Any = "",
    country: Any = "",
    n: int = 1,
    bad: int = 0,
    value: float | None = None,
    flags: int = 0,
    props: dict[str, Any] | None = None,
) -> Event:
    """An Event whose texts are cleaned and cut; a country that is not two letters is left out."""
    environment = environment or ENVIRONMENT
    texts: list[Any] = [name, release, environment, user, customer, session, feature, platform, plan]
    for index, raw in () if _are_plain(texts) else enumerate(texts):
        if type(raw) is str and len(raw) <= _FIELDS[index] and raw.isprintable():
            continue
        texts[index], cut = text(raw, _FIELDS[index])
        if cut:
            flags |= TRUNCATED
    country = country_of(country) if country else ""
    name, release, environment, user, customer, session, feature, platform, plan = texts
    return Event(
        id, kind, name, at, release, environment or ENVIRONMENT, user, customer, session, feature, platform,
        plan, country, n, bad, value, flags, {} if props is None else props,
    )  # fmt: skip


def _are_plain(texts: list[Any]) -> bool:
    """All are texts that are clean and short enough for any field: asked together, that costs half."""
    try:
        return "".join(texts).isprintable() and max(map(len, texts)) <= _SHORTEST
    except TypeError:
        return False


def country_of(value: Any) -> str:
    """Two letters, or nothing."""
    is_one = type(value) is str and len(value) == 2 and value.isascii() and value.isalpha()
    return value.upper() if is_one else ""
