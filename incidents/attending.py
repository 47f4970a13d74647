"""Takes the news of metrics: an unattended regression becomes an incident, once; a claimed fix is checked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from activity.models import Event
from incidents import ledger, proving
from incidents.lifecycle import IllegalMove
from incidents.models import Incident, Status
from metrics import watching
from metrics.intake.event import FAULT
from metrics.measures import COMPLAINTS, FAMILY
from metrics.models import Regression
from releases.models import Release


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
    """Wakes what slept long enough, what hurt as many more customers as it was to wait for, and what waited for the
    next release; how many."""
    shipped = Release.objects.filter(product__workspace=OuterRef("workspace"), shipped_at__gt=OuterRef("snoozed_at"))
    # An incident of no product waits for a release of any.
    shipped = shipped.filter(product=Coalesce(OuterRef("product"), F("product")), shipped_at__lte=now)
    by_time = Q(snoozed_until__lte=now)
    by_customers = Q(wakes_at__lte=F("heard") + F("silent"))
    asleep = Incident.objects.filter(status=Status.SNOOZED).annotate(
        next_release=Subquery(shipped.order_by("shipped_at").values("version")[:1])
    )
    due = asleep.filter(by_time | by_customers | Q(wakes_on_release=True, next_release__isnull=False))
    woken = 0
    for incident in due.order_by("pk")[:200]:
        try:
            incident.wake(None, why={"rule": "snooze", **_waker(incident, now)})
            woken += 1
        except IllegalMove:
            pass  # somebody was quicker
    return woken


def _waker(incident: Any, now: datetime) -> dict[str, Any]:
    """What the incident slept for and is there now."""
    if incident.snoozed_until and incident.snoozed_until <= now:
        return {"until": incident.snoozed_until.isoformat()}
    touched = incident.heard + incident.silent
    if incident.wakes_at is not None and incident.wakes_at <= touched:
        return {"customers": touched}
    return {"release": incident.next_release}


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
