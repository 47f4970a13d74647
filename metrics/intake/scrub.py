"""Take secrets out of what clients send, before anything is stored.

Two rules: what a key is called (`password`, `Authorization`, ...) and what a text looks like (bearer
credentials, JWTs, card numbers, service tokens, passwords in URLs). E-mail addresses stay: support needs
them to answer. The caps on size make the work per event bounded whatever arrives.
"""

from __future__ import annotations

import binascii
import math
import re
from base64 import b64decode
from collections.abc import Collection
from functools import lru_cache
from typing import Any

from .event import SCRUBBED, TRUNCATED

MARK = "[scrubbed]"
#: Caps on one value: keys per object, items per list, levels, characters per text and per key.
KEYS, ITEMS, DEPTH, TEXT, KEY = 200, 50, 8, 4096, 100
#: Text looked at beyond the cap, so that a secret lying across the cut is still recognised.
_WINDOW = 2048

# Verdicts on a key.
_FINE, _STRING, _ALWAYS, _GONE = 0, 1, 2, 3

#: Dropped whole: process environments (`sentry-cli send-event`) and local variables of frames.
_GONE_KEYS = {"environ", "env_vars", "vars", "code_variables"}
_STRONG = re.compile(
    r"passw(?:or)?d|passphrase|pwd|secret(?!ar)|apikey|authori[sz]ation|cookie|csrf|xsrf|privatekey|accesskey"
    r"|credential|creditcard|cardnumber|cardno|securitycode|sessionsecret"
)
_STRONG_WORDS = {"cvv", "cvv2", "cvc", "ssn", "otp", "iban"}
#: May as well count something (`tokens_used`, `credit`), so numbers and booleans under these stay.
_WEAK = re.compile(r"token")
_WEAK_WORDS = {"auth", "credit", "card", "jwt", "bearer", "sid", "signature", "pin"}
_HEADER_KEYS = {"headers", "header", "request_headers", "response_headers", "http_headers"}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SURROGATE = re.compile("[\ud800-\udfff]")

_NAMES = (
    r"passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization|cookie"
    r"|csrf|xsrf|credential|cvv|ssn|session_?id|sessid|signature|\bsig|\bauth|\bcode"
)
_ASSIGNED = re.compile(
    rf"(?P<name>{_NAMES})(?P<rest>[\w-]{{0,24}}(?P<quote>\\?[\"'])?\s{{0,3}}(?P<sign>=|:|%3[dD])\s{{0,3}}(?:\\?[\"'])?)"
    r"(?P<value>(?<=[\"'])[^\"'\\]+|[^\s\"'&;,<>{}()\\]+)",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"://[^/\s@?#\"'<>]{1,256}@")
_SCHEME = re.compile(r"\b(bearer|basic|token)\s+([A-Za-z0-9._~+/=-]{6,})", re.IGNORECASE)
_COOKIE = re.compile(r"\b((?:set-)?cookie[\"']?\s{0,3}:\s{0,3}[\"']?)[^\n\"']+", re.IGNORECASE)
_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?")
_TOKENS = re.compile(
    r"(?<![A-Za-z0-9])(?:[srp]k_(?:live|test)_\w{6,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_\w{20,}|github_pat_\w{20,}"
    r"|glpat-[\w-]{16,}|xox[abeposr]-[\w-]{10,}|A[KS]IA[0-9A-Z]{16}|AIza[\w-]{30,}|sntr[yu]s?_[\w+/=-]{16,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}|whsec_[\w+/=-]{16,}|npm_\w{30,}|pypi-[\w-]{30,}|ph[xs]_\w{20,}|shp(?:at|ss)_\w{20,})"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|$)",
    re.DOTALL,
)
_RUN = re.compile(r"[0-9][0-9 -]{12}")
_DIGITS = re.compile(r"(?<![\d.])\d{4}(?:[ -]?\d){9,15}(?![\d])")
#: Issuer prefixes with their lengths; without them one in ten long ids would pass the Luhn check.
_CARD = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|3[47]\d{13}|6(?:011|4[4-9]\d|5\d\d)\d{12}"
    r"|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}|62\d{14,17}"
)


def scrub(value: Any, keys: int = KEYS) -> tuple[Any, int]:
    """(the value without secrets and within the caps, the flags SCRUBBED and TRUNCATED as they apply).

    The flags are 0 when nothing changed, so they also answer "changed?". `keys` caps the outermost object.
    NUL, lone surrogates and numbers JSON cannot hold are taken out without a flag.
    """
    if type(value) is dict:
        return _object(value, 0, keys, False)
    return _any(value, 0, False)


