"""The Data page: what arrived and what became of it, the keys, and what was set aside."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import access
from accounts.access import MemberRequest, allow
from accounts.adapter import client_ip
from activity.models import record
from metrics import ledger, tail
from metrics.forms import LimitForm
from metrics.intake.door import client_mark
from metrics.models import IngestKey, Limit, Quarantine
from productops.lib import pages
from releases.models import Product

_DAY = timedelta(days=1)
_WINDOWS = {
    "24h": (_DAY, gettext_lazy("24 hours")),
    "7d": (timedelta(days=7), gettext_lazy("7 days")),
}
_SHOWN = {
    "all": gettext_lazy("All"),
    "changed": gettext_lazy("Changed at the door"),
    "refused": gettext_lazy("Refused"),
}


@require_safe
@allow("data.view")
def data(request: MemberRequest) -> HttpResponse:
    products = list(Product.objects.filter(workspace=request.workspace).order_by("name", "pk"))
    can_edit = access.can(request.membership, "product.edit")
    context: dict[str, Any] = {"products": products, "product": None, "can_edit": can_edit}
    if products:
        context |= _of(request, _chosen(products, request.GET.get("product", "")))
    return render(request, "metrics/data.html", context)


def _chosen(products: list[Product], slug: str) -> Product:
    found = next((product for product in products if slug in {"", product.slug}), None)
    if found is None:
        raise Http404
    return found


def _of(request: MemberRequest, product: Product) -> dict[str, Any]:
    now = timezone.now()
    name = request.GET.get("window", "")
    window = name if name in _WINDOWS else "24h"
    totals = ledger.totals(product, now - _WINDOWS[window][0])
    since, signals = ledger.signals(product, now)
    refusals = ledger.refusals(product, client_mark(client_ip(request)), now - _DAY)
    waiting = ledger.waiting(product)
    return {
        "product": product,
        "window": window,
        "windows": [(key, label) for key, (_span, label) in _WINDOWS.items()],
        "totals": totals,
        "waiting": waiting,
        "refusals": refusals,
        "quarantine": ledger.quarantined(product),
        "key": IngestKey.current(product),
        "allowance": ledger.allowance(product, now),
        "signals": signals,
        "mapped": tail.mapped(product),
        "signals_since": since,
        "is_empty": not (totals.received or signals or waiting or ledger.has_arrived(product)),
    }


@require_safe
@allow("data.view")
def watch(request: MemberRequest) -> HttpResponse:
    """What arrives, live. The part that is asked for again carries a stamp: 204 while nothing is new."""
    products = list(Product.objects.filter(workspace=request.workspace).order_by("name", "pk"))
    if not products:
        return redirect("metrics:data", request.workspace.slug)
    product = _chosen(products, request.GET.get("product", ""))
    show = request.GET.get("show", "")
    show = show if show in _SHOWN else "all"
    rows = tail.tail(product, client_mark(client_ip(request)), show, timezone.now())
    stamp = f"{show}:{rows[0].key}:{len(rows)}" if rows else f"{show}:none"
    is_part = pages.is_htmx(request)
    if is_part and (answer := pages.unchanged(request, stamp)):
        return answer
    context = {
        "products": products,
        "product": product,
        "rows": rows,
        "show": show,
        "shown": list(_SHOWN.items()),
        "stamp": stamp,
        "can_edit": access.can(request.membership, "product.edit"),
    }
    response = render(request, "metrics/_tail.html" if is_part else "metrics/tail.html", context)
    response["X-Stamp"] = stamp
    return response


@require_POST
@allow("product.edit")
def rotate(request: MemberRequest, pk: int) -> HttpResponse:
    with transaction.atomic():
        found = IngestKey.objects.select_for_update(of=("self",)).select_related("product__workspace")
        key = get_object_or_404(found, pk=pk, product__workspace=request.workspace)
        if key.revoked_at is None:  # a second click changes nothing
            key.rotate()
            record(request.workspace, "key.rotated", key.product, request.membership.user)
    messages.success(request, _("New key. The old one is refused within seconds."))
    return _back(request, key.product)


@require_http_methods(["GET", "POST"])
@allow("product.edit")
def limit(request: MemberRequest, pk: int) -> HttpResponse:
    product = get_object_or_404(Product, pk=pk, workspace=request.workspace)
    now, has = Limit.of(product), ("per_month", "per_minute")
    form = LimitForm(request.POST or None, initial={name: getattr(now, name) for name in has})
    if request.method != "POST" or not form.is_valid():
        address = reverse("metrics:limit", args=[request.workspace.slug, pk])
        return pages.ask(request, form, _("Limit of %(name)s") % {"name": product.name}, address)
    given = {name: form.cleaned_data[name] for name in has}
    with transaction.atomic():
        Limit.put(product, **given, now=timezone.now())
        record(request.workspace, "limit.set", product, request.membership.user, **given)
    messages.success(request, _("Saved. It holds within seconds."))
    return pages.go(request, f"{_address(request, product)}#limit")


@require_POST
@allow("product.edit")
def replay(request: MemberRequest, batch: UUID) -> HttpResponse:
    """Back into the inbox, to be counted again. The batch id keeps a second replay from counting twice."""
    with transaction.atomic():
        found = Quarantine.objects.select_for_update(of=("self",)).select_related("product")
        aside = get_object_or_404(found, batch_id=batch, product__workspace=request.workspace)
        product, events = aside.product, aside.events
        aside.put_back()
        record(request.workspace, "quarantine.replayed", product, request.membership.user, events=events)
    told = ngettext("%(n)s event is counted again.", "%(n)s events are counted again.", events)
    messages.success(request, told % {"n": events})
    return _back(request, product)


def _back(request: MemberRequest, product: Product) -> HttpResponse:
    return redirect(_address(request, product))


def _address(request: MemberRequest, product: Product) -> str:
    page = reverse("metrics:data", args=[request.workspace.slug])
    return f"{page}?{urlencode({'product': product.slug})}"
