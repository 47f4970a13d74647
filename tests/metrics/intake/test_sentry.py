import time

import orjson
import pytest

from metrics.intake.event import CLAMPED, SCRUBBED, Refused
from metrics.intake.sentry import ITEMS, key_of, parse_envelope, parse_store

NOW = 1795323100.0
KEY = "0123456789abcdef0123456789abcdef"
EVENT_ID = "7d478bab58c64089af0c944a4ccf6618"
FRAMES = [
    {
        "filename": "django/core.py",
        "function": "call",
        "lineno": 3,
        "in_app": False,
        "vars": {"password": "x"},
    },
    {"filename": "shop/views.py", "module": "shop.views", "function": "pay", "lineno": 9, "in_app": True},
    {"filename": "shop/card.py", "module": "shop.card", "function": "charge", "lineno": 4, "in_app": True},
]


def envelope(*items, header=None, lengths=True):
    lines = [orjson.dumps(header or {})]
    for kind, payload in items:
        raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        lines += [orjson.dumps({"type": kind, "length": len(raw)} if lengths else {"type": kind}), raw]
    return b"\n".join(lines)


def parse(*items, **options):
    return parse_envelope(envelope(*items, **options), "1", NOW)


def error(**fields):
    raised = {"type": "CardError", "value": "declined", "stacktrace": {"frames": FRAMES}}
    return {"event_id": EVENT_ID, "timestamp": NOW - 5, "exception": {"values": [raised]}} | fields


def one(*items, **options):
    [event] = parse(*items, **options).events
    return event


@pytest.mark.parametrize(
    ("headers", "query", "line", "key"),
    [
        ({"X-Sentry-Auth": f"Sentry sentry_key={KEY}, sentry_version=7"}, {}, b"{}", KEY),
        ({"x-sentry-auth": f"Sentry sentry_version=7,sentry_key={KEY}"}, {"sentry_key": "other"}, b"{}", KEY),
        ({"Authorization": f"Sentry sentry_key={KEY}"}, {}, b"{}", KEY),
        ({}, {"sentry_key": KEY}, b"{}", KEY),
        ({}, {}, f'{{"dsn":"https://{KEY}@hub.example:8000/42"}}'.encode(), KEY),
        ({}, {"sentry_key": "../x"}, b"{}", None),
        ({"x-sentry-auth": "Sentry"}, {}, b"", None),
        ({"authorization": f"Bearer {KEY}"}, {}, b"{", None),
        ({}, {}, b'{"dsn": 4}', None),
        ({}, {}, b'{"dsn": "http://["}', None),
        ({}, {}, b'["dsn"]', None),
        ({}, {}, b'{"dsn"', None),
    ],
)
def test_the_key_is_found_in_any_of_its_places(headers, query, line, key):
    assert key_of(headers, query, line) == key


def test_an_error_keeps_what_helps_to_find_it():
    event = one(
        (
            "event",
            error(
                release="shop@2",
                user={"id": 7, "email": "a@b.c", "ip_address": "1.2.3.4", "geo": {"country_code": "de"}},
                tags={"customer": "acme", "plan": "pro", "feature": "checkout"}, platform="python",
                transaction="/pay", level="fatal", contexts={"os": {"name": "Linux"}},
                request={"url": "https://x.io/pay?token=abc", "headers": {"Cookie": "sid=1"},
                "data": {"card": "1"}},
            ),
        )
    )  # fmt: skip
    assert event[:4] == (EVENT_ID, "error", "errors", NOW - 5)
    assert (event.release, event.environment, event.user, event.customer) == (
        "shop@2",
        "production",
        "7",
        "acme",
    )
    assert (event.plan, event.feature, event.platform, event.country) == ("pro", "checkout", "server", "DE")
    assert (event.n, event.bad, event.flags) == (1, 1, SCRUBBED)
    props = event.props
    assert (props["type"], props["value"], props["level"]) == ("CardError", "declined", "fatal")
    assert props["culprit"] == "shop.card in charge"
    assert [frame["function"] for frame in props["frames"]] == ["pay", "charge"]
    assert props["url"] == "https://x.io/pay?token=[scrubbed]"
    assert "1.2.3.4" not in str(event)
    assert "sid" not in str(event)


def group(**fields):
    return one(("event", error(**fields))).props["group"]