def scrub_text(value: str, limit: int = TEXT) -> tuple[str, int]:
    """(the text without secrets, at most `limit` characters; flags as in `scrub`)."""
    flags = 0
    if len(value) > limit:
        value, flags = value[: limit + _WINDOW], TRUNCATED
    if not value.isprintable():
        value = _SURROGATE.sub("\ufffd", value.replace("\0", ""))
    if suspicious(value):
        found = _replace(value)
        if found != value:
            value, flags = found, flags | SCRUBBED
    return value[:limit], flags


def are_clean(texts: Collection[str]) -> bool:
    """Whether `scrub_text` would leave them all as they are; asked together, that costs a fraction."""
    joined = " ".join(texts)
    if joined.isprintable() and max(map(len, texts)) <= TEXT and not suspicious(joined):
        return True
    return all(scrub_text(text) == (text, 0) for text in texts)


def is_fine_key(key: str) -> bool:
    """Whether what stands under this key of an event's properties is judged by its looks alone."""
    return len(key) <= KEY and _verdict(key, False) == (key, _FINE)


#: Short texts that are fine, because the same addresses and names come again and again: how many, and how long.
_FINE_TEXTS, _FINE_LENGTH = 5_000, 200
_fine: set[str] = set()


def suspicious(value: str) -> bool:
    """Whether a text may hold a secret: false alarms are fine, misses are not. Kept cheap on purpose."""
    if value in _fine:
        return False
    if _may_hold(value.lower()):
        return True
    if len(value) <= _FINE_LENGTH:
        if len(_fine) >= _FINE_TEXTS:
            _fine.clear()
        _fine.add(value)
    return False


def _may_hold(low: str) -> bool:
    if ("=" in low or ":" in low or "%3d" in low) and (_has_name(low) or ("@" in low and "://" in low)):
        return True
    if ("_" in low and _has_underscored(low)) or ("-" in low and _has_dashed(low)):
        return True
    if "eyj" in low or "bearer" in low or "basic" in low or "token " in low:
        return True
    if "akia" in low or "asia" in low or "aiza" in low or "sg." in low:
        return True
    return len(low) > 12 and _RUN.search(low) is not None and _DIGITS.search(low) is not None


# Chains of `in` take a fifth of the time of a regex with the same alternatives.
def _has_underscored(low: str) -> bool:
    return (
        "_live_" in low
        or "_test_" in low
        or "ghp_" in low
        or "gho_" in low
        or "ghs_" in low
        or "ghu_" in low
        or "ghr_" in low
        or "_pat_" in low
        or "npm_" in low
        or "phx_" in low
        or "phs_" in low
        or "sec_" in low
        or "shpat_" in low
        or "shpss_" in low
        or "sntr" in low
    )


def _has_dashed(low: str) -> bool:
    return "sk-" in low or "glpat-" in low or "xox" in low or "pypi-" in low or "-----b" in low


def _has_name(low: str) -> bool:
    return (
        "pass" in low
        or "token" in low
        or "key" in low
        or "secret" in low
        or "auth" in low
        or "cookie" in low
        or "pwd" in low
        or "srf" in low
        or "cred" in low
        or "cvv" in low
        or "ssn" in low
        or "sess" in low
        or "sig" in low
        or "code" in low
    )


def _replace(value: str) -> str:
    value = _TOKENS.sub(MARK, value)
    value = _JWT.sub(MARK, value)
    value = _SCHEME.sub(_scheme, value)
    value = _USERINFO.sub(f"://{MARK}@", value)
    value = _COOKIE.sub(rf"\1{MARK}", value)
    value = _ASSIGNED.sub(_assigned, value)
    return _DIGITS.sub(_card, value)


def _scheme(match: re.Match[str]) -> str:
    scheme, credential = match.groups()
    if scheme.lower() == "basic":
        try:
            secret = b":" in b64decode(credential + "=" * (-len(credential) % 4), validate=True)
        except (binascii.Error, ValueError):
            secret = False
    else:
        # "Bearer authentication is required" is a sentence, not a credential.
        secret = len(credential) >= 24 or any(letter.isdigit() for letter in credential)
    return f"{scheme} {MARK}" if secret else match.group()


def _assigned(match: re.Match[str]) -> str:
    """Replace the value of `name=value`; after a bare colon only what does not read like prose."""
    name, value = match["name"].lower(), match["value"]
    if value == MARK or value.lower() in ("null", "none", "true", "false", "undefined", "bearer", "basic"):
        return match.group()
    if name == "code" and (match["sign"] == ":" or (value.isdecimal() and len(value) < 6)):
        return match.group()
    loud = name.startswith(("pass", "pwd", "authorization"))
    prose = match["sign"] == ":" and not match["quote"] and not loud
    if prose and len(value) < 20 and not (len(value) > 5 and any(letter.isdigit() for letter in value)):
        return match.group()
    return f"{match['name']}{match['rest']}{MARK}"


def _card(match: re.Match[str]) -> str:
    return MARK if _is_card(match.group().replace(" ", "").replace("-", "")) else match.group()


