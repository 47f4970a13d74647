"""What agents may tell customers: the problems that have a wording, those that hit most customers first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from django.db.models import F

from accounts.models import Workspace
from incidents.models import Incident, Status
from productops.lib.text import fold

#: Problems on the page. Agents know them by heart when there are more than a few.
MOST = 200


@dataclass(frozen=True)
class Problem:
    incident: Incident
    since: datetime
    customers: int
    is_late: bool  # what was promised is over

    @property
    def is_fixed(self) -> bool:
        return self.incident.status == Status.RESOLVED


def problems(workspace: Workspace, typed: str, today: date) -> list[Problem]:
    """Those with the typed words in wording, workaround or title."""
    found = Incident.objects.of(workspace).known().in_full().order_by((F("heard") + F("silent")).desc(), "-opened_at")
    words = fold(typed).split()
    told = [_told(incident, today) for incident in found[:MOST]]
    return [problem for problem in told if all(word in _text(problem.incident) for word in words)]


def _told(incident: Incident, today: date) -> Problem:
    is_late = bool(incident.expected_on and incident.expected_on < today and incident.status != Status.RESOLVED)
    since = incident.impact_started_at or incident.opened_at
    return Problem(incident, since, incident.heard + incident.silent, is_late)


def _text(incident: Incident) -> str:
    return fold(f"{incident.wording} {incident.workaround} {incident.headline} {incident.folded}")
