"""The look: judges every watched release and writes what it found as rows (Regression, Verdict)."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Min
from django.utils import timezone

from metrics import comparing, series
from metrics.detection.evidence import NOT_ENOUGH, WORSE
from metrics.detection.judge import HEALTHY, REGRESSED, WATCH
from metrics.detection.judge import verdict as word
from metrics.models import Inbox, Regression, RollupMinute, Verdict
from releases.models import WATCH as WATCH_TIME
from releases.models import Deploy, Release

#: Without one of these judged, a release is not called healthy.
_VITAL = ("failure_rate", "error_rate", "latency_p95")
_RANK = (REGRESSED, WATCH, HEALTHY, NOT_ENOUGH)


def look(now: datetime) -> int:
    """Judges every release in its first 72 hours; how many were judged."""
    judged = 0
    for release in Release.objects.watched(now).select_related("product__workspace"):
        for environment in _environments(release):
            if _is_due(release, environment, now):
                judge(release, environment, now)
                judged += 1
    return judged


def judge(release: Release, environment: str, now: datetime) -> Verdict | None:
    """Looks at one release as of `now` and stores verdict and regressions. None before its first deploy."""
    began = _began(release, environment)
    if began is None or began >= now:
        return None
    until = data_up_to(release.product_id, now)
    scene = comparing.scene(release, environment, began, until)
    findings = comparing.compare(scene)
    words = [word([f.evidence for f in findings if f.signal == signal]) for signal in scene.signals]
    verdict = min((w[0] for w in words), key=_RANK.index, default=NOT_ENOUGH)
    if verdict == HEALTHY and not any(f.measure in _VITAL and f.evidence.status != NOT_ENOUGH for f in findings):
        verdict = NOT_ENOUGH  # that nobody left early says nothing about whether it works
    with transaction.atomic():
        for finding in findings:
            _write_regression(release, environment, finding, now, until)
        values = {
            "verdict": verdict,
            "reasons": dict(Counter(f.evidence.status for f in findings)),
            "trace": [trace(finding) for finding in findings],
            "share": share(release, environment, until),
            "data_up_to": until,
            "looked_at": now,
        }
        stored, _new = Verdict.objects.update_or_create(
            release=release,
            environment=environment,
            defaults=values,
            create_defaults={**values, "first_at": now},
        )
    return stored


def trace(finding: comparing.Finding) -> dict[str, Any]:
    """What is stored of a finding: names and every number that led to it."""
    return {
        "signal": finding.signal.pk,
        "name": finding.signal.name,
        "kind": finding.signal.kind,
        "feature": finding.signal.feature.name if finding.signal.feature else "",
        "slice": finding.slice,
        "started_at": finding.started_at.isoformat(),
        **asdict(finding.evidence),
        # After the evidence: a detector knows an error rate only as a failure rate.
        "measure": finding.measure,
    }


def data_up_to(product: int, now: datetime) -> datetime:
    """The moment up to which everything accepted is counted."""
    waiting = Inbox.objects.filter(product_id=product).aggregate(first=Min("received_at"))["first"]
    return min(now, waiting) if waiting else now


def share(release: Release, environment: str, until: datetime) -> float | None:
    """The release's share of the environment's events in the last hour of data, 0..1; None without any."""
    frame = series.load(
        release.product_id, environment, until - timedelta(hours=1), until, 3600, is_sliced=False
    )
    ours = sum(float(c.n.sum()) for (_s, r, _n), c in frame.cells.items() if r == release.pk)
    total = sum(float(c.n.sum()) for c in frame.cells.values())
    return ours / total if total else None


def _write_regression(
    release: Release, environment: str, finding: comparing.Finding, now: datetime, until: datetime
) -> None:
    key = {"release": release, "environment": environment, "signal": finding.signal, "measure": finding.measure}
    is_worse = finding.evidence.status == WORSE and not finding.evidence.transient
    if not is_worse:
        Regression.objects.filter(**key, is_active=True).update(is_active=False, looked_at=now, data_up_to=until)
        return
    values = {"evidence": trace(finding), "slice": finding.slice, "is_active": True}
    Regression.objects.update_or_create(
        **key,
        defaults={**values, "looked_at": now, "data_up_to": until},
        create_defaults={
            **values,
            "looked_at": now,
            "data_up_to": until,
            "found_at": now,
            "started_at": finding.started_at,
        },
    )


def _environments(release: Release) -> list[str]:
    return sorted(set(Deploy.objects.filter(release=release).values_list("environment", flat=True)))


def _began(release: Release, environment: str) -> datetime | None:
    deploys = Deploy.objects.filter(release=release, environment=environment).exclude(percentage=0)
    return deploys.aggregate(first=Min("at"))["first"]


def _is_due(release: Release, environment: str, now: datetime) -> bool:
    """Young releases at every look, older ones each minute, and none without news since the last look."""
    last = Verdict.objects.filter(release=release, environment=environment).values_list("looked_at", flat=True).first()
    if last is None:
        return True
    age = now - (release.shipped_at or now)
    if age > timedelta(hours=6) and now - last < timedelta(minutes=1):
        return False
    return RollupMinute.objects.filter(
        product_id=release.product_id, environment=environment, bucket__gte=last - timedelta(minutes=2)
    ).exists()


def replay(release: Release, environment: str) -> Verdict | None:
    """The verdict at the end of the watch, or now when it is still on."""
    shipped = release.shipped_at or timezone.now()
    return judge(release, environment, min(timezone.now(), shipped + WATCH_TIME))
