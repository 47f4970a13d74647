"""Series for charts, tables and CSV: a measure of one signal, the new release beside the older ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from metrics import series
from metrics.detection.evidence import FloatArray
from metrics.detection.histogram import quantile
from metrics.detection.rates import wilson
from metrics.intake.event import REFUSAL
from metrics.measures import COMPLAINTS, CONVERSION, COUNTS, ERRORS, HURT, SLOWNESS, VOLUME
from metrics.models import Signal
from releases.models import WATCH, Deploy, Release

#: Points a chart aims at; fewer buckets are read, not more drawn.
POINTS = 160
STEPS = (60, 300, 900, 3600, 10_800, 21_600, 86_400)
#: A rate of fewer events than this is not drawn: it would only be noise.
LEAST = 10
#: Events per bucket for which finer buckets are given up.
ENOUGH = 60


@dataclass(frozen=True)
class Window:
    since: datetime
    until: datetime
    began: datetime

    @property
    def step(self) -> int:
        seconds = (self.until - self.since).total_seconds()
        return next((step for step in STEPS if seconds / step <= POINTS), STEPS[-1])

    @property
    def table(self) -> str:
        return series.HOUR if self.step >= 3600 else series.MINUTE


@dataclass(frozen=True)
class Point:
    """One bucket. Values are in the measure's unit (rate 0..1, ms, count), None where there is too little."""

    at: datetime
    old: float | None
    old_low: float | None
    old_high: float | None
    old_n: int
    new: float | None
    new_low: float | None
    new_high: float | None
    new_n: int


@dataclass(frozen=True)
class Mark:
    at: datetime
    version: str
    percentage: int | None
    is_this: bool


def window(release: Release, environment: str, now: datetime) -> Window:
    """From before the first deploy to the end of the watch, as much before as after but within 3 h to 2 days."""
    first = release.deploys.filter(environment=environment).order_by("at").values_list("at", flat=True).first()
    began = first or release.shipped_at or now
    until = min(now, began + WATCH)
    before = min(max(until - began, timedelta(hours=3)), timedelta(days=2))
    return Window(began - before, until, began)


def points(release: Release, environment: str, signal: Signal, measure: str, at: Window) -> list[Point]:
    per = _per(release.product_id, measure)
    frame = _frame(release, environment, signal, measure, per, at)
    if signal.kind == REFUSAL:
        pair = _halves(frame, _values(frame, signal.pk, None, measure, per), at)
    else:
        new, older = {release.pk}, _older(release, frame, signal.pk)
        pair = [_values(frame, signal.pk, ids, measure, per) for ids in (older, new)]
    return [
        Point(frame.at(bucket), *_point(pair[0], bucket), *_point(pair[1], bucket)) for bucket in range(frame.buckets)
    ]


def _frame(
    release: Release, environment: str, signal: Signal, measure: str, per: set[int], at: Window
) -> series.Frame:
    """In buckets that hold enough to draw: a line of single events tells nothing."""
    wider = [step for step in STEPS if step >= at.step and step * 6 <= (at.until - at.since).total_seconds()]
    for step in wider or [at.step]:
        frame = series.load(
            release.product_id,
            environment,
            at.since,
            at.until,
            step,
            table=series.HOUR if step >= 3600 else series.MINUTE,
            signals=[signal.pk, *per],
            has_hists=measure in SLOWNESS,
        )
        if measure in COUNTS or _is_full(frame, signal.pk, release.pk, at):
            break
    return frame


