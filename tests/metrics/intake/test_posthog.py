import base64
import gzip
import time
from urllib.parse import quote, urlencode

import orjson
import pytest

from metrics.intake import posthog_events
from metrics.intake.event import CLAMPED, SCRUBBED, TRUNCATED, Refused
from metrics.intake.posthog import flags_reply, key_of, load, parse, to_events

NOW = 1795323100.0
UUID = "01a20198-23c8-7d74-9f09-142a832b4378"
BATCH = {"api_key": "phc_x", "batch": [{"event": "pay+now", "uuid": UUID, "properties": {}}]}
JSON = orjson.dumps(BATCH)
FORM = "application/x-www-form-urlencoded"
CODED = base64.b64encode(JSON).decode()


def take(*events, **head):
    return to_events({"batch": list(events), **head}, "1", NOW)


def event(name="pay", properties=None, **fields):
    return {"event": name, "uuid": UUID, "distinct_id": "u-7", "properties": properties or {}} | fields


def one(*given, **fields):
    [made] = take(event(*given, **fields)).events
    return made


@pytest.mark.parametrize(
    ("body", "content_type", "query"),
    [
        (JSON, "application/json", {}),
        (b"\xef\xbb\xbf" + JSON, "text/plain", {}),
        (gzip.compress(JSON), "text/plain", {}),
        (gzip.compress(JSON), "text/plain", {"compression": "gzip-js"}),
        (JSON, FORM, {}),
        (b"data=" + quote(CODED).encode(), FORM, {"compression": "base64"}),
        (b"data=" + CODED.encode(), FORM, {"compression": "base64"}),
        (b"data=" + CODED.rstrip("=").encode(), "text/plain", {}),
        (urlencode({"data": JSON.decode()}).encode(), FORM, {}),
        (urlencode({"data": CODED, "compression": "base64"}).encode(), FORM, {}),
        (
            urlencode({"data": base64.b64encode(gzip.compress(JSON))}).encode(),
            FORM,
            {"compression": "gzip-js"},
        ),
        (b"", "", {"data": CODED, "compression": "base64"}),
        (b"", "", {"data": JSON.decode()}),
    ],
)
def test_bodies_in_all_wrappings(body, content_type, query):
    assert load(body, content_type, query) == BATCH
    assert key_of(BATCH, query, {}) == "phc_x"


def test_an_empty_request_holds_nothing():
    assert load(b"", "", {}) == {}
    assert to_events({}, "1", NOW).events == []


@pytest.mark.parametrize(
    ("body", "content_type", "query", "status"),
    [
        (b"{", "", {}, 400),
        (b"7", "", {}, 400),
        (b"data=%%%", FORM, {}, 400),
        (b"data=", FORM, {}, 400),
        (b"x=1", FORM, {}, 400),
        (b"data=\xff", FORM, {}, 400),
        (b"&".join([b"a=1"] * 99), FORM, {}, 400),
        (gzip.compress(JSON)[:-9], "", {}, 400),
        (JSON, "", {"compression": "lz64"}, 415),
        (gzip.compress(bytes(50 * 2**20)), "", {}, 413),
        (b"data=" + base64.b64encode(b"nonsense"), FORM, {}, 400),
    ],
)
def test_bodies_that_cannot_be_read(body, content_type, query, status):
    with pytest.raises(Refused) as refused:
        load(body, content_type, query)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("payload", "query", "headers", "key"),
    [
        ({"api_key": "a"}, {}, {}, "a"),
        ({"token": "a"}, {}, {}, "a"),
        ({"$token": "a"}, {}, {}, "a"),
        ({"event": "x", "properties": {"token": "a"}}, {}, {}, "a"),
        ([{"event": "x", "properties": {"token": "a"}}], {}, {}, "a"),
        ([{"event": "x", "api_key": "a"}], {}, {}, "a"),
        ({"batch": [{"properties": {"token": "a"}}]}, {}, {}, "a"),
        ({}, {"token": "a"}, {}, "a"),
        ({"batch": []}, {}, {"Authorization": "Bearer a"}, "a"),
        ({"api_key": 7, "batch": 4}, {}, {}, None),
        ([], {}, {"authorization": "Bearer "}, None),
        ({"api_key": "x" * 201}, {}, {}, None),
        ([4], {}, {}, None),
    ],
)
def test_the_key_is_found_in_any_of_its_places(payload, query, headers, key):
    assert key_of(payload, query, headers) == key


