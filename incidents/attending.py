"""Takes the news of metrics: an unattended regression becomes an incident, once; a claimed fix is checked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef

from activity.models import Event
from incidents import ledger, proving
from incidents.lifecycle import IllegalMove
from incidents.models import Incident, Status
from metrics import watching
from metrics.intake.event import FAULT
from metrics.measures import COMPLAINTS, FAMILY
from metrics.models import Regression


def open_incidents(now: datetime) -> int:
    """Opens an incident for each active regression that has none; how many. An error group of a release that is worse
    anyway opens none of its own: most often it is the same problem, and the release's page tells of it."""
    taken = Incident.objects.exclude(regression=None).values("regression")
    # Complaints open theirs when there are unusually many, with the complaints in it (spiking.py).
    active = Regression.objects.filter(is_active=True).exclude(measure=COMPLAINTS)
    other = active.filter(release=OuterRef("release"), environment=OuterRef("environment")).exclude(signal__kind=FAULT)
    # Of one family, the first that got worse speaks for the others: most often they tell of the same problem.
    first: dict[tuple[Any, ...], int] = {}
    for pk, *place, measure in active.order_by("-pk").values_list("pk", "release", "environment", "signal", "measure"):
        first[*place, FAMILY.get(measure, measure)] = pk
    waiting = active.filter(pk__in=first.values()).exclude(pk__in=taken).exclude(Exists(other), signal__kind=FAULT)
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
    """Every claimed fix is verified, reopened with the evidence, or told what it lacks; how many moved."""
    resolved = Incident.objects.filter(status=Status.RESOLVED).exclude(signal=None).exclude(regression=None)
    return sum(
        _check(incident, now)
        for incident in resolved.select_related("regression", "fix_release", "workspace").order_by("pk")[:200]
    )


def _check(incident: Incident, now: datetime) -> bool:
    proof = proving.prove(incident, watching.data_up_to(incident.product_id or 0, now))
    Incident.objects.filter(pk=incident.pk).update(proof=proof or {})
    if proof is None:
        return False
    try:
        if proof["answer"] == proving.FIXED:
            incident.verify(None, why={"rule": "verify", **proof})
            return True
        if proof["answer"] in (proving.BROKEN, proving.COMPLAINED) and not _is_overruled(incident):
            incident.reopen(None, why={"rule": "still_broken", **proof})
            return True
    except IllegalMove:
        pass
    return False


def _is_overruled(incident: Incident) -> bool:
    """A person took back that the hub reopened this claim: that stands."""
    undone = Event.objects.about(incident).filter(verb="incident.undone", detail__of="incident.reopened")
    return undone.filter(at__gte=incident.resolved_at).exists()
