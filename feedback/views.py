"""Complaints and customers in the browser."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.core.paginator import Paginator
from django.db.models import Count, Max, Q, Sum
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import MemberRequest, allow, can
from accounts.models import Workspace
from activity.models import record
from feedback import similar
from feedback.models import Complaint, Customer
from metrics.intake.event import FAULT
from metrics.models import CustomerDay, Signal
from productops.lib import pages
from productops.lib.widgets import Typeahead
from releases.models import Product, Release

PAGE = 50
_CURRENCIES = ("EUR", "USD", "GBP", "BRL", "MXN", "ARS", "CLP", "COP")


class CustomerForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Customer
        fields = ["name", "external_id", "domain", "plan", "revenue", "currency", "language"]
        widgets: ClassVar = {
            "external_id": forms.TextInput(attrs={"placeholder": "cus_0181"}),
            "domain": forms.TextInput(attrs={"placeholder": "example.com"}),
            "plan": Typeahead(),
            "currency": Typeahead(),
            "language": Typeahead(),
        }

    def __init__(self, *args: Any, workspace: Workspace, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plans = Customer.objects.of(workspace).exclude(plan="").order_by("plan").values_list("plan", flat=True)
        offered = {
            "plan": plans.distinct()[:50],
            "currency": dict.fromkeys((workspace.currency, *_CURRENCIES)),
            "language": [code for code, _name in settings.LANGUAGES],
        }
        for name, options in offered.items():
            widget = self.fields[name].widget
            assert isinstance(widget, Typeahead)
            widget.options = lambda options=options: options  # type: ignore[misc]
        self.fields["currency"].widget.attrs["placeholder"] = workspace.currency
        self.fields["language"].widget.attrs["placeholder"] = "en"


@require_GET
@allow("workspace.view")
def complaints(request: MemberRequest) -> HttpResponse:
    """Search by words (any form of them, three languages), kind and release; all, or what one logged oneself."""
    found = Complaint.objects.of(request.workspace)
    search = request.GET.get("q", "").replace("\x00", "").strip()[:200]
    kind = request.GET.get("kind", "")
    release = request.GET.get("release", "")
    is_mine = request.GET.get("mine") == "1"
    if is_mine:
        found = found.filter(logged_by=request.membership.user_id)
    if search:
        found = found.filter(_says(search))
    if kind in Complaint.Kind.values:
        found = found.filter(kind=kind)
    if release.isdecimal() and len(release) < 12:
        found = found.filter(release=int(release))
    rows = found.select_related("customer", "feature", "release", "report__incident__fix_release").newest_first()
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    context: dict[str, Any] = {"page": page, "search": search, "kind": kind, "kinds": Complaint.Kind.choices}
    context["is_filtered"], context["is_mine"] = bool(search or kind or release), is_mine
    if release.isdecimal() and len(release) < 12:
        context["release"] = Release.objects.of(request.workspace).filter(pk=int(release)).first()
    return render(request, "feedback/complaints.html", context)


def _says(search: str) -> Q:
    wanted = similar.key(search)
    plain = Q(text__icontains=search) | Q(customer__name__icontains=search)
    return plain | Q(grams__contains=wanted) if wanted else plain


@require_GET
@allow("workspace.view")
def complaint(request: MemberRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(
        Complaint.objects.of(request.workspace).select_related(
            "customer", "feature", "release__product", "report__incident", "logged_by"
        ),
        pk=pk,
    )
    return render(request, "feedback/complaint.html", {"complaint": found})


@require_GET
@allow("workspace.view")
def customers(request: MemberRequest) -> HttpResponse:
    search = request.GET.get("q", "").replace("\x00", "").strip()[:120]
    found = Customer.objects.of(request.workspace).matching(search)
    order = {"name": "name", "-complaints": "-said"}.get(request.GET.get("order", ""), "-revenue")
    rows = found.annotate(said=Count("complaints")).order_by(order, "name")
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "search": search, "can_edit": can(request.membership, "customer.edit")}
    return render(request, "feedback/customers.html", context)


@require_GET
@allow("workspace.view")
def customer(request: MemberRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Customer.objects.of(request.workspace).select_related("owner"), pk=pk)
    said = found.complaints.select_related("feature", "release", "report__incident").newest_first()[:30]
    context = {
        "customer": found,
        "contacts": found.contacts.all(),
        "complaints": said,
        "usage": _usage(found),
        "seen": _releases_seen(found),
        "can_edit": can(request.membership, "customer.edit"),
    }
    return render(request, "feedback/customer.html", context)


def _usage(customer: Customer) -> list[dict[str, Any]]:
    """What this customer did, per signal, most used first."""
    products = list(Product.objects.filter(workspace=customer.workspace_id).values_list("pk", flat=True))
    rows = list(
        CustomerDay.objects.filter(product_id__in=products, customer=customer.external_id)
        .values("signal_id")
        .annotate(u=Sum("uses"), f=Sum("failures"), last=Max("last_at"))
        .order_by("-u")[:200]
    )
    told = Signal.objects.filter(pk__in=[r["signal_id"] for r in rows]).exclude(kind=FAULT)
    names = {s.pk: s for s in told.select_related("feature")}
    return [
        {"signal": names[r["signal_id"]], "uses": r["u"], "failures": r["f"], "last": r["last"]}
        for r in rows
        if r["signal_id"] in names
    ][:20]


def _releases_seen(customer: Customer) -> list[dict[str, Any]]:
    products = list(Product.objects.filter(workspace=customer.workspace_id).values_list("pk", flat=True))
    rows = (
        CustomerDay.objects.filter(product_id__in=products, customer=customer.external_id)
        .exclude(release_id=0)
        .values("release_id")
        .annotate(last=Max("last_at"))
        .order_by("-last")[:10]
    )
    found = {r["release_id"]: r["last"] for r in rows}
    releases = Release.objects.filter(pk__in=found).in_bulk()
    seen = [{"release": releases[pk], "last": last} for pk, last in found.items() if pk in releases]
    return sorted(seen, key=lambda row: row["release"].shipped_at or row["release"].created_at, reverse=True)


@require_http_methods(["GET", "POST"])
@allow("customer.edit")
def edit_customer(request: MemberRequest, pk: int | None = None) -> HttpResponse:
    """A new customer, or a change to one. What a person typed is never overwritten by events."""
    known = get_object_or_404(Customer.objects.of(request.workspace), pk=pk) if pk is not None else None
    customer = known or Customer(workspace=request.workspace)
    form = CustomerForm(request.POST or None, instance=customer, workspace=request.workspace)
    if not form.is_valid():
        template = "feedback/_customer_form.html" if pages.is_htmx(request) else "feedback/customer_form.html"
        return render(request, template, {"form": form, "customer": known})
    customer = form.save(commit=False)
    customer.is_edited = True
    clash = Customer.objects.of(request.workspace).filter(external_id=customer.external_id).exclude(pk=customer.pk)
    if clash.exists():
        form.add_error("external_id", _("Another customer has this id."))
        return render(request, "feedback/customer_form.html", {"form": form, "customer": known})
    customer.save()
    verb = "customer.changed" if known else "customer.created"
    record(request.workspace, verb, customer, request.membership.user, changed=sorted(form.changed_data))
    address = reverse("feedback:customer", args=[request.workspace.slug, customer.pk])
    if pages.is_htmx(request):
        response = HttpResponse(status=204)
        response["HX-Redirect"] = address
        return response
    return redirect(address)
