"""Triage's three layouts of one query: inbox, list and board. The URL is the view."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, F, IntegerField, OuterRef, Q, Subquery, Value
from django.http import QueryDict
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Membership, Workspace
from activity.models import Event
from incidents import bulk, lifecycle
from incidents.models import Incident, SavedView, Status
from incidents.models.incident import IncidentQuerySet
from incidents.query import grammar
from incidents.query.search import Search, search
from productops.lib.tell import whole

#: How far what is found is counted.
MOST_FOUND = 2_000
#: Rows of a page of the list and of the inbox, cards of a column (and of one off the way), how far a view is counted.
PAGE, PANE, CARDS, CARDS_ASIDE, MOST_COUNTED = 50, 30, 15, 5, 1_000

_BOARD = (Status.NEW, Status.TRIAGED, Status.IN_PROGRESS, Status.MITIGATED, Status.RESOLVED)
_ASIDE = (Status.VERIFIED, Status.CLOSED, Status.SNOOZED, Status.DECLINED, Status.DUPLICATE)


def counted(n: int) -> str:
    """How many were found, as it is shown."""
    return whole(n) if n <= MOST_FOUND else f"{whole(MOST_FOUND)}+"


@dataclass(frozen=True)
class BuiltIn:
    name: str | Promise
    query: str


BUILT_IN = {
    "decide": BuiltIn(gettext_lazy("Needs a decision"), "is:undecided"),
    "open": BuiltIn(gettext_lazy("Open"), "is:open"),
    "mine": BuiltIn(gettext_lazy("Mine"), "is:open assigned:me"),
    "done": BuiltIn(gettext_lazy("Done"), "is:done"),
    "all": BuiltIn(gettext_lazy("All"), ""),
}
#: Where one begins whose role has no view of its own.
FIRST = "open"


@dataclass(frozen=True)
class View:
    """`base`: the built-in view's key or the saved one's id that the query began as; "" for none."""

    query: str = BUILT_IN[FIRST].query
    layout: str = "inbox"
    page: int = 1
    base: str = ""
    saved: SavedView | None = None

    @classmethod
    def of(cls, params: QueryDict, membership: Membership, saved: Iterable[SavedView], layout: str = "") -> View:
        by_id = {str(view.pk): view for view in saved}
        base = params.get("view", "")
        if base not in by_id and base not in BUILT_IN:
            base = ""
        if not base and "q" not in params:
            base = next((key for key, view in by_id.items() if view.role == membership.role), FIRST)
        known = by_id.get(base)
        query = known.query if known else BUILT_IN[base].query if base else ""
        layout = layout or params.get("as", known.layout if known else "inbox")
        page = params.get("page", "1")
        return cls(
            params.get("q", query).strip(),
            layout if layout in SavedView.Layout.values else "inbox",
            max(1, min(int(page), 10_000)) if page.isascii() and page.isdecimal() and len(page) < 6 else 1,
            base,
            known,
        )

    @property
    def is_changed(self) -> bool:
        """Whether it is no longer what its view says."""
        if self.saved:
            return (self.query, self.layout) != (self.saved.query, self.saved.layout)
        return self.query != (BUILT_IN[self.base].query if self.base else "")

    def to(self, **changes: str) -> str:
        """The query string of this view with some things changed."""
        said = {"q": self.query, "as": self.layout, "view": self.base, **changes}
        return f"?{urlencode({name: value for name, value in said.items() if value or name == 'q'})}"


@dataclass
class Tab:
    key: str
    name: str
    link: str
    is_current: bool = False
    is_changed: bool = False
    saved: SavedView | None = None


@dataclass
class Chip:
    """One term of the query, and the query without it."""

    text: str
    link: str


@dataclass
class Group:
    name: str
    incidents: list[Incident]
    status: str = ""
    count: int = 0
    link: str = ""

    @property
    def told(self) -> str:
        return counted(self.count)


@dataclass(frozen=True)
class Pulse:
    """`stamp` changes whenever the queue may look different."""

    stamp: str = ""
    undecided: int = 0
    counts: dict[str, int] = field(default_factory=dict)


@dataclass
class Page:
    view: View
    asked: Search
    pulse: Pulse = field(default_factory=Pulse)
    also: Incident | None = None
    groups: list[Group] = field(default_factory=list)
    count: int = 0
    has_more: bool = False
    tabs: list[Tab] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not any(group.incidents for group in self.groups)

    @property
    def shown(self) -> int:
        return sum(len(group.incidents) for group in self.groups)

    @property
    def told(self) -> str:
        return counted(self.count)

    @property
    def reach(self) -> int:
        """How many of those found one act can be done to."""
        return min(self.count, bulk.MOST)

    @property
    def first(self) -> Incident | None:
        return next((incident for group in self.groups for incident in group.incidents), None)

    @property
    def chips(self) -> list[Chip]:
        text = self.asked.text
        return [
            Chip(text[term.start : term.end], self.view.to(q=grammar.without(text, term))) for term in self.asked.terms
        ]

    @property
    def wrong(self) -> dict[str, str] | None:
        """Where the query cannot be read: {before, part, after, reason}."""
        error, text = self.asked.error, self.asked.text
        if error is None:
            return None
        start, end = error.start, min(error.end, error.start + 80)
        return {
            "before": ("…" if start > 80 else "") + text[max(0, start - 80) : start],
            "part": text[start:end] or " ",
            "after": text[end : end + 40],
            "reason": error.reason,
        }

    def layouts(self) -> list[tuple[str, str, str]]:
        """(key, name, link) of the three layouts."""
        return [(str(key), str(name), self.view.to(**{"as": str(key)})) for key, name in SavedView.Layout.choices]


def page(membership: Membership, params: QueryDict, layout: str = "", also: int | None = None) -> Page:
    """What the URL asks for, in a layout of its own or a given one; with the incident of number `also` beside it."""
    saved = list(SavedView.objects.of(membership))
    view = View.of(params, membership, saved, layout)
    asked = search(view.query, membership.workspace, membership.user, timezone.now())
    found = Page(view, asked, tabs=_tabs(view, saved))
    parts = {} if asked.error else {"": asked.found()}
    if view.layout == SavedView.Layout.BOARD and parts:
        parts = {str(status): asked.found().filter(status=status) for status in Status.values}
    found.pulse = pulse(membership.workspace, parts)
    found.count = sum(found.pulse.counts.values())
    if asked.error is not None:
        found.also = Incident.objects.of(asked.workspace).in_full().filter(number=also).first() if also else None
        return found
    if view.layout == SavedView.Layout.BOARD:
        found.groups = _columns(asked, view, found.pulse.counts)
        return found
    # The page is found among keys alone; only its rows are read in full.
    size = PANE if view.layout == SavedView.Layout.INBOX else PAGE
    keys = list(asked.in_order().values_list("pk", flat=True)[(view.page - 1) * size : view.page * size + 1])
    found.has_more, keys = len(keys) > size, keys[:size]
    full = Incident.objects.of(asked.workspace).in_full().filter(_either(keys, also))
    read = {incident.pk: incident for incident in full}
    rows = [read[pk] for pk in keys if pk in read]
    found.also = next((incident for incident in read.values() if incident.number == also), None)
    is_grouped = view.layout == SavedView.Layout.INBOX and asked.sort == "pain"
    found.groups = _by_state(rows) if is_grouped else [Group("", rows)] if rows else []
    return found


def asked(membership: Membership, params: QueryDict) -> Search:
    """The URL's query alone."""
    view = View.of(params, membership, list(SavedView.objects.of(membership)))
    return search(view.query, membership.workspace, membership.user, timezone.now())


