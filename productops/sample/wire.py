"""Facts as the requests that clients of three protocols would have sent. Pure: bytes out, nothing sent.

Sales go through the hub's own intake, what people do with the new feature through PostHog's, visits and
errors through Sentry's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import orjson

from productops.sample.cast import Client
from productops.sample.story import REPORTED, Fact, Hour
from productops.sample.timeline import CHECKOUT, FILTERS

_NAMES = UUID("6f0b6c0e-5d0a-4d0e-9a52-2f3f1f7a2026")
#: What a device's Sentry client calls itself.
_SDK = {"web": "sentry.javascript.browser", "android": "sentry.java.android", "ios": "sentry.cocoa"}
_LIB = {"web": "web", "android": "posthog-android", "ios": "posthog-ios"}
_LANGUAGE = {"web": "javascript", "android": "java", "ios": "cocoa"}
#: Aggregates one Sentry item may hold.
_AGGREGATES = 100


@dataclass(frozen=True)
class Account:
    """Where to send: the product's number and its ingest key."""

    product: int
    key: str


@dataclass(frozen=True)
class Request:
    """One HTTP POST, sent at `at` (unix seconds)."""

    at: float
    path: str
    headers: dict[str, str]
    body: bytes = field(repr=False)


def requests(hour: Hour, to: Account) -> Iterator[Request]:
    """An hour's facts and visits as requests, sent when the hour was over."""
    own = [fact for fact in hour.facts if fact.feature != FILTERS]
    product = [fact for fact in hour.facts if fact.feature == FILTERS]
    if own:
        yield own_lines(own, hour.until, to)
    if product:
        yield posthog_batch([_posthog(fact) for fact in product], hour.until, to)
    yield from sentry_sessions(hour, to)
    yield from sentry_errors(hour, to)


def own_lines(facts: Iterable[Fact], at: float, to: Account) -> Request:
    return _lines((_own(fact) for fact in facts), at, to)


def introductions(clients: Iterable[Client], at: float, to: Account) -> Iterator[Request]:
    """Who the customers are: most by the hub's own `identify`, some as PostHog groups."""
    own, groups = [], []
    for index, client in enumerate(clients):
        if index % 8 == 0:
            groups.append(_group(client, at))
        else:
            row = {
                "name": "identify",
                "kind": "identify",
                "customer": client.id,
                "at": at,
                "traits": client.traits(),
            }
            own.append({"id": f"identify:{client.id}", **row})
    yield _lines(own, at, to)
    yield posthog_batch(groups, at, to)


def _lines(rows: Iterable[dict[str, Any]], at: float, to: Account) -> Request:
    headers = {"content-type": "application/x-ndjson", "authorization": f"Bearer {to.key}"}
    return Request(at, "/api/v1/events", headers, b"\n".join(map(orjson.dumps, rows)))


def _own(fact: Fact) -> dict[str, Any]:
    client = fact.person.client
    row: dict[str, Any] = {
        "id": f"{fact.name}:{fact.person.id}:{fact.at:.3f}",
        "name": fact.name,
        "at": round(fact.at, 3),
        "ok": not fact.bad,
        "duration_ms": fact.ms,
        "release": fact.release,
        "user": fact.person.id,
        "customer": client.id,
        "feature": fact.feature,
        "platform": fact.person.platform,
        "plan": client.plan,
        "country": client.country,
    }
    if fact.environment != "production":
        row |= {"environment": fact.environment, "customer": None, "plan": None}
    if fact.struggle:
        row["props"] = {"struggle": True}
    return row


def posthog_batch(events: list[dict[str, Any]], at: float, to: Account) -> Request:
    body = {"api_key": to.key, "batch": events, "sent_at": _iso(at)}
    return Request(at, "/batch/", {"content-type": "application/json"}, orjson.dumps(body))


def posthog_events(facts: Iterable[Fact]) -> list[dict[str, Any]]:
    return [_posthog(fact) for fact in facts]


def _posthog(fact: Fact) -> dict[str, Any]:
    person = fact.person
    properties: dict[str, Any] = {
        "$lib": _LIB[person.platform],
        "$groups": {"company": person.client.id},
        "app_version": fact.release,
        "feature": fact.feature,
        "plan": person.client.plan,
        "country": person.client.country,
    }
    if person.platform != "web":
        properties["$os"] = {"android": "Android", "ios": "iOS"}[person.platform]
    if fact.struggle:
        properties["struggle"] = True
    if fact.ms is not None:
        properties |= {"duration_ms": fact.ms, "ok": not fact.bad}
    return {
        "event": fact.name,
        "uuid": str(uuid5(_NAMES, f"{fact.name}:{person.id}:{fact.at:.3f}")),
        "timestamp": _iso(fact.at),
        "distinct_id": person.id,
        "properties": properties,
    }


