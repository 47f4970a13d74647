import time

import orjson
import pytest

from metrics.intake.event import CLAMPED, KINDS, SCRUBBED, TRUNCATED, Refused
from metrics.intake.own import FIELDS, parse

NOW = 1795323100.0
FULL = {
    "id": "01234567-89ab-cdef-0123-456789abcdef", "name": "checkout.paid", "at": NOW - 5, "release": "2.4",
    "user": 7,
    "environment": "staging", "customer": "acme", "session": "s", "feature": "checkout", "platform": "web",
    "plan": "pro", "country": "de", "ok": False, "duration_ms": 12.5, "props": {"amount": 5}, "extra": "x",
}  # fmt: skip


def take(payload, content_type="application/json"):
    body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return parse(body, content_type, "1", NOW)


def one(**fields):
    [event] = take([{"name": "a"} | fields]).events
    return event


def test_every_field_is_taken():
    [event] = take([FULL]).events
    assert event == (
        "0123456789abcdef0123456789abcdef", "use", "checkout.paid", NOW - 5, "2.4", "staging", "7", "acme",
        "s",
        "checkout", "web", "pro", "DE", 1, 1, 12.5, 0, {"extra": "x", "amount": 5},
    )  # fmt: skip


def test_a_name_is_enough():
    event = one()
    assert (event.kind, event.at, event.environment, event.n, event.bad) == ("use", NOW, "production", 1, 0)
    assert (event.value, event.flags, event.props) == (None, 0, {})


LINES = b'{"name":"a"}\n\n{"name":"b"}\r\n'


@pytest.mark.parametrize(
    ("body", "content_type", "names"),
    [
        (b'[{"name":"a"},{"name":"b"}]', "application/json", "ab"),
        (b'{"events":[{"name":"a"}]}', "application/json; charset=utf-8", "a"),
        (b'{"name":"a"}', "", "a"),
        (b'\xef\xbb\xbf[{"name":"a"}]', "", "a"),
        (LINES, "application/x-ndjson", "ab"),
        (LINES, "application/jsonl", "ab"),
        (LINES, "application/json", "ab"),
        (LINES, "", "ab"),
        (b"[]", "", ""),
        (b'{"events":[]}', "", ""),
        (b"", "application/x-ndjson", ""),
    ],
)
def test_bodies_in_all_forms(body, content_type, names):
    parsed = take(body, content_type)
    assert [event.name for event in parsed.events] == list(names)
    assert parsed.reply == {"accepted": len(names)}


@pytest.mark.parametrize(
    ("body", "content_type", "where"),
    [
        (b'[{"name":"a",}]', "", "line 1, column 13 (byte 12)"),
        (b'{"name":"a"}\n{"name":', "application/x-ndjson", "Line 2, starting at byte 13"),
        (b'{"name":"a"}\n{"name":', "", "Line 2, starting at byte 13"),
        (b"", "application/json", "byte 0"),
        (b"[" * 100_000, "", "depth"),
        (b'[{"name":"a","duration_ms":NaN}]', "", "byte 27"),
    ],
)
def test_broken_json_says_where(body, content_type, where):
    with pytest.raises(Refused) as refused:
        take(body, content_type)
    assert (refused.value.status, refused.value.reason) == (400, "bad_json")
    assert where in refused.value.detail


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("name", 7), ("name", ""), ("name", " "), ("name", None), ("at", "yesterday"), ("at", True), ("at", []),
     ("timestamp", {}), ("kind", "x"), ("kind", 1), ("ok", 1), ("ok", "true"), ("n", -1), ("n", 1.5),
     ("n", 1_000_001),
     ("n", True), ("bad", "1"), ("duration_ms", -1), ("duration_ms", "5"), ("duration_ms", True),
     ("release", 2.4),
     ("user", 1.5), ("user", {}), ("customer", []), ("session", False), ("country", "ESP"), ("country", "1x"),
     ("props", []), ("traits", "x"), ("text", 5), ("id", []), ("plan", 5)],
)  # fmt: skip
def test_one_wrong_type_refuses_everything_and_names_its_place(field, wrong):
    with pytest.raises(Refused) as refused:
        take([{"name": "fine"}, {"name": "a"} | {field: wrong}])
    assert (refused.value.status, refused.value.reason) == (400, "invalid_event")
    assert refused.value.detail.startswith("Event 1: ")
    assert f'"{field}"' in refused.value.detail


