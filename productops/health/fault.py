"""The page of one error group: what breaks, where in the code, in which releases, for whom."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Min, Sum
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from accounts.access import MemberRequest, allow
from feedback.models import Customer
from incidents.models import Incident
from metrics import replica
from metrics.intake.event import FAULT
from metrics.models import CustomerDay, RollupHour, Signal, UserDay
from releases.models import Release

#: Releases and customers shown.
MOST = 20


@dataclass(frozen=True)
class Row:
    """One release's share of an error group. `users`: different ones in the last 32 days."""

    release: Release | None
    errors: int
    users: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True)
class Hit:
    """A customer who met it."""

    external_id: str
    customer: Customer | None
    errors: int
    last_at: datetime


@require_GET
@allow("workspace.view")
@replica.reads
def fault(request: MemberRequest, pk: int) -> HttpResponse:
    ours = Signal.objects.filter(product__workspace=request.workspace, kind=FAULT, fault__isnull=False)
    signal = get_object_or_404(ours.select_related("fault", "feature", "product"), pk=pk)
    rows, hits = releases(signal), customers(signal)
    incidents = Incident.objects.of(request.workspace).filter(signal=signal).by_pain()
    context = {
        "signal": signal,
        "fault": signal.fault,
        "frames": [_frame(frame) for frame in signal.fault.frames[::-1]],
        "rows": rows[:MOST],
        "errors": sum(row.errors for row in rows),
        "last_at": max((row.last_at for row in rows), default=None),
        "chart": next((row.release for row in rows if row.release), None),
        "hits": hits[:MOST],
        "hit_count": len(hits),
        "incidents": list(incidents.select_related("release", "regression__release", "regression__signal")[:5]),
    }
    return render(request, "releases/fault.html", context)


def releases(signal: Signal) -> list[Row]:
    """The releases that had it, the newest first; those that named none last."""
    seen = RollupHour.objects.using(replica.alias()).filter(product_id=signal.product_id, signal_id=signal.pk, slice="")
    told = list(seen.values("release_id").annotate(k=Sum("bad"), first=Min("bucket"), last=Max("bucket")))
    days = UserDay.objects.using(replica.alias()).filter(product_id=signal.product_id, signal_id=signal.pk)
    users = dict(days.values_list("release_id").annotate(Count("user_hash", distinct=True)))
    known = Release.objects.in_bulk([row["release_id"] for row in told])
    rows = [
        Row(known.get(r["release_id"]), r["k"], users.get(r["release_id"], 0), r["first"], r["last"]) for r in told
    ]
    return sorted(rows, key=lambda row: (row.release is None, -_shipped(row).timestamp()))


def customers(signal: Signal) -> list[Hit]:
    """Who met it, the most errors first."""
    days = CustomerDay.objects.using(replica.alias()).filter(product_id=signal.product_id, signal_id=signal.pk)
    told = list(
        days.values_list("customer").annotate(k=Sum("failures"), last=Max("last_at")).order_by("-k", "customer")[:500]
    )
    names = [name for name, _k, _last in told]
    known = Customer.objects.filter(workspace=signal.product.workspace_id, external_id__in=names)
    by_id = {customer.external_id: customer for customer in known}
    return [Hit(name, by_id.get(name), k, last) for name, k, last in told]


def _frame(frame: dict[str, Any]) -> dict[str, Any]:
    """{function, place}: "cart.js:7"."""
    place, line = frame.get("filename") or frame.get("module") or "", frame.get("lineno")
    return {"function": frame.get("function") or "?", "place": f"{place}:{line}" if line else place}


def _shipped(row: Row) -> datetime:
    return (row.release.shipped_at if row.release else None) or row.first_at
