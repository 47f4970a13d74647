"""What a query asks the database. An error says where in the text it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext as _

from accounts.models import User, Workspace
from feedback.models import Customer
from incidents import lifecycle
from incidents.models import Incident, Link, LinkKind, Report
from incidents.models.incident import BY_SEVERITY, IncidentQuerySet
from incidents.query import grammar
from incidents.query.grammar import Term, Unreadable
from incidents.query.keys import KEYS, SEVERITIES
from metrics.models import CustomerDay
from notices.models import Watch, Watching
from productops.lib.text import fold, grams
from releases.models import Product, Release

#: Customers that one word may mean.
MOST_CUSTOMERS = 20
#: Incidents of them that are looked up beforehand.
MOST_LOOKED_UP = 2_000
#: Numbers of a query reach this far.
LARGEST = 1e12

_AGE = re.compile(r"([+-]?)([0-9]{1,5})(min|m|h|d|w)")
_UNITS = {"m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LOOKUPS = {"": "", ">": "__gt", ">=": "__gte", "<": "__lt", "<=": "__lte"}
_TURNED = {"": "", ">": "<", ">=": "<=", "<": ">", "<=": ">="}
_ORDERS: dict[str, tuple[str, ...]] = {
    "pain": ("-pain", "-opened_at", "-id"),
    "newest": ("-opened_at", "-id"),
    "oldest": ("opened_at", "id"),
    "severity": ("-severity_rank", "-pain", "-id"),
    "revenue": ("-revenue", "-pain", "-id"),
    "due": ("due_at", "-pain", "-id"),  # without a timer: last, as PostgreSQL orders what is not there
}


@dataclass
class Search:
    """What a query found out about itself: its terms, or where it cannot be read."""

    text: str
    workspace: Workspace
    user: User
    now: datetime
    terms: list[Term] = field(default_factory=list)
    error: Unreadable | None = None
    condition: Q = field(default_factory=Q)
    sort: str = "pain"

    def found(self) -> IncidentQuerySet:
        """The incidents, in no order; none when the query cannot be read."""
        incidents: IncidentQuerySet = Incident.objects.of(self.workspace).alias(touched=F("heard") + F("silent"))
        return incidents.none() if self.error else incidents.filter(self.condition)

    def in_order(self) -> IncidentQuerySet:
        return self.ordered(self.found())

    def ordered(self, found: IncidentQuerySet) -> IncidentQuerySet:
        """Incidents in the query's order."""
        if self.sort == "severity":
            found = found.alias(severity_rank=BY_SEVERITY)
        return found.order_by(*_ORDERS[self.sort])


def search(text: str, workspace: Workspace, user: User, now: datetime) -> Search:
    found = Search(text, workspace, user, now)
    try:
        found.terms = grammar.parse(text)
        for term in found.terms:
            if term.key == "sort":
                found.sort = _sort(term)
            else:
                condition = _condition(term, found)
                found.condition &= ~condition if term.is_not else condition
    except Unreadable as error:
        found.error = error
    return found


def _condition(term: Term, asked: Search) -> Q:
    if not term.key:
        return _words(term, asked)
    key = KEYS.get(term.key)
    if key is None:
        raise term.fail(
            _("There is no key “%(key)s”. To look for these words, put them in quotes.") % {"key": term.key}
        )
    if term.op and key.kind not in ("number", "age") and term.key != "severity":
        raise term.fail(_("“%(key)s” cannot be compared.") % {"key": term.key})
    return _any(term, lambda value: _ASKED[term.key](value, term, asked))


def _any(term: Term, one: Callable[[str], Q]) -> Q:
    found = one(term.values[0])
    for value in term.values[1:]:
        found |= one(value)
    return found


def _sort(term: Term) -> str:
    if term.is_not or term.op or len(term.values) != 1 or term.values[0] not in _ORDERS:
        raise term.fail(_("Sort by one of these: %(values)s.") % {"values": ", ".join(_ORDERS)})
    return term.values[0]