def test_the_group_survives_line_numbers_and_values_but_not_another_place():
    moved = [FRAMES[0], FRAMES[1] | {"lineno": 99}, FRAMES[2]]
    again = {"type": "CardError", "value": "other words", "stacktrace": {"frames": moved}}
    other = {"type": "CardError", "value": "declined", "stacktrace": {"frames": FRAMES[:2]}}
    assert group() == group(exception=[again])
    assert group() != group(exception=[other])
    assert group(fingerprint=["a"]) != group() == group(fingerprint=["{{ default }}"])
    assert group(fingerprint=["{{ default }}", "a"]) not in (group(), group(fingerprint=["a"]))
    assert len(group()) == 32


def test_frameless_errors_group_by_their_words_without_numbers():
    def worded(value):
        return group(exception=[{"type": "E", "value": value}])

    assert worded("order 17 at 0xdeadbeef") == worded("order 18 at 0xcafe")
    assert worded("order 17") != worded("no order")


def test_bundles_of_two_builds_are_one_fault():
    def built(name):
        frames = [{"filename": f"https://cdn.x/{name}", "function": "pay"}]
        return group(exception=[{"type": "E", "stacktrace": {"frames": frames}}])

    assert built("app.3f2a1b9c.js?v=1") == built("app.77aa12cd.js")
    assert built("app.js") != built("cart.js")


@pytest.mark.parametrize(
    ("level", "name", "bad"), [("info", "messages", 0), ("warning", "errors", 1), (None, "errors", 1)]
)
def test_a_calm_message_is_no_error(level, name, bad):
    event = one(("event", {"logentry": {"message": "paid %s", "formatted": "paid 5"}, "level": level}))
    assert (event.kind, event.name, event.bad, event.props["message"]) == ("error", name, bad, "paid 5")


def test_process_environments_and_locals_are_never_kept():
    event = one(
        (
            "event",
            error(extra={"environ": {"SENTRY_AUTH_TOKEN": "sntrys_x"}, "a": 1}, tags=[["k", "v"], ["bad"]]),
        )
    )
    assert event.props["extra"] == {"a": 1}
    assert event.props["tags"] == {"k": "v"}
    assert "vars" not in str(event)
    assert "sntrys_x" not in str(event)


@pytest.mark.parametrize(
    ("status", "bad"),
    [("ok", 0), ("internal_error", 1), ("deadline_exceeded", 1), ("unavailable", 1), ("data_loss", 1),
    ("aborted", 1),
     ("unknown_error", 1), ("unknown", 0), ("cancelled", 0), ("not_found", 0), ("invalid_argument", 0),
     ("unauthenticated", 0), ("permission_denied", 0), ("resource_exhausted", 0), (None, 0), (7, 0), ([], 0)],
)  # fmt: skip
def test_a_transaction_is_a_use(status, bad):
    event = one(
        (
            "transaction",
            {"type": "transaction", "transaction": "GET /users/42/?x=1", "start_timestamp": NOW - 2,
            "timestamp": NOW - 1.5,
             "contexts": {"trace": {"status": status}}},
        )
    )  # fmt: skip
    assert (event.kind, event.name, event.n, event.bad, event.value) == ("use", "/users/*/", 1, bad, 500.0)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("/a/0b7e5a52-3c4d-4f9a-9c5d-1d5a0c1f2e3d/b", "/a/*/b"),
        ("POST /reset/Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZg", "/reset/*"),
        ("/users/{id}/orders/:order", "/users/*/orders/*"),
        ("/users/<int:pk>", "/users/*"),
        ("https://x.io/cart?token=1", "/cart"),
        ("https://x.io", "/"),
        ("shop.views.pay", "shop.views.pay"),
        ("/v2/faces", "/v2/faces"),
        ("/u/ana@example.com", "/u/*"),
        ("", "unnamed"),
        (None, "unnamed"),
        (["a"], "unnamed"),
    ],
)
def test_names_do_not_grow_with_ids(raw, name):
    assert one(("transaction", {"transaction": raw})).name == name


@pytest.mark.parametrize(
    ("status", "message", "bad"),
    [("ok", None, 0), ("error", "internal_error", 1), ("error", None, 1), ("error", "not_found", 0)],
)
def test_only_segments_of_spans_are_uses(status, message, bad):
    told = {"sentry.status.message": {"value": message, "type": "string"}, "customer": "acme"}
    root = {"name": "GET /x/1", "span_id": "a", "trace_id": "t", "is_segment": True, "status": status,
            "start_timestamp": NOW - 1, "end_timestamp": NOW, "attributes": told}  # fmt: skip
    parsed = parse(("span", {"version": 2, "items": [root, {"is_segment": False}, 4]}))
    [event] = parsed.events
    assert (event.name, event.bad, event.value, event.customer) == ("/x/*", bad, 1000.0, "acme")
    assert parsed.outcomes == {("use", "filtered", "not_used"): 1, ("use", "invalid", "no_object"): 1}
    assert parse(("span", {"items": [root]})).events[0].id == event.id


