"""Kept events, up to CHUNK of one signal and day to a row of `metrics_event`. Pure: events in, bytes out.

A row per event would cost several times the bytes, and two index entries each, for facts that are only ever read by
the page. Format: version, how many, their ids of 16 bytes, then compressed JSON: the first moment, the moments after it
in microseconds, and each other field as columns.py tells it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Any

import numpy as np
import orjson
import zstandard

from metrics.intake.columns import spread, squeeze
from metrics.intake.event import Event, field_of

#: Events of one row at most: what is read to show one of them.
CHUNK = 1_000
_VERSION = 1
_HEAD = Struct("!BI")
_ID, _AT = Event._fields.index("id"), Event._fields.index("at")
_DAY = 86_400
_looks, _at = field_of("kind", "name"), field_of("at")


def chunked(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Events of one kind, name and UTC day each, CHUNK at most."""
    alike: defaultdict[tuple[Any, float], list[Event]] = defaultdict(list)
    days = (np.array(list(map(_at, events))) // _DAY).tolist()
    for looks, event in zip(zip(map(_looks, events), days, strict=True), events, strict=True):
        alike[looks].append(event)
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
    told += [squeeze(column) for place, column in enumerate(columns) if place not in (_ID, _AT)]
    return _HEAD.pack(_VERSION, len(events)) + ids + zstandard.ZstdCompressor(level=1).compress(orjson.dumps(told))


def unpack(raw: bytes) -> list[Event]:
    n, columns = _columns(raw)
    ids = raw[_HEAD.size : _HEAD.size + 16 * n].hex()
    columns[_ID] = [ids[place : place + 32] for place in range(0, 32 * n, 32)]
    return [Event._make(parts) for parts in zip(*columns, strict=True)]


def fields(raw: bytes, *names: str) -> Iterator[tuple[Any, ...]]:
    """Some fields of each event, `id` not among them: for many thousands of events."""
    _n, columns = _columns(raw)
    return zip(*(columns[Event._fields.index(name)] for name in names), strict=True)


def _columns(raw: bytes) -> tuple[int, list[Iterable[Any]]]:
    """How many, and each field's values; ids are left empty."""
    version, n = _HEAD.unpack_from(raw)
    if version != _VERSION:
        raise ValueError(f"Events of version {version} cannot be read")
    packed = raw[_HEAD.size + 16 * n :]
    first, after, *others = orjson.loads(zstandard.ZstdDecompressor().decompress(packed))
    columns = [spread(column, n) for column in others]
    columns.insert(_ID, [])
    columns.insert(_AT, [first + each / 1e6 for each in after])
    return n, columns