def test_one_event_and_a_bare_list_are_taken_too():
    assert (
        to_events(event(), "1", NOW).events == to_events([event()], "1", NOW).events == take(event()).events
    )


def test_fields_come_from_the_properties():
    made = one(
        "pay",
        {"app_version": "2.4", "env": "staging", "$groups": {"company": "acme"}, "feature": "checkout",
        "plan": "pro",
         "$lib": "web", "$os": "Android", "$session_id": "s1", "$geoip_country_code": "de", "duration_ms": 12,
         "amount": 5, "$insert_id": "x", "$screen_width": 3, "$set": {"a": 1},
         "$current_url": "https://x/?token=a"},
        timestamp="2026-11-22T04:51:17.576Z",
    )  # fmt: skip
    assert made == (
        UUID.replace("-", ""), "use", "pay", 1795323077.576, "2.4", "staging", "u-7", "acme", "s1",
        "checkout", "web",
        "pro", "DE", 1, 0, 12.0, SCRUBBED,
        {"os": "Android", "amount": 5, "url": "https://x/?token=[scrubbed]"},
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", ["release", "app_version", "$app_version", "$release_id", "$release", "version"]
)
def test_the_release_has_many_names(name):
    assert one("a", {name: "2.4"}).release == "2.4"


@pytest.mark.parametrize(
    ("properties", "customer"),
    [({"customer": "a"}, "a"), ({"account_id": 7}, "7"), ({"$groups": {"organization": "a"}}, "a"),
     ({"$groups": {"planet": "a"}, "customer_id": "b"}, "b"), ({"$groups": "a"}, ""), ({}, "")],
)  # fmt: skip
def test_the_customer_is_a_group_or_a_property(properties, customer):
    assert one("a", properties).customer == customer


@pytest.mark.parametrize(
    ("lib", "system", "platform"),
    [("web", "iOS", "web"), ("posthog-ios", "iOS", "ios"), ("posthog-ios", "macOS", "desktop"),
     ("posthog-android", "Android", "android"), ("posthog-react-native", "Android", "android"),
     ("posthog-python", "Linux", "server"), ("posthog-node", None, "server"), (None, "Android", "android"),
     (7, [], "")],
)  # fmt: skip
def test_the_platform_follows_library_and_system(lib, system, platform):
    assert one("a", {"$lib": lib, "$os": system}).platform == platform
    assert one("a", {"$lib": lib, "platform": "tv"}).platform == "tv"


@pytest.mark.parametrize(
    ("properties", "counts"),
    [({}, (1, 0)), ({"ok": False}, (1, 1)), ({"ok": True}, (1, 0)), ({"success": False}, (1, 1)),
    ({"failed": True}, (1, 1)),
     ({"status": "Failed"}, (1, 1)), ({"status": "done"}, (1, 0)), ({"error": "timeout"}, (1, 1)),
     ({"error": ""}, (1, 0)),
     ({"error": "none"}, (1, 0)), ({"error": 4}, (1, 0)), ({"n": 5, "bad": 2}, (5, 2)),
     ({"n": 5, "ok": False}, (5, 5)),
     ({"n": 5, "bad": 9}, (5, 0)), ({"n": -1}, (1, 0)), ({"n": True}, (1, 0)),
     ({"n": 10**9, "bad": 1}, (1, 0))],
)  # fmt: skip
def test_outcomes_come_from_the_properties(properties, counts):
    made = one("a", properties)
    assert (made.n, made.bad) == counts


def test_nothing_is_read_into_a_name():
    assert one("checkout_failed")[1:3] == ("use", "checkout_failed")
    assert one("checkout_failed").bad == 0