def _words(term: Term, asked: Search) -> Q:
    """Words of the title, feature, signal or release, in any case and accent; or a number."""
    typed = term.values[0]
    number = typed.upper().removeprefix("INC-")
    # isdecimal also takes digits of other scripts, which is what PostgreSQL gets as numbers.
    by_number = Q(number=int(number)) if number.isdecimal() and len(number) < 9 else Q()
    word = fold(typed)
    if not word:
        return by_number or Q(pk__in=[])
    near = Q(folded__contains=word)
    if len(word) >= 3 and (parts := sorted(grams(word))):
        near &= Q(grams__contains=parts)
    return near | by_number if by_number else near


def _choice(value: str, term: Term) -> str:
    values = KEYS[term.key].values or {}
    if value.lower() not in values:
        raise term.fail(_("Use one of these: %(values)s.") % {"values": ", ".join(values)})
    return value.lower()


def _is(value: str, term: Term, asked: Search) -> Q:
    name = _choice(value, term)
    if name == "watched":
        mine = Watch.objects.filter(user=asked.user, subject_type=Incident._meta.label_lower, state=Watching.WATCHING)
        return Q(pk__in=mine.values("subject_id"))
    if name in {"late", "at_risk"}:
        running = Q(status__in=lifecycle.OPEN) & ~Q(status="snoozed")
        late = Q(due_at__lte=asked.now)
        return running & (late if name == "late" else Q(risk_at__lte=asked.now) & ~late)
    return _STATES[name]


def _has(value: str, term: Term, _asked: Search) -> Q:
    name = _choice(value, term)
    if name == "complaints":
        return Q(Exists(Report.objects.filter(incident=OuterRef("pk"))))
    if name == "links":
        return Q(Exists(Link.objects.filter(Q(source=OuterRef("pk")) | Q(target=OuterRef("pk")))))
    return Q(**{{"fix": "fix_release"}.get(name, name) + "__isnull": False})


def _status(value: str, term: Term, _asked: Search) -> Q:
    return Q(status=_choice(value, term))


def _kind(value: str, term: Term, _asked: Search) -> Q:
    return Q(kind=_choice(value, term))


def _severity(value: str, term: Term, _asked: Search) -> Q:
    at = SEVERITIES.index(_choice(value, term))
    if not term.op:
        return Q(severity=SEVERITIES[at])
    first, last = {">": (at + 1, 5), ">=": (at, 5), "<": (0, at), "<=": (0, at + 1)}[term.op]
    return Q(severity__in=SEVERITIES[first:last])


def _number(value: str, term: Term, _asked: Search) -> Q:
    if not re.fullmatch(r"[0-9]{1,40}(\.[0-9]{1,20})?", value) or float(value) > LARGEST:
        raise term.fail(_("Use a number, such as %(example)s.") % {"example": KEYS[term.key].example})
    lookup = _LOOKUPS[term.op]
    return Q(**{f"{'touched' if term.key == 'impact' else term.key}{lookup}": float(value)})


def _duplicate(value: str, term: Term, _asked: Search) -> Q:
    number = value.upper().removeprefix("INC-")
    if term.op or not re.fullmatch(r"[0-9]{1,9}", number):
        raise term.fail(_("Use a number, such as %(example)s.") % {"example": KEYS[term.key].example})
    return Q(original__number=int(number))


def _age(value: str, term: Term, asked: Search) -> Q:
    told = _AGE.fullmatch(value.lower())
    if told is None or (told[1] and term.op):
        raise term.fail(_("Use an age, such as age:<24h or age:>7d."))
    # As in Sentry: -24h is younger, +24h is older.
    op = term.op or ("<" if told[1] == "-" else ">" if told[1] == "+" else "")
    if not op:
        raise term.fail(_("Say younger or older: age:<24h or age:>7d."))
    moment = asked.now - timedelta(seconds=int(told[2]) * _UNITS[told[3]])
    return Q(**{f"opened_at{_LOOKUPS[_TURNED[op]]}": moment})


def _assigned(value: str, _term: Term, asked: Search) -> Q:
    if value.lower() == "none":
        return Q(assignee=None)
    if value.lower() == "me":
        return Q(assignee=asked.user)
    people = User.objects.filter(memberships__workspace=asked.workspace)
    return Q(assignee__in=people.filter(Q(email__iexact=value) | Q(name__icontains=value)).values("pk"))


