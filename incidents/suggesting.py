"""Compares each new incident with others: suggests links, and says when a problem came back. likeness.py judges."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from activity.models import record
from incidents import lifecycle, likeness
from incidents.models import Incident, Link, LinkKind, Review, Suggestion
from incidents.notifying import WEIGHING
from productops.lib.text import fold, grams

log = logging.getLogger(__name__)

#: Others that one incident is compared with; incidents compared in one turn.
MOST, TURN = 600, 100


def compare_new(now: datetime) -> int:
    """How many were compared. A new one waits a moment for its words and numbers."""
    waiting = Incident.objects.in_full().filter(compared_at=None, opened_at__lte=now - WEIGHING / 4)
    incidents = list(waiting.order_by("pk")[:TURN])
    for incident in incidents:
        try:
            compare(incident, now)
        except Exception:  # whatever is wrong with one, the others have nothing to do with it
            log.exception("INC-%s of workspace %s could not be compared", incident.number, incident.workspace_id)
    return len(incidents)


def compare(incident: Incident, now: datetime) -> None:
    """Once for each incident, however often it is asked for."""
    with transaction.atomic():
        if not Incident.objects.filter(pk=incident.pk, compared_at=None).update(compared_at=now):
            return
        others = {other.pk: other for other in _others(incident)}
        mine, theirs = facts(incident), [facts(other) for other in others.values()]
        again = likeness.earlier(mine, theirs)
        if again:
            _recur(incident, others[again[0].pk], again[1], now)
        Suggestion.objects.bulk_create(
            [
                Suggestion(incident=incident, other=others[other.pk], score=score, why=why, created_at=now)
                for score, other, why in likeness.best(mine, theirs)
                if not again or other.pk != again[0].pk
            ],
            ignore_conflicts=True,
        )


def _others(incident: Incident) -> list[Incident]:
    here = Incident.objects.of(incident.workspace).in_full().exclude(pk=incident.pk).exclude(status="duplicate")
    here = here.filter(pk__lt=incident.pk).filter(Q(product=incident.product_id) | Q(product=None))
    since = incident.opened_at - likeness.RECURS
    near = here.filter(Q(opened_at__gt=since - timedelta(days=30)) | Q(resolved_at__gt=since))
    same = Q()
    for name in ("feature", "signal"):
        if key := getattr(incident, f"{name}_id"):
            same |= Q(**{name: key})
    newest = list(near.order_by("-pk")[: MOST // 2])
    return [*newest, *(near.filter(same).order_by("-pk")[: MOST // 2] if same else ())]


def facts(incident: Incident) -> likeness.Facts:
    regression = incident.regression
    over = incident.resolved_at if incident.status in lifecycle.DONE else None
    return likeness.Facts(
        pk=incident.pk, opened_at=incident.opened_at,
        # Words the hub made say what the signal says already.
        grams=frozenset(grams(fold(incident.title))) if incident.title else frozenset(),
        kind=incident.kind, signal=incident.signal_id, measure=regression.measure if regression else "",
        feature=incident.feature_id, release=incident.release_id, environment=incident.environment,
        grouping_key=incident.grouping_key if incident.cause else "", resolved_at=over,
    )  # fmt: skip


def _recur(incident: Incident, before: Incident, days: int, now: datetime) -> None:
    """Said on both, and of the review that did not keep it from coming back."""
    why = {"rule": "recurrence", "version": likeness.VERSION, "days": days, "most": likeness.RECURS.days}
    Link.objects.link(incident, before, LinkKind.RECURS, None, why)
    failed = Review.objects.filter(incident=before, failed_by=None).exclude(finished_at=None)
    if failed.update(failed_by=incident):
        record(
            before.workspace, "incident.review_failed", before, None, at=now, tells=True, why=why, other=incident.pk
        )
