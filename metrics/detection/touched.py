"""Which customers a release hurt: failures beyond what is usual, and use that fell away. Pure."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

#: Of those told, the share that may be chance (Benjamini & Hochberg 1995).
FALSE = 0.1
#: Fewer failures are nobody's news.
FEWEST = 3
#: Use below this share of the usual has fallen away; of fewer usual uses nothing is said.
FALLEN, USUAL = 0.5, 10.0


Name = TypeVar("Name", bound=Hashable)


def unusual(failures: Mapping[Name, tuple[float, float]], among: int) -> list[Name]:
    """Of {name: (failures, how many are usual for what it did)} those with surely more, the surest first.

    `among`: how many there are in all; those with fewer than FEWEST failures need not be given, but count.
    """
    tails = [(tail(k, usual), place, name) for place, (name, (k, usual)) in enumerate(failures.items()) if k >= FEWEST]
    tails.sort()
    last = max((i for i, (p, _place, _name) in enumerate(tails, 1) if p <= FALSE * i / among), default=0)
    return [name for _p, _place, name in tails[:last]]


def tail(k: float, mean: float) -> float:
    """P(X ≥ k) of a Poisson count."""
    if k <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    if k > 1_000:
        # Wilson & Hilferty 1931: P(X ≥ k) = P(χ² of 2k degrees ≤ 2·mean).
        z = ((mean / k) ** (1 / 3) - 1 + 1 / (9 * k)) / math.sqrt(1 / (9 * k))
        return 0.5 * math.erfc(-z / math.sqrt(2))
    below = math.fsum(math.exp(i * math.log(mean) - mean - math.lgamma(i + 1)) for i in range(math.ceil(k)))
    return max(0.0, 1.0 - below)


def median(seen: Sequence[float], known: int) -> float:
    """Of `known` days, of which those not in `seen` had none."""
    values = sorted(seen)[-known:] if known else []
    values = [0.0] * (known - len(values)) + values
    middle = known // 2
    if not known:
        return 0.0
    return values[middle] if known % 2 else (values[middle - 1] + values[middle]) / 2


def has_fallen(actual: float, usual: float) -> bool:
    return usual >= USUAL and actual < FALLEN * usual
