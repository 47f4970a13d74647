"""The note of keys: what one process met another one knows, also when it starts later."""

from __future__ import annotations

from metrics.intake import keys
from metrics.intake.keys import KeyNote, Owner

ONE, TWO = Owner(1, 10), Owner(2, 20)


def test_noted_and_known_later(tmp_path):
    note = KeyNote(tmp_path)
    assert note.is_empty
    note.put("a" * 32, ONE)
    assert KeyNote(tmp_path).owner("a" * 32) == ONE
    assert KeyNote(tmp_path).owner("b" * 32) is None


def test_two_processes_forget_nothing_of_each_other(tmp_path):
    first, second = KeyNote(tmp_path), KeyNote(tmp_path)
    first.put("a" * 32, ONE)
    second.put("b" * 32, TWO)
    assert first.owner("b" * 32) == TWO
    assert {KeyNote(tmp_path).owner(key * 32) for key in "ab"} == {ONE, TWO}


def test_a_revoked_key_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "NOTED_EVERY", -1)
    note = KeyNote(tmp_path)
    note.put("a" * 32, ONE)
    note.put("a" * 32, None)
    assert note.owner("a" * 32) is None
    assert KeyNote(tmp_path).is_empty


def test_writes_are_gathered(tmp_path, monkeypatch):
    note = KeyNote(tmp_path)
    for number in range(50):
        note.put(f"{number:032}", ONE)
    assert KeyNote(tmp_path).owner(f"{1:032}") is None
    monkeypatch.setattr(keys, "NOTED_EVERY", -1)
    note.put(f"{0:032}", ONE)  # nothing new, but time has passed
    assert KeyNote(tmp_path).owner(f"{49:032}") == ONE


def test_a_broken_or_impossible_file_is_no_fault(tmp_path):
    (tmp_path / "keys.json").write_text("{")
    assert KeyNote(tmp_path).is_empty
    (tmp_path / "file").write_text("")
    note = KeyNote(tmp_path / "file")
    note.put("a" * 32, ONE)
    assert note.owner("a" * 32) == ONE  # in memory
