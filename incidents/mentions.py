"""People named in a text with @: by e-mail or by the name they go by. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from productops.lib.text import fold

#: People told by one text.
MOST = 50
#: Signs that are looked at; a text of nothing else is nobody's mention.
LOOKED = 500
_AFTER = re.compile(r"[\w@]")
_BEFORE = re.compile(r"[\w.]$")
_UNTOUCHED = re.compile(r"(<(?:code|pre|a)\b.*?</(?:code|pre|a)>|<[^>]*>)", re.DOTALL)


def find(text: str, people: Mapping[int, tuple[str, str]]) -> list[tuple[int, int, int]]:
    """(start, end, person) of each @name or @e-mail; the longest name that fits wins. A name that two people go by
    names both. `people`: person -> (name, e-mail)."""
    called: dict[str, set[int]] = {}
    for person, names in people.items():
        for name in filter(None, names):
            called.setdefault(_plain(name), set()).add(person)
    longest = sorted(called, key=len, reverse=True)
    plain, found = _plain(text), list[tuple[int, int, int]]()
    at, looked = plain.find("@"), 0
    while at >= 0 and len(found) < MOST and looked < LOOKED:
        looked += 1
        here = next((name for name in longest if _is_here(plain, at, name)), "")
        if here:
            found += [(at, at + 1 + len(here), person) for person in sorted(called[here])]
            at += len(here)
        at = plain.find("@", at + 1)
    return found


def _is_here(plain: str, at: int, name: str) -> bool:
    if not plain.startswith(name, at + 1) or _BEFORE.search(plain[:at][-1:]):
        return False
    after = plain[at + 1 + len(name) :][:1]
    return not _AFTER.match(after)


def _plain(text: str) -> str:
    """Without case and accents, each character where it stood."""
    return "".join(fold(one)[:1] or one for one in text) if not text.isascii() else text.lower()


def mark(html: str, people: Mapping[int, tuple[str, str]]) -> str:
    """Cleaned HTML with its mentions set off; what stands in code and links stays as it is."""
    known = {person: (escape(name), escape(email)) for person, (name, email) in people.items()}
    return "".join(
        part if part.startswith("<") else _mark(part, known) for part in _UNTOUCHED.split(html) if part
    )


def _mark(text: str, people: Mapping[int, tuple[str, str]]) -> str:
    told, last = [], 0
    for start, end, _person in find(text, people):
        if start < last:
            continue
        told += [text[last:start], f'<b class="mention">{text[start:end]}</b>']
        last = end
    return "".join([*told, text[last:]])
