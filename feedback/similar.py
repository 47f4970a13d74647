"""Finds what was already said, in other words and in three languages, with core PostgreSQL and rapidfuzz.

PostgreSQL narrows by shared character 3-grams of the telling words (GIN), rapidfuzz ranks the few that are left.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import log
from typing import Any

from rapidfuzz.distance import JaroWinkler

from feedback.lexicon import PHRASES, SAME, STOP
from productops.lib.text import fold, grams

#: Below this score (0..100) two texts are not called similar.
NEAR = 18.0
#: From here on six of seven best ones are right; below, two of five (tests/feedback/test_matches.py).
SURE = 30.0
#: How much what was typed counts beside what is known; a text that shares one word; a word that no candidate has,
#: beside one that a single candidate has.
SAID, ALONE, UNKNOWN, BARELY = 0.45, 0.7, 0.35, 0.2

_STEMS = (min(map(len, SAME)), max(map(len, SAME)))
_WORD = re.compile(r"\w+")
_PHRASE = re.compile(r"\b(?:" + "|".join(sorted(PHRASES, key=len, reverse=True)) + r")\b")

#: How alike two words are, found once.
Near = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Match:
    item: Any
    score: float
    shared: tuple[str, ...]  # the words both have, as they were typed


def words(text: str) -> list[str]:
    """The telling words of a text: folded, without stop words, synonyms brought to one form."""
    return [word for word, _typed in _pairs(text)]


def _pairs(text: str) -> list[tuple[str, str]]:
    """Each telling word in its common form, with the word as it stands in the folded text."""
    phrases: dict[str, str] = {}

    def as_one(found: re.Match[str]) -> str:
        one = PHRASES[found[0]]
        phrases.setdefault(one, found[0])
        return one

    said = _PHRASE.sub(as_one, fold(text)[:4000])
    found = [w for w in _WORD.findall(said) if w not in STOP and (len(w) > 2 or w.isdigit())]
    return [(_same(w), phrases.get(w, w)) for w in found]


def key(text: str) -> list[str]:
    """What is stored beside a text so that PostgreSQL can find its neighbours."""
    return sorted(grams(" ".join(words(text))))[:400]


def rank(typed: str, candidates: Iterable[tuple[Any, str]], limit: int = 5) -> list[Match]:
    """The candidates (item, its text) that mean the same as `typed`, best first.

    A word counts by how few of the candidates have it; what a text has and the other lacks counts against it.
    """
    pairs = _pairs(typed)
    own = dict(pairs)
    read = [(item, frozenset(words(text))) for item, text in candidates]
    if not own or not read:
        return []
    seen = Counter(word for _item, theirs in read for word in theirs)
    weigh = {word: log(1 + (len(read) + 20) / (1 + n)) for word, n in seen.items()}
    rare = log(1 + len(read) + 20)
    near: Near = {}
    found = []
    for item, theirs in read:
        score, shared = _score(own.keys(), theirs, weigh, rare, near)
        if score >= NEAR:
            found.append(Match(item, score, tuple(own[word] for word in shared)[:4]))
    return sorted(found, key=lambda match: -match.score)[:limit]


def _same(word: str) -> str:
    for length in range(min(len(word), _STEMS[1]), _STEMS[0] - 1, -1):
        # Beginnings of three letters are whole words.
        if word[:length] in SAME and (length > 3 or length == len(word)):
            return SAME[word[:length]]
    return word


def _alike(one: str, other: str, known: Near) -> float:
    """Two words: 1 for the same, less for a typo or another ending, 0 for different ones."""
    if one == other:
        return 1.0
    if (one, other) not in known:
        alike = 0.0
        if len(one) > 3 and len(other) > 3 and one[0] == other[0]:
            alike = max(0.0, JaroWinkler.similarity(one, other, score_cutoff=0.88)) * 0.9
        known[one, other] = alike
    return known[one, other]


def _score(
    mine: Collection[str], theirs: Collection[str], weigh: dict[str, float], rare: float, near: Near
) -> tuple[float, list[str]]:
    """0..100, and the words of `mine` that both have."""
    if not theirs:
        return 0.0, []
    best: dict[str, float] = {}
    shared, met, all_ = [], 0.0, 0.0
    for word in mine:
        weight = weigh.get(word, UNKNOWN * rare)
        all_ += weight
        alike, other = max((_alike(word, each, near), each) for each in theirs)
        if alike:
            shared.append(word)
            met += alike * max(weight, weigh.get(other, 0.0))
            best[other] = max(best.get(other, 0.0), alike)
    back = sum(weigh[word] * best.get(word, 0.0) for word in theirs) / sum(weigh[word] for word in theirs)
    forth = min(1.0, met / all_)
    score = 100 * (SAID * forth + (1 - SAID) * back)
    if len(shared) == 1 < min(len(mine), len(theirs)):
        score *= ALONE if back > BARELY else ALONE**2
    return score, shared