def test_the_path_of_a_span_is_cleaned_like_any_text():
    told = {"url.path": {"value": "/reset\0/token=sk_live_abcdefgh12345678", "type": "string"}}
    root = {"name": "x", "span_id": "a", "trace_id": "t", "is_segment": True, "start_timestamp": NOW - 1,
            "end_timestamp": NOW, "attributes": told}  # fmt: skip
    [event] = parse(("span", {"version": 2, "items": [root]})).events
    assert "\0" not in event.props["path"]
    assert "abcdefgh" not in event.props["path"]


@pytest.mark.parametrize("kind", ["feedback", "event"])
def test_feedback_comes_as_two_kinds_of_item(kind):
    said = {
        "message": " No puedo pagar, mi clave: password=x ",
        "contact_email": "ana@example.com",
        "name": "Ana",
    }
    event = one((kind, {"type": "feedback", "event_id": EVENT_ID, "contexts": {"feedback": said}}))
    assert (event.id, event.kind, event.name, event.bad) == (EVENT_ID, "feedback", "feedback", 0)
    assert event.props["text"] == "No puedo pagar, mi clave: password=[scrubbed]"
    assert event.user == event.props["email"] == "ana@example.com"


def test_the_old_user_report_does_not_take_the_id_of_its_error():
    report = {"event_id": EVENT_ID, "name": "Ana", "email": "a@b.c", "comments": "broken"}
    parsed = parse(("event", error()), ("user_report", report))
    assert parsed.events[0].id == EVENT_ID != parsed.events[1].id
    assert parsed.events[1].props == {"text": "broken", "name": "Ana", "email": "a@b.c", "event_id": EVENT_ID}
    assert parse(("user_report", {"comments": " "})).outcomes == {("feedback", "invalid", "no_text"): 1}


def test_unknown_items_are_counted_and_skipped():
    parsed = parse(("attachment", b"\0\n\xff{}"), ("check_in", {}), ("Ev../il\n" * 9, {}), ("event", error()))
    assert len(parsed.events) == 1
    assert ("other", "filtered", "unknown_item:attachment") in parsed.outcomes
    assert ("other", "filtered", "unknown_item:check_in") in parsed.outcomes
    assert all(len(reason) <= 43 and "\n" not in reason for _, _, reason in parsed.outcomes)


def test_a_broken_or_oversized_item_does_not_stop_the_others():
    big = error(extra={"a": "x" * 2**20})
    parsed = parse(
        ("event", b"{broken"), ("event", big), ("event", b"[]"), ("transaction", b"\xff"), ("event", error())
    )
    assert len(parsed.events) == 1
    assert parsed.outcomes == {
        ("error", "invalid", "bad_json"): 1,
        ("error", "too_large", "item"): 1,
        ("error", "invalid", "no_object"): 1,
        ("use", "invalid", "bad_json"): 1,
    }


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "byte 0"),
        (b"nonsense", "byte 0"),
        (b"[]", "byte 0"),
        (b"{}\nnope\n{}", "byte 3"),
        (b'{}\n{"length":2}\n{}', "byte 3"),
        (b'{}\n{"type":"event","length":99}\n{}', "byte 32"),
        (b'{}\n{"type":"event","length":-1}\n{}', "byte 3"),
        (b'{}\n{"type":"event","length":"2"}\n{}', "byte 3"),
        (b'{}\n{"type":"event","length":1}\n{}', "byte 32"),
        (b'{}\n{"type":["event"]}\n{}', "byte 3"),
        (b'{}\n{"type":"event"}\n{}\n{"type', "byte 23"),
    ],
)
def test_broken_framing_refuses_the_whole_request(body, where):
    with pytest.raises(Refused) as refused:
        parse_envelope(body, "1", NOW)
    assert (refused.value.status, refused.value.reason) == (400, "bad_envelope")
    assert where in refused.value.detail


