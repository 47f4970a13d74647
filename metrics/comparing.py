"""Puts the right numbers of one release before the right detector. Reads rollups; decides nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from metrics import series
from metrics.detection.evidence import NOT_ENOUGH, WORSE, Evidence, FloatArray, Side
from metrics.detection.histogram import quantile
from metrics.detection.judge import before_after, concurrent_latency, concurrent_rate, short_history
from metrics.models import Signal
from releases.models import Release

#: Share of the traffic the old release must have for a side-by-side comparison.
CONTROL_SHARE = 0.05
#: History that before/after needs, and takes at most.
NEEDED, TAKEN = timedelta(days=3), timedelta(days=8)
SLOT = 300
#: Signals of one release that are judged, the busiest first.
MOST_SIGNALS = 60


@dataclass(frozen=True)
class Finding:
    """What was found for one measure of one signal; `slice` names the slice that explains it, if one does."""

    signal: Signal
    measure: str
    evidence: Evidence
    started_at: datetime
    slice: str = ""


@dataclass
class Scene:
    """One release in one environment at one moment."""

    release: Release
    environment: str
    began: datetime
    now: datetime
    signals: list[Signal]
    frame: series.Frame
    history_since: datetime
    newer: set[int] = field(default_factory=set)  # releases that came later are nobody's control

    @property
    def new(self) -> set[int]:
        return {self.release.pk}

    def old(self, signal: int) -> set[int]:
        return self.frame.releases(signal) - self.new - self.newer

    def old_share(self, signal: int) -> float:
        new = self.frame.sum(signal, self.new).n.sum()
        old = self.frame.sum(signal, self.old(signal)).n.sum()
        return float(old / (new + old)) if new + old else 0.0


def scene(release: Release, environment: str, began: datetime, now: datetime) -> Scene:
    """Loads what is needed; buckets grow with the age of the release, so that the cost does not."""
    age = now - began
    if age <= timedelta(hours=2):
        step, table = 60, series.MINUTE
    elif age <= timedelta(hours=12):
        step, table = SLOT, series.MINUTE
    else:
        step, table = 3600, series.HOUR
    frame = series.load(release.product_id, environment, began, now, step, table=table, has_hists=True)
    busy = sorted({key[0] for key in frame.cells}, key=lambda s: -frame.sum(s, None).n.sum())[:MOST_SIGNALS]
    signals = list(Signal.objects.filter(pk__in=busy).select_related("feature").order_by("kind", "name"))
    first = _first_bucket(release.product_id, environment, began)
    newer = Release.objects.filter(product=release.product_id, shipped_at__gt=began).exclude(pk=release.pk)
    newer_ids = set(newer.values_list("pk", flat=True))
    return Scene(release, environment, began, now, signals, frame, first, newer_ids)


def compare(at: Scene) -> list[Finding]:
    """One finding for each measure of each signal, also when it says "the same" or "not enough"."""
    pairs = [(signal, measure) for signal in at.signals for measure in measures(signal, at.frame)]
    found = []
    for signal, measure in pairs:
        evidence = _side_by_side(at, signal, measure, len(pairs))
        if evidence is None or evidence.status == NOT_ENOUGH:
            alone = _over_time(at, signal, measure, len(pairs))
            evidence = alone if evidence is None or alone.status != NOT_ENOUGH else evidence
        bucket = evidence.first_bucket or 0
        step = at.frame.step if evidence.method != "before_after" else SLOT
        started = at.began + timedelta(seconds=bucket * step)
        worst = _explaining_slice(at, signal) if evidence.status == WORSE and measure == "failure_rate" else ""
        found.append(Finding(signal, measure, evidence, min(started, at.now), worst))
    return found


def measures(signal: Signal, frame: series.Frame) -> list[str]:
    if signal.kind == "session":
        return ["failure_rate", "volume"]
    if signal.kind == "error":
        return ["error_rate"]
    cells = frame.sum(signal.pk, None)
    found = ["failure_rate", "volume"]
    return [*found, "latency_p95"] if cells.timed.sum() > 0 else found


def _side_by_side(at: Scene, signal: Signal, measure: str, together: int) -> Evidence | None:
    """None when the old release is not there to compare with, or the measure needs time."""
    old = at.old(signal.pk)
    if measure == "volume" or not old or at.old_share(signal.pk) < CONTROL_SHARE:
        return None
    if measure == "latency_p95":
        return concurrent_latency(
            _timed(at, signal, old), _timed(at, signal, at.new), signals=together
        )
    if measure == "error_rate":
        sides = _errors(at, signal, old), _errors(at, signal, at.new)
        return concurrent_rate(*sides, signals=together, measure=measure)
    strata = at.frame.slices(signal.pk, "plan")
    return concurrent_rate(
        at.frame.side(signal.pk, old, strata),
        at.frame.side(signal.pk, at.new, strata),
        signals=together,
        stratified=bool(strata),
    )


def _timed(at: Scene, signal: Signal, releases: set[int]) -> Side:
    cells = at.frame.sum(signal.pk, releases)
    return Side(cells.timed, np.zeros_like(cells.timed), None, at.frame.hist(signal.pk, releases))


def _errors(at: Scene, signal: Signal, releases: set[int]) -> Side:
    """Errors have no denominator of their own: they are counted per use and session of the same release."""
    errors = at.frame.sum(signal.pk, releases)
    uses = np.zeros(at.frame.buckets)
    for other in at.signals:
        if other.kind != "error":
            uses = uses + at.frame.sum(other.pk, releases).n
    return Side(uses + errors.n, errors.n, errors.bad_sq)


def _over_time(at: Scene, signal: Signal, measure: str, together: int) -> Evidence:
    if at.began - at.history_since < NEEDED:
        return _short(at, signal, measure, together)
    since = max(at.history_since, at.began - (TAKEN if measure != "latency_p95" else timedelta(days=4)))
    frame = series.load(
        at.release.product_id,
        at.environment,
        since,
        min(at.now, at.began + timedelta(days=1)),
        SLOT,
        signals=[signal.pk] if measure != "error_rate" else None,
        is_sliced=False,
        has_hists=measure == "latency_p95",
    )
    cut = (int(at.began.timestamp()) - frame.since) // SLOT
    whole = frame.buckets - 1 if at.now < at.began + timedelta(days=1) else frame.buckets  # the last is filling
    cells = frame.sum(signal.pk, None)
    n, bad = cells.n, cells.bad
    if measure == "error_rate":
        n, bad = sum((c.n for (s, _r, _n), c in frame.cells.items() if s != signal.pk), cells.n), cells.n
    if measure in {"failure_rate", "error_rate"}:
        return before_after(
            n[:0], n[:0], bucket_s=SLOT, direction=1, measure=measure, signals=together,
            pre_n=n[:cut], pre_bad=bad[:cut], post_n=n[cut:whole], post_bad=bad[cut:whole],
        )  # fmt: skip
    values = n if measure == "volume" else _quantiles(frame.hist(signal.pk, None), 0.95)
    direction = -1 if measure == "volume" else 1
    return before_after(
        values[:cut], values[cut:whole], bucket_s=SLOT, direction=direction, measure=measure, signals=together
    )


def _short(at: Scene, signal: Signal, measure: str, together: int) -> Evidence:
    since = max(at.history_since, at.began - timedelta(hours=6))
    before = series.load(
        at.release.product_id, at.environment, since, at.began, 60, is_sliced=False, has_hists=measure == "latency_p95"
    )
    until = min(at.now, at.began + timedelta(hours=6))
    after = series.load(
        at.release.product_id, at.environment, at.began, until, 60, is_sliced=False, has_hists=measure == "latency_p95"
    )
    sides = []
    for frame in (before, after):
        view = Scene(at.release, at.environment, at.began, at.now, at.signals, frame, at.history_since)
        if measure == "latency_p95":
            cells = frame.sum(signal.pk, None)
            hist = frame.hist(signal.pk, None)
            sides.append(Side(cells.timed, np.zeros_like(cells.timed), None, hist))
        elif measure == "error_rate":
            sides.append(_errors(view, signal, frame.releases(signal.pk)))
        else:
            sides.append(frame.side(signal.pk, frame.releases(signal.pk), []))
    name = "failure_rate" if measure == "error_rate" else measure
    return short_history(sides[0], sides[1], measure=name, signals=together)


def _quantiles(hists: FloatArray, q: float) -> FloatArray:
    return np.array([quantile(row, q) for row in hists])


def _explaining_slice(at: Scene, signal: Signal) -> str:
    """The narrowest slice that holds at least 80 % of the bad events beyond what the old rate would give."""
    new, old = at.frame.sum(signal.pk, at.new), at.frame.sum(signal.pk, at.old(signal.pk))
    if not old.n.sum() or not new.n.sum():
        return ""
    excess = float(new.bad.sum() - new.n.sum() * old.bad.sum() / old.n.sum())
    candidates = []
    for name in at.frame.slices(signal.pk, "plan") + at.frame.slices(signal.pk, "platform"):
        ours = at.frame.sum(signal.pk, at.new, name)
        theirs = at.frame.sum(signal.pk, at.old(signal.pk), name)
        share = float(ours.n.sum() / new.n.sum())
        if not theirs.n.sum() or share > 0.8:
            continue
        beyond = float(ours.bad.sum() - ours.n.sum() * theirs.bad.sum() / theirs.n.sum())
        if excess > 0 and beyond >= 0.8 * excess:
            candidates.append((share, name))
    return min(candidates)[1] if candidates else ""


def _first_bucket(product: int, environment: str, began: datetime) -> datetime:
    """When measuring of this environment began, at most TAKEN before `began`."""
    frame = series.load(
        product, environment, began - TAKEN, began, 86_400, table=series.HOUR, is_sliced=False
    )
    busy = [b for cells in frame.cells.values() for b in np.nonzero(cells.n)[0].tolist()]
    return max(frame.at(min(busy)), began - TAKEN) if busy else began

