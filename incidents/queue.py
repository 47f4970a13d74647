"""The triage list: which incidents, in which groups and order. The URL is the view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Max, Q
from django.http import QueryDict
from django.utils.translation import gettext as _

from accounts.models import User, Workspace
from activity.models import Event
from incidents import lifecycle
from incidents.models import Incident, Status

#: Rows on one page of the list.
PAGE = 100

_DONE = (Status.RESOLVED, Status.VERIFIED, Status.CLOSED, Status.DECLINED, Status.DUPLICATE)


@dataclass(frozen=True)
class View:
    show: str = "open"  # decide, open, mine, done, all
    search: str = ""
    page: int = 1

    @classmethod
    def of(cls, query: QueryDict) -> View:
        show = query.get("show", "open")
        page = query.get("page", "1")
        return cls(
            show if show in SHOWS else "open",
            query.get("q", "").replace("\x00", "").strip()[:200],
            min(int(page), 10_000) if page.isdecimal() and len(page) < 6 else 1,
        )


SHOWS = ("decide", "open", "mine", "done", "all")


def shows() -> list[tuple[str, str]]:
    return [
        ("decide", _("Needs a decision")),
        ("open", _("Open")),
        ("mine", _("Mine")),
        ("done", _("Done")),
        ("all", _("All")),
    ]


@dataclass
class Group:
    name: str
    incidents: list[Incident]


@dataclass
class Page:
    view: View
    groups: list[Group]
    count: int
    has_more: bool

    @property
    def is_empty(self) -> bool:
        return not self.groups


def page(workspace: Workspace, view: View, user: User) -> Page:
    """One page of the queue, the worst pain first, undecided before the rest."""
    found = _filtered(workspace, view, user)
    count = found.count()
    rows = list(
        found.select_related("assignee", "release", "fix_release", "regression__release", "regression__signal")
        .by_pain()[(view.page - 1) * PAGE : view.page * PAGE + 1]
    )
    groups = [
        Group(_("Needs a decision"), [i for i in rows[:PAGE] if i.status in lifecycle.UNDECIDED]),
        Group(_("In progress"), [i for i in rows[:PAGE] if i.status in lifecycle.OPEN[1:]]),
        Group(_("Done"), [i for i in rows[:PAGE] if i.status in _DONE]),
    ]
    return Page(view, [g for g in groups if g.incidents], count, len(rows) > PAGE)


def stamp(workspace: Workspace) -> str:
    """Changes whenever the queue may look different."""
    last = Event.objects.filter(workspace=workspace).aggregate(last=Max("id"))["last"] or 0
    weighed = Incident.objects.of(workspace).open().aggregate(last=Max("weighed_at"))["last"]
    return f"{last}-{weighed.timestamp() if weighed else 0:.0f}"


def _filtered(workspace: Workspace, view: View, user: User) -> Any:
    found = Incident.objects.of(workspace)
    if view.show == "decide":
        found = found.undecided()
    elif view.show == "open":
        found = found.open()
    elif view.show == "mine":
        found = found.open().filter(assignee=user)
    elif view.show == "done":
        found = found.filter(status__in=_DONE)
    if view.search:
        found = found.filter(_match(view.search))
    return found


def _match(search: str) -> Q:
    number = search.upper().removeprefix("INC-").strip()
    match = (
        Q(title__icontains=search)
        | Q(signal__name__icontains=search.replace(" ", "_"))
        | Q(feature__name__icontains=search)
        | Q(release__version__icontains=search)
    )
    if number.isdecimal() and len(number) < 9:
        match |= Q(number=int(number))
    return match
