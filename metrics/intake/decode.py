"""Undo Content-Encoding without ever holding much more than the caller allows.

Every stage is a generator that yields pieces of bounded size, so two stacked encodings cost two windows,
not two bodies. Window sizes: deflate 32 KiB, brotli up to 16 MiB, zstd up to 8 MiB (RFC 9659, section 3).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO

import brotli  # type: ignore[import-untyped]
import zstandard

from .event import Refused

#: Bytes of a request body as it arrives, and after all encodings are undone.
COMPRESSED_LIMIT, DECODED_LIMIT = 20 * 2**20, 40 * 2**20
#: Bytes of one event inside a request.
EVENT_LIMIT = 2**20
#: Events in one request.
BATCH_EVENTS = 10_000

_PIECE = 64 * 1024
#: One zstd block is at least 4 bytes and yields at most 128 KiB, and the binding cannot bound its output,
#: so the input is fed in slices that can yield at most 4 MiB each.
_ZSTD_SLICE = 128
#: More gzip members or zstd frames than this in one body is an attack on the set-up cost of a decoder.
_MEMBERS = 1_000

_Stage = Callable[[Iterable[bytes]], Iterator[bytes]]


def decode(body: bytes, encodings: str, limit: int = DECODED_LIMIT) -> bytes:
    """The body with every encoding of the `Content-Encoding` header value undone.

    Raises Refused: 415 `bad_encoding` (unknown, or more than two), 400 `bad_encoding` (truncated, corrupt,
    trailing bytes), 413 `too_large` (more than `limit` bytes after any stage, or more than
    COMPRESSED_LIMIT before the first).
    """
    names = _names(encodings)
    if not names or not body:
        if len(body) > limit:
            raise _too_large(limit)
        return body
    if len(body) > COMPRESSED_LIMIT:
        raise _too_large(COMPRESSED_LIMIT)
    stream: Iterator[bytes] = _pieces(body)
    for name in reversed(names):
        stream = _bounded(_STAGES[name](stream), limit)
    out = BytesIO()
    try:
        for piece in stream:
            out.write(piece)
    except (zlib.error, brotli.error, zstandard.ZstdError) as error:
        raise _broken(f"the {' + '.join(names)} data is corrupt") from error
    return out.getvalue()


def _names(encodings: str) -> list[str]:
    """Names of real encodings in the order they were applied; identity and empty parts fall out."""
    if not encodings:
        return []
    names = [name for part in encodings.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    for name in names:
        if name not in _STAGES:
            raise Refused(415, "bad_encoding", "Accepted content encodings: gzip, deflate, br, zstd.")
    if len(names) > 2:
        raise Refused(415, "bad_encoding", "At most two stacked content encodings are accepted.")
    return names


def _pieces(body: bytes, size: int = _PIECE) -> Iterator[bytes]:
    view = memoryview(body)
    for start in range(0, len(body), size):
        yield bytes(view[start : start + size])


def _bounded(stream: Iterator[bytes], limit: int) -> Iterator[bytes]:
    total = 0
    for piece in stream:
        total += len(piece)
        if total > limit:
            raise _too_large(limit)
        yield piece


def _too_large(limit: int) -> Refused:
    return Refused(413, "too_large", f"The body is larger than {limit} bytes.")


def _broken(what: str) -> Refused:
    return Refused(400, "bad_encoding", f"The body cannot be decoded: {what}.")


def _gzip(source: Iterable[bytes]) -> Iterator[bytes]:
    """Gzip, also several members one after another (RFC 1952, section 2.2)."""
    members, decoder = 0, zlib.decompressobj(31)
    for piece in source:
        while piece:
            if decoder.eof:
                members += 1
                if members > _MEMBERS:
                    raise _broken("too many gzip members")
                decoder = zlib.decompressobj(31)
            yield decoder.decompress(piece, _PIECE)
            piece = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
    while not decoder.eof:
        tail = decoder.decompress(b"", _PIECE)
        if not tail and not decoder.eof:
            raise _broken("the gzip data ends too early")
        yield tail


def _deflate(source: Iterable[bytes]) -> Iterator[bytes]:
    """Deflate with or without the zlib wrapper; both are sent under this name (RFC 9110, section 8.4.1.2)."""
    decoder = None
    for piece in filter(None, source):
        if decoder is None:
            wrapped = piece[0] & 0x0F == 8 and int.from_bytes(piece[:2], "big") % 31 == 0
            decoder = zlib.decompressobj(15 if wrapped else -15)
        while piece:
            if decoder.eof:
                raise _broken("bytes follow the end of the deflate data")
            yield decoder.decompress(piece, _PIECE)
            piece = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
    while decoder is None or not decoder.eof:
        tail = decoder.decompress(b"", _PIECE) if decoder else b""
        if not tail and not (decoder and decoder.eof):
            raise _broken("the deflate data ends too early")
        yield tail


def _brotli(source: Iterable[bytes]) -> Iterator[bytes]:
    decoder = brotli.Decompressor()
    for piece in source:
        if decoder.is_finished():
            raise _broken("bytes follow the end of the brotli data")
        yield decoder.process(piece, output_buffer_limit=_PIECE)
        while not decoder.can_accept_more_data():
            more = decoder.process(b"", output_buffer_limit=_PIECE)
            # A decoder that neither yields nor takes input would spin here for ever.
            if not more and not decoder.can_accept_more_data():
                raise _broken("the brotli data is corrupt")
            yield more
    while not decoder.is_finished():
        more = decoder.process(b"", output_buffer_limit=_PIECE)
        if not more and not decoder.is_finished():
            raise _broken("the brotli data ends too early")
        yield more


def _zstd(source: Iterable[bytes]) -> Iterator[bytes]:
    """Zstandard frames one after another; windows over 8 MiB are refused."""
    context = zstandard.ZstdDecompressor(max_window_size=8 * 2**20)
    frames, decoder = 0, context.decompressobj()
    for whole in source:
        for part in _pieces(whole, _ZSTD_SLICE):
            piece = part
            while piece:
                if decoder.eof:
                    frames += 1
                    if frames > _MEMBERS:
                        raise _broken("too many zstd frames")
                    decoder = context.decompressobj()
                yield decoder.decompress(piece)
                piece = decoder.unused_data if decoder.eof else b""
    if not decoder.eof:
        raise _broken("the zstd data ends too early")


_STAGES: dict[str, _Stage] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
