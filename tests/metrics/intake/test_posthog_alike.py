"""Columns say what `take` says, whatever comes."""

import random
import time

import orjson
import pytest

from metrics.intake import clean, posthog_alike
from metrics.intake.batch import Batch
from metrics.intake.posthog import held, to_events
from metrics.intake.posthog_alike import FEWEST, take_all
from metrics.intake.posthog_events import take
from productops.bench import bodies
from productops.bench.bodies import SEQ

NOW = 1_790_000_000.0
SAID = "2026-09-21T14:13:20.123456+00:00"
#: What strangers put anywhere.
ODD = (
    "", " ", "x" * 50, "x" * 130, "x" * 5000, "a\0b", "\ud800", "é", "Ünï", 0, 1, -1, 7.5, 1e15, 10**13, True, False, None,
    [], ["a"], {}, {"a": 1}, "4111 1111 1111 1111", 4111111111111111, "Bearer abcdefgh12345678", "https://u:p@x.example/",
    "https://x.example/?token=abc123def", "2026-09-21T14:13:20Z", "20260921", "12:00", "2019-01-01T00:00:00Z", "$direct",
    "error", "9999-12-31T23:59:59-15:00", "00000000-0000-0000-0000-000000000000", "0198f1de-7c4a-7d30-9a40-3a5a0c4d1e2f",
    "0198F1DE7C4A7D309A403A5A0C4D1E2F", "$identify", "$exception", "survey sent", "$rageclick", "$snapshot", "de",
)  # fmt: skip
NAMES = (
    "event", "uuid", "timestamp", "distinct_id", "$distinct_id", "session_id", "$set", "type", "properties",
)  # fmt: skip
PROPERTIES = (
    "release", "version", "environment", "$groups", "customer", "account_id", "plan", "duration_ms", "$duration", "ok",
    "status", "n", "bad", "error", "$session_id", "feature", "platform", "$lib", "$os", "$is_server", "country",
    "$geoip_country_code", "$current_url", "$referring_domain", "$insert_id", "$time", "password", "name", "value", "note",
    "amount", "headers", "x" * 120, "a\0key", "$survey_response", "$exception_list",
)  # fmt: skip


def both(raws, shift=0.0, historical=False):
    one, many = (Batch("1", NOW, shift, historical) for _twice in range(2))
    for raw in raws:
        take(raw, one)
    take_all(raws, many)
    return one, many


def event(number, **properties):
    told = {"release": "2.5.0", "$lib": "web", "$current_url": f"https://shop.example/{number}", **properties}
    return {
        "event": "checkout", "uuid": f"0198f1de-7c4a-7d30-9a40-{number:012x}", "timestamp": SAID,
        "distinct_id": f"user-{number % 7}", "properties": told,
    }  # fmt: skip


def random_batch(rng):
    """Events of a few shapes, of which some were tampered with."""
    properties = rng.sample(PROPERTIES, rng.randrange(8))
    steady = {name: rng.choice(ODD) for name in properties}
    raws = []
    for number in range(rng.randrange(FEWEST, 30)):
        raw = event(number, **(steady if rng.random() < 0.9 else {}))
        if rng.random() < 0.1:
            raw[rng.choice(NAMES)] = rng.choice(ODD)
        if type(raw["properties"]) is dict and rng.random() < 0.1:
            raw["properties"][rng.choice(PROPERTIES)] = rng.choice(ODD)
        if rng.random() < 0.02:
            raw.pop(rng.choice(sorted(raw)))
        raws.append(raw if rng.random() < 0.98 else rng.choice(ODD))
    return raws


@pytest.fixture(autouse=True)
def _no_lots(monkeypatch):
    """Events without an id of their own get the same one."""
    monkeypatch.setattr(clean, "urandom", bytes)


@pytest.mark.parametrize("seed", range(40))
def test_as_take(seed):
    rng = random.Random(seed)
    for _batch in range(50):
        raws = random_batch(rng)
        one, many = both(raws, rng.choice((0.0, 0.0, -4000.0)), rng.random() < 0.05)
        assert (many.events, many.outcomes) == (one.events, one.outcomes)
        assert [list(map(type, e)) for e in many.events] == [list(map(type, e)) for e in one.events]


@pytest.mark.parametrize("seed", range(20))
def test_what_a_payload_holds_is_told_without_parsing_it(seed):
    rng = random.Random(seed)
    for _batch in range(30):
        raws = random_batch(rng)
        parsed = to_events({"batch": raws}, "1", NOW)
        assert held({"batch": raws}) == (len(parsed.events), parsed.held())
        assert held({"batch": raws, "historical_migration": True}) is None


@pytest.mark.parametrize("name", PROPERTIES)
def test_each_value_of_each_property(name):
    for odd in ODD:
        raws = [event(number, **{name: odd}) for number in range(FEWEST)]
        one, many = both(raws)
        assert (many.events, many.outcomes) == (one.events, one.outcomes)
        raws[3]["properties"][name] = "some"
        one, many = both(raws)
        assert (many.events, many.outcomes) == (one.events, one.outcomes)


def test_real_bodies_go_by_columns(monkeypatch):
    """Else the columns would be tested and never used."""
    monkeypatch.setattr(posthog_alike, "take", None)
    body = bodies.posthog("po_key", 100, random.Random(1)).replace(SEQ, b"0198f1de-7c4a-7d30")
    parsed = to_events(orjson.loads(body), "1", time.time())
    assert len(parsed.events) == 100
