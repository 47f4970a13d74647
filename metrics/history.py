"""Before and after a release, in buckets of five minutes: read from the minutes seldom, kept, and completed with what
came since. So a look costs the same for a week of history as for none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil, prod

import numpy as np
import orjson
import zstandard

from metrics import series
from metrics.detection.evidence import FloatArray
from metrics.detection.histogram import quantile
from metrics.models import History
from releases.models import Release

SLOT = 300
#: How far it reaches before the release at most, how far durations do, and how far it reaches after.
TAKEN, TIMED, AFTER = timedelta(days=8), timedelta(days=4), timedelta(days=1)
#: As much of it says what is usual.
NEEDED = timedelta(days=3)
#: What comes later than this is counted when the history is read anew.
LATE = timedelta(hours=1)
COUNTED = ("n", "bad", "users", "bad_users")
_QUANTILE = 0.95
_NONE = np.zeros((len(COUNTED), 0))


@dataclass
class Past:
    """since: unix seconds of the first bucket; cut: how many buckets lie before the release; counts: of each signal,
    for each of COUNTED, by bucket, shape (4, buckets); p95: in ms, NaN where nothing was timed."""

    since: int
    cut: int
    buckets: int
    counts: dict[int, FloatArray]
    p95: dict[int, FloatArray]

    def of(self, signal: int, field: str) -> FloatArray:
        found = self.counts.get(signal)
        return np.zeros(self.buckets) if found is None else found[COUNTED.index(field)]

    def around(self, began: datetime) -> Past:
        """The part that a release at `began` is judged by."""
        first = max(0, (int((began - TAKEN).timestamp()) - self.since) // SLOT)
        last = min(self.buckets, ceil((int((began + AFTER).timestamp()) - self.since) / SLOT))
        cut = (int(began.timestamp()) - self.since) // SLOT - first
        counts = {pk: table[:, first:last] for pk, table in self.counts.items()}
        p95 = {pk: row[first:last] for pk, row in self.p95.items()}
        return Past(self.since + first * SLOT, cut, last - first, counts, p95)

    @property
    def is_long(self) -> bool:
        """Whether it says what is usual; when not, no series were read, only names."""
        return self.cut * SLOT >= NEEDED.total_seconds()


def read(release: Release, environment: str, began: datetime, now: datetime) -> Past:
    """From when measuring began (at most TAKEN before `began`) to a day after `began`, or `now`."""
    until = min(now, began + AFTER)
    kept = History.objects.filter(release=release, environment=environment).first()
    if kept is None or now < kept.made_at or _is_due(kept.made_at, began, now):
        week = series.load(release.product_id, environment, began - TAKEN, began, 86_400, table=series.HOUR)
        days = [day for _s, _r, _n, cells in week.cells for day in np.flatnonzero(cells.n).tolist()]
        since = max(week.at(min(days)), began - TAKEN) if days else began
        if began - since < NEEDED:
            cut = int((began - since).total_seconds()) // SLOT
            return Past(int(since.timestamp()), cut, 0, dict.fromkeys(week.of, _NONE), {})
        past = load(release.product_id, environment, since, until, began - TIMED).around(began)
        values = {"until": until, "made_at": now, "series": _pack(past)}
        History.objects.update_or_create(release=release, environment=environment, defaults=values)
        return past
    past = _unpack(bytes(kept.series))
    if kept.made_at >= began + AFTER + LATE:
        return past
    since = max(datetime.fromtimestamp(past.since, UTC), kept.until - LATE)
    return _complete(past, release, environment, since, until)


def _is_due(made: datetime, began: datetime, now: datetime) -> bool:
    """After 1, 3, 7, 15 hours, and once when the day is over and what is late has come."""
    settled = began + AFTER + LATE
    return made < settled and (now >= settled or now - began >= 2 * (made - began) + LATE)


def load(product: int, environment: str, since: datetime, until: datetime, timed: datetime) -> Past:
    """All of it, with no release in it; durations from `timed` on."""
    frame = series.load(product, environment, since, until, SLOT)
    past = Past(frame.since, 0, frame.buckets, {}, {})
    _add(past, frame, product, environment, max(since, timed), until)
    return past


def _complete(past: Past, release: Release, environment: str, since: datetime, until: datetime) -> Past:
    """The same with what was counted after it was kept."""
    frame = series.load(release.product_id, environment, since, until, SLOT)
    more = max(0, (frame.since - past.since) // SLOT + frame.buckets - past.buckets)
    counts = {pk: np.pad(table, ((0, 0), (0, more))) for pk, table in past.counts.items()}
    p95 = {pk: np.pad(row, (0, more), constant_values=np.nan) for pk, row in past.p95.items()}
    longer = Past(past.since, past.cut, past.buckets + more, counts, p95)
    _add(longer, frame, release.product_id, environment, since, until)
    return longer


def _add(past: Past, frame: series.Frame, product: int, environment: str, since: datetime, until: datetime) -> None:
    """Puts in what the frame counted, and the durations of its signals between the two moments."""
    first = (frame.since - past.since) // SLOT
    where, timed = slice(first, first + frame.buckets), []
    for signal in frame.of:
        cells = frame.sum(signal, None)
        table = past.counts.setdefault(signal, np.zeros((len(COUNTED), past.buckets)))
        for row, name in zip(table, COUNTED, strict=True):
            row[where] = getattr(cells, name)
        timed += [signal] if cells.timed.any() else []
    if not timed:
        return
    frame = series.load(product, environment, since, until, SLOT, signals=timed, has_hists=True)
    first = (frame.since - past.since) // SLOT
    for signal in timed:
        row, hist = past.p95.setdefault(signal, np.full(past.buckets, np.nan)), frame.hist(signal, None)
        for bucket in np.flatnonzero(hist.any(axis=1)):
            row[first + bucket] = quantile(hist[bucket], _QUANTILE)


def _pack(past: Past) -> bytes:
    """A line of names and sizes, then the rows."""
    head = {"since": past.since, "cut": past.cut, "buckets": past.buckets, "counts": [*past.counts], "p95": [*past.p95]}
    counts = [table.astype("<u4").tobytes() for table in past.counts.values()]
    timed = [row.astype("<f8").tobytes() for row in past.p95.values()]
    return zstandard.compress(b"".join([orjson.dumps(head), b"\n", *counts, *timed]), 1)


def _unpack(packed: bytes) -> Past:
    head, _line, body = zstandard.decompress(packed).partition(b"\n")
    told = orjson.loads(head)
    names, shape = told["counts"], (len(told["counts"]), len(COUNTED), told["buckets"])
    tables = np.frombuffer(body, "<u4", prod(shape)).reshape(shape).astype(np.float64)
    rows = np.frombuffer(body, "<f8", -1, 4 * prod(shape)).reshape(len(told["p95"]), told["buckets"]).astype(np.float64)
    counts, p95 = dict(zip(names, tables, strict=True)), dict(zip(told["p95"], rows, strict=True))
    return Past(told["since"], told["cut"], told["buckets"], counts, p95)
