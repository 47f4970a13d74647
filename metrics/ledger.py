"""The Data page's questions: what arrived, what became of it, what was refused and why. Only reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Q, Sum
from django.utils.translation import gettext as _

from metrics.intake.event import COMPLAINT, FAULT, REFUSAL
from metrics.intake.inbox import hour_of
from metrics.models import Inbox, Limit, Outcome, Quarantine, Refusal, RollupHour, Signal
from metrics.models.limit import next_month
from releases.models import Product

#: What the client itself dropped never reached the door; it is told apart from the sum.
NOT_SENT = "client_discard"
#: The order in which outcomes are told; others follow by name.
_ORDER = ("accepted", "duplicate", "filtered", "invalid", "too_large", "rate_limited", "over_quota", "shed")
PROTOCOLS = {
    "sentry": "Sentry", "posthog": "PostHog", "flags": "PostHog flags", "segment": "Segment",
    "otlp": "OpenTelemetry", "productops": "Productops", "backfill": "Backfill",
}  # fmt: skip
HOUR = timedelta(hours=1)
#: Refusals shown; they are kept for a day.
_SHOWN = 20


@dataclass
class Row:
    """One outcome and reason; `cells` in the order of Totals.protocols."""

    outcome: str
    name: str
    reason: str
    cells: list[int]
    n: int


@dataclass
class Totals:
    """What was received, as a table whose rows add up to its last line."""

    protocols: list[str]
    rows: list[Row]
    sums: list[int]
    received: int
    not_sent: int
    by_outcome: dict[str, int] = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        return self.by_outcome.get("accepted", 0)

    @property
    def duplicate(self) -> int:
        return self.by_outcome.get("duplicate", 0)

    @property
    def left_out(self) -> int:
        return self.received - self.accepted - self.duplicate


@dataclass(frozen=True)
class Refused:
    """Requests refused for the same reason."""

    protocol: str
    status: int
    reason: str
    detail: str
    n: int
    last_at: datetime

    @property
    def advice(self) -> str:
        return advice(self.reason)


def totals(product: Product, since: datetime) -> Totals:
    """One query. A refused request counts as one, whatever it held."""
    rows = (
        Outcome.objects.filter(product_id=product.pk, hour__gte=hour_of(since))
        .values_list("protocol", "outcome", "reason")
        .annotate(total=Sum("n"))
    )
    return add_up(list(rows))


def add_up(rows: Iterable[tuple[str, str, str, int]]) -> Totals:
    """(protocol, outcome, reason, n) as a table."""
    cells: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    not_sent = 0
    for protocol, outcome, reason, n in rows:
        if outcome == NOT_SENT:
            not_sent += n
        else:
            cells[outcome, reason][protocol] += n
    protocols = sorted({protocol for by_protocol in cells.values() for protocol in by_protocol})
    table = []
    by_outcome: dict[str, int] = defaultdict(int)
    for (outcome, reason), found in sorted(cells.items(), key=lambda item: _rank(*item[0])):
        values = [found.get(protocol, 0) for protocol in protocols]
        table.append(Row(outcome, outcome_name(outcome), reason_name(reason), values, sum(values)))
        by_outcome[outcome] += sum(values)
    sums = [sum(row.cells[at] for row in table) for at in range(len(protocols))]
    names = [PROTOCOLS.get(protocol, protocol) for protocol in protocols]
    return Totals(names, table, sums, sum(sums), not_sent, dict(by_outcome))


def refusals(product: Product, mark: str, since: datetime) -> list[Refused]:
    """Those of this product, and those that named no product but came from the reader's own address."""
    mine = Q(product_id=product.pk) | Q(product_id=0, client=mark)
    found = (
        Refusal.objects.filter(mine, at__gte=since)
        .values_list("protocol", "status", "reason", "detail")
        .annotate(n=Count("id"), last_at=Max("at"))
        .order_by("-last_at")[:_SHOWN]
    )
    return [Refused(PROTOCOLS.get(protocol, protocol), *rest) for protocol, *rest in found]


def waiting(product: Product) -> int:
    """Events received and not counted yet."""
    return Inbox.objects.filter(product_id=product.pk).aggregate(n=Sum("events"))["n"] or 0


def quarantined(product: Product) -> list[Quarantine]:
    return list(Quarantine.objects.filter(product=product).defer("body").order_by("-at")[:50])


@dataclass(frozen=True)
class Allowance:
    """What a product may send and sent this month; `share` is of the month's limit, 0 to 1 and beyond."""

    limit: Limit
    used: int
    starts_again: date
    share: float | None

    @property
    def is_near(self) -> bool:
        return self.share is not None and self.share >= 0.8

    @property
    def times(self) -> int:
        """How many times the usual comes in, while it is a spike."""
        return round(self.limit.spike_rate / max(1.0, self.limit.spike_usual))


