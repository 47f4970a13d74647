"""Duration histograms as they lie in the database: packed (bin, count) pairs, little-endian."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from metrics.detection.evidence import FloatArray
from metrics.detection.histogram import BINS

_PAIR = np.dtype([("bin", "<u2"), ("n", "<u4")])


def pack(bins: dict[int, int]) -> bytes:
    pairs = np.array(sorted(bins.items()), dtype=np.int64)
    packed = np.empty(len(pairs), _PAIR)
    packed["bin"], packed["n"] = pairs[:, 0], np.minimum(pairs[:, 1], 2**32 - 1)
    return packed.tobytes()


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
