"""What the detectors would have said of the past: of the product's own counts, or of a file."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from accounts.access import MemberRequest, allow, can
from incidents.models import Incident
from metrics import backtesting
from metrics.detection.rates import wilson
from metrics.models import Backtest
from metrics.models.signal import WIDEST
from releases.models import Product

#: Bytes of a file, as it is sent.
LARGEST = 10 * 2**20
#: Cases of a file that are shown; the CSV has all.
SHOWN = 200


class BacktestForm(forms.Form):
    product = forms.ModelChoiceField(Product.objects.none(), label=gettext_lazy("Product"), to_field_name="slug")
    margin = forms.IntegerField(
        label=gettext_lazy("Try another margin, %"), min_value=0, max_value=round(WIDEST * 100), required=False,
        help_text=gettext_lazy("Shown beside what the settings of today say. Nothing is changed."),
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )  # fmt: skip
    file = forms.FileField(
        label=gettext_lazy("A file instead of the product's own counts"), required=False,
        help_text=gettext_lazy("One JSON object a line, also as .gz, up to 10 MB."),
    )  # fmt: skip

    def __init__(self, products: list[Product], given: Any = None, files: Any = None) -> None:
        self.products = products
        super().__init__(given, files, initial={"product": products[0].slug if products else None})
        field = self.fields["product"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Product.objects.filter(pk__in=[product.pk for product in products])
        field.empty_label = None
        if len(products) == 1:
            field.widget = forms.HiddenInput()

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file and file.size > LARGEST:
            raise forms.ValidationError(_("It is larger than %(most)s MB.") % {"most": LARGEST // 2**20})
        return file


@require_GET
@allow("workspace.view")
def backtest(request: MemberRequest) -> HttpResponse:
    """The newest, or `?run=`."""
    return _page(request, BacktestForm(_products(request)))


@require_POST
@allow("release.edit")
def run(request: MemberRequest) -> HttpResponse:
    form = BacktestForm(_products(request), request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, form)
    data = form.cleaned_data
    file, margin = data["file"], data["margin"]
    test = Backtest(
        product=data["product"], by=request.membership.user, margin=None if margin is None else margin / 100,
        name=file.name[:200] if file else "", body=file.read() if file else None,
    )  # fmt: skip
    backtesting.ask(test)
    return redirect(f"{reverse('releases:backtest', args=[request.workspace.slug])}?run={test.pk}")


def _page(request: MemberRequest, form: BacktestForm) -> HttpResponse:
    made = Backtest.objects.filter(product__workspace=request.workspace).defer("body")
    made = made.select_related("product", "by").order_by("-made_at", "-pk")
    chosen = request.GET.get("run", "")
    is_named = chosen.isascii() and chosen.isdecimal() and len(chosen) < 16
    test = get_object_or_404(made, pk=int(chosen)) if is_named else made.first()
    context = {"test": test, **(_told(test) if test else {})}
    if request.headers.get("X-Background"):
        response = render(request, "releases/_backtest.html", context)
        if test is None or context["is_over"]:
            response["X-Done"] = "1"
        return response
    can_run = can(request.membership, "release.edit") and form.products
    context |= {"form": form, "can_run": can_run, "made": made.defer("body", "result")[:10]}
    return render(request, "releases/backtest.html", context)


def _products(request: MemberRequest) -> list[Product]:
    return list(Product.objects.filter(workspace=request.workspace).order_by("name"))


@require_GET
@allow("workspace.view")
def backtest_csv(request: MemberRequest, pk: int) -> HttpResponse:
    """Every flag; of a file every case, as the command writes it, with more columns."""
    test = get_object_or_404(Backtest.objects.defer("body"), pk=pk, product__workspace=request.workspace)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="backtest-{test.pk}.csv"'
    write = csv.writer(response).writerow
    if "cases" in test.result:
        write(("id", "mode", "first_flag_bucket", "first_flag_bucket_with_margin", "measure", "ratio"))
        for case in test.result["cases"]:
            write((_inert(case["id"]), case["mode"], case["first"], case["with"], case["measure"], case["ratio"]))
        return response
    write(("release", "began", "signal", "measure", "after_min", "flagged", "flagged_with_margin", "old", "new"))
    for row in [*test.result.get("releases", ()), *test.result.get("quiet", ())]:
        for flag in row["flags"]:
            write((
                _inert(row.get("version", "")), row["began"], _inert(flag["name"]), flag["measure"],
                round(flag["after_min"]), flag["is_flag"], flag["with"], flag["old"], flag["new"],
            ))  # fmt: skip
    return response


def _told(test: Backtest) -> dict[str, Any]:
    is_lost = test.done_at is None and timezone.now() - test.made_at > timedelta(seconds=backtesting.LONGEST)
    told: dict[str, Any] = {"is_lost": is_lost, "is_over": test.done_at is not None or is_lost}
    if "cases" in test.result:
        flagged = [case for case in test.result["cases"] if case["first"] >= 0 or case["with"] >= 0]
        now = sum(case["first"] >= 0 for case in flagged)
        with_margin = sum(case["with"] >= 0 for case in flagged)
        told |= {"cases": flagged[:SHOWN], "case_count": len(test.result["cases"]), "now": now, "with": with_margin}
    elif test.result:
        incidents = _incidents(test)
        quiet = [{**day, "at": datetime.fromisoformat(day["began"])} for day in test.result["quiet"]]
        measures = sum(day["measures"] for day in quiet)
        false = sum(flag["is_flag"] for day in quiet for flag in day["flags"])
        told |= {
            "releases": [_release(row, incidents) for row in test.result["releases"]],
            "quiet": quiet,
            "crying": [day for day in quiet if day["flags"]],
            "measures": measures,
            "false": false,
            "most": wilson(false, measures).high if measures else None,
        }
    return told


def _release(row: dict[str, Any], incidents: dict[tuple[int, int, str], Incident]) -> dict[str, Any]:
    flags = [{**f, "incident": incidents.get((row["pk"], f["signal"], f["measure"]))} for f in row["flags"]]
    return {**row, "at": datetime.fromisoformat(row["began"]), "flags": flags}


def _incidents(test: Backtest) -> dict[tuple[int, int, str], Incident]:
    """What became of each flag: (release, signal, measure) -> the incident."""
    found = Incident.objects.filter(product=test.product).exclude(regression=None).select_related("regression")
    releases = [row["pk"] for row in test.result["releases"]]
    return {
        (i.regression.release_id, i.regression.signal_id, i.regression.measure): i
        for i in found.filter(regression__release__in=releases)
        if i.regression
    }


def _inert(text: str) -> str:
    """No formula to a spreadsheet."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
