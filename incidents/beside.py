"""What stands beside an incident: complaints, links, suggestions, who watches, its review; in one query."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Coalesce, JSONObject, NullIf
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import User
from incidents.models import (
    ActionItem,
    ActionState,
    Incident,
    Link,
    LinkKind,
    Report,
    Review,
    Suggestion,
    SuggestionState,
)  # fmt: skip
from incidents.models.incident import Status, headline
from incidents.models.link import OTHER_WAY
from notices.models import Notice, Watch, Watching

#: Rows of each kind that are shown.
MOST = 20
_LABEL = "incidents.incident"

KINDS: dict[str, str | Promise] = {
    "related": gettext_lazy("related to"),
    "caused_by": gettext_lazy("caused by"),
    "causes": gettext_lazy("cause of"),
    "recurs": gettext_lazy("came back after"),
    "recurred": gettext_lazy("came back as"),
}
_MATCHED: dict[str, str | Promise] = {
    "text": gettext_lazy("similar words"),
    "signal": gettext_lazy("the same signal"),
    "feature": gettext_lazy("the same feature"),
    "release": gettext_lazy("the same release"),
    "time": gettext_lazy("about the same time"),
}


@dataclass(frozen=True)
class Other:
    """Another incident, as a link or a suggestion tells of it. `pk` is the link's or the suggestion's."""

    pk: int
    number: int
    headline: str
    status: str
    said: str
    why: str = ""


@dataclass
class Beside:
    reports: list[dict[str, Any]] = field(default_factory=list)
    links: list[Other] = field(default_factory=list)
    suggestions: list[Other] = field(default_factory=list)
    watchers: list[str] = field(default_factory=list)
    is_watching: bool = False
    review: dict[str, Any] | None = None
    duplicates: int = 0
    is_unread: bool = False  # there are notices about it


def load(incident: Incident, user: User) -> Beside:
    sql, params = _question()
    known = {_INCIDENT: incident.pk, _USER: user.pk}
    with connection.cursor() as cursor:
        cursor.execute(sql, [known.get(value, value) for value in params])
        row = cursor.fetchone()
        names = [column.name for column in cursor.description]
    told = {name: _read(value) for name, value in zip(names, row, strict=True)}
    links = [_other(row, KINDS[row["kind"]]) for row in told["from_here"]]
    links += [_other(row, KINDS[OTHER_WAY[LinkKind(row["kind"])]]) for row in told["to_here"]]
    reports = [{**row, "at": datetime.fromisoformat(row["at"])} for row in told["said"]]
    return Beside(
        reports, links, [_suggested(row) for row in told["suggested"]], told["watching"], told["looks"],
        next(iter(told["reviewed"]), None), told["same"], told["unread"],
    )  # fmt: skip


def _read(value: Any) -> Any:
    """JSON comes as text: this is read without the columns' fields."""
    return [json.loads(each) if isinstance(each, str) and each[:1] == "{" else each for each in value] if isinstance(
        value, list
    ) else value  # fmt: skip


#: Stand in the question for the incident and the person.
_INCIDENT, _USER = -7_001, -7_002


@cache
def _question() -> tuple[str, tuple[Any, ...]]:
    """The query as SQL. Making it takes longer than answering it, so that it is made once."""
    parts: dict[str, Any] = {
        "said": ArraySubquery(_reports()),
        "from_here": ArraySubquery(_ends(Link.objects.filter(source=OuterRef("pk")), "target")),
        "to_here": ArraySubquery(_ends(Link.objects.filter(target=OuterRef("pk")), "source")),
        "suggested": ArraySubquery(_suggestions()),
        "watching": ArraySubquery(_watchers()),
        "unread": Exists(_unread().filter(user=_USER)),
        "looks": Exists(_watches().filter(user=_USER)),
        "reviewed": ArraySubquery(_review()),
        "same": Coalesce(Subquery(_duplicates()), 0),
    }
    asked = Incident.objects.filter(pk=_INCIDENT).values(**parts)
    return asked.query.sql_with_params()


def _reports() -> QuerySet[Report, Any]:
    said = {
        "text": F("complaint__text"), "customer": F("complaint__customer"), "name": F("complaint__customer__name"),
        "at": F("complaint__created_at"), "may_leave": F("complaint__is_churn_risk"), "pk": F("complaint"),
    }  # fmt: skip
    found = Report.objects.filter(incident=OuterRef("pk")).order_by("-complaint__created_at")
    return found.values(json=JSONObject(**said))[:MOST]


def _about(end: str) -> dict[str, Any]:
    """What tells an incident's headline without reading all of it."""
    names = ("number", "title", "status", "cause")
    told = {name: F(f"{end}__{name}") for name in names}
    return {
        **told, "evidence": F(f"{end}__regression__evidence"),
        "version": F(f"{end}__regression__release__version"),
    }  # fmt: skip


def _ends(links: QuerySet[Link], end: str) -> QuerySet[Link, Any]:
    return links.order_by("pk").values(json=JSONObject(pk=F("pk"), kind=F("kind"), **_about(end)))[:MOST]


def _suggestions() -> QuerySet[Suggestion, Any]:
    still = Suggestion.objects.filter(incident=OuterRef("pk"), state=SuggestionState.OPEN)
    still = still.exclude(other__status=Status.DUPLICATE).order_by("-score")
    return still.values(json=JSONObject(pk=F("pk"), why=F("why"), **_about("other")))[:3]


def _unread() -> QuerySet[Notice]:
    return Notice.objects.filter(subject_type=_LABEL, subject_id=OuterRef("pk"), read_at=None)


def _watches() -> QuerySet[Watch]:
    return Watch.objects.filter(subject_type=_LABEL, subject_id=OuterRef("pk"), state=Watching.WATCHING)


def _watchers() -> QuerySet[Watch, Any]:
    called = Coalesce(NullIf("user__name", Value("")), "user__email", output_field=TextField())
    return _watches().order_by("created_at", "pk").values(called=called)[:MOST]


def _review() -> QuerySet[Review, Any]:
    owed = ActionItem.objects.filter(review=OuterRef("pk"), state=ActionState.OPEN).order_by()
    n = Coalesce(Subquery(owed.values("review").annotate(n=Count("pk")).values("n")), 0)
    said = JSONObject(finished=F("finished_at"), owed=n, failed=F("failed_by__number"))
    return Review.objects.filter(incident=OuterRef("pk")).values(json=said)


def _duplicates() -> QuerySet[Incident, Any]:
    same = Incident.objects.filter(original=OuterRef("pk")).order_by()
    return same.values("original").annotate(n=Count("pk")).values("n")


def _other(row: dict[str, Any], said: str | Promise, why: str = "") -> Other:
    told = headline(row["title"], row["cause"], row["evidence"], row["version"] or "")
    return Other(row["pk"], row["number"], told, str(Status(row["status"]).label), str(said), why)


def _suggested(row: dict[str, Any]) -> Other:
    matched = ", ".join(str(name) for key, name in _MATCHED.items() if key in row["why"]["matched"])
    return _other(row, _("may belong to it"), matched)
