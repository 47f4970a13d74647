"""Secrets we hand out: `po_<kind>_<id>_<secret><checksum>`.

The prefix lets scanners find a leaked token, the CRC32 refuses a typo without asking the database, and
only the SHA-256 of the secret is kept (it has 256 bits, so a slow hash would add nothing).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SHAPE = re.compile(r"po_([a-z]{3})_([0-9A-Za-z]{12})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})", re.ASCII)


@dataclass(frozen=True)
class Token:
    kind: str
    id: str
    secret: str

    @property
    def text(self) -> str:
        body = f"po_{self.kind}_{self.id}_{self.secret}"
        return body + _checksum(body)

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.secret.encode()).digest()

    def matches(self, digest: bytes | memoryview) -> bool:
        return hmac.compare_digest(self.digest, bytes(digest))


def issue(kind: str) -> Token:
    return Token(kind, _random(12), _random(43))


def derive(kind: str, id_: str, key: str) -> Token:
    """The token of this id that only the holder of `key` can make again."""
    number = int.from_bytes(hmac.new(key.encode(), f"{kind}:{id_}".encode(), hashlib.sha512).digest(), "big")
    digits = []
    for _ in range(43):
        number, rest = divmod(number, 62)
        digits.append(_ALPHABET[rest])
    return Token(kind, id_, "".join(digits))


def parse(text: str) -> Token | None:
    """The token in `text`, or None when it cannot be one of ours."""
    found = _SHAPE.fullmatch(text) if len(text) < 200 else None
    if found is None or _checksum(text[:-6]) != found[4]:
        return None
    return Token(found[1], found[2], found[3])


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, rest = divmod(number, 62)
        digits = _ALPHABET[rest] + digits
    return digits
