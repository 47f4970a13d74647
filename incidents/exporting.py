"""Incidents as CSV: one row each, in the order of the query."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from incidents.models import Incident
from incidents.query.search import Search
from productops.lib import csvs

COLUMNS = (
    "number", "title", "kind", "status", "severity", "pain", "customers_heard", "customers_silent", "revenue",
    "assignee", "product", "release", "environment", "feature", "fix_release", "duplicate_of", "opened_at",
    "impact_started_at", "acknowledged_at", "mitigated_at", "resolved_at", "verified_at", "snoozed_until",
)  # fmt: skip
_MORE = (
    "assignee", "product", "release", "fix_release", "feature", "original", "regression__release", "regression__signal",
)  # fmt: skip


def rows(asked: Search) -> Iterator[str]:
    write = csvs.writer()
    yield write(COLUMNS)
    for incident in asked.in_order().select_related(*_MORE).iterator(chunk_size=500):
        yield write(_values(incident))


def _values(i: Incident) -> tuple[Any, ...]:
    return (
        i.number, i.headline, i.kind, i.status, i.severity, i.pain, i.heard, i.silent, i.revenue,
        i.assignee.email if i.assignee else None, i.product.slug if i.product else None, i.release, i.environment,
        i.feature, i.fix_release, i.original.number if i.original else None, i.opened_at, i.impact_started_at,
        i.acknowledged_at, i.mitigated_at, i.resolved_at, i.verified_at, i.snoozed_until,
    )  # fmt: skip
