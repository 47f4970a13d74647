"""Errors of a release by their group: new, back, or far more often. Puts the counts before detection/faults.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, Min, QuerySet, Sum

from metrics import replica
from metrics.comparing import COUNTABLE, Finding, Scene
from metrics.detection.asking import Question
from metrics.detection.faults import Seen
from metrics.intake.event import FAULT
from metrics.models import RollupHour, Signal, UserDay
from releases.models import Release

#: How far back older releases are asked for their rate.
BEFORE = timedelta(days=14)
#: Faults of one release that are told, the most frequent first.
MOST = 50


class Ours(NamedTuple):
    """What a release had of one fault."""

    bad: float
    bad_sq: float
    first: datetime


def find(at: Scene) -> tuple[list[Finding], Question]:
    """One finding for each fault the release had, the most frequent first; `state` says new, back or escalating. And
    the question whose answers they are, in the same order."""
    ours = _ours(at)
    if not ours:
        return [], Question("faults", {"seen": []})
    signals = Signal.objects.filter(pk__in=ours).select_related("fault", "feature")
    order = sorted((s for s in signals if hasattr(s, "fault")), key=lambda s: (-ours[s.pk].bad, s.pk))
    question = Question("faults", {"seen": _seen(at, [s.pk for s in order], ours)})
    found = [
        Finding(signal, "error_rate", evidence, max(ours[signal.pk].first, at.began), (), state)
        for signal, (state, evidence) in zip(order, question.answers(), strict=True)
    ]
    return found, question


def _ours(at: Scene) -> dict[int, Ours]:
    rows = _hours(at).filter(release_id=at.release.pk, bucket__gte=_hour(at.began), bucket__lt=at.now)
    # A table of its own for the names: on a cluster it stands elsewhere.
    known = Signal.objects.filter(product=at.release.product_id, kind=FAULT).values_list("pk", flat=True)
    sums = rows.filter(signal_id__in=list(known)).values("signal_id")
    told = sums.annotate(k=Sum("bad"), sq=Sum("bad_sq"), first=Min("bucket")).order_by("-k", "signal_id")[:MOST]
    return {row["signal_id"]: Ours(float(row["k"]), float(row["sq"]), row["first"]) for row in told}


def _seen(at: Scene, signals: list[int], ours: dict[int, Ours]) -> list[Seen]:
    older, last = _older(at)
    past: dict[int, float] = {}
    before: dict[int, float] = {}
    rows = _hours(at).filter(signal_id__in=signals, release_id__in=older)
    known = set(rows.values_list("signal_id", flat=True).distinct())
    recent = rows.filter(bucket__gte=_hour(at.began - BEFORE), bucket__lt=at.now)
    for row in recent.values("signal_id", "release_id").annotate(k=Sum("bad")):
        past[row["signal_id"]] = past.get(row["signal_id"], 0.0) + float(row["k"])
        if row["release_id"] == last:
            before[row["signal_id"]] = float(row["k"])
    uses, users = _uses(at), _users(at, signals)
    n_new, n_past = uses.get(at.release.pk, 0.0), sum(uses.get(release, 0.0) for release in older)
    return [
        Seen(
            n_new=n_new + ours[pk].bad, bad_new=ours[pk].bad, users=users.get(pk, 0.0),
            deff=max(1.0, ours[pk].bad_sq / ours[pk].bad) if ours[pk].bad else 1.0,
            n_past=n_past + past.get(pk, 0.0), bad_past=past.get(pk, 0.0),
            n_last=uses.get(last, 0.0) + before.get(pk, 0.0), bad_last=before.get(pk, 0.0), is_known=pk in known,
        )
        for pk in signals
    ]  # fmt: skip


def _older(at: Scene) -> tuple[set[int], int]:
    """Releases that shipped before, what names no release (0) among them; and the one directly before, or 0."""
    previous = at.release.previous()
    shipped = Release.objects.filter(product=at.release.product_id, shipped_at__lt=at.release.shipped_at or at.began)
    return {0, *shipped.exclude(pk=at.release.pk).values_list("pk", flat=True)}, previous.pk if previous else 0


def _uses(at: Scene) -> dict[int, float]:
    """Uses and visits by release: since it came those in the frame, before that the hours of BEFORE."""
    countable = {s.pk for s in at.signals if s.kind in COUNTABLE}
    began = _hour(at.began)
    before = _hours(at).filter(signal_id__in=countable, bucket__gte=began - BEFORE, bucket__lt=began)
    found = {row["release_id"]: float(row["n"]) for row in before.values("release_id").annotate(n=Sum("n"))}
    for signal, release, name, cells in at.frame.cells:
        if signal in countable and not name:
            found[release] = found.get(release, 0.0) + float(cells.n.sum())
    return found


def _users(at: Scene, signals: list[int]) -> dict[int, float]:
    """Different users of the release that met each fault; those who never did anything bad are in no row."""
    rows = UserDay.objects.filter(
        product_id=at.release.product_id, environment=at.environment, release_id=at.release.pk, signal_id__in=signals,
        day__gte=at.began.astimezone(UTC).date(),
    )  # fmt: skip
    told = rows.values("signal_id").annotate(n=Count("user_hash", distinct=True))
    return {row["signal_id"]: float(row["n"]) for row in told}


def _hours(at: Scene) -> QuerySet[RollupHour]:
    return RollupHour.objects.using(replica.alias()).filter(
        product_id=at.release.product_id, environment=at.environment, slice=""
    )


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