@pytest.mark.parametrize(
    "body",
    [b"{}", b"{}\n", b"{}\n\n", b'{}\n{"type":"attachment","length":0}\n', b'{}\r\n{"type":"log"}\r\n{}\r\n'],
)
def test_empty_envelopes_are_legal(body):
    assert parse_envelope(body, "1", NOW).events == []


def test_lengths_are_optional():
    assert (
        parse(("event", error()), ("event", error()), lengths=False).events
        == parse(("event", error()), ("event", error())).events
    )


def test_too_many_items_are_refused():
    for body in (
        envelope(*[("log", {})] * (ITEMS + 1)),
        b"{}" + b"\n" * 10_000_000,
        envelope(("span", {"items": [{"is_segment": True}] * 100_000})),
    ):
        started = time.perf_counter()
        with pytest.raises(Refused) as refused:
            parse_envelope(body, "1", NOW)
        assert (refused.value.status, refused.value.reason) == (413, "too_many_events")
        assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("raw", "reply"),
    [(EVENT_ID, EVENT_ID), (None, ""), ("../../etc/x", ""), ("x" * 10_000, ""), (7, ""),
     ("7D478BAB-58C6-4089-AF0C-944A4CCF6618", EVENT_ID)],
)  # fmt: skip
def test_the_reply_repeats_only_well_formed_ids(raw, reply):
    assert parse(header={"event_id": raw}).reply == {"id": reply}
    event = one(("event", error(event_id=raw)))
    assert len(event.id) == 32


def test_a_wrong_clock_is_corrected_by_sent_at():
    header = {"sent_at": NOW - 86_400 * 90}
    event = one(("event", error(timestamp=NOW - 86_400 * 90 - 5)), header=header)
    assert (event.at, event.flags & CLAMPED) == (NOW - 5, CLAMPED)
    assert one(("event", error()), header={"sent_at": "2026-11-22T04:51:39Z"}).flags & CLAMPED == 0


def test_trace_and_sdk_of_the_header_fill_gaps():
    header = {
        "trace": {"release": "shop@3", "environment": "staging"},
        "sdk": {"name": "sentry.python.django"},
    }
    event = one(("event", error()), header=header)
    assert (event.release, event.environment, event.platform) == ("shop@3", "staging", "server")


def test_huge_events_are_capped():
    frames = [{"filename": "a.py", "function": f"f{number}"} for number in range(10_000)]
    raised = {"type": "E" * 9999, "value": "v" * 200_000, "stacktrace": {"frames": frames}}
    event = one(("event", {"exception": {"values": [raised]}, "tags": {str(n): "t" for n in range(9000)}}))
    assert len(event.props["frames"]) == 20
    assert len(event.props["tags"]) == 50
    assert len(orjson.dumps(event.props)) < 20_000
    assert event.flags


def test_discarded_events_become_outcomes():
    dropped = [
        {"reason": "ratelimit_backoff", "category": "error", "quantity": 3},
        {"reason": "Net work!", "category": "transaction", "quantity": 2},
        {"reason": "sample_rate", "category": "span", "quantity": 9},
        {"reason": "x", "category": "session", "quantity": -1},
        {"reason": None, "category": None, "quantity": 1},
        "nonsense",
    ]
    assert parse(("client_report", {"discarded_events": dropped})).outcomes == {
        ("error", "client_discard", "ratelimit_backoff"): 3,
        ("use", "client_discard", "net_work_"): 2,
        ("other", "client_discard", "sample_rate"): 9,
        ("other", "client_discard", "unknown"): 1,
    }
    many = [{"reason": f"r{number}", "category": "error", "quantity": 1} for number in range(100)]
    assert len(parse(("client_report", {"discarded_events": many})).outcomes) <= 41


def test_store_takes_one_bare_event():
    parsed = parse_store(orjson.dumps(error()), "1", NOW)
    assert parsed.events == parse(("event", error())).events
    assert parsed.reply == {"id": EVENT_ID}


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[]", 400), (b'"x"', 400), (b" " * (2**20 + 1), 413)]
)
def test_store_refuses_what_is_no_event(body, status):
    with pytest.raises(Refused) as refused:
        parse_store(body, "1", NOW)
    assert refused.value.status == status


def test_one_id_in_two_products_stays_apart_when_it_is_no_uuid():
    body = envelope(("event", error(event_id="../../etc/x")))
    assert parse_envelope(body, "1", NOW).events[0].id != parse_envelope(body, "2", NOW).events[0].id
