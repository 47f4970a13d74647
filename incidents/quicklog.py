"""The quick log joins complaint and incident: what is known is found while typing, Enter joins it.

It lives here because it looks at both; its pages stand under the complaints' addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User, Workspace
from activity.models import record
from feedback import classing, similar
from feedback.models import Complaint, Contact, Customer
from incidents import ledger
from incidents.models import Incident, Report
from metrics import doings
from metrics.intake.clean import stable_id
from metrics.models import CustomerDay
from releases.models import Feature, Product, Release

#: What PostgreSQL hands over for ranking.
CANDIDATES = 60
#: Typing shorter texts asks nothing.
LEAST = 4
#: How long the one who logged a complaint may take it back.
RETRACTABLE = timedelta(minutes=10)


@dataclass(frozen=True)
class Match:
    """Something known that means the same. `value` is what the form sends back: "incident:12"."""

    value: str
    title: str
    note: str
    score: float
    shared: tuple[str, ...]
    wording: str = ""  # what the agent may tell the customer at once
    workaround: str = ""

    @property
    def is_sure(self) -> bool:
        return self.score >= similar.SURE


def matches(workspace: Workspace, text: str, limit: int = 5) -> list[Match]:
    """The top matches over incidents and complaints. Three queries, whatever the size of the workspace."""
    if len(text.strip()) < LEAST:
        return []
    found = [*_complaints(workspace, text), *_incidents(workspace, text)]
    ranked = similar.rank(text, found, limit=4 * limit)
    best: dict[str, Match] = {}
    for match in ranked:
        told = _told(match)
        if told.value not in best or best[told.value].score < told.score:
            best[told.value] = told
    return sorted(best.values(), key=lambda m: -m.score)[:limit]


def suggest(workspace: Workspace, text: str, customer: Customer | None, feature: Feature | None) -> classing.Suggestion:
    """The kind this complaint seems to be of, with what speaks for it."""
    product = feature.product if feature else _product(workspace, customer)
    if product is None or customer is None:
        return classing.suggest(text)
    uses, failed, signs = doings.around(product, customer.external_id, timezone.now(), feature)
    minutes = int(doings.SPAN.total_seconds()) // 60
    return classing.suggest(text, classing.Doings(minutes, uses, failed, signs))


def log(
    workspace: Workspace,
    text: str,
    by: User,
    customer: Customer | None = None,
    join: Incident | None = None,
    same_as: Complaint | None = None,
    new_customer: str = "",
    contact: tuple[str, str] = ("", ""),
    **fields: Any,
) -> Complaint:
    """Logs a complaint, fills in what the customer's own events know, and joins it when asked.

    new_customer: the name of one to be made, when there is no `customer`; contact: name and address of who said it.
    """
    with transaction.atomic():
        if customer is None and new_customer.strip():
            customer = Customer.objects.begin(workspace, new_customer, by)
        if any(contact):
            fields |= {"contact_name": contact[0], "contact_email": contact[1]}
            if customer:
                Contact.objects.meet(customer, *contact)
        return _log(workspace, text, by, customer, join, same_as, **fields)


def _log(
    workspace: Workspace,
    text: str,
    by: User,
    customer: Customer | None,
    join: Incident | None,
    same_as: Complaint | None,
    **fields: Any,
) -> Complaint:
    product = fields.pop("product", None) or _product(workspace, customer)
    release = fields.pop("release", None) or (last_release(product, customer) if product and customer else None)
    report = getattr(same_as, "report", None)
    target = join or (report.incident if report else None)
    feature = fields.pop("feature", None) or (target.feature if target else same_as.feature if same_as else None)
    complaint = Complaint.objects.log(
        workspace, text, by, customer, product=product, release=release, feature=feature, **fields
    )
    if target:
        ledger.report_same(target, complaint, by)
    return complaint


class Changed(Exception):
    """Somebody else put the complaint right meanwhile."""


def seen(complaint: Complaint) -> str:
    """What a person who corrects a complaint has before their eyes, as one short text."""
    report = getattr(complaint, "report", None)
    facts = [getattr(complaint, f"{name}_id") for name in ("customer", "feature", "release")]
    said = (complaint.text, complaint.kind, complaint.is_churn_risk, complaint.importance, complaint.channel)
    return stable_id(*said, complaint.contact_name, complaint.contact_email, *facts, report and report.incident_id)


def correct(complaint: Complaint, by: User, incident: Incident | None, expected: str = "", **fields: Any) -> None:
    """Puts right what was logged: its own fields, and which incident it belongs to (None: to none).

    `expected` is what `seen` said when the person looked; raises Changed when that is not so any more.
    """
    target = incident.root if incident else None
    with transaction.atomic():
        complaint = Complaint.objects.select_for_update().get(pk=complaint.pk)
        report = Report.objects.filter(complaint=complaint).first()
        if expected and expected != seen(complaint):
            raise Changed
        known = report.incident_id if report else None
        wanted = {known, target.pk if target else None} - {None}
        # In one order, so that two people who move complaints to and fro never wait in a circle.
        touched = list(Incident.objects.select_for_update().filter(pk__in=wanted).order_by("pk"))
        is_changed = complaint.correct(by, **fields)
        is_moved = known != (target.pk if target else None)
        if known and is_moved:
            Report.objects.leave(complaint, by)
        if target and is_moved:
            Report.objects.join(target, complaint, by)
        if is_changed or is_moved:
            for each in touched:
                ledger.weigh(each, timezone.now())


def retract(complaint: Complaint, by: User) -> None:
    """Removes a complaint its author logged by mistake; only at once, before others work with it."""
    if complaint.logged_by_id != by.pk or timezone.now() - complaint.created_at > RETRACTABLE:
        raise ValidationError(_("Only the one who logged it can take it back, within a few minutes."))
    report = getattr(complaint, "report", None)
    with transaction.atomic():
        record(complaint.workspace, "complaint.retracted", complaint, by, text=complaint.text[:200])
        incident = report.incident if report else None
        complaint.delete()
        if incident:
            ledger.weigh(incident, timezone.now())


def last_release(product: Product, customer: Customer) -> Release | None:
    """The newest release this customer's events named."""
    row = (
        CustomerDay.objects.filter(product_id=product.pk, customer=customer.external_id)
        .exclude(release_id=0)
        .order_by("-last_at")
        .values_list("release_id", flat=True)
        .first()
    )
    return Release.objects.filter(pk=row).first() if row else None