@pytest.mark.parametrize(
    ("properties", "value"),
    [({"duration": 5}, 5.0), ({"latency_ms": 5.5}, 5.5), ({"elapsed_ms": 0}, 0.0), ({"$duration": 2}, 2000.0),
     ({"duration_ms": "5"}, None), ({"duration_ms": -1}, None), ({}, None)],
)  # fmt: skip
def test_durations_are_milliseconds(properties, value):
    assert one("a", properties).value == value


@pytest.mark.parametrize(
    ("raw", "name"), [("$pageview", "pageview"), ("$screen", "screen"), ("$", "$"), ("a$b", "a$b")]
)
def test_names_lose_their_dollar(raw, name):
    assert one(raw).name == name


def test_rage_clicks_are_struggles():
    assert one("$rageclick", {"feature": "cart"})[9] == "cart"
    assert one("$rageclick").props == one("$dead_click").props == {"struggle": True}


def test_identify_says_who_somebody_is():
    made = one(
        "$identify", {"$set": {"plan": "pro", "mrr": 90, "password": "x"}}, **{"$set": {"email": "a@Acme.io"}}
    )
    assert (made.kind, made.name, made.user, made.plan) == ("identify", "identify", "u-7", "pro")
    assert made.props == {
        "traits": {
            "email": "a@Acme.io",
            "plan": "pro",
            "mrr": 90,
            "password": "[scrubbed]",
            "email_domain": "acme.io",
        }
    }


def test_a_group_is_a_customer():
    told = {
        "$group_type": "company",
        "$group_key": "acme",
        "$group_set": {"name": "Acme", "plan": "pro", "currency": "EUR"},
    }
    made = one("$groupidentify", told)
    assert (made.kind, made.customer, made.plan) == ("identify", "acme", "pro")
    assert made.props["traits"] == {"name": "Acme", "plan": "pro", "currency": "EUR", "group_type": "company"}


@pytest.mark.parametrize("name", ["$create_alias", "$snapshot", "$feature_flag_called", "$$heatmap"])
def test_what_counts_nothing_is_filtered(name):
    parsed = take(event(name))
    assert parsed.events == []
    assert [key[:2] for key in parsed.outcomes] == [("use", "filtered")]


def test_exceptions_are_errors():
    frames = [
        {"filename": "a.py", "function": "pay", "lineno": 3, "in_app": True, "code_variables": {"pw": "x"}}
    ]
    chain = [
        {"type": "CardError", "value": "declined 4111111111111111", "mechanism": {"handled": False},
         "stacktrace": {"frames": frames}},
        {"type": "Cause", "value": "inner"},
    ]  # fmt: skip
    made = one("$exception", {"$exception_list": chain, "$exception_level": "error"})
    assert (made.kind, made.name, made.n, made.bad) == ("error", "errors", 1, 1)
    assert made.props["type"] == "CardError"
    assert made.props["value"] == "declined [scrubbed]"
    assert made.props["culprit"] == "a.py in pay"
    assert made.props["handled"] is False
    assert one("$exception", {"$exception_type": "E", "$exception_message": "m"}).props["type"] == "E"


def test_a_survey_answered_in_words_is_feedback():
    made = one("survey sent", {"$survey_response": "too slow", "$survey_response_2": "8", "$survey_id": "s"})
    assert (made.kind, made.props["text"]) == ("feedback", "too slow")
    assert one("survey sent", {"$survey_response": 9}).kind == "use"


def test_what_is_no_event_is_counted_and_the_rest_goes_on():
    parsed = take(
        4, None, [], {}, {"event": " "}, {"event": 7}, event("a", None), {"event": "b", "properties": []}
    )
    assert [made.name for made in parsed.events] == ["a", "b"]
    assert parsed.outcomes == {("other", "invalid", "no_object"): 3, ("other", "invalid", "no_event_name"): 3}
    assert parsed.reply == {"status": 1}


