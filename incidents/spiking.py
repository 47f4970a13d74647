"""Many complaints at once become an incident: those about one feature that belong to none yet, beside what is usual."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, Min, QuerySet

from feedback.models import Complaint
from incidents import ledger
from incidents.models import Incident, IncidentKind, Report
from metrics.detection import spikes
from metrics.detection.spikes import Spike
from releases.models import Feature, Release

DAY = timedelta(days=1)
#: Days that are looked back.
BACK = 56
#: Share of the complaints with a release that must name the same one, and be half of all, for the incident to name it.
SAME_RELEASE = 0.8


class Group(NamedTuple):
    workspace: int
    product: int | None
    feature: int | None

    @property
    def key(self) -> str:
        return f"complaints:{self.product or '-'}:{self.feature or '-'}"


def open_incidents(now: datetime) -> int:
    """Opens an incident for each spike that has none, and lets later complaints join; how many were opened."""
    return sum(_look(group, now) for group in _busy(now))


def _told(since: datetime, until: datetime) -> QuerySet[Complaint]:
    return Complaint.objects.filter(created_at__gt=since, created_at__lte=until).exclude(kind=Complaint.Kind.PRAISE)


def _busy(now: datetime) -> list[Group]:
    rows = _told(now - DAY, now).filter(report=None).values_list("workspace", "product", "feature")
    counted = rows.annotate(n=Count("pk")).filter(n__gte=1).order_by("workspace", "product", "feature")
    joined = set(
        Incident.objects.open().exclude(grouping_key="").filter(grouping_key__startswith="complaints:")
        .values_list("workspace", "grouping_key")
    )  # fmt: skip
    groups = [(Group(*row[:3]), row[3]) for row in counted]
    return [g for g, n in groups if n >= spikes.FEWEST or (g.workspace, g.key) in joined]


def _look(group: Group, now: datetime) -> int:
    of_group = {"workspace": group.workspace, "product": group.product, "feature": group.feature}
    loose = list(_told(now - DAY, now).filter(report=None, **of_group).select_related("release").order_by("created_at"))
    if standing := Incident.objects.open().filter(workspace=group.workspace, grouping_key=group.key).first():
        Report.objects.join_all(standing, loose)
        return 0
    found = spikes.spike(len(loose), len({_who(complaint) for complaint in loose}), _days(group, of_group, now))
    if found is None:
        return 0
    incident = Incident.objects.open_for_complaints(
        loose[0].workspace, group.key, cause=_cause(found, group), now=now, product_id=group.product,
        feature_id=group.feature, kind=_kind(loose), release=_release(loose), impact_started_at=loose[0].created_at,
    )  # fmt: skip
    Report.objects.join_all(incident, loose)
    ledger.weigh(incident, now)
    return 1


def _who(complaint: Complaint) -> object:
    """Who said it; all that nobody is known of count as one."""
    return complaint.customer_id or complaint.contact_email or None


def _days(group: Group, of_group: dict[str, int | None], now: datetime) -> list[int]:
    """Complaints in each 24 hours before the last, the latest first, back to the first complaint about the product."""
    of_product = Complaint.objects.filter(workspace=group.workspace, product=group.product)
    first = of_product.aggregate(at=Min("created_at"))["at"]
    many = max(0, min(BACK, (now - DAY - first) // DAY))
    told = _told(now - DAY * (many + 1), now - DAY).filter(**of_group)
    found = Counter((now - DAY - at) // DAY for at in told.values_list("created_at", flat=True))
    return [found[day] for day in range(many)]


def _cause(found: Spike, group: Group) -> dict[str, object]:
    feature = Feature.objects.filter(pk=group.feature or 0).first()
    return {"rule": "complaints", "feature": feature.name if feature else "", **asdict(found)}


def _kind(complaints: Sequence[Complaint]) -> str:
    unclear = sum(complaint.kind == Complaint.Kind.NOT_UNDERSTOOD for complaint in complaints)
    return IncidentKind.NOT_UNDERSTOOD if unclear * 2 > len(complaints) else IncidentKind.BUG


def _release(complaints: Sequence[Complaint]) -> Release | None:
    named = Counter(complaint.release for complaint in complaints if complaint.release)
    release, n = named.most_common(1)[0] if named else (None, 0)
    return release if n >= SAME_RELEASE * named.total() and 2 * n >= len(complaints) else None
