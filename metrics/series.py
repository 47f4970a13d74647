"""Reads rollups as arrays: one row of numbers per bucket, ready for detection and for charts."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

import numpy as np
from django.db.backends.utils import CursorWrapper

from metrics import replica
from metrics.counting import sketch
from metrics.detection.evidence import FloatArray, Side
from metrics.detection.histogram import BINS
from metrics.intake.event import COMPLAINT, FAULT, REFUSAL
from metrics.models import Signal, SliceValue
from metrics.models.signal import OTHER

MINUTE, HOUR = "metrics_rollup_minute", "metrics_rollup_hour"
#: Seconds of their buckets.
STEPS = {MINUTE: 60, HOUR: 3600}
FIELDS = ("n", "bad", "bad_sq", "users", "bad_users", "timed", "total")
#: Dimensions that a signal is counted by.
DIMENSIONS = ("plan", "platform", "country")
#: Fields that slices are read with.
_SLICED = ("n", "bad", "bad_sq")
_KEYS = ("signal", "release", "slice", "at")
_YEAR_2000 = 946_684_800  # unix seconds


@dataclass
class Cells:
    """Sums per bucket, each array of shape (buckets,)."""

    n: FloatArray
    bad: FloatArray
    bad_sq: FloatArray
    users: FloatArray
    bad_users: FloatArray
    timed: FloatArray
    total: FloatArray

    @classmethod
    def empty(cls, buckets: int) -> Cells:
        return cls(*(np.zeros(buckets) for _name in FIELDS))

    def __add__(self, other: Cells) -> Cells:
        return Cells(*(getattr(self, name) + getattr(other, name) for name in FIELDS))


@dataclass
class Frame:
    """Everything of one product and environment between two moments, in buckets of `step` seconds."""

    since: int
    step: int
    buckets: int
    of: dict[int, dict[tuple[int, str], Cells]] = field(default_factory=dict)  # signal -> (release, slice) -> counts
    hists: dict[int, dict[int, dict[int, list[bytes]]]] = field(default_factory=dict)  # signal -> release -> bucket

    @property
    def cells(self) -> Iterator[tuple[int, int, str, Cells]]:
        """(signal, release, slice, counts) of everything."""
        for signal, found in self.of.items():
            for (release, name), cells in found.items():
                yield signal, release, name, cells

    def sum(self, signal: int, releases: set[int] | None, slice: str = "") -> Cells:
        """All releases, or the given ones, together."""
        total = Cells.empty(self.buckets)
        for (release, name), cells in self.of.get(signal, {}).items():
            if name == slice and (releases is None or release in releases):
                total = total + cells
        return total

    def together(self, signals: set[int], releases: set[int] | None) -> Cells:
        total = Cells.empty(self.buckets)
        for signal in signals:
            total = total + self.sum(signal, releases)
        return total

    def releases(self, signal: int) -> set[int]:
        return {release for release, _name in self.of.get(signal, {})}

    def slices(self, signal: int, dimension: str) -> list[str]:
        return sorted({name for _r, name in self.of.get(signal, {}) if name.startswith(f"{dimension}=")})

    def hist(self, signal: int, releases: set[int] | None) -> FloatArray:
        """Durations per bucket, shape (buckets, BINS)."""
        total = np.zeros((self.buckets, BINS))
        for release, rows in self.hists.get(signal, {}).items():
            if releases is None or release in releases:
                for bucket, packs in rows.items():
                    total[bucket] += sketch.dense(packs)
        return total

    def side(self, signal: int, releases: set[int], strata: list[str]) -> Side:
        """One side of a comparison; with strata, what belongs to none of them is a stratum of its own."""
        place = {name: at for at, name in enumerate(strata)}
        parts = np.zeros((len(_SLICED), self.buckets, len(strata) + 1))
        for (release, name), cells in self.of.get(signal, {}).items():
            at = place.get(name, -1)
            if release in releases and (not name or at >= 0):
                for row, field_name in zip(parts, _SLICED, strict=True):
                    row[:, at] += getattr(cells, field_name)
        if not strata:
            return Side(*parts[:, :, 0])
        parts[:, :, -1] = np.maximum(parts[:, :, -1] - parts[:, :, :-1].sum(axis=2), 0)
        return Side(*parts)

    def at(self, bucket: int) -> datetime:
        return datetime.fromtimestamp(self.since + bucket * self.step, UTC)


def load(
    product: int,
    environment: str,
    since: datetime,
    until: datetime,
    step: int,
    *,
    table: str = MINUTE,
    signals: list[int] | None = None,
    dimensions: Sequence[str] = (),
    has_hists: bool = False,
) -> Frame:
    """`since` is brought down to a whole step. Rows read grow with buckets, signals and slices only.
    `signals`: None for all but faults, which are counted among the errors already. `dimensions`: of the slices."""
    start = int(since.timestamp()) // step * step
    buckets = max(0, ceil((until.timestamp() - start) / step))
    frame = Frame(start, step, buckets)
    first = datetime.fromtimestamp(start, UTC)
    where = f"FROM {table} WHERE product_id = %s AND environment = %s AND bucket >= %s AND bucket < %s"
    where += " AND signal_id = ANY(%s)"
    at: list[Any] = [product, environment, first, until, measured(product) if signals is None else signals]
    with replica.connection().cursor() as cursor:
        _read(frame, cursor, f"{where} AND slice = ''", at, [""], step != STEPS[table])
        at[-1] = list(frame.of)
        slices = _slices(product, dimensions) if frame.of else []
        if slices:
            # Along the primary key: what is not asked for is not read.
            releases = list({release for signal in frame.of for release in frame.releases(signal)})
            query = f"{where} AND release_id = ANY(%s) AND slice = ANY(%s)"
            _read(frame, cursor, query, [*at, releases, slices], slices, step != STEPS[table])
        at[-1] = [signal for signal in frame.of if has_hists and frame.sum(signal, None).timed.any()]
        if at[-1]:
            query = f"SELECT signal_id, release_id, extract(epoch FROM bucket)::bigint, hist {where}"
            cursor.execute(f"{query} AND hist IS NOT NULL AND slice = ''", at)
            for signal, release, seconds, hist in cursor.fetchall():
                found = frame.hists.setdefault(signal, {}).setdefault(release, {})
                found.setdefault((seconds - start) // step, []).append(hist)
    return frame


def _read(
    frame: Frame, cursor: CursorWrapper, where: str, params: list[Any], slices: list[str], is_grouped: bool
) -> None:
    """Fills in the slices. No row becomes Python: they come as COPY writes them, and are read as one array."""
    is_whole = slices == [""]
    fields = FIELDS if is_whole else _SLICED
    place = "1::bigint" if is_whole else "array_position(%s::text[], slice)::bigint"
    moment = f"date_bin('{frame.step} s', bucket, 'epoch')" if is_grouped else "bucket"
    numbers = ", ".join(f"sum({name}::float8)" if is_grouped else f"{name}::float8" for name in fields)
    query = f"SELECT signal_id, release_id, {place}, {moment}, {numbers} {where}"
    query = cursor.mogrify(query, params if is_whole else [slices, *params]).decode()
    out = io.BytesIO()
    cursor.copy_expert(f"COPY ({query}{' GROUP BY 1, 2, 3, 4' if is_grouped else ''}) TO STDOUT (FORMAT binary)", out)
    # https://www.postgresql.org/docs/current/sql-copy.html: a header, rows of the number of fields and then each with
    # its length before it, a trailer. Times are microseconds since 2000.
    keys = [part for name in _KEYS for part in ((f"{name}_bytes", ">i4"), (name, ">i8"))]
    values = [part for name in fields for part in ((f"{name}_bytes", ">i4"), (name, ">f8"))]
    rows = np.frombuffer(out.getbuffer()[19:-2], np.dtype([("fields", ">i2"), *keys, *values]))
    if not len(rows):
        return
    signals, signal = np.unique(rows["signal"], return_inverse=True)
    releases, release = np.unique(rows["release"], return_inverse=True)
    code = (signal * len(releases) + release) * len(slices) + rows["slice"] - 1
    groups, group = np.unique(code, return_inverse=True)
    bucket = (rows["at"].astype(np.int64) // 1_000_000 + _YEAR_2000 - frame.since) // frame.step
    table = np.zeros((len(groups), len(FIELDS), frame.buckets))
    for at, name in enumerate(fields):
        table[group, at, bucket] = rows[name]
    for at, which in enumerate(groups.tolist()):
        pair, name = divmod(which, len(slices))
        found = frame.of.setdefault(int(signals[pair // len(releases)]), {})
        found[int(releases[pair % len(releases)]), slices[name]] = Cells(*table[at])


def _slices(product: int, dimensions: Sequence[str]) -> list[str]:
    if not dimensions:
        return []
    known = SliceValue.objects.filter(product=product, dimension__in=dimensions).order_by("dimension", "value")
    named = [f"{dimension}={value}" for dimension, value in known.values_list("dimension", "value")]
    others = {f"{dimension}={OTHER}" for dimension in dimensions} - set(named)
    return [*named, *sorted(others)]


def measured(product: int) -> list[int]:
    """The signals of a product, without its faults."""
    return list(Signal.objects.filter(product=product).exclude(kind=FAULT).values_list("pk", flat=True))


def sent(product: int) -> list[int]:
    """The signals of what clients sent, without what the hub counts of its own: complaints and what was refused."""
    own = (FAULT, COMPLAINT, REFUSAL)
    return list(Signal.objects.filter(product=product).exclude(kind__in=own).values_list("pk", flat=True))


def uses(product: int, kinds: Sequence[str] = ("use", "session")) -> list[int]:
    """The signals of what is done: what errors are counted per."""
    return list(Signal.objects.filter(product=product, kind__in=kinds).values_list("pk", flat=True))


def durations(
    product: int, environment: str, signal: int, since: datetime, until: datetime, releases: set[int] | None
) -> dict[str, FloatArray]:
    """How many of each duration, shape (BINS,), by slice; of all releases, or the given ones. From the minutes of up to
    two hours, else from whole hours."""
    is_short = until - since <= timedelta(hours=2)
    where = "product_id = %s AND environment = %s AND signal_id = %s AND bucket >= %s AND bucket < %s"
    params: list[Any] = [product, environment, signal, since if is_short else _hour(since), until]
    if releases is not None:
        where += " AND release_id = ANY(%s)"
        params.append(list(releases))
    packs: dict[str, list[bytes]] = {}
    with replica.connection().cursor() as cursor:
        cursor.execute(
            f"SELECT slice, hist FROM {MINUTE if is_short else HOUR} WHERE {where} AND hist IS NOT NULL", params
        )
        for name, hist in cursor.fetchall():
            packs.setdefault(name, []).append(hist)
    return {name: sketch.dense(found) for name, found in packs.items()}


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