def features(workspace: Workspace) -> Any:
    return Feature.objects.filter(product__workspace=workspace)


def _product(workspace: Workspace, customer: Customer | None) -> Product | None:
    products = list(Product.objects.filter(workspace=workspace)[:20])
    if len(products) == 1 or customer is None:
        return products[0] if len(products) == 1 else None
    used = (
        CustomerDay.objects.filter(product_id__in=[p.pk for p in products], customer=customer.external_id)
        .order_by("-last_at")
        .values_list("product_id", flat=True)
        .first()
    )
    return next((p for p in products if p.pk == used), None)


def _complaints(workspace: Workspace, text: str) -> list[tuple[Any, str]]:
    wanted = similar.key(text)
    if not wanted:
        return []
    rows = (
        Complaint.objects.of(workspace)
        .filter(grams__overlap=wanted)
        .exclude(kind=Complaint.Kind.PRAISE)
        .select_related("customer", "report__incident")
        .newest_first()[: 4 * CANDIDATES]
    )
    near = sorted(rows, key=lambda c: -len(set(c.grams) & set(wanted)))[:CANDIDATES]
    return [(c, c.text) for c in near]


def _incidents(workspace: Workspace, text: str) -> list[tuple[Any, str]]:
    rows = (
        Incident.objects.of(workspace)
        .open()
        .select_related("feature", "signal", "release", "regression__release", "regression__signal")
        .by_pain()[:CANDIDATES]
    )
    return [(i, f"{i.headline} {i.feature or ''} {_failing(i)} {i.wording}") for i in rows]


def _failing(incident: Incident) -> str:
    """Words people use for what a regression means, in the three languages."""
    measure = incident.regression.measure if incident.regression else ""
    return "error" if measure.endswith("_rate") else "slow" if measure.startswith("latency") else ""


def _told(match: similar.Match) -> Match:
    item = match.item
    report = getattr(item, "report", None) if isinstance(item, Complaint) else None
    incident = item if isinstance(item, Incident) else report.incident if report else None
    if incident is not None:
        note = _("known incident · %(status)s") % {"status": str(incident.get_status_display()).lower()}
        title = f"INC-{incident.number} · {incident.headline}"
        said = (incident.wording, incident.workaround)
        return Match(f"incident:{incident.number}", title, note, match.score + 4, match.shared, *said)
    note = _("said by %(customer)s") % {"customer": item.customer or "–"}
    return Match(f"complaint:{item.pk}", item.text[:120], note, match.score, match.shared)
