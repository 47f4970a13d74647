"""What every protocol becomes: one flat value per fact, the same for all clients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

# Bits of Event.flags: what the door changed, shown on the product's Data page.
CLAMPED, SCRUBBED, TRUNCATED = 1, 2, 4
#: Set by us alone: the event stands for many, and its props `timed` or `counter` are ours too (otlp_metrics.py).
AGGREGATED = 8

#: Kinds of event. `use` counts something done (n) and how often it failed (bad); `session` the same for
#: whole visits; `error` is a fact without a denominator; `feedback` is a complaint that came over the
#: wire; `identify` only says who a customer is.
KINDS = ("use", "error", "session", "feedback", "identify")
#: The kind under which counting takes an error once more, for the group it belongs to; no client sends it.
FAULT = "fault"
#: The kind under which the hub counts complaints, however they came; no client sends it.
COMPLAINT = "complaint"
#: The kind under which the hub counts what it had to refuse; it has neither release nor user.
REFUSAL = "refusal"

#: How far back and ahead a timestamp may lie before it is clamped to its arrival, in seconds.
PAST_LIMIT, FUTURE_LIMIT = 31 * 86_400, 86_400
#: How far back history may lie that is brought in on purpose. Beyond PAST_LIMIT it has hours, but no minutes.
HISTORY_LIMIT = 731 * 86_400


class Event(NamedTuple):
    """One fact.

    id: 32 hex digits, unique per product; the same fact sent again has the same id.
    at: unix seconds UTC, already clamped. value: duration in milliseconds, or None.
    n, bad: how many happened, and how many of them went wrong (0 <= bad <= n).
    All texts are clean (no NUL, no lone surrogate) and cut to LIMITS.
    """

    id: str
    kind: str
    name: str
    at: float
    release: str
    environment: str
    user: str
    customer: str
    session: str
    feature: str
    platform: str
    plan: str
    country: str
    n: int
    bad: int
    value: float | None
    flags: int
    props: dict[str, Any]


def field_of(*names: str) -> Callable[[Event], Any]:
    """Reads one field, or several as a tuple: for thousands of events at once a third of what their names cost."""
    return itemgetter(*map(Event._fields.index, names))


#: Odd, so that no half of an id is lost.
MIXER = 0x9E3779B97F4A7C15


def mark(id_: str) -> int:
    """A signed 64-bit number for an event's id, by which it is known again. Among 10^8 events of one product two
    share one with a chance of 1 in 4,000. counting/store.py computes the same for many."""
    number = int(id_, 16)
    mixed = (number >> 64) * MIXER + number & 2**64 - 1
    return mixed - 2**64 if mixed >= 2**63 else mixed


#: Longest accepted text per field, in characters; longer ones are cut and flagged TRUNCATED.
LIMITS = {
    "name": 100,
    "release": 120,
    "environment": 40,
    "user": 120,
    "customer": 120,
    "session": 120,
    "feature": 80,
    "platform": 40,
    "plan": 40,
    "country": 2,
}


@dataclass
class Parsed:
    """What one request held. `outcomes` counts what was not taken: (category, outcome, reason) -> items.

    category is one of use, error, session, feedback, identify, other; outcome one of the ledger's words
    (invalid, filtered, too_large, client_discard). `reply` is the JSON the client expects with a 200.
    """

    events: list[Event]
    outcomes: dict[tuple[str, str, str], int] = field(default_factory=dict)
    reply: dict[str, Any] = field(default_factory=dict)

    def kinds(self) -> Counter[str]:
        """Its events by kind."""
        return Counter(event.kind for event in self.events)

    def held(self) -> Counter[str]:
        """Everything the request held, by category; what its client had dropped before was not in it."""
        found = self.kinds()
        for (category, outcome, _reason), n in self.outcomes.items():
            if outcome != "client_discard":
                found[category] += n
        return found


class Refused(Exception):
    """The request as a whole cannot be taken; nothing of it is stored.

    status is the HTTP status, reason a short stable word for the outcome ledger (`bad_json`,
    `too_large`, `bad_encoding`, ...), detail one sentence a developer can act on, wait the seconds after
    which the client may ask again (0: not said), methods what a 405 would have taken.
    lost: what it held, by category, where that is known.
    """

    def __init__(self, status: int, reason: str, detail: str, wait: int = 0) -> None:
        super().__init__(detail)
        self.status, self.reason, self.detail, self.wait = status, reason, detail, wait
        self.lost: Counter[str] = Counter()
        self.methods: list[str] = []
