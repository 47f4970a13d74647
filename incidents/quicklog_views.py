"""The quick log's pages: the form, the matches while typing, the customers while typing."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import MemberRequest, allow
from feedback.models import Complaint, Customer
from incidents import quicklog
from incidents.forms import IncidentField, incident_label
from incidents.models import Incident
from productops.lib import pages
from releases.models import Feature, Release


class LogForm(forms.Form):
    text = forms.CharField(label=gettext_lazy("What did they say?"), max_length=10_000, widget=forms.Textarea)
    customer = forms.IntegerField(required=False, widget=forms.HiddenInput)
    feature = forms.ModelChoiceField(
        label=gettext_lazy("Feature"),
        queryset=Feature.objects.none(),
        required=False,
        empty_label=gettext_lazy("Not said"),
    )
    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"), choices=Complaint.Kind.choices, initial=Complaint.Kind.BUG, widget=forms.RadioSelect
    )
    is_churn_risk = forms.BooleanField(label=gettext_lazy("May leave"), required=False)
    same = forms.RegexField(r"^(incident|complaint):\d{1,12}$", required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, request: MemberRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        field = self.fields["feature"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = quicklog.features(request.workspace)

    def clean_customer(self) -> Customer | None:
        pk = self.cleaned_data["customer"]
        if pk is None:
            return None
        found = Customer.objects.of(self.request.workspace).filter(pk=pk).first()
        if found is None:
            raise forms.ValidationError(_("This customer does not exist here."))
        return found

    def same_as(self) -> dict[str, Any]:
        """What the chosen match stands for, inside this workspace."""
        kind, _sign, number = self.cleaned_data["same"].partition(":")
        if kind == "incident":
            return {"join": get_object_or_404(Incident.objects.of(self.request.workspace), number=int(number))}
        if kind == "complaint":
            return {"same_as": get_object_or_404(Complaint.objects.of(self.request.workspace), pk=int(number))}
        return {}


class CorrectForm(LogForm):
    """The same fields as they stand, and what the hub filled in by itself."""

    release = forms.ModelChoiceField(
        label=gettext_lazy("Release"),
        queryset=Release.objects.none(),
        required=False,
        empty_label=gettext_lazy("Not said"),
    )
    incident = IncidentField(label=gettext_lazy("Known problem"), required=False)
    seen = forms.CharField(required=False, max_length=32, widget=forms.HiddenInput)

    def __init__(self, *args: Any, request: MemberRequest, complaint: Complaint, **kwargs: Any) -> None:
        report = getattr(complaint, "report", None)
        kwargs["initial"] = {
            **{name: getattr(complaint, name) for name in ("text", "kind", "is_churn_risk")},
            **{name: getattr(complaint, f"{name}_id") for name in ("customer", "feature", "release")},
            "incident": incident_label(report.incident) if report else "",
            "seen": quicklog.seen(complaint),
        }
        super().__init__(*args, request=request, **kwargs)
        release, incident = self.fields["release"], self.fields["incident"]
        assert isinstance(release, forms.ModelChoiceField)
        assert isinstance(incident, IncidentField)
        release.queryset = Release.objects.of(request.workspace).in_order()
        incident.offer(Incident.objects.of(request.workspace))


@require_http_methods(["GET", "POST"])
@allow("complaint.log")
def correct(request: MemberRequest, pk: int) -> HttpResponse:
    """Puts a logged complaint right."""
    known = Complaint.objects.of(request.workspace).select_related("customer", "report__incident")
    complaint = get_object_or_404(known, pk=pk)
    form = CorrectForm(request.POST or None, request=request, complaint=complaint)
    if not form.is_valid():
        template = "feedback/_correct.html" if pages.is_htmx(request) else "feedback/correct.html"
        customer = _customer(request) if form.is_bound else complaint.customer
        return render(request, template, {"form": form, "customer": customer, "complaint": complaint})
    given = form.cleaned_data
    names = ("text", "kind", "is_churn_risk", "customer", "feature", "release")
    fields = {name: given[name] for name in names}
    address = reverse("feedback:complaint", args=[request.workspace.slug, complaint.pk])
    try:
        quicklog.correct(complaint, request.membership.user, given["incident"], given["seen"], **fields)
    except (quicklog.Changed, ValidationError):
        return pages.refuse(request, _("Someone changed it meanwhile. Look again."), 409, address)
    messages.success(request, _("Saved"))
    if not pages.is_htmx(request):
        return redirect(address)
    response = HttpResponse(status=204)
    response["HX-Redirect"] = address
    return response


@require_http_methods(["GET", "POST"])
@allow("complaint.log")
def log(request: MemberRequest) -> HttpResponse:
    customer = _customer(request)
    form = LogForm(request.POST or None, request=request, initial={"customer": customer.pk if customer else None})
    if not form.is_valid():
        template = "feedback/_log.html" if pages.is_htmx(request) else "feedback/log.html"
        return render(request, template, {"form": form, "customer": customer})
    given = form.cleaned_data
    complaint = quicklog.log(
        request.workspace,
        given["text"],
        request.membership.user,
        given["customer"],
        kind=given["kind"],
        is_churn_risk=given["is_churn_risk"],
        feature=given["feature"],
        **form.same_as(),
    )
    return _done(request, complaint)


def _done(request: MemberRequest, complaint: Complaint) -> HttpResponse:
    report = getattr(complaint, "report", None)
    if not pages.is_htmx(request):
        return redirect(reverse("feedback:complaint", args=[request.workspace.slug, complaint.pk]))
    said = _("Logged and added to INC-%(n)s") % {"n": report.incident.number} if report else _("Logged")
    undo = reverse("feedback:retract", args=[request.workspace.slug, complaint.pk])
    events: dict[str, Any] = {"dialog:close": {}, "incidents:changed": {}, "draft:done": {}}
    return pages.tell(HttpResponse(status=204), said, events, undo)


@require_POST
@allow("complaint.log")
def retract(request: MemberRequest, pk: int) -> HttpResponse:
    """Takes back what one has just logged."""
    complaint = get_object_or_404(Complaint.objects.of(request.workspace), pk=pk)
    address = reverse("feedback:complaints", args=[request.workspace.slug])
    try:
        quicklog.retract(complaint, request.membership.user)
    except ValidationError as refused:
        return pages.refuse(request, " ".join(refused.messages), 409, address)
    if not pages.is_htmx(request):
        return redirect(address)
    return pages.tell(HttpResponse(status=204), _("Taken back"), {"incidents:changed": {}})


def _customer(request: MemberRequest) -> Customer | None:
    given = request.POST.get("customer") or request.GET.get("customer") or ""
    if not given.isdecimal() or len(given) > 15:
        return None
    return Customer.objects.of(request.workspace).filter(pk=int(given)).first()


@require_GET
@allow("complaint.log")
def matches(request: MemberRequest) -> HttpResponse:
    text = request.GET.get("text", "")[:2000].replace("\x00", "")
    found = quicklog.matches(request.workspace, text)
    return render(request, "feedback/_matches.html", {"matches": found, "asked": len(text.strip()) >= quicklog.LEAST})


@require_GET
@allow("complaint.log")
def customers(request: MemberRequest) -> HttpResponse:
    typed = request.GET.get("who", "")[:120].replace("\x00", "")
    found = Customer.objects.of(request.workspace).matching(typed).order_by("-revenue")[:6] if typed.strip() else []
    return render(request, "feedback/_who.html", {"customers": found, "typed": typed.strip()})
