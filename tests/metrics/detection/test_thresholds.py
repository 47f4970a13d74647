"""Many signals of one release: no more than a small share of what is flagged is false."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metrics.detection.evidence import BEFORE_AFTER, CONCURRENT, SHORT_HISTORY
from metrics.detection.thresholds import ALPHA, TAIL, needed, together, z_star


def test_one_signal_more_never_asks_for_less():
    asked = [z_star(signals) for signals in range(1, 1_000)]
    assert asked == sorted(asked)
    assert asked[19] == 5.0
    assert asked[20] < 5.1


def test_one_flag_among_many_counts_as_one_of_all():
    assert together([(BEFORE_AFTER, 6.0), *[(BEFORE_AFTER, 0.5)] * 999]) == 1_000
    assert together([(BEFORE_AFTER, 99.0), *[(BEFORE_AFTER, 0.5)] * 999]) == 1_000
    assert together([]) == 0


def test_what_moves_together_helps_each_other():
    """Fifty signals at 6.5 are no chance among a thousand, though one of them alone would be."""
    found = [(BEFORE_AFTER, 6.5)] * 50 + [(BEFORE_AFTER, 0.5)] * 950
    assert needed(BEFORE_AFTER, 1_000) > 6.5 > needed(BEFORE_AFTER, together(found))
    assert together(found) == 20


def test_methods_are_counted_together():
    found = [(BEFORE_AFTER, 5.2)] * 2 + [(CONCURRENT, 1_500.0)] * 2 + [(SHORT_HISTORY, 9.0)] * 2 + [(CONCURRENT, 1.0)] * 74
    assert together(found) == 20
    assert needed(CONCURRENT, 20) <= 1_500 < needed(CONCURRENT, 80)


@pytest.mark.parametrize("method", [BEFORE_AFTER, CONCURRENT])
def test_share_of_false_flags(method):
    """2,000 releases of 200 signals each, ten of them truly worse by a little."""
    rng, shares = np.random.default_rng(4), []
    for _release in range(2_000):
        if method == CONCURRENT:  # the worst that e-values may be: P(E ≥ x) = 1/x
            values = 1 / rng.random(200)
            values[:10] *= 2_000
        else:  # the tail that real series have
            values = 5.0 + TAIL * np.log(0.02 / 20 / rng.random(200))
            values[:10] += 5.0
        signals = together([(method, float(value)) for value in values])
        flagged = values >= needed(method, signals)
        shares.append(flagged[10:].sum() / max(1, flagged.sum()))
    allowed = ALPHA if method == CONCURRENT else 0.02
    assert np.mean(shares) <= allowed + 2 * np.std(shares) / math.sqrt(len(shares))
