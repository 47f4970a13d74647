"""One act to many incidents: what cannot apply stays as it is, with the reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts.models import User, Workspace
from incidents.lifecycle import IllegalMove
from incidents.models import Incident, acts
from incidents.models.incident import Status

#: Incidents of one request; the page sends more in several.
MOST = 1_000

#: What one may do to many at once; what agents say is of one problem.
VERBS = (
    "accept", "start", "mitigate", "resolve", "close", "decline", "duplicate", "snooze", "wake", "reopen", "assign",
    "set_severity",
)  # fmt: skip


@dataclass
class Outcome:
    """`refused`: number -> why, in the reader's language."""

    done: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    batch: UUID | None = None

    def as_json(self) -> dict[str, Any]:
        return {"done": self.done, "refused": {str(n): why for n, why in self.refused.items()}, "batch": self.batch}


def act(workspace: Workspace, by: User, act: acts.Act, numbers: list[int], batch: UUID | None = None) -> Outcome:
    """Raises Incident.DoesNotExist, changing nothing, when a number is of no incident here."""
    batch = batch or uuid4()
    done, refused = Incident.objects.act_on(workspace, numbers, act, by, batch)
    return Outcome(
        sorted(incident.number for incident in done),
        {incident.number: why(refusal) for incident, refusal in refused.items()},
        batch,
    )


def undo(workspace: Workspace, by: User, batch: UUID) -> Outcome:
    done, stale = Incident.objects.undo_batch(workspace, batch, by)
    said = _("It was changed meanwhile.")
    return Outcome(sorted(incident.number for incident in done), {incident.number: said for incident in stale}, batch)


def why(refusal: acts.Refusal) -> str:
    if isinstance(refusal, IllegalMove):
        return _("It is %(status)s, so this does not apply.") % {"status": str(Status(refusal.status).label).lower()}
    assert isinstance(refusal, ValidationError)
    return " ".join(refusal.messages)
