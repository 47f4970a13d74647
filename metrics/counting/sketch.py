"""Duration histograms as they lie in the database: a header, the first bin, the gaps between bins, the counts.

The header says how many bytes a gap (1 or 2) and a count (1, 2 or 4) take: `gap << 4 | count`. Little-endian. Most
histograms are of one minute, with few bins close together and small counts: two bytes a bin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from metrics.detection.evidence import FloatArray
from metrics.detection.histogram import BINS

_MOST = 2**32 - 1
_TYPES = {size: np.dtype(f"<u{size}") for size in (1, 2, 4)}
_HEAD = 3


def pack(bins: Mapping[int, int]) -> bytes:
    """bins: bin -> count; b"" when there are none."""
    if not bins:
        return b""
    places = sorted(bins)
    counts = [min(bins[place], _MOST) for place in places]
    gaps = [after - before for before, after in pairwise(places)]
    gap, count = _width(max(gaps, default=0)), _width(max(counts))
    head = bytes((gap << 4 | count,)) + places[0].to_bytes(2, "little")
    return head + _bytes(gaps, gap) + _bytes(counts, count)


def unpack(packed: bytes | memoryview | None) -> Counter[int]:
    if not packed:
        return Counter()
    places, counts = _arrays(bytes(packed))
    return Counter(dict(zip(places.tolist(), counts.tolist(), strict=True)))


def dense(packs: Iterable[bytes | memoryview | None]) -> FloatArray:
    """The packed histograms merged, shape (BINS,). Exact, because all share the bins."""
    total = np.zeros(BINS)
    for packed in packs:
        if packed:
            places, counts = _arrays(bytes(packed))
            total[places] += counts
    return total


def _width(largest: int) -> int:
    return 1 if largest < 2**8 else 2 if largest < 2**16 else 4


def _bytes(values: list[int], width: int) -> bytes:
    if width == 1:
        return bytes(values)
    return np.array(values, _TYPES[width]).tobytes()


def _arrays(packed: bytes) -> tuple[NDArray[np.int64], NDArray[np.unsignedinteger]]:
    """(bins, counts), both of shape (bins that are not empty,)."""
    gap, count = packed[0] >> 4, packed[0] & 0x0F
    size = (len(packed) - _HEAD + gap) // (gap + count)
    places = np.empty(size, np.int64)
    places[0] = int.from_bytes(packed[1:_HEAD], "little")
    places[1:] = np.frombuffer(packed, _TYPES[gap], size - 1, _HEAD)
    counts = np.frombuffer(packed, _TYPES[count], size, _HEAD + gap * (size - 1))
    return places.cumsum(), counts
