"""What arrived last, for the pages that are watched while somebody connects a client. Only reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson
from django.db.models import Q
from django.utils.translation import gettext as _

from metrics.intake.event import AGGREGATED, CLAMPED, SCRUBBED, TRUNCATED
from metrics.ledger import PROTOCOLS, advice, kind_name
from metrics.models import Arrival, Refusal
from releases.models import Product

#: Rows shown.
TAIL = 100


@dataclass(frozen=True)
class Counted:
    """One counted event, as the setup page tells it."""

    name: str
    kind: str
    user: str
    release: str
    environment: str
    at: datetime


@dataclass(frozen=True)
class Arrived:
    """One line of the tail: an event, or a request that was refused. `detail` is what was kept, or what to do."""

    key: str
    at: datetime
    protocol: str
    kind: str
    title: str
    notes: list[str]
    marks: list[str]
    detail: str
    is_bad: bool = False
    is_refused: bool = False


@dataclass(frozen=True)
class Mapped:
    """What one sort of event says: the fields found in its newest one, and those that are missing."""

    protocol: str
    kind: str
    title: str
    at: datetime
    said: list[str]
    missing: list[str]


#: What makes an event of each kind most useful: without a customer nobody is known to be hurt.
_WANTED = {
    "use": ("user", "customer", "release", "feature", "plan", "platform", "session", "value"),
    "error": ("user", "customer", "release", "platform"),
    "session": ("user", "release", "platform"),
    "feedback": ("customer", "release", "feature"),
    "identify": ("customer", "plan"),
}


def arrivals(product: Product, most: int = 3) -> list[Counted]:
    """The newest events that were counted."""
    found = Arrival.objects.filter(product_id=product.pk, outcome="accepted").order_by("-id")[:most]
    return [_counted(row) for row in found]


def tail(product: Product, mark: str, show: str, now: datetime) -> list[Arrived]:
    """What arrived last, newest first, refused requests among it; `show` is all, changed or refused. Two queries."""
    came = Arrival.objects.filter(product_id=product.pk).order_by("-id")
    if show == "changed":
        came = came.exclude(flags__in=(0, AGGREGATED))
    rows = [_arrived(row) for row in came[:TAIL]] if show != "refused" else []
    if show != "changed":
        mine = Q(product_id=product.pk) | Q(product_id=0, client=mark)
        refused = Refusal.objects.filter(mine, at__gte=now - timedelta(days=1)).order_by("-at")[:TAIL]
        rows += [_refused(row) for row in refused]
    return sorted(rows, key=lambda row: row.at, reverse=True)[:TAIL]


def mapped(product: Product) -> list[Mapped]:
    """What the newest event of each protocol and kind said, and what it left out that helps. One query."""
    newest = Arrival.objects.filter(product_id=product.pk).order_by("protocol", "kind", "-id")
    return [_mapped(row) for row in newest.distinct("protocol", "kind")]


def _mapped(row: Arrival) -> Mapped:
    names = {
        "user": _("user"),
        "customer": _("customer"),
        "release": _("release"),
        "feature": _("feature"),
        "plan": _("plan"),
        "platform": _("platform"),
        "session": _("session"),
        "value": _("duration"),
    }
    wanted = _WANTED.get(row.kind, ())
    return Mapped(
        protocol=PROTOCOLS.get(row.protocol, row.protocol),
        kind=kind_name(row.kind),
        title=str(row.event.get("name", "")),
        at=row.received_at,
        said=[names[name] for name in wanted if row.event.get(name) is not None],
        missing=[names[name] for name in wanted if row.event.get(name) is None],
    )


def _counted(row: Arrival) -> Counted:
    event = row.event
    at = datetime.fromtimestamp(event["at"], UTC)
    told = {name: event.get(name, "") for name in ("name", "user", "release", "environment")}
    return Counted(kind=kind_name(row.kind), at=at, **told)


def _arrived(row: Arrival) -> Arrived:
    event = dict(row.event)
    event["at"] = datetime.fromtimestamp(event["at"], UTC).isoformat(timespec="milliseconds")
    marks = [name for bit, name in _marks() if row.flags & bit]
    if row.outcome == "duplicate":
        marks.append(_("sent again"))
    return Arrived(
        key=f"e{row.id}",
        at=row.received_at,
        protocol=PROTOCOLS.get(row.protocol, row.protocol),
        kind=kind_name(row.kind),
        title=str(event.get("name", "")),
        notes=[str(event[name]) for name in ("user", "customer", "release", "environment") if event.get(name)],
        marks=marks,
        is_bad=bool(event.get("bad")) and row.kind != "error",
        detail=orjson.dumps(event, option=orjson.OPT_INDENT_2).decode(),
    )


def _refused(row: Refusal) -> Arrived:
    return Arrived(
        key=f"r{row.id}",
        at=row.at,
        protocol=PROTOCOLS.get(row.protocol, row.protocol),
        kind="",
        title=row.detail,
        notes=[str(row.status), row.reason],
        marks=[],
        is_refused=True,
        detail=advice(row.reason),
    )


def _marks() -> list[tuple[int, str]]:
    return [(SCRUBBED, _("secret taken out")), (CLAMPED, _("time corrected")), (TRUNCATED, _("cut"))]
