"""Whether a claimed fix is one: reads what came since, and decides. The answer and all numbers behind it are kept on
the incident; `attending` acts on it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db.models import Min, OuterRef, Subquery, Sum

from feedback.models import Customer
from incidents.models import Incident
from metrics import measures, series
from metrics.detection import fixed
from metrics.detection.evidence import FloatArray
from metrics.detection.histogram import bin_of, slow_counts
from metrics.detection.rates import design_effect
from metrics.intake.event import REFUSAL
from metrics.models import CustomerDay, Signal
from releases.models import Deploy, Release

#: What is said of a fix. Only FIXED verifies, only BROKEN and COMPLAINED reopen.
FIXED, BROKEN, COMPLAINED = "fixed", "broken", "complained"
NOT_SHIPPED, SMALL_SHARE, NOT_ENOUGH, QUIET = "not_shipped", "small_share", "not_enough", "quiet"
#: Share of the uses that releases with the fix must have.
SHARE = 0.10
#: Customers on a release with the fix who say the same again, from which it is not fixed.
CUSTOMERS = 2
#: Without complaints until about so many would have come at the earlier rate, they have stopped; at most so long.
EXPECTED, LONGEST = 3.0, timedelta(hours=72)
#: Latest events that are looked at; minutes are read up to FINE, hours beyond.
WINDOW, FINE = timedelta(days=3), timedelta(hours=6)
#: Share of uses slower than the 95 % quantile was.
_SLOW = 0.05

Proof = dict[str, Any]


def prove(incident: Incident, now: datetime) -> Proof | None:
    """What can be said of the fix at `now`; None when nothing is measured that could tell."""
    evidence = incident.regression.evidence if incident.regression else None
    if incident.resolved_at is None or not evidence or not incident.signal:
        return None
    if not _is_provable(incident.signal, evidence):
        return None
    environment, fix = incident.environment or "production", incident.fix_release
    proof: Proof = {
        "at": now.isoformat(), "environment": environment, "release": str(fix or ""), "measure": evidence["measure"],
        "version": fixed.VERSION,
    }  # fmt: skip
    arrived = _arrived(fix, environment, now) if fix else incident.resolved_at
    if arrived is None:
        return {**proof, "answer": NOT_SHIPPED}
    since = max(incident.resolved_at, arrived, now - WINDOW)
    with_fix = _with_fix(fix)
    proof |= {"since": since.isoformat(), **_complaints(incident, since, with_fix, now)}
    proof |= _numbers(incident, evidence, since, now, with_fix)
    return {**proof, "answer": _answer(proof, now)}


def behind(incident: Incident) -> list[dict[str, Any]]:
    """Customers who still meet it on a release without the fix since it was resolved: {customer, bad, pk, name}, the
    last two None while nobody knows who that is."""
    if incident.fix_release is None or incident.resolved_at is None or not incident.signal_id:
        return []
    rows = CustomerDay.objects.filter(
        product_id=incident.product_id or 0, signal_id=incident.signal_id, environment=incident.environment,
        day__gte=incident.resolved_at.date(), last_at__gte=incident.resolved_at, failures__gt=0,
    ).exclude(release_id__in=_with_fix(incident.fix_release) or set())  # fmt: skip
    known = Customer.objects.filter(workspace=incident.workspace_id, external_id=OuterRef("customer"))
    who = {"pk": Subquery(known.values("pk")[:1]), "name": Subquery(known.values("name")[:1])}
    told = rows.values("customer").annotate(bad=Sum("failures")).order_by("-bad", "customer")
    return [dict(row) for row in told.values("customer", "bad", **who)[:200]]


def _answer(proof: Proof, now: datetime) -> str:
    if proof["complained"] >= CUSTOMERS:
        return COMPLAINED
    if proof["share"] < SHARE:
        return SMALL_SHARE
    if proof["said"] == fixed.BROKEN:
        return BROKEN
    if proof["said"] == fixed.NOT_ENOUGH:
        return NOT_ENOUGH
    if proof["quiet_until"] and datetime.fromisoformat(proof["quiet_until"]) > now:
        return QUIET
    return FIXED


def _is_provable(signal: Signal, evidence: dict[str, Any]) -> bool:
    """What was refused names no release that could hold the fix."""
    return signal.kind != REFUSAL and evidence["measure"] in (*measures.TROUBLE, measures.P95)


def _arrived(fix: Release, environment: str, now: datetime) -> datetime | None:
    deploys = Deploy.objects.filter(release=fix, environment=environment, at__lte=now).exclude(percentage=0)
    first: datetime | None = deploys.aggregate(first=Min("at"))["first"]
    return first


def _with_fix(fix: Release | None) -> set[int] | None:
    """The release and those after it; None: all, for it took no release."""
    if fix is None:
        return None
    later = Release.objects.filter(product=fix.product_id, shipped_at__gte=fix.shipped_at) if fix.shipped_at else []
    return {fix.pk, *(release.pk for release in later)}


def _complaints(incident: Incident, since: datetime, with_fix: set[int] | None, now: datetime) -> Proof:
    """complained: customers on a release with the fix who say it again. quiet_until: when complaints will have stopped,
    None where nobody ever complained."""
    told = incident.reports.values_list("complaint__created_at", "complaint__release", "complaint__customer", "pk")
    again, latest, earlier = set(), since, []
    for at, release, customer, pk in told:
        if at < since:
            earlier.append(at)
        elif release is None or with_fix is None or release in with_fix:
            latest = max(latest, at)
            if release is not None or with_fix is None:
                again.add(customer or -pk)
    quiet = None
    if earlier:
        lasted = max(since - min(earlier), timedelta(hours=1))
        quiet = (latest + min(LONGEST, lasted / len(earlier) * EXPECTED)).isoformat()
    elif latest > since:
        quiet = (latest + LONGEST).isoformat()
    return {"complained": len(again), "quiet_until": quiet}


def _numbers(
    incident: Incident, evidence: dict[str, Any], since: datetime, now: datetime, with_fix: set[int] | None
) -> Proof:
    is_fine, signal, product = now - since <= FINE, incident.signal_id or 0, incident.product_id or 0
    is_slow, is_error = evidence["measure"] == measures.P95, evidence["measure"] == measures.ERRORS
    is_people = evidence["measure"] == measures.HURT
    frame = series.load(
        product, incident.environment or "production", since, now, 60 if is_fine else 3600,
        table=series.MINUTE if is_fine else series.HOUR,
        signals=[*series.uses(product), signal] if is_error else [signal],
        has_hists=is_slow,
    )  # fmt: skip
    whole, ours = frame.sum(signal, None), frame.sum(signal, with_fix)
    n, bad, total = ours.n, ours.bad, float(whole.n.sum())
    baseline, broken = float(evidence["old"]), float(evidence["new"])
    if is_error:
        others = series.uses(product)
        n, bad = ours.n + sum((frame.sum(pk, with_fix).n for pk in others), np.zeros(frame.buckets)), ours.n
        total = float(whole.n.sum() + sum(frame.sum(pk, None).n.sum() for pk in others))
    elif is_people:
        n, bad, total = ours.users, ours.bad_users, float(whole.users.sum())
    elif is_slow:
        n, bad, total = _slow(frame, signal, with_fix, baseline)
        baseline, broken = _SLOW, max(2 * _SLOW, _slow_share(incident, baseline))
    is_clustered = len(n) > 0 and not is_slow and not is_people
    effect = float(design_effect(bad[:, None], ours.bad_sq[:, None])[-1]) if is_clustered else 1.0
    margin = float(evidence["margin"])
    found = fixed.prove(float(n.sum()), float(bad.sum()), baseline=baseline, broken=broken, margin=margin, deff=effect)
    told = asdict(found)
    told |= {"rate": found.rate.value, "low": found.rate.low, "high": found.rate.high, "said": told.pop("answer")}
    return {**told, "baseline": baseline, "broken": broken, "share": float(n.sum()) / total if total else 0.0}


def _slow(
    frame: series.Frame, signal: int, with_fix: set[int] | None, edge: float
) -> tuple[FloatArray, FloatArray, float]:
    """Events, those slower than `edge` ms, and the events of all releases."""
    hist = frame.hist(signal, with_fix)
    edges = np.full(frame.buckets, int(bin_of([edge])[0]), dtype=np.int64)
    return hist.sum(axis=1), slow_counts(hist, edges), float(frame.hist(signal, None).sum())


def _slow_share(incident: Incident, edge: float) -> float:
    """Share of uses of the broken release that were slower than `edge` ms, in its last hours before it was resolved."""
    until = incident.resolved_at
    if until is None or incident.release_id is None:
        return 0.0
    since = max(incident.impact_started_at or until - FINE, until - FINE)
    frame = series.load(
        incident.product_id or 0, incident.environment or "production", since, until, 3600,
        signals=[incident.signal_id or 0], has_hists=True,
    )  # fmt: skip
    n, slow, _total = _slow(frame, incident.signal_id or 0, {incident.release_id}, edge)
    return float(slow.sum() / n.sum()) if n.sum() else 0.0
