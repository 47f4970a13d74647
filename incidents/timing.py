"""Watches the timers: tells of what is at risk or late, asks whether somebody is still on it, and puts back what nobody
answers for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from django.db import transaction

from accounts.models import Workspace
from activity.models import record
from incidents import lifecycle, timers
from incidents.lifecycle import IllegalMove
from incidents.models import Incident

log = logging.getLogger(__name__)

#: Incidents looked at in one turn.
MOST = 500


def watch(now: datetime) -> int:
    """How many things were told of, asked or put back."""
    return _warn(now) + _ask(now)


def _warn(now: datetime) -> int:
    """Each timer of a cycle is told of once when it is at risk and once when it is late."""
    waiting = Incident.objects.open().filter(watch_at__lte=now).select_related("workspace").order_by("watch_at")
    return sum(_try(_warn_of, incident, now) for incident in waiting[:MOST])


def _try(job: Callable[[Incident, datetime], int], incident: Incident, now: datetime) -> int:
    try:
        return job(incident, now)
    except Exception:  # whatever is wrong with one, the others have nothing to do with it
        log.exception("The timers of INC-%s of workspace %s failed", incident.number, incident.workspace_id)
        return 0


def _warn_of(incident: Incident, now: datetime) -> int:
    policy = timers.policy_of(incident.workspace.timers)
    with transaction.atomic():
        locked = incident.lock()
        told = 0
        running = timers.timers(locked.stamps, policy, now)
        # An update is due again and again: each wait is told of for itself.
        for timer in running:
            code = f"{timer.kind}:{timer.state}"
            if timer.kind == timers.UPDATE and timer.due_at:
                code += f":{timer.due_at.timestamp():.0f}"
            if timer.state not in {"at_risk", "late"} or code in locked.warned:
                continue
            why = {"rule": "timer", "version": policy.version, "kind": timer.kind, "target": timer.target,
                   "severity": locked.severity, "due": timer.due_at.isoformat() if timer.due_at else ""}  # fmt: skip
            record(locked.workspace, f"incident.timer_{timer.state}", locked, None, at=now, tells=True, why=why)
            locked.warned = [*locked.warned[-50:], code]
            told += 1
        locked.watch_at = _next_look(running, now)
        locked.save(update_fields=["warned", "watch_at"])
    return told


def _next_look(running: list[timers.Timer], now: datetime) -> datetime | None:
    """When the next thing is to be told of."""
    moments = [moment for timer in running for moment in (timer.risk_at, timer.due_at) if moment and moment > now]
    return min(moments, default=None)


def _ask(now: datetime) -> int:
    waiting = Incident.objects.open().filter(asks_at__lte=now).select_related("workspace").order_by("asks_at")
    return sum(_try(_ask_of, incident, now) for incident in waiting[:MOST])


def _ask_of(incident: Incident, now: datetime) -> int:
    with transaction.atomic():
        locked = incident.lock()
        if locked.asks_at is None or locked.asks_at > now or locked.status not in timers.HELD:
            return 0
        policy = timers.policy_of(locked.workspace.timers)
        kind = timers.ANSWER if locked.asked_at else timers.STALE
        why = {"rule": "timer", "version": policy.version, "kind": kind, "severity": locked.severity,
               "target": policy.told(locked.severity, kind)}  # fmt: skip
        if locked.asked_at is None:
            locked.asked_at = now
            record(locked.workspace, "incident.asked", locked, None, at=now, tells=True, why=why)
            dues = locked.set_dues()
            locked.save(update_fields=["asked_at", *dues])
            return 1
    try:
        incident.put_back(None, why=why)
    except IllegalMove:
        return 0  # somebody was quicker
    return 1


def recompute(workspace: Workspace) -> int:
    """New targets hold for everything that is open, at once."""
    incidents = list(Incident.objects.of(workspace).filter(status__in=lifecycle.OPEN).select_related("workspace"))
    for incident in incidents:
        incident.workspace = workspace
        incident.set_dues()
    Incident.objects.bulk_update(incidents, ["due_kind", "due_at", "risk_at", "watch_at", "asks_at"], batch_size=500)
    return len(incidents)