@pytest.mark.parametrize("payload", [7, "x", None, {"events": 7}, [7], [None], [[]]])
def test_shapes_that_are_no_events(payload):
    with pytest.raises(Refused) as refused:
        take(payload)
    assert (refused.value.status, refused.value.reason) == (400, "invalid_event")


@pytest.mark.parametrize(
    ("fields", "counts"),
    [({"ok": True}, (1, 0)), ({"ok": False}, (1, 1)), ({"n": 5}, (5, 0)), ({"n": 5, "ok": False}, (5, 5)),
     ({"n": 5, "bad": 2}, (5, 2)), ({"bad": 1}, (1, 1)), ({"n": 0}, (0, 0)), ({"kind": "error"}, (1, 1)),
     ({"kind": "error", "ok": True}, (1, 0)), ({"kind": "error", "n": 3, "bad": 0}, (3, 0))],
)  # fmt: skip
def test_outcomes(fields, counts):
    event = one(**fields)
    assert (event.n, event.bad) == counts


@pytest.mark.parametrize("fields", [{"n": 1, "bad": 2}, {"ok": True, "bad": 1}, {"bad": 2}])
def test_contradictions_are_refused(fields):
    with pytest.raises(Refused):
        one(**fields)


def test_kinds_ask_for_what_they_need():
    assert one(kind="feedback", text="slow, password=x").props["text"] == "slow, password=[scrubbed]"
    assert one(kind="identify", traits={"plan": "pro", "token": "x"}).props == {
        "traits": {"plan": "pro", "token": "[scrubbed]"}
    }
    assert one(kind="session").kind == "session"
    for kind in ("feedback", "identify"):
        with pytest.raises(Refused):
            one(kind=kind)


def test_errors_are_grouped():
    first, second = (
        one(kind="error", type="E", message="order 7"),
        one(kind="error", type="E", message="order 8"),
    )
    assert first.props["group"] == second.props["group"] != one(kind="error", type="F").props["group"]
    assert first.props["group_version"] == 1


def test_secrets_go_and_long_texts_are_cut():
    event = one(name="n" * 500, props={"password": "x"}, card="4111 1111 1111 1111")
    assert len(event.name) == 100
    assert event.props == {"password": "[scrubbed]", "card": "[scrubbed]"}
    assert event.flags == SCRUBBED | TRUNCATED


def test_times_are_clamped_and_shifted():
    assert (one(at=0).at, one(at=0).flags) == (NOW, CLAMPED)
    [event] = take({"events": [{"name": "a", "at": NOW - 4000}], "sent_at": NOW - 3900}).events
    assert (event.at, event.flags) == (NOW - 100, CLAMPED)


def test_ids_are_safe():
    assert len(one(id="../../etc/x").id) == 32
    assert one(id=7).id == one(id=7).id
    assert one().id != one().id


def test_null_is_absent():
    assert one(**{field.name: None for field in FIELDS if field.name != "name"}).environment == "production"


def test_limits_refuse():
    with pytest.raises(Refused) as refused:
        take([{"name": "a"}] * 10_001)
    assert refused.value.reason == "too_many_events"
    with pytest.raises(Refused) as refused:
        take(b'{"name":"a"}\n' * 10_001, "application/x-ndjson")
    assert refused.value.reason == "too_many_events"
    with pytest.raises(Refused) as refused:
        take([{"name": "a"}, {"name": "b", "x": "y" * 2**20}])
    assert (refused.value.status, refused.value.reason) == (413, "too_large")
    assert "Event 1" in refused.value.detail
    assert len(take([{"name": "a"}] * 10_000).events) == 10_000


def test_the_table_of_fields_is_complete():
    names = [field.name for field in FIELDS]
    assert len(set(names)) == len(names)
    assert set(FULL) - {"extra"} <= set(names)
    assert all(kind in next(field for field in FIELDS if field.name == "kind").meaning for kind in KINDS)


def test_a_batch_costs_little():
    body = orjson.dumps([FULL] * 100)
    best = 1.0
    for _ in range(20):
        started = time.perf_counter()
        take(body)
        best = min(best, time.perf_counter() - started)
    assert best / 100 < 50e-6  # about 10 us; the slack is for slow machines