def titled(workspace: Workspace, membership: Membership, words: str, most: int) -> list[Incident]:
    """The worst incidents that have these words, or this number."""
    asked = search(grammar.quoted(words), workspace, membership.user, timezone.now())
    keys = list(asked.in_order().values_list("pk", flat=True)[:most])
    return list(asked.ordered(Incident.objects.in_full().filter(pk__in=keys)))


def counts(membership: Membership) -> dict[str, int]:
    """How many are in each view, up to MOST_COUNTED + 1, in one query."""
    asked = {key: built_in.query for key, built_in in BUILT_IN.items()}
    asked |= {str(view.pk): view.query for view in SavedView.objects.of(membership)}
    now, parts = timezone.now(), []
    keys = list(asked)
    for at, key in enumerate(keys):
        found = search(asked[key], membership.workspace, membership.user, now).found()
        if not found.query.is_empty():
            parts.append(found.annotate(of=Value(at, IntegerField())).order_by().values_list("of")[: MOST_COUNTED + 1])
    told = dict.fromkeys(keys, 0)
    if parts:
        for (at,) in parts[0].union(*parts[1:], all=True) if len(parts) > 1 else parts[0]:
            told[keys[at]] += 1
    return told


def pulse(workspace: Workspace, parts: dict[str, IncidentQuerySet] | None = None) -> Pulse:
    """With how many there are in each part, up to MOST_FOUND + 1; all in one query."""
    here = Incident.objects.filter(workspace=OuterRef("pk")).order_by()
    asked: dict[str, Any] = {
        "last": Subquery(Event.objects.filter(workspace=OuterRef("pk")).order_by("-id").values("id")[:1]),
        "weighed": Subquery(here.open().order_by(F("weighed_at").desc(nulls_last=True)).values("weighed_at")[:1]),
        "undecided": _count(here.undecided()),
    }
    for name, found in (parts or {}).items():
        if not found.query.is_empty():
            asked[f"in_{name}"] = _CountUpTo(found.order_by().values("pk")[: MOST_FOUND + 1])
    told: dict[str, Any] = Workspace.objects.filter(pk=workspace.pk).values(**asked).get()  # type: ignore[assignment]
    weighed = told["weighed"].timestamp() if told["weighed"] else 0
    counts = {name: told.get(f"in_{name}") or 0 for name in parts or {}}
    return Pulse(f"{told['last'] or 0}-{weighed:.0f}", told["undecided"] or 0, counts)


