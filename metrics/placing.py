"""Where a release is worse: puts the slices of a worsened measure before detection/slices.py. Reads rollups; where no
plan, platform or country explains it, what single customers did (by tier), and errors by the feature they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
from django.db.models import Sum

from metrics import series
from metrics.detection.evidence import CONCURRENT, Evidence, FloatArray
from metrics.detection.histogram import bin_of, quantile
from metrics.detection.slices import Part, Place, explain
from metrics.intake.event import FAULT
from metrics.measures import ERRORS, FAILURES, SLOWNESS
from metrics.models import Account, CustomerDay, Signal

#: How far back the old side reaches when there is no older release beside the new one.
BEFORE = timedelta(days=7)
QUANTILE = 0.95
#: Tiers of customers: the tenth that pays most, others that pay, those that pay nothing; and who is not known.
TOP, PAYING, FREE, UNKNOWN = "top", "paying", "free", "unknown"
TENTH = 10
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
    found = _sliced(product, environment, signal, evidence, old, new, began, now)
    if not found and measure not in SLOWNESS:
        found = _tiers(product, environment, signal, evidence, old, new, began)
    if not found and measure == ERRORS:
        found = _features(product, environment, evidence, old, new, began, now)
    return found


def _sliced(
    product: int,
    environment: str,
    signal: int,
    evidence: Evidence,
    old: set[int],
    new: set[int],
    began: datetime,
    now: datetime,
) -> tuple[Place, ...]:
    """By plan, platform and country."""
    measure = evidence.measure
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


def _tiers(
    product: int, environment: str, signal: int, evidence: Evidence, old: set[int], new: set[int], began: datetime
) -> tuple[Place, ...]:
    """By what customers pay, of those that are named. Days, because single customers are kept by day."""
    is_error = evidence.measure == ERRORS
    of = [signal, *series.uses(product)] if is_error else [signal]
    first = began.astimezone(UTC).date()
    days = CustomerDay.objects.filter(product_id=product, environment=environment, signal_id__in=of)
    days = days.exclude(customer="")
    after = days.filter(day__gte=first, release_id__in=new)
    if evidence.method == CONCURRENT:
        before = days.filter(day__gte=first, release_id__in=old)
    else:
        before = days.filter(day__gte=first - BEFORE, day__lt=first)
    tiers = _tiers_of(product)
    sides = []
    for rows in (before, after):
        found: dict[str, tuple[float, float]] = {}
        told = rows.values_list("customer", "signal_id").annotate(u=Sum("uses"), f=Sum("failures"))
        for customer, its_signal, uses, failures in told.iterator(chunk_size=10_000):
            bad = failures if its_signal == signal else 0
            for name in ("", f"tier={tiers.get(customer, UNKNOWN)}"):
                n, k = found.get(name, (0.0, 0.0))
                found[name] = n + uses, k + bad
        sides.append(found)
    return _explain(sides[0], sides[1], evidence.deff)


def _tiers_of(product: int) -> dict[str, str]:
    """customer -> TOP (the tenth that pays most), PAYING or FREE; who is in none is not known to pay or not."""
    accounts = Account.objects.filter(workspace__products=product).values_list("external_id", "traits__revenue")
    paid = {name: amount for name, told in accounts.iterator() if (amount := _amount(told)) is not None}
    paying = sorted((amount for amount in paid.values() if amount > 0), reverse=True)
    limit = paying[max(0, len(paying) // TENTH - 1)] if len(paying) >= TENTH else float("inf")
    return {name: FREE if not amount else TOP if amount >= limit else PAYING for name, amount in paid.items()}


def _amount(told: object) -> float | None:
    """What events said a customer pays, where it is a number."""
    try:
        amount = float(str(told))
    except ValueError:
        return None
    return amount if 0 <= amount < 1e10 else None


def _features(
    product: int, environment: str, evidence: Evidence, old: set[int], new: set[int], began: datetime, now: datetime
) -> tuple[Place, ...]:
    """Errors by the feature of their group, each per use of the feature."""
    kinds = ("use", "session", FAULT)
    told = Signal.objects.filter(product=product, kind__in=kinds).values_list("pk", "kind", "feature__name")
    of = {pk: (kind == FAULT, name or "") for pk, kind, name in told}
    step, table = (60, series.MINUTE) if now - began <= FINE else (3600, series.HOUR)
    after = series.load(product, environment, began, now, step, table=table, signals=list(of))
    is_beside = evidence.method == CONCURRENT
    before = after
    if not is_beside:
        before = series.load(
            product, environment, began - BEFORE, began, 86_400, table=series.HOUR, signals=list(of)
        )  # fmt: skip
    sides = []
    for frame, releases in ((before, old if is_beside else None), (after, new if is_beside else None)):
        found: dict[str, tuple[float, float]] = {}
        for signal, release, _name, cells in frame.cells:
            if releases is not None and release not in releases:
                continue
            is_fault, feature = of[signal]
            for name in {"", f"feature={feature}"} if feature else {""}:
                n, bad = found.get(name, (0.0, 0.0))
                found[name] = n + float(cells.n.sum()), bad + (float(cells.n.sum()) if is_fault else 0.0)
        sides.append(found)
    return _explain(sides[0], sides[1], evidence.deff)


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
