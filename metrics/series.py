"""Reads rollups as arrays: one row of numbers per bucket, ready for detection and for charts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from typing import Any

import numpy as np

from metrics import replica
from metrics.counting import sketch
from metrics.detection.evidence import FloatArray, Side
from metrics.detection.histogram import BINS

MINUTE, HOUR = "metrics_rollup_minute", "metrics_rollup_hour"
FIELDS = ("n", "bad", "bad_sq", "users", "timed", "total")


@dataclass
class Cells:
    """Sums per bucket, each array of shape (buckets,)."""

    n: FloatArray
    bad: FloatArray
    bad_sq: FloatArray
    users: FloatArray
    timed: FloatArray
    total: FloatArray

    @classmethod
    def empty(cls, buckets: int) -> Cells:
        return cls(*(np.zeros(buckets) for _name in FIELDS))

    def __add__(self, other: Cells) -> Cells:
        return Cells(*(getattr(self, name) + getattr(other, name) for name in FIELDS))

    def __sub__(self, other: Cells) -> Cells:
        return Cells(*(np.maximum(getattr(self, name) - getattr(other, name), 0) for name in FIELDS))


@dataclass
class Frame:
    """Everything of one product and environment between two moments, in buckets of `step` seconds."""

    since: int
    step: int
    buckets: int
    cells: dict[tuple[int, int, str], Cells] = field(default_factory=dict)  # (signal, release, slice)
    hists: dict[tuple[int, int], dict[int, list[bytes]]] = field(default_factory=dict)  # by bucket

    def sum(self, signal: int, releases: set[int] | None, slice: str = "") -> Cells:
        """All releases, or the given ones, together."""
        total = Cells.empty(self.buckets)
        for (of_signal, release, name), cells in self.cells.items():
            if of_signal == signal and name == slice and (releases is None or release in releases):
                total = total + cells
        return total

    def releases(self, signal: int) -> set[int]:
        return {release for of_signal, release, _name in self.cells if of_signal == signal}

    def slices(self, signal: int, dimension: str) -> list[str]:
        found = {name for s, _r, name in self.cells if s == signal and name.startswith(f"{dimension}=")}
        return sorted(found)

    def hist(self, signal: int, releases: set[int] | None) -> FloatArray:
        """Durations per bucket, shape (buckets, BINS)."""
        total = np.zeros((self.buckets, BINS))
        for (of_signal, release), rows in self.hists.items():
            if of_signal == signal and (releases is None or release in releases):
                for bucket, packs in rows.items():
                    total[bucket] += sketch.dense(packs)
        return total

    def side(self, signal: int, releases: set[int], strata: list[str]) -> Side:
        """One side of a comparison; with strata, what belongs to none of them is a stratum of its own."""
        whole = self.sum(signal, releases)
        if not strata:
            return Side(whole.n, whole.bad, whole.bad_sq)
        parts = [self.sum(signal, releases, name) for name in strata]
        rest = whole
        for part in parts:
            rest = rest - part
        columns = [*parts, rest]
        return Side(
            np.stack([c.n for c in columns], axis=1),
            np.stack([c.bad for c in columns], axis=1),
            np.stack([c.bad_sq for c in columns], axis=1),
        )

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
    is_sliced: bool = True,
    has_hists: bool = False,
) -> Frame:
    """`since` is brought down to a whole step. Rows read grow with buckets, signals and slices only."""
    start = int(since.timestamp()) // step * step
    buckets = max(0, ceil((until.timestamp() - start) / step))
    frame = Frame(start, step, buckets)
    where = "product_id = %s AND environment = %s AND bucket >= %s AND bucket < %s"
    params: list[Any] = [product, environment, datetime.fromtimestamp(start, UTC), until]
    if signals is not None:
        where += " AND signal_id = ANY(%s)"
        params.append(signals)
    if not is_sliced:
        where += " AND slice = ''"
    with replica.connection().cursor() as cursor:
        cursor.execute(
            f"SELECT signal_id, release_id, slice, (extract(epoch FROM bucket)::bigint - %s) / %s AS b,"
            f" {', '.join(f'sum({name})' for name in FIELDS)} FROM {table} WHERE {where} GROUP BY 1, 2, 3, 4",
            [start, step, *params],
        )
        for signal, release, name, bucket, *sums in cursor.fetchall():
            cells = frame.cells.get((signal, release, name))
            if cells is None:
                cells = frame.cells[signal, release, name] = Cells.empty(buckets)
            for field_name, value in zip(FIELDS, sums, strict=True):
                getattr(cells, field_name)[bucket] = value
        if has_hists:
            cursor.execute(
                f"SELECT signal_id, release_id, (extract(epoch FROM bucket)::bigint - %s) / %s, hist FROM {table}"
                f" WHERE {where} AND hist IS NOT NULL AND slice = ''",
                [start, step, *params],
            )
            for signal, release, bucket, hist in cursor.fetchall():
                frame.hists.setdefault((signal, release), {}).setdefault(bucket, []).append(hist)
    return frame