def _group(client: Client, at: float) -> dict[str, Any]:
    told = {"$group_type": "company", "$group_key": client.id, "$group_set": client.traits()}
    row = {
        "event": "$groupidentify",
        "timestamp": _iso(at),
        "distinct_id": client.users[0].id,
        "properties": told,
    }
    return {"uuid": str(uuid5(_NAMES, f"group:{client.id}")), **row}


def sentry_sessions(hour: Hour, to: Account) -> Iterator[Request]:
    """One envelope per platform; in it one item per release."""
    rows: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for (minute, release, platform, person), (visits, crashed) in sorted(hour.visits.items()):
        row = {"started": _iso(minute), "did": person, "exited": visits - crashed}
        rows.setdefault(platform, {}).setdefault(release, []).append(row | ({"crashed": crashed} if crashed else {}))
    for platform, of_release in rows.items():
        items = []
        for release, aggregates in of_release.items():
            attributes = {"release": release, "environment": "production"}
            for start in range(0, len(aggregates), _AGGREGATES):
                part = {"aggregates": aggregates[start : start + _AGGREGATES], "attrs": attributes}
                items.append(("sessions", part))
        yield _envelope(items, platform, hour.until, to)


def sentry_errors(hour: Hour, to: Account) -> Iterator[Request]:
    """A few of the failed facts as error reports, the same ones every time."""
    for index, fact in enumerate(hour.facts):
        if fact.bad and fact.environment == "production" and (index * 7919 + int(fact.at)) % 1000 < REPORTED * 1000:
            yield sentry_error(fact, hour.until, to)


def sentry_error(fact: Fact, at: float, to: Account) -> Request:
    person, is_sale = fact.person, fact.feature == CHECKOUT
    kind, said, place = _ERRORS[is_sale, fact.release >= "2.4.0" and person.client.plan == "Free"]
    payload = {
        "event_id": uuid5(_NAMES, f"error:{person.id}:{fact.at:.3f}").hex,
        "timestamp": round(fact.at, 3),
        "platform": _LANGUAGE[person.platform],
        "level": "error",
        "release": fact.release,
        "environment": fact.environment,
        "transaction": "/checkout" if is_sale else "/search",
        "user": {"id": person.id},
        "tags": {"customer": person.client.id, "plan": person.client.plan, "platform": person.platform},
        "exception": {"values": [{"type": kind, "value": said, "stacktrace": {"frames": [place]}}]},
    }
    return _envelope([("event", payload)], person.platform, at, to)


def _envelope(items: list[tuple[str, dict[str, Any]]], platform: str, at: float, to: Account) -> Request:
    lines = [orjson.dumps({"sent_at": _iso(at), "sdk": {"name": _SDK[platform], "version": "10.0.0"}})]
    for kind, payload in items:
        body = orjson.dumps(payload)
        lines += [orjson.dumps({"type": kind, "length": len(body)}), body]
    headers = {
        "content-type": "application/x-sentry-envelope",
        "x-sentry-auth": f"Sentry sentry_version=7, sentry_client={_SDK[platform]}/10.0.0, sentry_key={to.key}",
    }
    return Request(at, f"/api/{to.product}/envelope/", headers, b"\n".join(lines) + b"\n")


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


#: (is a sale, is the planted fault) -> exception, its message, the innermost frame.
_ERRORS: dict[tuple[bool, bool], tuple[str, str, dict[str, Any]]] = {
    (True, False): (
        "PaymentDeclined",
        "The payment provider answered with do_not_honor",
        {"filename": "checkout/payment.js", "function": "authorise", "lineno": 88, "in_app": True},
    ),
    (True, True): (
        "TypeError",
        "Cannot read properties of null (reading 'discountLimit')",
        {"filename": "checkout/discount.js", "function": "applyDiscount", "lineno": 41, "in_app": True},
    ),
    (False, False): (
        "SearchTimeout",
        "The search index did not answer within 2000 ms",
        {"filename": "search/client.js", "function": "query", "lineno": 27, "in_app": True},
    ),
    (False, True): (
        "SearchTimeout",
        "The search index did not answer within 2000 ms",
        {"filename": "search/client.js", "function": "query", "lineno": 27, "in_app": True},
    ),
}
