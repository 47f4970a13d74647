"""Text as people type it, in any accent and case: folding and character 3-grams."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"\w+")


def fold(text: str) -> str:
    """Lower case without accents: "Panadería São" -> "panaderia sao"."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(c for c in parts if not unicodedata.combining(c)).split())


def grams(text: str) -> set[str]:
    """The character 3-grams of each word of a folded text. Shorter words stand for themselves.

    No padding, so that the grams of what was typed are a subset of the grams of what it is part of.
    """
    found: set[str] = set()
    for word in _WORD.findall(text):
        found.update((word[i : i + 3] for i in range(len(word) - 2)) if len(word) > 3 else (word,))
    return found
