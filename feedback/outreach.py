"""The list of silent customers: who was hurt and did not write, and what came of asking them."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db.models import F, Prefetch
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.access import MemberRequest, allow, can
from feedback import words
from feedback.models import Customer, Silence
from metrics.detection.rates import wilson
from productops.lib import pages
from releases.models import Release

PAGE = 50
#: Known outcomes from which on the list says how often it was right.
ENOUGH = 10


@require_GET
@allow("workspace.view")
def silent(request: MemberRequest) -> HttpResponse:
    """By customer, the biggest revenue first: those nobody has asked yet, or those asked."""
    shown = "asked" if request.GET.get("show") == "asked" else "open"
    release = _release(request)
    rows = listed(request, shown, release)
    customers = Customer.objects.filter(pk__in=rows.values("customer")).order_by(
        F("revenue").desc(nulls_last=True), "name", "pk"
    )
    page = Paginator(customers.prefetch_related(Prefetch("silences", in_order(rows), "listed")), PAGE).get_page(
        request.GET.get("page")
    )
    n, right = Silence.objects.of(request.workspace).proven(timezone.now())
    context = {
        "page": page,
        "entries": [entry(customer, customer.listed) for customer in page],
        "show": shown,
        "release": release,
        "open_count": page.paginator.count,
        "proven": {"n": n, "right": right, "share": wilson(right, n)} if n >= ENOUGH else None,
        "proven_n": n,
        "can_edit": can(request.membership, "customer.edit"),
    }
    return render(request, "feedback/silent.html", context)


@require_POST
@allow("customer.edit")
def answer(request: MemberRequest, pk: int) -> HttpResponse:
    """What came of asking; the same answer again takes it back."""
    found = get_object_or_404(Silence.objects.of(request.workspace).select_related("workspace", "customer"), pk=pk)
    result = request.POST.get("result", "")
    if result not in Silence.Result.values:
        return pages.refuse(request, _("Choose one of the answers."), 400, _address(request))
    found.answer(request.membership.user, "" if found.result == result else result)
    if not pages.is_htmx(request):
        return pages.go(request, _address(request))
    same = Silence.objects.of(request.workspace).filter(customer=found.customer, result=found.result)
    rows = same.filter(result_at=found.result_at) if found.result else same.open()
    row = entry(found.customer, list(in_order(rows)) or [found])
    return render(request, "feedback/_silent.html", {"entry": row, "can_edit": True})


def listed(request: MemberRequest, shown: str, release: Release | None) -> Any:
    rows = Silence.objects.of(request.workspace)
    rows = rows.open() if shown == "open" else rows.exclude(result="")
    return rows.filter(release=release) if release else rows


def in_order(rows: Any) -> Any:
    """The newest release first."""
    return rows.select_related("release").order_by(F("release__shipped_at").desc(nulls_last=True), "pk")


def entry(customer: Customer, rows: list[Silence]) -> dict[str, Any]:
    """One line of the list: the customer, why it is on it, and what is known since."""
    newest = rows[0]
    return {
        "customer": customer,
        "row": newest,
        "why": [
            {"release": row.release, "told": words.reason(told)} for row in rows for told in row.reasons
        ],
        "since": min(row.listed_at for row in rows),
        "results": [
            {"value": value, "name": name, "is_chosen": newest.result == value}
            for value, name in Silence.Result.choices
        ],
    }


def _release(request: MemberRequest) -> Release | None:
    given = request.GET.get("release", "")
    if not (given.isascii() and given.isdecimal() and len(given) < 12):
        return None
    return Release.objects.of(request.workspace).filter(pk=int(given)).first()


def _address(request: MemberRequest) -> str:
    return reverse("feedback:silent", args=[request.workspace.slug])
