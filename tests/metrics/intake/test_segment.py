"""Segment's messages become facts."""

from __future__ import annotations

from base64 import b64encode

import pytest

from metrics.intake import segment
from metrics.intake.decode import BATCH_EVENTS, EVENT_LIMIT
from metrics.intake.event import CLAMPED, SCRUBBED, Refused

NOW = 1_795_323_100.0


def take(*messages, kind="", size=0, **head):
    return segment.parse({"batch": list(messages), **head}, kind, size, "1", NOW)


def track(event="Order Paid", /, properties=None, **fields):
    return {"type": "track", "event": event, "messageId": "m-1", "userId": "u", "properties": properties or {}, **fields}


def one(*args, **fields):
    [event] = take(track(*args, **fields)).events
    return event


def basic(text):
    return {"authorization": "Basic " + b64encode(text.encode()).decode()}


def test_every_field_has_its_place():
    made = one(
        properties={"plan": "Pro", "feature": "Checkout", "duration_ms": 12, "ok": False, "amount": 5, "country": "es"},
        timestamp="2026-11-22T04:40:00.000Z",
        context={
            "app": {"version": "2.4.1"}, "groupId": "acme", "environment": "staging", "library": {"name": "analytics-python"},
            "sessionId": 17, "page": {"url": "https://shop.example/pay", "path": "/pay"},
        },
    )  # fmt: skip
    assert (made.kind, made.name, made.release, made.environment) == ("use", "Order Paid", "2.4.1", "staging")
    assert (made.user, made.customer, made.session) == ("u", "acme", "17")
    assert (made.feature, made.platform, made.plan, made.country) == ("Checkout", "server", "Pro", "ES")
    assert (made.n, made.bad, made.value) == (1, 1, 12.0)
    assert made.props == {"ok": False, "amount": 5, "url": "https://shop.example/pay", "path": "/pay"}
    assert len(made.id) == 32


def test_the_same_message_has_the_same_id_and_another_product_another():
    first, again = take(track()).events[0].id, take(track()).events[0].id
    other = segment.parse({"batch": [track()]}, "", 0, "2", NOW).events[0].id
    assert first == again != other


def test_without_an_id_a_dated_message_is_told_apart_by_its_content():
    def anonymous(n):
        return {"type": "track", "event": "a", "timestamp": "2026-11-22T04:40:00Z", "properties": {"n": n}}

    assert take(anonymous(1)).events[0].id == take(anonymous(1)).events[0].id != take(anonymous(2)).events[0].id


@pytest.mark.parametrize(
    ("message", "kind", "name"),
    [
        ({"type": "page", "name": "Home"}, "use", "pageview"),
        ({"type": "screen", "name": "Basket"}, "use", "screen"),
        ({"type": "identify", "traits": {}}, "identify", "identify"),
        ({"type": "group", "groupId": "acme", "traits": {}}, "identify", "identify"),
    ],
)
def test_types(message, kind, name):
    [event] = take({"userId": "u", **message}).events
    assert (event.kind, event.name) == (kind, name)


def test_an_address_names_the_type_of_its_one_message():
    parsed = segment.parse({"userId": "u", "event": "a"}, "track", 0, "1", NOW)
    assert [event.name for event in parsed.events] == ["a"]
    assert parsed.reply == {"success": True}


def test_who_a_customer_is():
    [event] = take({"type": "group", "groupId": "acme", "userId": "u", "traits": {"name": "Acme", "plan": "Pro"}}).events
    assert (event.customer, event.plan, event.props["traits"]) == ("acme", "Pro", {"name": "Acme", "plan": "Pro"})
    [event] = take({"type": "identify", "userId": "u", "traits": {"email": "a@Acme.io", "company": {"id": 7}}}).events
    assert (event.customer, event.props["traits"]["email_domain"]) == ("7", "acme.io")


@pytest.mark.parametrize(
    ("context", "platform"),
    [
        ({"library": {"name": "analytics.js"}}, "web"),
        ({"library": {"name": "@segment/analytics-node"}}, "server"),
        ({"library": {"name": "analytics-ios"}, "device": {"type": "ios"}}, "ios"),
        ({"library": {"name": "analytics-android"}, "os": {"name": "Android"}}, "android"),
        ({}, ""),
    ],
)
def test_platform(context, platform):
    assert one(context=context).platform == platform


def test_a_batchs_context_holds_for_its_messages():
    parsed = take(track(), track(context={"app": {"version": "2"}}), context={"app": {"version": "1"}})
    assert [event.release for event in parsed.events] == ["1", "2"]


def test_secrets_go():
    made = one(properties={"password": "hunter2", "note": "Bearer abc123def456"})
    assert "hunter2" not in str(made)
    assert "abc123def456" not in str(made)
    assert made.flags & SCRUBBED


def test_a_wrong_clock_is_put_right():
    made = take(track(timestamp="2026-11-20T04:00:00Z"), sentAt="2026-11-20T04:00:10Z").events[0]
    assert NOW - 11 <= made.at <= NOW - 9
    assert made.flags & CLAMPED


def test_what_is_no_message_is_counted_and_the_rest_goes_on():
    parsed = take(4, None, [], {}, {"type": "track"}, {"type": "track", "event": " "}, {"type": "alias"}, {"type": "x"}, track())
    assert len(parsed.events) == 1
    assert parsed.outcomes == {
        ("other", "invalid", "no_object"): 3, ("other", "invalid", "unknown_type"): 2,
        ("other", "invalid", "no_event_name"): 2, ("identify", "filtered", "alias"): 1,
    }  # fmt: skip


def test_too_large_a_message_is_counted():
    parsed = take(track(), track(properties={"a": "x" * EVENT_LIMIT}), size=EVENT_LIMIT + 100)
    assert len(parsed.events) == 1
    assert parsed.outcomes == {("other", "too_large", "event"): 1}


@pytest.mark.parametrize("fields", [{"properties": 4}, {"context": []}, {"context": {"app": 1, "traits": "x"}}, {"userId": {}},
                                    {"timestamp": {}}, {"messageId": []}, {"traits": 3}])  # fmt: skip
def test_odd_fields_do_no_harm(fields):
    assert len(take({**track(), **fields}, {"type": "identify", **fields}).events) == 2


@pytest.mark.parametrize("body", [b"[]", b"3", b'"x"', b"{", b""])
def test_what_is_no_object_is_refused(body):
    with pytest.raises(Refused) as refused:
        segment.load(body)
    assert refused.value.status == 400


def test_a_batch_must_be_a_list_of_at_most_so_many():
    with pytest.raises(Refused) as refused:
        segment.parse({"batch": {}}, "", 0, "1", NOW)
    assert refused.value.reason == "bad_batch"
    with pytest.raises(Refused) as refused:
        take(*[0] * (BATCH_EVENTS + 1))
    assert refused.value.status == 413


def test_the_key_is_the_user_of_basic_authorization():
    assert segment.key_of({}, {}, basic("key:")) == "key"
    assert segment.key_of({"writeKey": "b"}, {}, basic(":")) == "b"
    assert segment.key_of({}, {"writeKey": "c"}, {}) == "c"
    assert segment.key_of({"writeKey": 4}, {}, {}) == ""
    for broken in ("Basic !", "Basic " + "/" * 4):
        with pytest.raises(Refused):
            segment.key_of({}, {}, {"authorization": broken})
