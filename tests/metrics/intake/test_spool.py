"""What was spooled comes back whole, once, and in spite of a torn end."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from metrics.intake import spool
from metrics.intake.inbox import InboxRow
from metrics.intake.spool import Record, Spool

MANY = 2**30


def record(body: bytes = b'{"events":[],"outcomes":[]}', is_maybe_stored: bool = False, digest: bytes = b"") -> Record:
    at = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
    return Record(InboxRow(7, uuid4(), "sentry", 3, body, at, digest), is_maybe_stored)


def brought_back(folder: Path) -> list[Record]:
    with spool.claimed(folder) as paths:
        return [one for path in paths for records in spool.read(path, MANY) for one in records]


def test_what_goes_in_comes_out(tmp_path):
    written = [record(b"a\nb\0" * 1000), record(is_maybe_stored=True), record(digest=b"\0\n" * 8)]
    keeper = Spool(tmp_path / "spool", MANY)
    keeper.add(written[:1])
    keeper.add(written[1:])
    assert brought_back(keeper.folder) == []  # it is still being written
    keeper.let_go()
    assert brought_back(keeper.folder) == written


def test_a_large_file_is_read_in_parts(tmp_path):
    keeper = Spool(tmp_path, MANY)
    keeper.add([record(b"x" * 1000) for _number in range(20)])
    keeper.let_go()
    [path] = tmp_path.iterdir()
    parts = list(spool.read(path, 5000))
    assert sum(map(len, parts)) == 20
    assert max(map(len, parts)) == 5


@pytest.mark.parametrize("lost", range(1, 60, 7))
def test_a_torn_end_was_never_acknowledged(tmp_path, lost):
    keeper = Spool(tmp_path, MANY)
    written = [record(), record()]
    keeper.add(written)
    keeper.let_go()
    [path] = tmp_path.iterdir()
    os.truncate(path, path.stat().st_size - lost)
    assert brought_back(tmp_path) == written[:1]


def test_a_flipped_bit_ends_it(tmp_path):
    keeper = Spool(tmp_path, MANY)
    written = [record(), record()]
    keeper.add(written)
    keeper.let_go()
    [path] = tmp_path.iterdir()
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(raw)
    assert brought_back(tmp_path) == written[:1]


def test_a_full_spool_takes_nothing(tmp_path):
    keeper = Spool(tmp_path, 3_000)
    keeper.add([record(b"x" * 1000)])
    with pytest.raises(spool.Full):
        keeper.add([record(b"x" * 1000), record(b"x" * 1000)])
    keeper.let_go()
    assert len(brought_back(tmp_path)) == 1


def test_a_full_disk_takes_nothing(tmp_path, monkeypatch):
    keeper = Spool(tmp_path, MANY)
    keeper.add([record()])
    real, written = os.write, []

    def write(file: int, raw: memoryview) -> int:
        if written:
            raise OSError(28, "No space left on device")
        written.append(1)
        return real(file, raw[:10])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space"):
        keeper.add([record()])
    monkeypatch.undo()
    keeper.add([last := record()])
    keeper.let_go()
    found = brought_back(tmp_path)
    assert len(found) == 2
    assert last in found


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        Spool(tmp_path / "file" / "spool", MANY).add([record()])


def test_the_file_of_a_killed_process_is_anybodys(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from metrics.intake.spool import Spool\n"
        "from tests.metrics.intake.test_spool import record\n"
        "Spool(Path(sys.argv[1]), 2**30).add([record()]); os.kill(os.getpid(), 9)"
    )
    died = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, env={**os.environ})
    assert died.returncode == -9
    assert len(brought_back(tmp_path)) == 1


def test_only_one_brings_a_file_back(tmp_path):
    keeper = Spool(tmp_path, MANY)
    keeper.add([record()])
    keeper.let_go()
    with spool.claimed(tmp_path) as mine, spool.claimed(tmp_path) as theirs:
        assert (len(mine), len(theirs)) == (1, 0)
        mine[0].unlink()
    with spool.claimed(tmp_path) as paths:
        assert paths == []


def test_what_stands_behind_a_broken_record_is_told(tmp_path):
    keeper = Spool(tmp_path, MANY)
    written = [record(b"x" * 500) for _number in range(3)]
    keeper.add(written)
    keeper.let_go()
    [path] = tmp_path.iterdir()
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    parts = spool.read(path, MANY)
    assert next(parts) == written[:1]
    with pytest.raises(spool.Broken):
        next(parts)


def test_parts_are_the_same_in_every_process(tmp_path):
    keeper = Spool(tmp_path, MANY)
    keeper.add([record()])
    keeper.let_go()
    [path] = tmp_path.iterdir()
    code = f"from metrics.intake import spool; import pathlib; print(spool.part_id(pathlib.Path({str(path)!r}), 3))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(spool.part_id(path, 3)) != str(spool.part_id(path, 2))