def test_an_oversized_event_does_not_stop_the_others():
    body = orjson.dumps({"batch": [event("a"), event("b", {"x": "y" * 2**20}), event("c")]})
    parsed = parse(body, "application/json", {}, "1", NOW)
    assert [made.name for made in parsed.events] == ["a", "c"]
    assert parsed.outcomes == {("other", "too_large", "event"): 1}


@pytest.mark.parametrize("payload", [{"batch": 7}, {"batch": {"a": 1}}])
def test_a_batch_must_be_a_list(payload):
    with pytest.raises(Refused) as refused:
        to_events(payload, "1", NOW)
    assert refused.value.status == 400


def test_too_many_events_are_refused():
    with pytest.raises(Refused) as refused:
        take(*[event()] * 10_001)
    assert (refused.value.status, refused.value.reason) == (413, "too_many_events")
    assert len(take(*[event()] * 10_000).events) == 10_000


def test_resent_events_keep_their_id():
    dated = {"event": "a", "timestamp": NOW - 5, "distinct_id": "u"}
    assert take(dated).events[0].id == take(dict(dated)).events[0].id
    assert take(dated).events[0].id != take(dated | {"distinct_id": "v"}).events[0].id
    assert take({"event": "a"}).events[0].id != take({"event": "a"}).events[0].id
    assert one("a", {"$insert_id": "zz"}, uuid=None).id == one("b", {"$insert_id": "zz"}, uuid=None).id


def test_times_are_clamped_and_shifted():
    assert one("a", timestamp=NOW - 86_400 * 40)[3] == NOW
    assert one("a", timestamp=NOW - 86_400 * 40).flags == CLAMPED
    [made] = take(event(timestamp=NOW - 7200 - 5), sent_at=NOW - 7200).events
    assert (made.at, made.flags) == (NOW - 5, CLAMPED)


def test_imports_of_the_past_do_not_count_as_today():
    parsed = take(event(timestamp=NOW - 86_400 * 400), event(timestamp=NOW - 5), historical_migration=True)
    assert len(parsed.events) == 1
    assert parsed.outcomes == {("use", "filtered", "too_old"): 1}


def test_properties_are_capped():
    made = one("a", {f"p{number}": number for number in range(100_000)})
    assert len(made.props) == 30
    assert made.flags == TRUNCATED


def test_flags_answer_old_and_new_clients():
    reply = flags_reply()
    assert reply["flags"] == reply["featureFlags"] == {}
    assert reply["errorsWhileComputingFlags"] is False


def test_a_batch_costs_little():
    body = orjson.dumps(
        {"batch": [event("a", {"amount": 5, "feature": "x", "$lib": "posthog-python"})] * 100}
    )
    best = 1.0
    for _ in range(20):
        started = time.perf_counter()
        parse(body, "application/json", {}, "1", NOW)
        best = min(best, time.perf_counter() - started)
    assert best / 100 < 50e-6  # about 8 us; the slack is for slow machines


def test_what_is_remembered_of_a_shape_changes_nothing():
    """Events of one shape one after another, and with the cache full of others, are read as each would be alone."""
    names = ["url", "$current_url", "$referring_domain", "referrer", "plan", "plän", "release", "$app_version", "x" * 200]
    rows = [
        {name: value for place, name in enumerate(names) if number & 1 << place}
        for number in range(2 ** len(names))
        for value in ("$direct", "a")
    ]  # fmt: skip
    rows += [{f"p{place}": place for place in range(n)} for n in (29, 30, 31, 200)]

    def read(properties: dict) -> tuple:
        [event] = to_events({"batch": [{"event": "go", "properties": properties}]}, "1", NOW).events
        return event[1:]

    alone = []
    for row in rows:
        posthog_events._shapes.clear()
        alone.append(read(row))
    assert [read(row) for row in rows] == alone
    assert len(posthog_events._shapes) <= posthog_events.SHAPES
    assert read({"url": 1, "$current_url": 2})[-1] == read({"$current_url": 2, "url": 1})[-1] == {"url": 1}
