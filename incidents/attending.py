"""Takes the news of metrics: an unattended regression becomes an incident, once; a claimed fix is checked."""

from __future__ import annotations

from datetime import datetime, timedelta

from incidents import ledger
from incidents.lifecycle import IllegalMove
from incidents.models import Incident, Status
from metrics import series
from metrics.models import Regression

#: Events of the fix release that a verification needs, and the share of traffic it must have.
ENOUGH_EVENTS, ENOUGH_SHARE = 200, 0.10

def open_incidents(now: datetime) -> int:
    """Opens an incident for each active regression that has none; how many."""
    taken = Incident.objects.exclude(regression=None).values("regression")
    waiting = Regression.objects.filter(is_active=True).exclude(pk__in=taken)
    opened = 0
    for regression in waiting.select_related("release__product__workspace", "signal__feature")[:100]:
        incident, is_new = Incident.objects.open_for(regression, now)
        if is_new:
            ledger.weigh(incident, now)
            opened += 1
    return opened

def wake_snoozed(now: datetime) -> int:
    due = list(Incident.objects.filter(status=Status.SNOOZED, snoozed_until__lte=now)[:200])
    for incident in due:
        incident.wake(None, why={"rule": "snooze", "until": incident.snoozed_until.isoformat()})  # type: ignore[union-attr]
    return len(due)

def verify_resolved(now: datetime) -> int:
    """Confirms fixes: enough traffic on the fix release, and the rate back at its old level."""
    verified = 0
    resolved = Incident.objects.filter(status=Status.RESOLVED).exclude(fix_release=None).exclude(signal=None)
    for incident in resolved.select_related("regression", "fix_release", "workspace")[:200]:
        why = _proof(incident, now)
        if why is None:
            continue
        try:
            incident.verify(None, why=why)
            verified += 1
        except IllegalMove:
            continue
    return verified

def _proof(incident: Incident, now: datetime) -> dict[str, object] | None:
    evidence = incident.regression.evidence if incident.regression else None
    if not evidence or not str(evidence.get("measure", "")).endswith("failure_rate"):
        return None
    since = max(incident.resolved_at or now, now - timedelta(days=3))
    frame = series.load(
        incident.product_id or 0,
        incident.environment or "production",
        since,
        now,
        3600,
        signals=[incident.signal_id or 0],
        is_sliced=False,
    )
    fixed = frame.sum(incident.signal_id or 0, {incident.fix_release_id or 0})
    everything = frame.sum(incident.signal_id or 0, None)
    n, bad, total = float(fixed.n.sum()), float(fixed.bad.sum()), float(everything.n.sum())
    if n < ENOUGH_EVENTS or n < ENOUGH_SHARE * total:
        return None
    rate, old = bad / n, float(evidence["old"])
    if rate > old * (1 + float(evidence.get("margin", 0.1))) + 2 * (old * (1 - old) / n) ** 0.5:
        return None
    return {"rule": "verify", "n": n, "rate": rate, "baseline": old, "release": str(incident.fix_release)}

