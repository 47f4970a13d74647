"""Where a release is worse: the part of the traffic (a plan, a platform, a country) that holds what is beyond the old
rate.

A part explains a regression when it holds nearly all of what is beyond, though it is not nearly all of the traffic, and
when its change differs from that of the rest by more than the search over all parts could have found by chance
(Bonferroni over every part that was tried; Miller 1981): in points, and as a ratio where the old rates are known, so
that a part which always failed more is not blamed for a change that all share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

ALPHA = 0.01
"""Chance that a part is named although the release is as bad everywhere, whatever the number of parts."""
MOST = 0.8
"""Share of what is beyond that a part must hold to be named; and of the traffic that it may have at most."""
ALL = 0.95
"""Share of what is beyond from which it is said to be all."""
BOTH = 0.9
"""Share that each of two parts (a plan and a platform) must hold, so that together they still hold MOST."""
KNOWN = 5.0
"""Bad events on the old side from which a rate there is known well enough for a ratio."""
HALF = 0.5
"""Added to each count of bad events in a ratio, so that none is 0 (Walter 1975)."""


@dataclass(frozen=True)
class Part:
    """Uses and bad ones of one part of the traffic, on the old side and on the new one."""

    n_old: float
    bad_old: float
    n_new: float
    bad_new: float

    def without(self, other: Part) -> Part:
        return Part(
            max(0.0, self.n_old - other.n_old),
            max(0.0, self.bad_old - other.bad_old),
            max(0.0, self.n_new - other.n_new),
            max(0.0, self.bad_new - other.bad_new),
        )

    @property
    def beyond(self) -> float:
        """Bad events that the old rate does not account for."""
        return self.bad_new - self.n_new * self.bad_old / self.n_old if self.n_old > 0 else 0.0


@dataclass(frozen=True)
class Place:
    """A part that explains a regression. `share`: of what is beyond, 0..1; `traffic`: of the new side's uses, 0..1."""

    name: str
    share: float
    traffic: float


def explain(whole: Part, parts: Mapping[str, Part], deff: float = 1.0) -> tuple[Place, ...]:
    """The parts that explain why `whole` is worse, the narrowest first, at most one of each dimension; () for none.

    `parts`: "dimension=value" -> its counts; those of one dimension do not overlap. `deff`: design effect of clustered
    bad events, ≥ 1. Of several that pass, a second is named only where both hold BOTH.
    """
    tried = {name: part for name, part in parts.items() if part.n_old > 0 and 0 < part.n_new < whole.n_new}
    passed = sorted(
        (place for name, part in tried.items() if (place := _place(name, part, whole, deff, len(tried)))),
        key=lambda place: (place.traffic, place.name),
    )
    first = _one_of_each(passed)
    return first if all(place.share >= BOTH for place in first) else first[:1]


def _place(name: str, part: Part, whole: Part, deff: float, tried: int) -> Place | None:
    rest = whole.without(part)
    traffic = part.n_new / whole.n_new
    total = part.beyond + max(0.0, rest.beyond)
    if traffic > MOST or part.beyond <= 0 or part.beyond < MOST * total or rest.n_old <= 0:
        return None
    needed = NormalDist().inv_cdf(1 - ALPHA / tried)
    is_known = min(part.bad_old, rest.bad_old) >= KNOWN * deff
    if in_points(part, rest, deff) < needed or (is_known and difference(part, rest, deff) < needed):
        return None
    return Place(name, part.beyond / total, traffic)


def in_points(part: Part, rest: Part, deff: float = 1.0) -> float:
    """How many standard errors the change of `part`, as a difference of rates, lies above that of `rest`."""
    squares = 0.0
    for side in (part, rest):
        for bad, n in ((side.bad_new, side.n_new), (side.bad_old, side.n_old)):
            squares += (bad / deff + HALF) * (deff / n) ** 2
    return (part.beyond / part.n_new - rest.beyond / rest.n_new) / math.sqrt(squares)


def difference(part: Part, rest: Part, deff: float = 1.0) -> float:
    """How many standard errors the change of `part`, as a log ratio of rates, lies above that of `rest`."""
    counts = [side / deff + HALF for side in (part.bad_new, part.bad_old, rest.bad_new, rest.bad_old)]
    error = math.sqrt(sum(1 / count for count in counts))
    return (_log_change(part, deff) - _log_change(rest, deff)) / error


def _log_change(part: Part, deff: float) -> float:
    new, old = part.bad_new / deff + HALF, part.bad_old / deff + HALF
    return math.log(new / part.n_new) - math.log(old / part.n_old)


def _one_of_each(places: Sequence[Place]) -> tuple[Place, ...]:
    """The first of each dimension."""
    found: dict[str, Place] = {}
    for place in places:
        found.setdefault(place.name.partition("=")[0], place)
    return tuple(found.values())
