"""Sentry's release health: visits, visits that went wrong, and what clients threw away.

A session is counted where it started. `init` counts it once (n=1, bad=0). When it later ends badly a
second event has n=0 and bad=1: for kind `session` alone an event with props {"update": true} may have
bad > n, because the visit it belongs to was counted by another event. Ids are derived from the session's
own, so a resent or repeated state changes nothing.
Statuses: https://develop.sentry.dev/sdk/telemetry/sessions/.
"""

from __future__ import annotations

import re
from typing import Any

from .clean import build, number, stable_id, text
from .origin import agent, first, mapping
from .sentry_items import Envelope

#: Ends that count as bad. `unhandled` is what browsers send since version 11 where they sent `crashed`
#: before; leaving it out would make every product look flawless after updating its client.
BAD_ENDS = frozenset(("crashed", "abnormal", "unhandled"))
_ENDS = BAD_ENDS | {"ok", "exited", "errored"}
#: Aggregates read per item (Relay takes 100), and the most visits one of them may claim.
AGGREGATES, VISITS = 100, 1_000_000
_WORD = re.compile(r"[^a-z0-9_]")
#: Sentry's data categories -> ours. `span` is left to other: a lost transaction is reported under both.
_CATEGORIES = {
    "error": "error",
    "default": "error",
    "transaction": "use",
    "session": "session",
    "feedback": "feedback",
    "user_report": "feedback",
    "user_report_v2": "feedback",
}


def session(payload: dict[str, Any], box: Envelope, _raw: bytes) -> None:
    """One state of one session: counts it, its bad end or its errors, or nothing new."""
    sid, status = payload.get("sid"), payload.get("status", "ok")
    if type(sid) is not str or not sid or type(status) is not str or status not in _ENDS:
        box.miss("session", "invalid", "bad_session")
        return
    before = len(box.events)
    if payload.get("init") is True:
        _count(payload, box, sid, "init", 1, 0, {})
    if status in BAD_ENDS:
        _count(payload, box, sid, "bad", 0, 1, {"update": True, "status": status})
    elif status != "ok" and (number(payload.get("errors")) or status == "errored"):
        _count(payload, box, sid, "errored", 0, 0, {"update": True, "errored": True})
    if len(box.events) == before:
        box.miss("session", "filtered", "session_update")


def _count(
    payload: dict[str, Any], box: Envelope, sid: str, what: str, n: int, bad: int, props: dict[str, Any]
) -> None:
    at, flags = box.at(payload.get("started") or payload.get("timestamp"))
    attrs = mapping(payload.get("attrs"))
    browser, system = agent(attrs.get("user_agent"))
    seconds = number(payload.get("duration")) if n == 0 else None
    box.events.append(
        build(
            stable_id(box.product, "session", sid, what),
            "session",
            "sessions",
            at,
            release=first(attrs, ("release",)),
            environment=first(attrs, ("environment",)),
            user=first(payload, ("did",)),
            session=text(sid, 120)[0],
            platform="web" if browser else box.platform,
            n=n,
            bad=bad,
            value=None if seconds is None else number(seconds * 1000),
            flags=flags,
            props=props | ({"browser": browser, "os": system} if browser and n else {}),
        )
    )


def sessions(payload: dict[str, Any], box: Envelope, raw: bytes) -> None:
    """Counts of sessions per started minute, as servers send them. They carry no id: the item's bytes
    and the index make one, so the same request sent twice counts once.
    """
    rows = payload.get("aggregates")
    if type(rows) is not list:
        box.miss("session", "invalid", "bad_session")
        return
    attrs = mapping(payload.get("attrs"))
    digest = stable_id(raw.hex())
    for index, row in enumerate(rows[:AGGREGATES]):
        counts = {key: _visits(mapping(row).get(key)) for key in ("exited", "errored", *sorted(BAD_ENDS))}
        n, bad = sum(counts.values()), sum(counts[key] for key in BAD_ENDS)
        if not 0 < n <= VISITS:
            box.miss("session", "invalid", "bad_counts")
            continue
        at, flags = box.at(row.get("started"))
        box.events.append(
            build(
                stable_id(box.product, "sessions", digest, index),
                "session",
                "sessions",
                at,
                release=first(attrs, ("release",)),
                environment=first(attrs, ("environment",)),
                user=first(row, ("did",)),
                platform=box.platform or "server",
                n=n,
                bad=bad,
                flags=flags,
                props={"errored": counts["errored"]} if counts["errored"] else {},
            )
        )
    if len(rows) > AGGREGATES:
        box.miss("session", "too_large", "too_many_aggregates", len(rows) - AGGREGATES)


def _visits(value: Any) -> int:
    return value if type(value) is int and 0 < value <= VISITS else 0


def client_report(payload: dict[str, Any], box: Envelope, _raw: bytes) -> None:
    """What the client dropped before sending: outcomes, not events."""
    rows = payload.get("discarded_events")
    for row in rows[:100] if type(rows) is list else []:
        row = mapping(row)
        count = row.get("quantity")
        if type(count) is not int or not 0 < count <= 1_000_000_000:
            continue
        reason = _WORD.sub("_", text(row.get("reason"), 30)[0].lower()) or "unknown"
        category = row.get("category")
        box.miss(_CATEGORIES.get(category, "other") if type(category) is str else "other",
                 "client_discard", reason, count)  # fmt: skip