class _CountUpTo(Subquery):
    """How many rows a limited query has: what is found is told up to there, however many there are."""

    template = "(SELECT count(*) FROM (%(subquery)s) limited)"
    output_field = IntegerField()


def _count(found: IncidentQuerySet) -> Subquery:
    return Subquery(found.values("workspace").annotate(n=Count("pk")).values("n"))


def _tabs(view: View, saved: list[SavedView]) -> list[Tab]:
    def tab(key: str, name: str, query: str, layout: str, of: SavedView | None = None) -> Tab:
        link = f"?{urlencode({'view': key, 'q': query, 'as': layout})}"
        return Tab(key, name, link, key == view.base, key == view.base and view.is_changed, of)

    built_in = [tab(key, str(one.name), one.query, view.layout) for key, one in BUILT_IN.items()]
    return built_in + [tab(str(one.pk), one.name, one.query, one.layout, one) for one in saved]


def _either(keys: list[int], number: int | None) -> Q:
    return Q(pk__in=keys) | Q(number=number) if number else Q(pk__in=keys)


def _by_state(rows: list[Incident]) -> list[Group]:
    groups = [
        Group(_("Needs a decision"), [i for i in rows if i.status in lifecycle.UNDECIDED]),
        Group(_("In progress"), [i for i in rows if i.status in lifecycle.OPEN[1:]]),
        Group(_("Done"), [i for i in rows if i.status in lifecycle.DONE]),
    ]
    return [group for group in groups if group.incidents]


def _columns(asked: Search, view: View, numbers: dict[str, int]) -> list[Group]:
    """A column per status: those of the way, and others that hold something."""
    shown = [*_BOARD, *(status for status in _ASIDE if numbers.get(status))]
    filled = [status for status in shown if numbers.get(status)]
    parts = [
        asked.in_order().filter(status=status).values_list("pk")[: CARDS if status in _BOARD else CARDS_ASIDE]
        for status in filled
    ]
    rows = parts[0].union(*parts[1:], all=True) if len(parts) > 1 else parts[0] if parts else ()
    wanted = [pk for (pk,) in rows]
    cards: dict[str, list[Any]] = {status: [] for status in shown}
    for incident in asked.ordered(Incident.objects.in_full().filter(pk__in=wanted)):
        cards[incident.status].append(incident)
    return [
        Group(str(Status(s).label), cards[s], str(s), numbers.get(s, 0), view.to(q=_within(asked, s), **{"as": "list"}))
        for s in shown
    ]


def _within(asked: Search, status: str) -> str:
    return f"{asked.text} status:{status}".strip()
