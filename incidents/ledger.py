"""Loads an incident's impact: who was touched, who wrote, what share was hit. impact.py weighs it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
from django.db import transaction
from django.db.models import Max, Q, Sum
from django.utils import timezone

from accounts.models import User
from activity.models import record
from feedback.models import Complaint, Customer
from incidents import impact, lifecycle
from incidents.models import Impact, Incident, Report
from metrics import series
from metrics.intake.event import FAULT, REFUSAL
from metrics.models import CustomerDay, Signal

#: Uses of a feature that the table of touched customers can show.
MOST_ROWS = 5_000


@dataclass
class Touched:
    """One customer of an incident. `customer` is None while the events' id is not known as a customer."""

    external_id: str
    customer: Customer | None
    uses: int
    failures: int
    last_at: datetime | None
    complaints: int

    @property
    def is_silent(self) -> bool:
        return self.complaints == 0

    @property
    def revenue(self) -> Decimal:
        return (self.customer.revenue if self.customer else None) or Decimal(0)


def touched(incident: Incident) -> list[Touched]:
    """Everybody hurt or heard, the biggest revenue first."""
    usage = _usage(incident)
    heard = _heard(incident)
    known = Customer.objects.filter(workspace=incident.workspace_id)
    # Two parts, so that each finds its own index.
    found = known.filter(external_id__in=list(usage)).union(known.filter(pk__in=list(heard)))
    people = list(found) if usage or heard else []
    customers = {customer.external_id: customer for customer in people}
    rows = [
        Touched(name, who := customers.get(name), uses, bad, last, heard.get(who.pk, 0) if who else 0)
        for name, (uses, bad, last) in usage.items()
    ]
    rows += [
        Touched(c.external_id, c, 0, 0, None, heard[c.pk])
        for c in people if c.pk in heard and c.external_id not in usage
    ]
    return sorted(rows, key=lambda row: (-row.revenue, -row.failures, row.external_id))


def weigh(incident: Incident, now: datetime) -> impact.Ledger:
    """Recomputes the ledger and stores pain and the suggested severity, never over a person's word."""
    rows = touched(incident)
    heard = [row for row in rows if not row.is_silent]
    unnamed = incident.reports.filter(complaint__customer=None).count()
    hit, trend = _share(incident, now)
    ledger = impact.Ledger(
        heard=len(heard) + unnamed,
        silent=len(rows) - len(heard),
        churn=incident.reports.filter(complaint__is_churn_risk=True).count(),
        revenue=float(sum(row.revenue for row in rows)),
        share=hit,
        trend=trend,
        hits=sum(row.failures for row in rows),
        promises=impact.at_risk(
            incident.expected_on if incident.wording else None, timezone.localdate(now),
            incident.status in lifecycle.OPEN, len(heard) + unnamed,
        ),
    )
    _store(incident, ledger, now)
    return ledger


def weigh_open(now: datetime) -> int:
    """Weighs every open incident that was not weighed in the last minute."""
    due = Incident.objects.open().filter(Q(weighed_at=None) | Q(weighed_at__lt=now - timedelta(seconds=55)))
    incidents = list(due.select_related("workspace", "signal", "release")[:500])
    for incident in incidents:
        weigh(incident, now)
    return len(incidents)


def _store(incident: Incident, ledger: impact.Ledger, now: datetime) -> None:
    severity, reasons = impact.severity(ledger)
    pain, numbers = impact.pain(ledger), ledger.as_json()
    with transaction.atomic():
        locked = incident.lock()
        values: dict[str, object] = {"pain": pain, "impact": numbers, "weighed_at": now}
        values |= {"heard": ledger.heard, "silent": ledger.silent, "revenue": ledger.revenue}
        if not locked.is_severity_forced and severity != locked.severity:
            before, locked.severity = locked.severity, severity
            values |= {"severity": severity, **locked.set_dues()}
            record(
                incident.workspace,
                "incident.severity_suggested",
                incident,
                by=None,
                at=now,
                tells=True,
                why={"rule": "impact", "version": impact.VERSION, "met": reasons, "numbers": numbers},
                before={"severity": before},
                after={"severity": severity},
            )
        if {**locked.impact, "trend": 0} != {**numbers, "trend": 0}:
            Impact.objects.create(incident=incident, at=now, numbers=numbers, pain=pain, severity=severity)
        Incident.objects.filter(pk=incident.pk).update(**values)
        incident.refresh_from_db()


def _usage(incident: Incident) -> dict[str, tuple[int, int, datetime]]:
    """external id -> (uses, failures, last seen) of the customers this incident hurt."""
    signals = _signals(incident)
    began = incident.impact_started_at
    if not signals or began is None:
        return {}
    rows = CustomerDay.objects.filter(
        product_id=incident.product_id or 0, signal_id__in=signals, day__gte=began.date()
    )
    if incident.release_id:
        rows = rows.filter(release_id=incident.release_id)
    if incident.environment:
        rows = rows.filter(environment=incident.environment)
    sums = rows.values("customer").annotate(
        u=Sum("uses"), f=Sum("failures"), s=Sum("struggles"), last=Max("last_at")
    )
    if not _is_slowness(incident):
        sums = sums.filter(Q(f__gt=0) | Q(s__gt=0))
    return {row["customer"]: (row["u"], row["f"], row["last"]) for row in sums.order_by("-f", "-u")[:MOST_ROWS]}


def _signals(incident: Incident) -> list[int]:
    if incident.signal_id:
        return [incident.signal_id]
    if incident.feature_id:
        ours = Signal.objects.filter(feature=incident.feature_id).exclude(kind=FAULT)  # they are among the errors
        return list(ours.values_list("pk", flat=True))
    return []


def _is_slowness(incident: Incident) -> bool:
    return bool(incident.regression and not incident.regression.measure.endswith("_rate"))


def _heard(incident: Incident) -> dict[int, int]:
    """customer pk -> complaints that joined."""
    counts: dict[int, int] = {}
    for pk in incident.reports.exclude(complaint__customer=None).values_list("complaint__customer", flat=True):
        counts[pk] = counts.get(pk, 0) + 1
    return counts


def _share(incident: Incident, now: datetime) -> tuple[float | None, float | None]:
    """Share of the environment's uses of the signal that were hit in the last hour, and its trend."""
    if not incident.signal_id or not incident.product_id:
        return None, None
    until = min(now, timezone.now())
    # Errors have no denominator of their own: they are counted per use and visit.
    is_error = incident.signal is not None and incident.signal.kind in ("error", FAULT, REFUSAL)
    uses = series.uses(incident.product_id) if is_error else []
    frame = series.load(
        incident.product_id,
        incident.environment or "production",
        until - timedelta(hours=2),
        until,
        60,
        signals=[*uses, incident.signal_id],
    )
    bad = frame.sum(incident.signal_id, None).bad
    n = sum((frame.sum(pk, None).n for pk in uses or [incident.signal_id]), np.zeros(frame.buckets))
    half = frame.buckets // 2
    early, late = (bad[:half].sum(), n[:half].sum()), (bad[half:].sum(), n[half:].sum())
    if not late[1]:
        return None, None
    hit = float(late[0] / late[1])
    before = float(early[0] / early[1]) if early[1] >= 50 else None
    return min(1.0, hit), (hit / before if before else None)


def report_same(incident: Incident, complaint: Complaint, by: User) -> None:
    """A complaint joins, and the queue knows at once."""
    Report.objects.join(incident, complaint, by)
    weigh(incident.root, timezone.now())