def allowance(product: Product, now: datetime) -> Allowance:
    """One query."""
    limit = Limit.of(product)
    used = limit.used(now)
    return Allowance(limit, used, next_month(now), used / limit.per_month if limit.per_month else None)


def signals(product: Product, now: datetime) -> tuple[datetime, list[dict[str, Any]]]:
    """Every signal with its numbers since the start of the last full hour. Two queries."""
    since = hour_of(now - timedelta(hours=1))
    counted = {
        row["signal_id"]: row
        for row in RollupHour.objects.filter(product_id=product.pk, bucket__gte=since, slice="")
        .values("signal_id")
        .annotate(n=Sum("n"), bad=Sum("bad"))
    }
    rows = []
    for signal in Signal.objects.filter(product=product).exclude(kind=FAULT).select_related("feature"):
        found = counted.get(signal.pk, {"n": 0, "bad": 0})
        n, bad = found["n"], found["bad"]
        rate = bad / n if n and signal.kind not in ("error", REFUSAL) else None
        rows.append({"signal": signal, "kind": kind_name(signal.kind), "n": n, "rate": rate})
    return since, sorted(rows, key=lambda row: (-row["n"], row["signal"].name))


def has_arrived(product: Product) -> bool:
    return Outcome.objects.filter(product_id=product.pk, outcome="accepted").exists()


def _rank(outcome: str, reason: str) -> tuple[int, str, str]:
    return (_ORDER.index(outcome) if outcome in _ORDER else len(_ORDER), outcome, reason)


def outcome_name(outcome: str) -> str:
    return {
        "accepted": _("Counted"),
        "duplicate": _("Sent again"),
        "filtered": _("Not needed"),
        "invalid": _("Refused"),
        "too_large": _("Too large"),
        "rate_limited": _("Too fast"),
        "over_quota": _("Beyond the limit"),
        "shed": _("No room"),
    }.get(outcome, outcome.replace("_", " ").capitalize())


def reason_name(reason: str) -> str:
    """`bad_json` as a person says it; what is not known stays the word the ledger keeps."""
    word, _sign, detail = reason.partition(":")
    name = {
        "": "",
        "batch": _("whole request repeated"),
        "event": _("same event repeated"),
        "spike": _("numbers only, while there was far more than usual"),
        "overload": _("too many at once; the client was asked to send again"),
        "key_reused": _("key used for another body"),
        "no_key": _("no key"),
        "unknown_key": _("unknown key"),
        "bad_json": _("broken JSON"),
        "bad_encoding": _("cannot be unpacked"),
        "invalid_event": _("wrong field"),
        "too_large": _("body or event"),
        "too_many_events": _("too many events"),
        "too_old": _("too old"),
        "cut_off": _("ended early"),
        "too_slow": _("too slow"),
        "unknown_item": _("item not read"),
        "session_update": _("update of an open session"),
        "not_used": _("not used here"),
    }.get(word, word.replace("_", " "))
    return f"{name}: {detail}" if detail else name


def kind_name(kind: str) -> str:
    return {
        "use": _("use"),
        "session": _("session"),
        "error": _("error"),
        "feedback": _("feedback"),
        "identify": _("customer"),
        COMPLAINT: _("complaint"),
        REFUSAL: _("refusal"),
    }.get(kind, kind)


def advice(reason: str) -> str:
    """What a developer does about a refused request."""
    return {
        "no_key": _("The request carried no key. Copy the snippet again."),
        "unknown_key": _("The key is not this product's, or it was rotated. Copy the snippet again."),
        "bad_json": _("The body is not valid JSON."),
        "bad_encoding": _("The body could not be unpacked. Use gzip, deflate, br or zstd, or send it plain."),
        "bad_envelope": _("The envelope is broken. Send through the SDK, or check its line breaks."),
        "invalid_event": _("One event has a wrong field, so nothing of this request was taken."),
        "too_large": _("Too large. Send smaller batches."),
        "too_many_events": _("Too many events at once. Send smaller batches."),
        "cut_off": _("The connection ended before the body was complete. Check proxies in between."),
        "too_slow": _("The body came too slowly. Check the connection."),
        "method": _("Use POST."),
        "key_reused": _("An Idempotency-Key came again with another body. Use a new key for each request."),
        "rate_limited": _("More events in one minute than the limit allows."),
        "over_quota": _("This month's limit is used up. Raise it below, or wait for the next month."),
    }.get(reason, _("The request could not be read."))
