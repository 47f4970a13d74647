"""Signs that somebody does not get on, found in what they did. Pure.

Rules: ../shared design "Confusion": angry clicks, clicks without effect, the same action again and again, help opened
soon after, begun and not finished. Only sessions without errors count: what fails is another matter.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

#: The signs, in the order in which they are told.
RAGE, DEAD, RETRIES, HELP, UNFINISHED, MARKED = SIGNS = ("rage", "dead", "retries", "help", "unfinished", "marked")
#: What an event is a part of, besides a use: Signal.part.
START, FINISH, ASKING, RETRY, NONE = "start", "finish", "help", "retry", "none"

#: Seconds without anything after which a session is over.
PAUSE = 1800.0
#: Seconds within which the same action comes again, and how many times besides the first.
HASTE, AGAIN = 60.0, 3
#: Seconds after a use within which help, or a click that names no feature, belongs to it.
NEAR = 120.0

_NAMED = {"$rageclick": RAGE, "$dead_click": DEAD, "$dead_swipe": DEAD}
#: Looking around is no action that fails.
_AROUND = frozenset(("pageview", "pageleave", "page", "screen", "$pageview", "$pageleave", "$screen", "$autocapture"))
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_STARTS = frozenset(("start", "started", "begin", "began", "begun", "initiated"))
_FINISHES = frozenset(("finish", "finished", "complete", "completed", "submitted", "succeeded", "success", "done"))
_HELPS = frozenset(("help", "faq", "faqs", "docs", "documentation", "tutorial"))
_RETRIES = frozenset(("retry", "retried", "retries"))


class Act(NamedTuple):
    """at: unix seconds; feature: its id, 0 when none is known; part: of PARTS, "" for a use; is_struggle: its client
    says that it shows somebody who does not get on."""

    at: float
    name: str
    feature: int
    part: str
    is_struggle: bool


def part_of(name: str) -> str:
    """What a name says of itself: "checkout_started" begins something, "helpOpened" asks for help; "" for a use."""
    words = [word.lower() for word in _WORDS.findall(name)]
    known = set(words)
    if known & _RETRIES:
        return RETRY
    if known & _HELPS:
        return ASKING
    last = words[-1] if len(words) > 1 else ""
    return START if last in _STARTS else FINISH if last in _FINISHES else ""


def cut(times: Sequence[float]) -> Iterator[slice]:
    """The sessions in the times of one user's acts, which are in order."""
    first = 0
    for place in range(1, len(times)):
        if times[place] - times[place - 1] > PAUSE:
            yield slice(first, place)
            first = place
    if times:
        yield slice(first, len(times))


def signs(acts: Sequence[Act], finishing: frozenset[int] = frozenset()) -> dict[int, set[str]]:
    """Of one session without errors, in order of time: the features used, and what showed of each; often nothing.

    finishing: features of which it is known what their end is called.
    """
    found: dict[int, set[str]] = {}
    told: list[tuple[int, str]] = []
    again: defaultdict[tuple[str, int], deque[float]] = defaultdict(deque)
    open_: set[int] = set()
    last, last_at = 0, float("-inf")
    for act in acts:
        feature = act.feature or (last if act.at - last_at <= NEAR else 0)
        sign = _NAMED.get(act.name, "")
        if not sign and act.part == ASKING:
            # Help is a sign only where it was looked for in the middle of something.
            sign = HELP if feature and feature == last and act.at - last_at <= NEAR else NONE
        elif not sign and act.part == RETRY:
            sign = RETRIES if _count(again[act.name, feature], act.at) >= AGAIN else NONE
        elif not sign and act.is_struggle:
            sign = MARKED
        if sign:
            told.append((feature, sign))
            continue
        if not act.feature:
            continue
        found.setdefault(act.feature, set())
        last, last_at = act.feature, act.at
        if act.name not in _AROUND and _count(again[act.name, act.feature], act.at) > AGAIN:
            told.append((act.feature, RETRIES))
        if act.part == START and act.feature in finishing:
            open_.add(act.feature)
        elif act.part == FINISH:
            open_.discard(act.feature)
    for feature, sign in [*told, *((feature, UNFINISHED) for feature in open_)]:
        if feature in found and sign != NONE:
            found[feature].add(sign)
    return found


def _count(times: deque[float], at: float) -> int:
    times.append(at)
    while at - times[0] > HASTE:
        times.popleft()
    return len(times)
