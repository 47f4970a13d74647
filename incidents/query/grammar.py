"""Reads a query into terms with their places. Pure; the cost is linear in the length of the text.

    term  := ["!"] (key ":" value | word | quoted)
    value := [op] (word | quoted | "[" value ("," value)* "]")
    op    := ">" | ">=" | "<" | "<="
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.utils.translation import gettext as _

#: A query is one line that a person reads.
MOST_CHARS, MOST_TERMS, MOST_VALUES = 1_000, 40, 50

_KEY = re.compile(r"([A-Za-z_]{1,30}):")
_OP = re.compile(r">=|<=|>|<")
_WORD = re.compile(r"\S+")
_LISTED = re.compile(r"[^,\]\"]+")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Unreadable(ValueError):
    """`text[start:end]` is what cannot be read; `reason` says why, in the reader's language."""

    def __init__(self, reason: str, start: int, end: int) -> None:
        super().__init__(reason)
        self.reason, self.start, self.end = reason, start, end


@dataclass(frozen=True)
class Term:
    """`key` is "" for words without one; `op` is "" where nothing is compared."""

    key: str
    values: tuple[str, ...]
    op: str = ""
    is_not: bool = False
    start: int = 0
    end: int = 0

    def fail(self, reason: str) -> Unreadable:
        return Unreadable(reason, self.start, self.end)


def parse(text: str) -> list[Term]:
    """The terms of a query, in order; raises Unreadable."""
    if len(text) > MOST_CHARS:
        raise Unreadable(_("A query may have %(n)s characters.") % {"n": MOST_CHARS}, MOST_CHARS, len(text))
    if unseen := _UNSEEN.search(text):
        raise Unreadable(_("This character cannot be searched for."), unseen.start(), unseen.end())
    terms: list[Term] = []
    at = _skip(text, 0)
    while at < len(text):
        term = _term(text, at)
        if len(terms) == MOST_TERMS:
            raise Unreadable(_("A query may have %(n)s terms.") % {"n": MOST_TERMS}, at, len(text))
        terms.append(term)
        at = _skip(text, term.end)
    return terms


def without(text: str, term: Term) -> str:
    """The query with one term taken out."""
    return " ".join(f"{text[: term.start]} {text[term.end :]}".split(" ")).strip() if term else text


def quoted(value: str) -> str:
    """A value as it has to be written."""
    value = value.replace('"', "")
    return f'"{value}"' if not value or re.search(r"[\s,\[\]]", value) else value


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _term(text: str, start: int) -> Term:
    is_not = text[start] == "!"
    at = start + is_not
    key = _KEY.match(text, at)
    if key is None:
        value, end = _value(text, at, start)
        return Term("", (value,), "", is_not, start, end)
    at = key.end()
    op = _OP.match(text, at)
    if op:
        at = op.end()
    if at < len(text) and text[at] == "[":
        if op:
            raise Unreadable(_("A list cannot be compared."), start, at + 1)
        values, end = _list(text, at)
    else:
        value, end = _value(text, at, start)
        values = (value,)
    return Term(key[1].lower(), values, op[0] if op else "", is_not, start, end)


def _value(text: str, at: int, start: int) -> tuple[str, int]:
    if at < len(text) and text[at] == '"':
        end = text.find('"', at + 1)
        if end < 0:
            raise Unreadable(_("The closing quote is missing."), at, len(text))
        if not text[at + 1 : end].strip():
            raise Unreadable(_("There is nothing between the quotes."), at, end + 1)
        return text[at + 1 : end].strip(), end + 1
    word = _WORD.match(text, at)
    if word is None:
        raise Unreadable(_("Say what to look for."), start, max(at, start + 1))
    return word[0], word.end()


def _list(text: str, opening: int) -> tuple[tuple[str, ...], int]:
    values: list[str] = []
    at = _skip(text, opening + 1)
    while at < len(text) and text[at] != "]":
        if text[at] == '"':
            value, at = _value(text, at, opening)
        else:
            word = _LISTED.match(text, at)
            value, at = (word[0].strip(), word.end()) if word else ("", at)
        if value:
            values.append(value)
        at = _skip(text, at)
        if at < len(text) and text[at] == ",":
            at = _skip(text, at + 1)
        elif at < len(text) and text[at] != "]":
            raise Unreadable(_("Put commas between the values."), opening, at)
    if at >= len(text):
        raise Unreadable(_("The closing bracket is missing."), opening, len(text))
    if not values:
        raise Unreadable(_("The list is empty."), opening, at + 1)
    if len(values) > MOST_VALUES:
        raise Unreadable(_("A list may have %(n)s values.") % {"n": MOST_VALUES}, opening, at + 1)
    return tuple(values), at + 1
