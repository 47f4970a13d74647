import pytest

from .test_sentry import NOW, parse

SID = "b640ad26ea1a48089cf93a14260d7567"
ATTRS = {"release": "shop@2", "environment": "staging"}


def state(**fields):
    return (
        "session",
        {"sid": SID, "did": "u-7", "started": NOW - 60, "status": "ok", "attrs": ATTRS} | fields,
    )


def counts(parsed):
    return [(event.n, event.bad, event.props) for event in parsed.events]


def test_init_counts_a_session_once():
    parsed = parse(state(init=True))
    [event] = parsed.events
    assert (event.kind, event.name, event.at, event.n, event.bad) == ("session", "sessions", NOW - 60, 1, 0)
    assert (event.release, event.environment, event.user, event.session) == ("shop@2", "staging", "u-7", SID)
    assert parse(state(init=True, errors=3)).events[0].id == event.id


@pytest.mark.parametrize("status", ["crashed", "abnormal", "unhandled"])
def test_a_bad_end_counts_once_and_only_as_bad(status):
    parsed = parse(state(init=False, status=status, errors=1))
    assert counts(parsed) == [(0, 1, {"update": True, "status": status})]
    assert parsed.events[0].id == parse(state(status="crashed")).events[0].id
    assert parsed.events[0].at == NOW - 60


def test_a_session_that_begins_and_crashes_in_one_state_is_two_facts():
    parsed = parse(state(init=True, status="crashed"))
    assert [(n, bad) for n, bad, _ in counts(parsed)] == [(1, 0), (0, 1)]
    assert parse(state(init=True)).events[0].id == parsed.events[0].id
    assert parse(state(status="crashed")).events[0].id == parsed.events[1].id


def test_an_end_with_errors_is_errored_and_not_bad():
    assert counts(parse(state(status="exited", errors=2))) == [(0, 0, {"update": True, "errored": True})]


@pytest.mark.parametrize("fields", [{}, {"status": "exited"}, {"errors": 2}])
def test_states_without_news_are_counted_only(fields):
    parsed = parse(state(**fields))
    assert parsed.events == []
    assert parsed.outcomes == {("session", "filtered", "session_update"): 1}


@pytest.mark.parametrize(
    "fields", [{"sid": None}, {"sid": ""}, {"sid": 4}, {"status": "odd"}, {"status": None}]
)
def test_senseless_sessions_are_invalid(fields):
    assert parse(state(**fields)).outcomes == {("session", "invalid", "bad_session"): 1}


def rows(*aggregates):
    return ("sessions", {"aggregates": list(aggregates), "attrs": ATTRS})


def test_aggregates_count_all_and_the_bad_ones():
    row = {"started": "2026-11-22T04:50:00Z", "exited": 7, "errored": 2, "crashed": 3}
    parsed = parse(rows(row, {"started": NOW, "abnormal": 1}))
    assert counts(parsed) == [(12, 3, {"errored": 2}), (1, 1, {})]
    assert parsed.events[0].at == NOW - 100
    assert [event.id for event in parse(rows(row, {"started": NOW, "abnormal": 1})).events] == [
        event.id for event in parsed.events
    ]
    assert parse(rows(row | {"exited": 8})).events[0].id != parsed.events[0].id


def test_senseless_aggregates_are_invalid():
    parsed = parse(rows({"exited": -1}, {"exited": "7"}, 5, {"exited": 10**9}, {"exited": True}))
    assert parsed.events == []
    assert parsed.outcomes == {("session", "invalid", "bad_counts"): 5}
    assert parse(("sessions", {"aggregates": {}})).outcomes == {("session", "invalid", "bad_session"): 1}


def test_only_a_hundred_aggregates_are_read():
    parsed = parse(rows(*[{"started": NOW, "exited": 1}] * 130))
    assert len(parsed.events) == 100
    assert parsed.outcomes == {("session", "too_large", "too_many_aggregates"): 30}
