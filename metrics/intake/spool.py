"""Requests accepted while PostgreSQL is away: appended to a file and synced before the 2xx, stored when it is back.

One file per process, locked while it is written; whoever finds a file that nobody holds brings it back, also that of
a process that was killed. A record is its length and checksum, a JSON line, and the body; a torn one at the end of a
file was never acknowledged. What stands behind a broken one cannot be found; the file is set aside for a person.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from struct import Struct
from uuid import UUID, uuid4, uuid5

import orjson

from metrics.intake.inbox import InboxRow

log = logging.getLogger(__name__)

_HEAD = Struct("!II")  # bytes that follow, and their CRC-32
SUFFIX, BROKEN = ".spool", ".broken"


class Full(Exception):
    """The spool may not grow."""


class Broken(Exception):
    """Something changed the file after it was written; what came before that was read."""


@dataclass(frozen=True)
class Record:
    """`is_maybe_stored`: the connection broke while it was being committed."""

    row: InboxRow
    is_maybe_stored: bool = False


class Spool:
    """This process's end. Its methods may be called from several threads."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self.most = folder, most
        self._lock = threading.Lock()
        self._file: int | None = None

    def add(self, records: Sequence[Record]) -> None:
        """Returns when they are on the disk. Raises Full or OSError, and then none of them is kept."""
        raw = b"".join(map(_packed, records))
        with self._lock:
            if size(self.folder) + len(raw) > self.most:
                raise Full
            if self._file is None:
                self._file = _new(self.folder)
            end = os.lseek(self._file, 0, os.SEEK_END)
            try:
                _write(self._file, raw)
                os.fdatasync(self._file)
            except OSError:
                # What was not acknowledged may not come back, and nothing may stand behind what could not be cut off.
                with suppress(OSError):
                    os.ftruncate(self._file, end)
                os.close(self._file)
                self._file = None
                raise

    def let_go(self) -> None:
        """From now on the file may be brought back, by us or by anybody; the next record begins a new one."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None


def size(folder: Path) -> int:
    """Bytes waiting in the folder; also of what was set aside, which takes its room."""
    total = 0
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        for each in found:
            with suppress(FileNotFoundError):
                total += each.stat().st_size
    return total


@contextmanager
def claimed(folder: Path) -> Iterator[list[Path]]:
    """The files that nobody writes or brings back; they are ours until the end."""
    held, paths = [], []
    try:
        for path in sorted(folder.glob(f"*{SUFFIX}")) if folder.exists() else []:
            with suppress(OSError):
                file = os.open(path, os.O_RDONLY)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    os.close(file)
                    continue
                held.append(file)
                if path.exists():  # else somebody was done with it before we had the lock
                    paths.append(path)
        yield paths
    finally:
        for file in held:
            os.close(file)


def waiting(folder: Path) -> bool:
    """Whether there are files to be brought back."""
    return next(folder.glob(f"*{SUFFIX}"), None) is not None if folder.exists() else False


def part_id(path: Path, number: int) -> UUID:
    """One for each list that `read` yields, the same in every process."""
    return uuid5(UUID(hex=path.stem), str(number))


def read(path: Path, most: int) -> Iterator[list[Record]]:
    """Its records, some at a time with bodies of about `most` bytes together, each time the same; ends before a torn
    one. Raises Broken after what could be read, when more follows that cannot."""
    found: list[Record] = []
    held, is_broken = 0, False
    with path.open("rb") as file:
        while head := file.read(_HEAD.size):
            raw = b""
            if len(head) == _HEAD.size:
                length, checksum = _HEAD.unpack(head)
                raw = file.read(length)
            if len(head) < _HEAD.size or len(raw) < length or zlib.crc32(raw) != checksum:
                is_broken = bool(file.read(1))
                log.warning("%s ends with a record that was never acknowledged", path.name)
                break
            found.append(_unpacked(raw))
            held += len(raw)
            if held >= most:
                yield found
                found, held = [], 0
    if found:
        yield found
    if is_broken:
        raise Broken


def _new(folder: Path) -> int:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(folder / f"{uuid4().hex}{SUFFIX}", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    parent = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(parent)  # the file's name must survive too
    finally:
        os.close(parent)
    return file


def _write(file: int, raw: bytes) -> None:
    view = memoryview(raw)
    while view:
        view = view[os.write(file, view) :]


def _packed(record: Record) -> bytes:
    row = record.row
    line = orjson.dumps(
        [row.product, row.batch.hex, row.protocol, row.events, row.received_at.timestamp(), row.digest.hex(),
         record.is_maybe_stored]
    )  # fmt: skip
    raw = line + b"\n" + row.body
    return _HEAD.pack(len(raw), zlib.crc32(raw)) + raw


def _unpacked(raw: bytes) -> Record:
    line, _, body = raw.partition(b"\n")
    product, batch, protocol, events, at, digest, is_maybe_stored = orjson.loads(line)
    received_at = datetime.fromtimestamp(at, UTC)
    row = InboxRow(product, UUID(batch), protocol, events, body, received_at, bytes.fromhex(digest))
    return Record(row, is_maybe_stored)
