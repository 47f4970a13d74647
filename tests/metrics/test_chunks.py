"""Kept events, many to a row: what goes in comes out."""

from __future__ import annotations

import random
from functools import partial
from uuid import uuid4

import orjson
import pytest

from metrics.counting import chunks, store
from metrics.intake import columns, stored
from metrics.intake.event import Event, mark
from tests import make

ODD = ("", "a", "ñ", "😀", '"', "\\", "x" * 120, "\u2028", "0", "null")


def odd(rng: random.Random) -> Event:
    text = partial(rng.choice, ODD)
    return Event(
        id=uuid4().hex, kind=rng.choice(("use", "error")), name=text(), at=rng.uniform(1.7e9, 1.9e9), release=text(),
        environment=text(), user=text(), customer=text(), session=text(), feature=text(), platform=text(),
        plan=text(), country=rng.choice(("", "ES")), n=rng.choice((0, 1, 2**40)), bad=rng.randrange(9),
        value=rng.choice((None, 0.0, 12.5, 1e12)), flags=rng.randrange(16),
        props=rng.choice(({}, {text(): text()}, {"deep": [{"list": [1, None, True]}]}, {"timed": [[1.5, 3]]})),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_what_goes_in_comes_out(seed):
    rng = random.Random(seed)
    given = [odd(rng) for _number in range(rng.choice((1, 2, 30)))]
    if seed % 3 == 0:
        given = [event._replace(**given[0]._asdict() | {"id": event.id}) for event in given]
    found = chunks.unpack(chunks.pack(given))
    assert [event._replace(at=0) for event in found] == [event._replace(at=0) for event in given]
    assert [event.at for event in found] == pytest.approx([event.at for event in given], abs=1e-6)
    assert stored.unpack(stored.pack(given, {("use", "invalid", "x"): 2})) == (given, [["use", "invalid", "x", 2]])


@pytest.mark.parametrize("given", [(1, True, 1), (True, True), (1, 1), (1, 1.0), (None, None), ("a",) * 9, ("", "b") * 5,
    ({}, {}), ({}, {"a": 1}), ({"a": 1}, {"a": True}), ("a", None, "a", None), (0.5, None), (0, False)])  # fmt: skip
def test_a_column_comes_back_as_it_was(given):
    found = list(columns.spread(orjson.loads(orjson.dumps(columns.squeeze(given))), len(given)))
    assert [(type(each), each) for each in found] == [(type(each), each) for each in given]


def test_a_chunk_is_of_one_signal_and_day_and_not_too_large():
    rng, midnight = random.Random(5), 1_795_392_000
    given = [make.event(rng.choice("ab"), at=midnight + rng.choice((-1.5, 0.0, 7.0))) for _number in range(9_000)]
    found = list(chunks.chunked(given))
    for chunk in found:
        assert len({(event.kind, event.name, event.at // 86_400) for event in chunk}) == 1
        assert len(chunk) <= chunks.CHUNK
    assert sorted(event.id for chunk in found for event in chunk) == sorted(event.id for event in given)
    assert len(found) < 14


def test_an_event_costs_few_bytes():
    given = [make.event(user=f"user-{n % 700}", customer=f"customer-{n % 90}", value=float(n)) for n in range(1_000)]
    assert len(chunks.pack(given)) < 40 * len(given)


def test_a_later_version_is_not_misread():
    raw = bytearray(chunks.pack([make.event()]))
    raw[0] = 9
    with pytest.raises(ValueError, match="version 9"):
        chunks.unpack(bytes(raw))


def test_marks_of_many_are_those_of_one():
    ids = [uuid4().hex for _number in range(500)] + ["0" * 32, "f" * 32, "1" * 32, f"{1:032x}", f"{2**64:032x}"]
    assert store.marks(ids).tolist() == [mark(id_) for id_ in ids]
    assert len(set(store.marks(ids).tolist())) == len(ids)


def test_halves_that_are_alike_do_not_meet():
    ids = [f"{n:016x}" * 2 for n in range(3_000)] + [f"{n:016x}{9:016x}" for n in range(3_000)]
    assert len(set(store.marks(ids).tolist())) == len(set(ids))


@pytest.mark.parametrize("body", [[], [make.event(props={"text": "long " * 400})]])
def test_a_body_small_or_large_is_read_back(body):
    assert [Event._make(parts) for parts in stored.unpack(stored.pack(body, {}))[0]] == body


@pytest.mark.parametrize("pair", [({"ok": True}, {"ok": 1}), ({"n": 1}, {"n": 1.0}), ({}, {"n": 0}), ({"a": [0]}, {"a": [False]})])
def test_what_only_python_takes_for_equal_stays_different(pair):
    for first, last in (pair, pair[::-1]):
        given = [make.event(props=first, value=1.0), make.event(props=last, value=1)]
        assert [repr(event.props) for event in chunks.unpack(chunks.pack(given))] == [repr(first), repr(last)]
        assert [repr(event.value) for event in chunks.unpack(chunks.pack(given))] == ["1.0", "1"]
