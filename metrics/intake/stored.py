"""The body of an inbox row: JSON, compressed once that pays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from threading import local
from typing import Any

import orjson
import zstandard

from metrics.intake.event import Event

#: Bytes from which on it is compressed. What it saves is written to the disk twice, and read.
WORTH = 1_024
_PACKED = b"\x28\xb5\x2f\xfd"  # how a frame of zstd begins; JSON never does
_mine = local()  # neither of the two may be used by several threads at once


def pack(events: Iterable[Event], outcomes: Mapping[tuple[str, str, str], int]) -> bytes:
    told = [[*key, n] for key, n in outcomes.items()]
    raw = orjson.dumps({"events": [event[:] for event in events], "outcomes": told})
    if len(raw) < WORTH:
        return raw
    if not hasattr(_mine, "packer"):
        _mine.packer = zstandard.ZstdCompressor(level=1)
    packed: bytes = _mine.packer.compress(raw)
    return packed


def unpack(raw: bytes) -> tuple[list[Sequence[Any]], list[Sequence[Any]]]:
    """(events as lists of their fields, outcomes as [category, outcome, reason, n])."""
    if raw[:4] == _PACKED:
        if not hasattr(_mine, "unpacker"):
            _mine.unpacker = zstandard.ZstdDecompressor()
        raw = _mine.unpacker.decompress(raw)
    found = orjson.loads(raw)
    return found["events"], found["outcomes"]
