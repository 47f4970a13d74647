"""Kept events, up to CHUNK of one signal and day to a row of `metrics_event`. Pure: events in, bytes out.

A row per event would cost several times the bytes, and two index entries each, for facts that are only ever read by
the page. Format: version, how many, their ids of 16 bytes, then compressed JSON: the first moment, the moments after it
in microseconds, and each other field as a list, or as one value where all are equal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from operator import itemgetter
from struct import Struct
from typing import Any

import numpy as np
import orjson
import zstandard

from metrics.intake.event import Event

#: Events of one row at most: what is read to show one of them.
CHUNK = 1_000
_VERSION = 1
_HEAD = Struct("!BI")
_ID, _AT = Event._fields.index("id"), Event._fields.index("at")
_DAY = 86_400
_looks = itemgetter(*map(Event._fields.index, ("kind", "name", "at")))


def chunked(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Events of one kind, name and UTC day each, CHUNK at most."""
    alike: defaultdict[tuple[str, str, float], list[Event]] = defaultdict(list)
    for looks, event in zip(map(_looks, events), events, strict=True):
        kind, name, at = looks
        alike[kind, name, at // _DAY].append(event)
    for found in alike.values():
        for start in range(0, len(found), CHUNK):
            yield found[start : start + CHUNK]


def pack(events: Sequence[Event]) -> bytes:
    columns: list[Any] = list(zip(*events, strict=True))
    ids = bytes.fromhex("".join(columns[_ID]))
    if len(ids) != 16 * len(events):
        raise ValueError("An id has 32 hex digits")
    first = columns[_AT][0]
    after = np.rint((np.array(columns[_AT]) - first) * 1e6).astype(np.int64)
    told = [first, after.tolist()]
    for place, column in enumerate(columns):
        if place not in (_ID, _AT):
            told.append(column[:1] if _is_one(column) else column)
    return _HEAD.pack(_VERSION, len(events)) + ids + zstandard.ZstdCompressor(level=1).compress(orjson.dumps(told))


def _is_one(column: Sequence[Any]) -> bool:
    """Whether all values are the same; what holds others inside is taken for different, for there 1 equals True."""
    first = column[0]
    if first != column[-1] or (isinstance(first, dict) and first):
        return False
    return column.count(first) == len(column) and (type(first) is str or len(set(map(type, column))) == 1)


def unpack(raw: bytes) -> list[Event]:
    version, n = _HEAD.unpack_from(raw)
    if version != _VERSION:
        raise ValueError(f"Events of version {version} cannot be read")
    ids, start = raw[_HEAD.size : _HEAD.size + 16 * n].hex(), _HEAD.size + 16 * n
    first, after, *others = orjson.loads(zstandard.ZstdDecompressor().decompress(raw[start:]))
    columns: list[Iterable[Any]] = [column if len(column) == n else repeat(column[0], n) for column in others]
    columns.insert(_ID, [ids[place : place + 32] for place in range(0, 32 * n, 32)])
    columns.insert(_AT, [first + each / 1e6 for each in after])
    return [Event._make(parts) for parts in zip(*columns, strict=True)]
