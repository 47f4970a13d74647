"""The look: judges every watched release and writes what it found as rows (Regression, Verdict)."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Min
from django.utils import timezone

from metrics import comparing, doubting, faulting, history, replaying, series, silence
from metrics.detection.evidence import BEFORE_AFTER, NOT_ENOUGH, WORSE, Evidence
from metrics.detection.judge import HEALTHY, REGRESSED, WATCH
from metrics.detection.judge import verdict as word
from metrics.measures import VITAL
from metrics.models import Inbox, Regression, RollupMinute, Verdict
from releases.models import WATCH as WATCH_TIME
from releases.models import Deploy, Release

#: Share of uses (the lower end of its interval) that a fault must hit to make a release bad.
_MANY = 0.01
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
    faults, about_faults = faulting.find(scene)
    doubts = {(f.signal.pk, f.measure): doubting.doubts(scene, f) for f in findings}
    heard = [f for f in findings if not f.signal.is_muted(now)]
    sure = [f for f in heard if not doubts[f.signal.pk, f.measure]]
    of_signal: dict[int, list[Evidence]] = {signal.pk: [] for signal in scene.signals}
    for finding in sure:
        of_signal[finding.signal.pk].append(finding.evidence)
    words = [word(evidences)[0] for evidences in of_signal.values()]
    words += [*map(_of_fault, faults), *([WATCH] if len(sure) < len(heard) else [])]
    verdict = min(words, key=_RANK.index, default=NOT_ENOUGH)
    if verdict == HEALTHY and not any(f.measure in VITAL and f.evidence.status != NOT_ENOUGH for f in findings):
        verdict = NOT_ENOUGH  # that nobody left early says nothing about whether it works
    silent = silence.since(release.product_id, environment, until)
    if silent and verdict != REGRESSED:
        verdict = WATCH
    questions = [finding.question for finding in findings if finding.question] + [about_faults]
    with transaction.atomic():
        _write_regressions(release, environment, [*findings, *faults], doubts, now, until)
        values = {
            "verdict": verdict,
            "reasons": dict(Counter(f.evidence.status for f in findings)),
            "trace": [
                {**trace(f), "ready_at": _ready_at(f.evidence, scene), "doubts": doubts[f.signal.pk, f.measure]}
                for f in findings
            ],
            "faults": [trace(finding) for finding in faults],
            "share": share(release, environment, until),
            "silent_since": silent,
            "data_up_to": until,
            "looked_at": now,
        }
        stored, _new = Verdict.objects.update_or_create(
            release=release,
            environment=environment,
            defaults=values,
            create_defaults={**values, "first_at": now},
        )
        replaying.keep(stored, replaying.latest(release.pk, environment), questions, now)
    return stored


def _of_fault(finding: comparing.Finding) -> str:
    """A fault that is surely new, back or escalating is worth a look; it makes a release bad when it hits many uses."""
    if finding.evidence.status != WORSE or finding.signal.is_muted(timezone.now()):
        return NOT_ENOUGH
    return REGRESSED if finding.evidence.low >= _MANY else WATCH


def _ready_at(evidence: Evidence, scene: comparing.Scene) -> str | None:
    """About when what has too little data can be judged, if data goes on coming as since the deploy, as ISO 8601; ""
    when not within the watch; None when it can be judged, or nothing is known."""
    if evidence.status != NOT_ENOUGH or evidence.needed == 0:
        return None
    elapsed = (scene.now - scene.began).total_seconds()
    if evidence.method == BEFORE_AFTER:
        seconds = evidence.needed * history.SLOT
    elif evidence.n_new > 0 and elapsed > 0:
        seconds = evidence.needed / evidence.n_new * elapsed
    else:
        return None
    left = (scene.began + WATCH_TIME - scene.now).total_seconds()
    if evidence.needed < 0 or seconds > left:
        return ""
    return (scene.now + timedelta(seconds=round(seconds))).isoformat()


def trace(finding: comparing.Finding) -> dict[str, Any]:
    """What is stored of a finding: names and every number that led to it."""
    return {
        "signal": finding.signal.pk,
        "name": str(finding.signal.fault) if finding.state else finding.signal.name,
        "kind": finding.signal.kind,
        "feature": finding.signal.feature.name if finding.signal.feature else "",
        "slice": finding.places[0].name if finding.places else "",
        "places": [asdict(place) for place in finding.places],
        "started_at": finding.started_at.isoformat(),
        **vars(finding.evidence),
        "state": finding.state,
        "muted_until": finding.signal.muted_until.isoformat() if finding.signal.muted_until else None,
        # After the evidence: a detector knows an error rate only as a failure rate.
        "measure": finding.measure,
    }


def data_up_to(product: int, now: datetime) -> datetime:
    """The moment up to which everything accepted is counted."""
    waiting = Inbox.objects.filter(product_id=product).aggregate(first=Min("received_at"))["first"]
    return min(now, waiting) if waiting else now


def share(release: Release, environment: str, until: datetime) -> float | None:
    """The release's share of the environment's events in the last hour of data, 0..1; None without any."""
    signals = series.sent(release.product_id)
    frame = series.load(release.product_id, environment, until - timedelta(hours=1), until, 3600, signals=signals)
    ours = sum(float(cells.n.sum()) for _s, of, _n, cells in frame.cells if of == release.pk)
    total = sum(float(cells.n.sum()) for _s, _r, _n, cells in frame.cells)
    return ours / total if total else None


def _write_regressions(
    release: Release,
    environment: str,
    findings: list[comparing.Finding],
    doubts: dict[tuple[int, str], list[doubting.Doubt]],
    now: datetime,
    until: datetime,
) -> None:
    """One row for each measure that is worse; those that are not any more are told so."""
    seen = {"looked_at": now, "data_up_to": until}
    worse = [f for f in findings if f.evidence.status == WORSE and not f.evidence.transient]
    worse = [finding for finding in worse if not finding.signal.is_muted(now)]
    here = Regression.objects.filter(release=release, environment=environment)
    for finding in worse:
        key = finding.signal.pk, finding.measure
        found = {**trace(finding), "doubts": doubts.get(key, [])}
        values = {"evidence": found, "slice": found["slice"], "is_active": True, **seen}
        here.update_or_create(
            release=release, environment=environment, signal=finding.signal, measure=finding.measure,
            defaults=values, create_defaults={**values, "found_at": now, "started_at": finding.started_at},
        )  # fmt: skip
    still = {(finding.signal.pk, finding.measure) for finding in worse}
    judged = {(finding.signal.pk, finding.measure) for finding in findings} - still
    active = here.filter(is_active=True).values_list("pk", "signal", "measure")
    over = [pk for pk, signal, measure in active if (signal, measure) in judged]
    if over:
        here.filter(pk__in=over).update(is_active=False, **seen)


def _environments(release: Release) -> list[str]:
    return sorted(set(Deploy.objects.filter(release=release).values_list("environment", flat=True)))


def _began(release: Release, environment: str) -> datetime | None:
    deploys = Deploy.objects.filter(release=release, environment=environment).exclude(percentage=0)
    return deploys.aggregate(first=Min("at"))["first"]


def _is_due(release: Release, environment: str, now: datetime) -> bool:
    """Young releases at every look, older ones each minute, and without news since the last look seldom: silence is
    news too."""
    last = Verdict.objects.filter(release=release, environment=environment).values_list("looked_at", flat=True).first()
    if last is None:
        return True
    age = now - (release.shipped_at or now)
    if age > timedelta(hours=6) and now - last < timedelta(minutes=1):
        return False
    rows = RollupMinute.objects.filter(product_id=release.product_id, environment=environment, slice="")
    return now - last >= silence.LEAST or rows.filter(bucket__gte=last - timedelta(minutes=2)).exists()


def replay(release: Release, environment: str) -> Verdict | None:
    """The verdict at the end of the watch, or now when it is still on."""
    shipped = release.shipped_at or timezone.now()
    return judge(release, environment, min(timezone.now(), shipped + WATCH_TIME))
