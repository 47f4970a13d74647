"""What others do after a release, as simply as they do it: to be measured beside us on the same series.

Each takes the series before and after and gives the first flagged bucket, or -1. Looked at after every bucket.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]
#: Buckets above a fixed threshold before it is told.
IN_A_ROW = 3
#: Two-sided 1 % of a normal distribution.
Z99 = 2.5758
#: Two-sided 2 % of it; and what Kayenta's judge takes as given.
Z98, KAYENTA_POINTS, KAYENTA_TOLERANCE = 2.3263, 50, 0.25
#: Points before the release that Otava sees, and buckets between two looks.
OTAVA_BEFORE, OTAVA_EVERY = 288, 12
#: Bad events below which a test of rates says nothing.
FEWEST = 10


def fixed(pre: Series, post: Series, direction: int) -> int:
    """25 % beyond the mean of before, three buckets in a row: a threshold somebody typed in."""
    level = float(np.nanmean(pre)) if len(pre) else math.nan
    change = post / level - 1 if level else np.zeros(len(post))
    beyond = np.abs(change) > 0.25 if direction == 0 else direction * change > 0.25
    runs = np.convolve(beyond, np.ones(IN_A_ROW), mode="valid") == IN_A_ROW if len(beyond) >= IN_A_ROW else np.zeros(0)
    return int(np.argmax(runs)) + IN_A_ROW - 1 if runs.any() else -1


def z_test(pre: Series, post: Series, direction: int) -> int:
    """The mean so far against the mean before, as if buckets were independent; p < .01 at any look."""
    before = pre[np.isfinite(pre)]
    if len(before) < 2 or not len(post):
        return -1
    n = np.arange(1, len(post) + 1)
    mean = np.cumsum(np.nan_to_num(post, nan=float(before.mean()))) / n
    spread = float(before.std(ddof=1)) or 1e-9
    z = (mean - before.mean()) / (spread * np.sqrt(1 / n + 1 / len(before)))
    return _first(np.abs(z) >= Z99 if direction == 0 else direction * z >= Z99)


def rates_z_test(n_a: Series, k_a: Series, n_b: Series, k_b: Series) -> int:
    """Two proportions, side by side; p < .01 at any look."""
    na, ka, nb, kb = (np.cumsum(each) for each in (n_a, k_a, n_b, k_b))
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (ka + kb) / (na + nb)
        z = (kb / nb - ka / na) / np.sqrt(pooled * (1 - pooled) * (1 / na + 1 / nb))
    return _first((np.nan_to_num(z) >= Z99) & (ka + kb >= FEWEST))


def iid_e_process(n_a: Series, k_a: Series, n_b: Series, k_b: Series) -> int:
    """Each request its own coin: the rate of before is believed exactly, α = 1 % at any look."""
    rate = float(k_a.sum()) / max(1.0, float(n_a.sum()))
    if not 0 < rate < 0.5:
        return -1
    runs = []
    for delta in (0.25, 0.5, 1.0):
        worse = min(0.99, rate * (1 + delta))
        gain = k_b * math.log(worse / rate) + (n_b - k_b) * math.log((1 - worse) / (1 - rate))
        runs.append(np.cumsum(gain))
    top = np.maximum.reduce(runs)
    total = top + np.log(sum(np.exp(run - top) for run in runs) / len(runs))
    return _first((total >= math.log(100)) & (np.cumsum(k_b) >= FEWEST))


def kayenta(pre: Series, post: Series, direction: int) -> int:
    """Mann-Whitney of the canary against as long before it, as Spinnaker's judge does by default: worse when the 98 %
    interval of the Hodges-Lehmann shift lies beyond a quarter of its estimate; from 50 points on."""
    before, after = pre[np.isfinite(pre)], post[np.isfinite(post)]
    for size in range(KAYENTA_POINTS, min(len(before), len(after)) + 1):
        shifts = np.sort(np.subtract.outer(after[:size], before[-size:]).ravel())
        rank = int(size * size / 2 - Z98 * math.sqrt(size * size * (2 * size + 1) / 12))
        rank = max(0, rank)
        low, middle, high = shifts[rank], shifts[len(shifts) // 2], shifts[len(shifts) - 1 - rank]
        beyond = KAYENTA_TOLERANCE * abs(middle)
        if (direction >= 0 and low > beyond) or (direction <= 0 and high < -beyond):
            return size - 1
    return -1


def otava(pre: Series, post: Series, direction: int) -> int:
    """Change points of Apache Otava (window 50, p < .001) in the last days and what came since, every hour; one at the
    release or later in the bad direction. Only where `apache-otava` is installed: it brings what the hub needs not."""
    from otava.analysis import compute_change_points  # type: ignore[import-not-found]

    before = np.nan_to_num(pre[-OTAVA_BEFORE:], nan=float(np.nanmean(pre)) if len(pre) else 0.0)
    after = np.nan_to_num(post, nan=float(before.mean()) if len(before) else 0.0)
    for size in range(OTAVA_EVERY, len(after) + 1, OTAVA_EVERY):
        seen = np.concatenate((before, after[:size])).tolist()
        found, _weak = compute_change_points(seen, window_len=50, max_pvalue=0.001)
        for point in found:
            change = point.stats.mean_2 - point.stats.mean_1
            if point.index >= len(before) - 1 and (direction == 0 or direction * change > 0):
                return size - 1
    return -1


def _first(flags: NDArray[np.bool_]) -> int:
    return int(np.argmax(flags)) if flags.any() else -1


#: For a series of values, and for counts (n and bad of one side, n and bad of the other).
GAUGES: dict[str, Callable[[Series, Series, int], int]] = {
    "fixed +25 % × 3": fixed, "z-test, peeking": z_test, "Mann-Whitney as Kayenta": kayenta,
}  # fmt: skip
if find_spec("otava"):
    GAUGES["Otava"] = otava
RATES: dict[str, Callable[[Series, Series, Series, Series], int]] = {
    "z-test, peeking": rates_z_test, "iid e-process": iid_e_process,
}  # fmt: skip