def _is_full(frame: series.Frame, signal: int, release: int, at: Window) -> bool:
    """Whether the buckets hold enough, also of the new release while it is the smaller part."""
    whole, ours = frame.sum(signal, None).n, frame.sum(signal, {release}).n
    after = ours[max(0, (int(at.began.timestamp()) - frame.since) // frame.step) :]
    return bool(whole.size and whole.mean() >= ENOUGH and (not after.size or after.mean() >= ENOUGH / 3))


def sparks(
    release: Release, environment: str, at: Window, traces: list[dict[str, object]]
) -> dict[tuple[int, str], list[float | None]]:
    """Small lines for many measures at once, from one read: all releases before, this one after the deploy."""
    step = max(3600, at.step)
    frame = series.load(
        release.product_id, environment, at.since, at.until, step, table=series.HOUR, has_hists=True
    )
    cut = (int(at.began.timestamp()) - frame.since) // step
    uses, visits = ({int(str(t["signal"])) for t in traces if t["kind"] == kind} for kind in ("use", "session"))
    found = {}
    for trace in traces:
        signal, measure = int(str(trace["signal"])), str(trace["measure"])
        per = visits if measure in (CONVERSION, COMPLAINTS) else {*uses, *visits}
        whole = _values(frame, signal, None, measure, per)[0]
        is_of_all = measure in COUNTS or trace["kind"] == REFUSAL
        ours = whole if is_of_all else _values(frame, signal, {release.pk}, measure, per)[0]
        line = [*whole[:cut].tolist(), *ours[cut:].tolist()]
        found[signal, measure] = [None if value != value else value for value in line]
    return found


def adoption(release: Release, environment: str, at: Window) -> list[tuple[datetime, float | None, int]]:
    """Per bucket: the release's share of all events (0..1) and how many there were."""
    signals = series.sent(release.product_id)
    frame = series.load(release.product_id, environment, at.since, at.until, at.step, table=at.table, signals=signals)
    ours, total = np.zeros(frame.buckets), np.zeros(frame.buckets)
    for _signal, of_release, _slice, cells in frame.cells:
        total = total + cells.n
        if of_release == release.pk:
            ours = ours + cells.n
    return [
        (frame.at(b), float(ours[b] / total[b]) if total[b] else None, int(total[b])) for b in range(frame.buckets)
    ]


def marks(release: Release, environment: str, at: Window) -> list[Mark]:
    """Every deploy of the product in the window."""
    deploys = Deploy.objects.filter(
        release__product=release.product_id, environment=environment, at__range=(at.since, at.until)
    ).select_related("release")
    return [Mark(d.at, d.release.version, d.percentage, d.release_id == release.pk) for d in deploys.order_by("at")]


Values = tuple[FloatArray, FloatArray, FloatArray, FloatArray]  # value, low, high, n


def _values(frame: series.Frame, signal: int, releases: set[int] | None, measure: str, per: set[int]) -> Values:
    """NaN where there is too little to say. `per`: the signals of what it is a share of, see _per."""
    cells = frame.sum(signal, releases)
    nothing = np.full(frame.buckets, np.nan)
    if measure in COUNTS:
        n = cells.n if measure == VOLUME else cells.users
        return n, nothing, nothing, n
    if measure in SLOWNESS:
        hist = frame.hist(signal, releases)
        q = int(measure.rpartition("p")[2]) / 100
        rows = [quantile(row, q) if n >= LEAST else np.nan for row, n in zip(hist, cells.timed, strict=True)]
        return np.array(rows, dtype=float), nothing, nothing, cells.timed
    whole = frame.together(per, releases)
    if measure == HURT:
        n, bad = _today(frame, cells.users), _today(frame, cells.bad_users)
    elif measure in (CONVERSION, COMPLAINTS):
        n, bad = _today(frame, whole.users), _today(frame, cells.users)
    elif measure == ERRORS:
        n, bad = whole.n + cells.n, cells.n
    else:
        n, bad = cells.n, cells.bad
    rate, low, high = nothing.copy(), nothing.copy(), nothing.copy()
    for bucket in np.nonzero(n >= LEAST)[0]:
        rate[bucket] = bad[bucket] / n[bucket]
        found = wilson(float(min(bad[bucket], n[bucket])), float(n[bucket]))
        low[bucket], high[bucket] = found.low, found.high
    return rate, low, high, n


def _halves(frame: series.Frame, values: Values, at: Window) -> list[Values]:
    """Of what has no release: before the deploy, and since."""
    cut = max(0, (int(at.began.timestamp()) - frame.since) // frame.step)
    is_before = np.arange(frame.buckets) < cut
    blanks = (np.nan, np.nan, np.nan, 0.0)
    before = (np.where(is_before, array, blank) for array, blank in zip(values, blanks, strict=True))
    since = (np.where(is_before, blank, array) for array, blank in zip(values, blanks, strict=True))
    return [(*before,), (*since,)]  # type: ignore[list-item]


def _per(product: int, measure: str) -> set[int]:
    """What a measure is a share of, when not of its own signal: uses and visits, or the active users."""
    if measure not in (ERRORS, CONVERSION, COMPLAINTS):
        return set()
    return set(series.uses(product, ("use", "session") if measure == ERRORS else ("session",)))


def _today(frame: series.Frame, counts: FloatArray) -> FloatArray:
    """So far on the day (UTC) of each bucket: people are counted once a day."""
    days = (frame.since + np.arange(frame.buckets) * frame.step) // 86_400
    total = np.cumsum(counts)
    first = np.searchsorted(days, days)  # the first bucket of the same day
    return np.asarray(total - np.where(first > 0, total[first - 1], 0.0))


def _point(values: Values, bucket: int) -> tuple[float | None, float | None, float | None, int]:
    value, low, high, n = (float(array[bucket]) for array in values)
    return _known(value) if n else None, _known(low), _known(high), int(n)


def _known(value: float) -> float | None:
    return None if value != value else value


def _older(release: Release, frame: series.Frame, signal: int) -> set[int]:
    newer = set(
        Release.objects.filter(product=release.product_id, shipped_at__gt=release.shipped_at or datetime.now(UTC))
        .exclude(pk=release.pk)
        .values_list("pk", flat=True)
    )
    return frame.releases(signal) - newer - {release.pk}
