"""Duration histograms as they lie in the database: packed (bin, count) pairs, little-endian."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from struct import Struct

import numpy as np

from metrics.detection.evidence import FloatArray
from metrics.detection.histogram import BINS

_PAIR = np.dtype([("bin", "<u2"), ("n", "<u4")])
_ONE = Struct("<HI")


def pack(bins: dict[int, int]) -> bytes:
    # Most histograms are of one minute and hold a few bins; for those numpy costs more than it saves.
    return b"".join(_ONE.pack(place, min(count, 2**32 - 1)) for place, count in sorted(bins.items()))


def unpack(packed: bytes | memoryview | None) -> Counter[int]:
    if not packed:
        return Counter()
    pairs = np.frombuffer(bytes(packed), _PAIR)
    return Counter(dict(zip(pairs["bin"].tolist(), pairs["n"].tolist(), strict=True)))


def dense(packs: Iterable[bytes | memoryview | None]) -> FloatArray:
    """The packed histograms merged, shape (BINS,). Exact, because all share the bins."""
    total = np.zeros(BINS)
    for packed in packs:
        if packed:
            pairs = np.frombuffer(bytes(packed), _PAIR)
            total[pairs["bin"]] += pairs["n"]
    return total
