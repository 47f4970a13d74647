"""Where a release is worse: puts the slices of a worsened measure before detection/slices.py. Reads rollups."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np

from metrics import series
from metrics.detection.evidence import CONCURRENT, Evidence, FloatArray
from metrics.detection.histogram import bin_of, quantile
from metrics.detection.slices import Part, Place, explain
from metrics.measures import ERRORS, FAILURES, SLOWNESS

#: How far back the old side reaches when there is no older release beside the new one.
BEFORE = timedelta(days=7)
QUANTILE = 0.95
#: As long since the release its minutes are read, later its hours.
FINE = timedelta(hours=12)

#: (uses, bad ones) of each slice; "" for all.
Counts = Mapping[str, tuple[float, float]]


def places(
    product: int,
    environment: str,
    signal: int,
    evidence: Evidence,
    old: set[int],
    new: set[int],
    began: datetime,
    now: datetime,
) -> tuple[Place, ...]:
    """The slices that explain why this measure is worse, see slices.explain; () for what has no rate, or counts people.

    `old`, `new`: the releases compared since `began`, when they ran side by side; else everything since is compared
    with the week before.
    """
    measure = evidence.measure
    if measure not in (FAILURES, ERRORS, *SLOWNESS):
        return ()
    is_beside = evidence.method == CONCURRENT
    if measure in SLOWNESS:
        after = series.durations(product, environment, signal, began, now, new if is_beside else None)
        before = (
            series.durations(product, environment, signal, began, now, old)
            if is_beside
            else series.durations(product, environment, signal, began - BEFORE, began, None)
        )
        if "" not in before:
            return ()
        limit = quantile(before[""], QUANTILE)
        return _explain(slow(before, limit), slow(after, limit), evidence.deff)
    is_error = measure == ERRORS
    signals = None if is_error else [signal]
    table = series.MINUTE if now - began <= FINE else series.HOUR
    frame = series.load(
        product, environment, began, now, 60 if now - began <= FINE else 3600, table=table, signals=signals,
        dimensions=series.DIMENSIONS,
    )  # fmt: skip
    if is_beside:
        return _explain(counts(frame, signal, old, is_error), counts(frame, signal, new, is_error), evidence.deff)
    history = series.load(
        product, environment, began - BEFORE, began, 86_400, table=series.HOUR, signals=signals,
        dimensions=series.DIMENSIONS,
    )  # fmt: skip
    return _explain(counts(history, signal, None, is_error), counts(frame, signal, None, is_error), evidence.deff)


def _explain(old: Counts, new: Counts, deff: float) -> tuple[Place, ...]:
    if "" not in old or "" not in new:
        return ()
    parts = {
        name: Part(*old.get(name, (0.0, 0.0)), *new.get(name, (0.0, 0.0))) for name in sorted({*old, *new} - {""})
    }
    return explain(Part(*old[""], *new[""]), parts, deff)


def counts(frame: series.Frame, signal: int, releases: set[int] | None, is_error: bool) -> Counts:
    """Errors have no denominator of their own: in each slice they are counted per use and session there."""
    found: dict[str, tuple[float, float]] = {}
    for of_signal, release, name, cells in frame.cells:
        if releases is not None and release not in releases:
            continue
        n, bad = found.get(name, (0.0, 0.0))
        if of_signal == signal:
            bad += float((cells.n if is_error else cells.bad).sum())
        if of_signal == signal or is_error:
            n += float(cells.n.sum())
        found[name] = (n, bad)
    return found


def slow(durations: Mapping[str, FloatArray], limit: float) -> Counts:
    """How many uses took longer than `limit` ms, by slice."""
    first = int(bin_of([limit])[0]) + 1
    return {name: (float(np.sum(bins)), float(np.sum(bins[first:]))) for name, bins in durations.items()}
