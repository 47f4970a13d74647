"""The body of an inbox row: JSON, in columns and compressed once that pays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import local
from typing import Any

import orjson
import zstandard

from metrics.intake.columns import spread, squeeze
from metrics.intake.event import Event

#: Bytes from which on it is compressed. What it saves is written to the disk twice, and read.
WORTH = 1_024
#: Events from which on they are told column by column.
MANY = 8
_PACKED = b"\x28\xb5\x2f\xfd"  # how a frame of zstd begins; JSON never does
#: Event._make, without a call of Python's for each.
_event: Callable[[Sequence[Any]], Event] = partial(tuple.__new__, Event)
_mine = local()  # neither of the two may be used by several threads at once


def pack(events: Sequence[Event], outcomes: Mapping[tuple[str, str, str], int]) -> bytes:
    told: dict[str, Any] = {"outcomes": [[*key, n] for key, n in outcomes.items()]}
    if len(events) < MANY:
        told["events"] = [event[:] for event in events]
    else:
        told |= {"n": len(events), "columns": list(map(squeeze, zip(*events, strict=True)))}
    raw = orjson.dumps(told)
    if len(raw) < WORTH:
        return raw
    if not hasattr(_mine, "packer"):
        _mine.packer = zstandard.ZstdCompressor(level=1)
    packed: bytes = _mine.packer.compress(raw)
    return packed


def unpack(raw: bytes) -> tuple[list[Event], list[Sequence[Any]]]:
    """(events, outcomes as [category, outcome, reason, n])."""
    if raw[:4] == _PACKED:
        if not hasattr(_mine, "unpacker"):
            _mine.unpacker = zstandard.ZstdDecompressor()
        raw = _mine.unpacker.decompress(raw)
    found = orjson.loads(raw)
    n, columns = found.get("n"), found.get("columns")
    rows = zip(*(spread(column, n) for column in columns), strict=True) if columns else found["events"]
    return list(map(_event, rows)), found["outcomes"]
