"""Releases and their health. Reads across apps; the verbs are the release's own."""

from __future__ import annotations

import csv
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import MemberRequest, allow, can
from metrics import charts, measures, replica, words
from metrics.intake.event import FAULT
from metrics.models import Signal
from productops.health import page, tune
from productops.lib import pages
from releases.models import VERSION, Deploy, Feature, Product, Release


class ReleaseForm(forms.Form):
    product = forms.ModelChoiceField(label=gettext_lazy("Product"), queryset=Product.objects.none())
    version = forms.CharField(label=gettext_lazy("Version"), max_length=120, validators=[VERSION])

    def __init__(self, *args: Any, products: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["product"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = products
        field.initial = products.first()


class TouchForm(forms.Form):
    features = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Features it touches"), queryset=Feature.objects.none(), required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("What gets worse elsewhere at the same time is then probably not this release."),
    )  # fmt: skip

    def __init__(self, *args: Any, release: Release, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["features"]
        assert isinstance(field, forms.ModelMultipleChoiceField)
        field.queryset = release.product.features.all()
        field.initial = release.features.all()


class DeployForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Deploy
        fields = ["environment", "percentage"]


def _find(request: MemberRequest, pk: int) -> Release:
    return get_object_or_404(Release.objects.of(request.workspace).select_related("product__workspace"), pk=pk)


@require_GET
@allow("workspace.view")
def index(request: MemberRequest) -> HttpResponse:
    products = list(request.workspace.products.order_by("name"))
    chosen = next((p for p in products if p.slug == request.GET.get("product")), None)
    rows = page.releases(request.workspace, chosen)
    context = {"rows": rows, "products": products, "product": chosen}
    context["can_edit"] = can(request.membership, "release.edit")
    return render(request, "releases/index.html", context)


@require_GET
@allow("workspace.view")
@replica.reads
def health(request: MemberRequest, pk: int) -> HttpResponse:
    release = _find(request, pk)
    found = page.load(release, request.GET.get("environment"), timezone.now())
    stamp = f"{found.verdict.looked_at.timestamp():.0f}" if found.verdict else ""
    if stamp and (same := pages.unchanged(request, stamp)) is not None:
        return same
    context = {"health": found, "release": release, "stamp": stamp, "can_edit": can(request.membership, "release.edit")}
    response = render(request, "releases/_health.html" if pages.is_htmx(request) else "releases/health.html", context)
    response["X-Stamp"] = stamp
    return response


@require_http_methods(["GET", "POST"])
@allow("release.edit")
def create(request: MemberRequest) -> HttpResponse:
    form = ReleaseForm(request.POST or None, products=request.workspace.products.order_by("name"))
    if not form.is_valid():
        return pages.ask(request, form, _("New release"), reverse("releases:create", args=[request.workspace.slug]))
    given = form.cleaned_data
    release, _is_new = Release.objects.create_version(
        given["product"], given["version"], "browser", request.membership.user
    )
    return _go(request, release)


@require_http_methods(["GET", "POST"])
@allow("release.edit")
def deploy(request: MemberRequest, pk: int) -> HttpResponse:
    release = _find(request, pk)
    form = DeployForm(request.POST or None)
    address = reverse("releases:deploy", args=[request.workspace.slug, pk])
    if not form.is_valid():
        return pages.ask(request, form, _("Tell of a deploy"), address)
    given = form.cleaned_data
    try:
        release.deploy(
            given["environment"], given["percentage"], by=request.membership.user, source="browser"
        )
    except ValidationError as error:
        form.add_error(None, error)
        return pages.ask(request, form, _("Tell of a deploy"), address)
    return _go(request, release)


@require_http_methods(["GET", "POST"])
@allow("release.edit")
def touch(request: MemberRequest, pk: int) -> HttpResponse:
    """Which features the release touches."""
    release = _find(request, pk)
    form = TouchForm(request.POST if request.method == "POST" else None, release=release)
    if request.method == "GET" or not form.is_valid():
        return pages.ask(
            request, form, _("What %(version)s touches") % {"version": release.version},
            reverse("releases:touch", args=[request.workspace.slug, pk]),
        )  # fmt: skip
    release.touch(form.cleaned_data["features"], request.membership.user)
    return _go(request, release)


@require_GET
@allow("workspace.view")
@replica.reads
def signal(request: MemberRequest, pk: int, signal: int, measure: str) -> HttpResponse:
    """The chart with its numbers as a table."""
    release, found, environment = _chosen(request, pk, signal, measure)
    at = charts.window(release, environment, timezone.now())
    rows = charts.points(release, environment, found, measure, at)
    trace = _trace(found, measure)
    context = {
        "release": release,
        "signal": found,
        "muted_until": found.muted_until if found.is_muted(timezone.now()) else None,
        "measure": measure,
        "environment": environment,
        "name": words.measure_name(trace),
        "trace": trace,
        "can_tune": can(request.membership, "release.edit") and found.kind != FAULT,
        "tuned": tune.told(found),
        "rows": [row for row in reversed(rows) if row.old_n or row.new_n],
    }
    return render(request, "releases/signal.html", context)


@require_GET
@allow("workspace.view")
@replica.reads
def signal_csv(request: MemberRequest, pk: int, signal: int, measure: str) -> HttpResponse:
    release, found, environment = _chosen(request, pk, signal, measure)
    at = charts.window(release, environment, timezone.now())
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    told = f"{release.version}-{found.name}-{measure}"
    name = "".join(c if (c.isascii() and c.isalnum()) or c in "-._" else "-" for c in told).lstrip("-.")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    write = csv.writer(response).writerow
    write(("at", "old", "old_low", "old_high", "old_n", "new", "new_low", "new_high", "new_n"))
    for p in charts.points(release, environment, found, measure, at):
        write((p.at.isoformat(), p.old, p.old_low, p.old_high, p.old_n, p.new, p.new_low, p.new_high, p.new_n))
    return response


@require_GET
@allow("workspace.view")
@replica.reads
def signal_data(request: MemberRequest, pk: int, signal: int, measure: str) -> HttpResponse:
    release, found, environment = _chosen(request, pk, signal, measure)
    at = charts.window(release, environment, timezone.now())
    rows = charts.points(release, environment, found, measure, at)
    trace, times = _trace(found, measure), measures.scale(measure)

    def scaled(values: list[float | None]) -> list[float | None]:
        return [None if value is None else value * times for value in values]

    return JsonResponse(
        {
            "unit": measures.unit(measure),
            "turned": words.is_turned(trace),
            "times": [int(p.at.timestamp()) for p in rows],
            "old": scaled([p.old for p in rows]),
            "low": scaled([p.old_low for p in rows]),
            "high": scaled([p.old_high for p in rows]),
            "new": scaled([p.new for p in rows]),
            "old_n": [p.old_n for p in rows],
            "new_n": [p.new_n for p in rows],
            "names": {"old": _("older versions"), "new": release.version, "band": _("95 % of older versions")},
            "marks": [
                {"at": int(m.at.timestamp()), "name": m.version, "percentage": m.percentage, "is_this": m.is_this}
                for m in charts.marks(release, environment, at)
            ],
        }
    )


@require_GET
@allow("workspace.view")
@replica.reads
def adoption_data(request: MemberRequest, pk: int) -> HttpResponse:
    release = _find(request, pk)
    environment = request.GET.get("environment", "production").replace("\x00", "")[:40]
    at = charts.window(release, environment, timezone.now())
    rows = charts.adoption(release, environment, at)
    return JsonResponse(
        {
            "unit": "share",
            "turned": False,
            "times": [int(moment.timestamp()) for moment, _share, _n in rows],
            "new": [share for _moment, share, _n in rows],
            "new_n": [n for _moment, _share, n in rows],
            "names": {"new": release.version},
            "marks": [
                {"at": int(m.at.timestamp()), "name": m.version, "percentage": m.percentage, "is_this": m.is_this}
                for m in charts.marks(release, environment, at)
            ],
        }
    )


def _trace(signal: Signal, measure: str) -> words.Trace:
    name = str(signal.fault) if signal.kind == FAULT else signal.name
    return {"kind": signal.kind, "name": name, "measure": measure}


def _chosen(request: MemberRequest, pk: int, signal: int, measure: str) -> tuple[Release, Signal, str]:
    release = _find(request, pk)
    if measure not in measures.ALL:
        raise Http404
    found = get_object_or_404(Signal.objects.select_related("fault"), pk=signal, product=release.product_id)
    return release, found, request.GET.get("environment", "production").replace("\x00", "")[:40]


def _go(request: MemberRequest, release: Release) -> HttpResponse:
    return pages.go(request, reverse("releases:health", args=[request.workspace.slug, release.pk]))