def _release(value: str, term: Term, asked: Search) -> Q:
    name = "release" if term.key == "release" else "fix_release"
    if value.lower() == "none":
        return Q(**{name: None})
    releases = Release.objects.of(asked.workspace)
    if value.lower() == "latest" and term.key == "release":
        newest = releases.exclude(shipped_at=None).order_by("product", "-shipped_at", "-id").distinct("product")
        return Q(release__in=[release.pk for release in newest])
    return Q(**{f"{name}__in": releases.filter(_named("version", value)).values("pk")})


def _named(column: str, value: str) -> Q:
    """Exactly so in any case, or like it where there are stars."""
    if "*" not in value:
        return Q(**{f"{column}__iexact": value})
    parts = [re.escape(part) for part in re.sub(r"\*+", "*", value).split("*")]
    return Q(**{f"{column}__iregex": f"^{'.*'.join(parts)}$"})


def _text(column: str) -> Callable[[str, Term, Search], Q]:
    return lambda value, _term, _asked: _named(column, value)


def _product(value: str, _term: Term, _asked: Search) -> Q:
    return _named("product__slug", value) | _named("product__name", value)


def _customer(value: str, _term: Term, asked: Search) -> Q:
    """Complained, or was hit: by what the incident measures, in its release."""
    found = Customer.objects.of(asked.workspace).matching(value).order_by("-revenue", "pk")[:MOST_CUSTOMERS]
    known = list(found.values_list("pk", "external_id"))
    heard = Report.objects.filter(complaint__customer__in=[pk for pk, _id in known]).values_list("incident")
    hit = CustomerDay.objects.filter(
        Q(failures__gt=0) | Q(struggles__gt=0),
        product_id__in=list(Product.objects.filter(workspace=asked.workspace).values_list("pk", flat=True)),
        customer__in=[name for _pk, name in known],
        signal_id=OuterRef("signal_id"),  # a signal is of one product
        day__gte=OuterRef("impact_started_at__date"),
    )
    # Each part is one set that is made once; an EXISTS under an OR would be asked for every incident.
    measured = Incident.objects.of(asked.workspace).filter(signal__isnull=False).order_by()
    in_release = measured.filter(Exists(hit.filter(release_id=OuterRef("release_id")))).values_list("pk")
    in_any = measured.filter(Exists(hit), release=None).values_list("pk")
    # Looked up once here rather than in each of the page's queries, unless it is very many.
    found = list(heard.union(in_release, in_any)[: MOST_LOOKED_UP + 1])
    if len(found) <= MOST_LOOKED_UP:
        return Q(pk__in=[pk for (pk,) in found])
    return Q(pk__in=heard) | Q(pk__in=in_release) | Q(pk__in=in_any)


_STATES = {
    "undecided": Q(status__in=lifecycle.UNDECIDED),
    "open": Q(status__in=lifecycle.OPEN),
    "done": Q(status__in=lifecycle.DONE),
    "silent": Q(silent__gt=0),
    "snoozed": Q(status="snoozed"),
    "unassigned": Q(assignee=None),
    "overridden": Q(is_severity_forced=True),
    "rising": Q(impact__trend__gt=1.2),
    "asked": Q(asked_at__isnull=False) & Q(status__in=lifecycle.OPEN),
    "recurring": Q(Exists(Link.objects.filter(source=OuterRef("pk"), kind=LinkKind.RECURS))),
    "known": ~Q(wording="") & Q(status__in=(*lifecycle.OPEN, "resolved")),
}

_ASKED: dict[str, Callable[[str, Term, Search], Q]] = {
    "is": _is, "has": _has, "status": _status, "kind": _kind, "severity": _severity, "assigned": _assigned,
    "release": _release, "fix": _release, "customer": _customer, "product": _product,
    "feature": _text("feature__name"), "environment": _text("environment"), "signal": _text("signal__name"),
    "impact": _number, "heard": _number, "silent": _number, "revenue": _number, "pain": _number, "age": _age,
    "duplicate": _duplicate,
}  # fmt: skip


def filters(params: dict[str, Any]) -> str:
    """A query that says what single filters say: {"status": "new,triaged", "release": "2.4"}."""
    said = []
    for key, value in params.items():
        if not value:
            continue
        values = [grammar.quoted(part) for part in str(value).split(",") if part]
        said.append(f"{key}:{values[0]}" if len(values) == 1 else f"{key}:[{','.join(values)}]")
    return " ".join(said)