def _is_card(digits: str) -> bool:
    """Whether the digits are a card number: a known issuer and length, and the Luhn check (ISO/IEC 7812)."""
    if not digits.isascii() or not _CARD.fullmatch(digits):
        return False
    total = sum(map(int, digits[-1::-2]))
    for digit in map(int, digits[-2::-2]):
        total += 2 * digit - 9 * (digit > 4)
    return total % 10 == 0


@lru_cache(maxsize=4096)
def _verdict(key: str, header: bool) -> tuple[str, int]:
    """(the key cleaned, what to do with its value). Cached, because clients send the same keys for ever."""
    clean = _SURROGATE.sub("\ufffd", key.replace("\0", ""))
    words = {word.lower() for word in _WORDS.findall(clean)}
    low = clean.lower()
    flat = re.sub(r"[^a-z0-9]", "", low)
    if low in _GONE_KEYS:
        return clean, _GONE
    if _STRONG.search(flat) or words & _STRONG_WORDS:
        return clean, _ALWAYS
    if header and ("session" in flat or "token" in flat or "auth" in flat or "forwardedfor" in flat):
        return clean, _ALWAYS
    if _WEAK.search(flat) or words & _WEAK_WORDS:
        return clean, _STRING
    return clean, _FINE


def _object(value: dict[Any, Any], depth: int, keys: int, header: bool) -> tuple[dict[str, Any], int]:
    out: dict[str, Any] = {}
    flags = 0
    texts: list[str] = []
    for raw, item in value.items():
        if len(out) >= keys:
            flags |= TRUNCATED
            break
        if len(raw) > KEY:
            raw, flags = raw[:KEY], flags | TRUNCATED
        key, verdict = _verdict(raw, header)
        kind = type(item)
        if verdict:
            if verdict == _GONE:
                flags |= SCRUBBED
                continue
            if item is not None and kind is not bool and _hides(item, verdict):
                out[key] = MARK
                flags |= SCRUBBED
                continue
        if kind is str:
            out[key] = item
            texts.append(item)
        elif kind is bool or item is None:
            out[key] = item
        else:
            out[key], more = _any(item, depth + 1, key.lower() in _HEADER_KEYS)
            flags |= more
    return _texts(out, texts, flags)


def _texts(out: dict[str, Any], texts: list[str], flags: int) -> tuple[dict[str, Any], int]:
    """Look at all texts of an object at once; almost always there is nothing in them to take out."""
    if not texts:
        return out, flags
    joined = " ".join(texts) if len(texts) > 1 else texts[0]
    named = "value" in out and ("name" in out or "key" in out)
    if not named and len(joined) <= TEXT and joined.isprintable() and not suspicious(joined):
        return out, flags
    for key, item in out.items():
        if type(item) is str and item != MARK:
            out[key], more = scrub_text(item)
            flags |= more
    if named:
        name = out.get("name", out.get("key"))
        if type(name) is str and out["value"] != MARK and _hides_pair(name, out["value"]):
            out["value"], flags = MARK, flags | SCRUBBED
    return out, flags


def _hides(item: Any, verdict: int) -> bool:
    """Whether a value under a secret's key goes: under a weak key only texts and card numbers do."""
    if verdict == _ALWAYS:
        return item not in ("", [], {})
    return type(item) is str and item != ""


def _hides_pair(name: str, item: Any) -> bool:
    verdict = _verdict(name[:KEY], True)[1]
    return verdict != _FINE and item is not None and type(item) is not bool and _hides(item, verdict)


def _any(value: Any, depth: int, header: bool) -> tuple[Any, int]:
    kind = type(value)
    if kind is str:
        return scrub_text(value)
    if kind is int:
        if value > 999_999_999_999 and _is_card(str(value)):
            return MARK, SCRUBBED
        return value, 0
    if kind is float:
        return (value if math.isfinite(value) else None), 0
    if value is None or kind is bool:
        return value, 0
    if depth >= DEPTH:
        return None, TRUNCATED
    if kind is dict:
        return _object(value, depth, KEYS, header)
    if kind is list:
        return _list(value, depth, header)
    return None, 0


def _list(value: list[Any], depth: int, header: bool) -> tuple[list[Any], int]:
    """A list within the caps; a `[name, value]` pair, as headers are sent, is judged by its name."""
    pair = len(value) == 2 and type(value[0]) is str and type(value[1]) is str
    if pair and _hides_pair(value[0], value[1]):
        return [scrub_text(value[0])[0], MARK], SCRUBBED
    out: list[Any] = []
    flags = TRUNCATED if len(value) > ITEMS else 0
    for item in value[:ITEMS]:
        clean, more = _any(item, depth + 1, header)
        out.append(clean)
        flags |= more
    return out, flags
