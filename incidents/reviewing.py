"""Prefills a review from the timeline, and reminds of the work that comes of it until it shipped."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import formats, timezone

from activity.models import Event, record
from incidents import timeline
from incidents.models import ActionItem, Incident

#: Days before its day that an action item is reminded of, and between two reminders once it is late.
BEFORE, AGAIN = 2, 3
#: Entries that a prefilled story holds.
MOST = 60
_LEFT_OUT = {
    "incident.confirmed", "incident.pinned", "incident.unpinned", "incident.complaint_joined", "incident.stamped",
    "incident.severity_suggested", "incident.undone", "incident.linked", "incident.unlinked",
}  # fmt: skip


def story(incident: Incident) -> str:
    """What happened, as a Markdown list in the reader's language and zone, the oldest first."""
    told = Event.objects.about(incident).exclude(verb__in=_LEFT_OUT).select_related("by").order_by("-at", "-id")
    entries = timeline.told(list(told[:MOST]))
    lines = []
    for entry in reversed(entries):
        moment = formats.date_format(timezone.localtime(entry.at), "SHORT_DATETIME_FORMAT")
        said = f": {entry.plain}" if entry.plain else ""
        lines.append(f"- **{moment}** {entry.by} {entry.text}{said}")
    return "\n".join(lines)


def remind(now: datetime) -> int:
    """Tells owners of action items that are due or whose release is out; closing the incident ends nothing."""
    today = now.date()
    due = Q(due_on__lte=today + timedelta(days=BEFORE)) | Q(release__shipped_at__lte=now)
    fresh = Q(reminded_on=None) | Q(reminded_on__lte=today - timedelta(days=AGAIN))
    owed = ActionItem.objects.owed().filter(due, fresh).select_related("review__incident__workspace", "release")
    reminded = 0
    for item in owed.order_by("pk")[:500]:
        with transaction.atomic():
            still = ActionItem.objects.owed().filter(fresh, pk=item.pk)
            if not still.update(reminded_on=today):
                continue
            incident = item.review.incident
            why = {"rule": "action", "due": item.due_on.isoformat() if item.due_on else "",
                   "release": item.release.version if item.release else ""}  # fmt: skip
            record(
                incident.workspace, "incident.action_due", incident, None, at=now, tells=True, why=why, item=item.pk,
                title=item.title, owner=item.owner_id,
            )  # fmt: skip
            reminded += 1
    return reminded
