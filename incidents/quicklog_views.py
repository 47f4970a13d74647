"""The quick log's pages: the form, the matches while typing, the customers while typing."""

from __future__ import annotations

from email.utils import formataddr, parseaddr
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import MemberRequest, allow
from feedback import words
from feedback.models import Complaint, Contact, Customer
from incidents import quicklog
from incidents.forms import IncidentField, incident_label
from incidents.models import Incident
from productops.lib import pages
from productops.lib.text import fold
from releases.models import Feature, Release

#: One key for each kind, in the order of Complaint.Kind.
KIND_KEYS = "buiqp"


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
    contact = forms.CharField(label=gettext_lazy("Who said it"), max_length=250, required=False)
    release = forms.ModelChoiceField(
        label=gettext_lazy("Release"),
        queryset=Release.objects.none(),
        required=False,
        empty_label=gettext_lazy("As last seen from them"),
    )
    channel = forms.ChoiceField(
        label=gettext_lazy("Heard by"), required=False,
        choices=[("", gettext_lazy("Not said")), *Complaint.Channel.choices],
    )  # fmt: skip
    importance = forms.TypedChoiceField(
        label=gettext_lazy("Importance to them"), choices=Complaint.Importance.choices, coerce=int, required=False,
        initial=int(Complaint.Importance.NICE), widget=forms.RadioSelect,
    )  # fmt: skip
    new_customer = forms.CharField(max_length=120, required=False, widget=forms.HiddenInput)
    suggested = forms.ChoiceField(
        choices=[("", ""), *Complaint.Kind.choices], required=False, widget=forms.HiddenInput
    )
    same = forms.RegexField(r"^(incident|complaint):\d{1,12}$", required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, request: MemberRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        field = self.fields["feature"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = quicklog.features(request.workspace)
        release = self.fields["release"]
        assert isinstance(release, forms.ModelChoiceField)
        release.queryset = Release.objects.of(request.workspace).in_order()

    def kinds(self) -> list[tuple[Any, str]]:
        """The kinds as they are chosen, each with its key."""
        return list(zip(self["kind"], KIND_KEYS, strict=True))

    def clean_importance(self) -> int:
        given = self.cleaned_data["importance"]
        return int(Complaint.Importance.NICE if given in (None, "") else given)

    def clean_contact(self) -> tuple[str, str]:
        """(name, address) of "Ana Gil", "ana@sol.example" or "Ana Gil <ana@sol.example>"."""
        said = " ".join(self.cleaned_data["contact"].split())
        if "@" not in said:
            return said[:120], ""
        name, address = parseaddr(said)
        validate_email(address)
        return name[:120], address

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

    incident = IncidentField(label=gettext_lazy("Known problem"), required=False)
    seen = forms.CharField(required=False, max_length=32, widget=forms.HiddenInput)

    def __init__(self, *args: Any, request: MemberRequest, complaint: Complaint, **kwargs: Any) -> None:
        report = getattr(complaint, "report", None)
        kwargs["initial"] = {
            **{name: getattr(complaint, name) for name in ("text", "kind", "is_churn_risk", "channel", "importance")},
            "contact": formataddr((complaint.contact_name, complaint.contact_email)) if complaint.contact_email
            else complaint.contact_name,
            **{name: getattr(complaint, f"{name}_id") for name in ("customer", "feature", "release")},
            "incident": incident_label(report.incident) if report else "",
            "seen": quicklog.seen(complaint),
        }
        super().__init__(*args, request=request, **kwargs)
        release, incident = self.fields["release"], self.fields["incident"]
        assert isinstance(release, forms.ModelChoiceField)
        assert isinstance(incident, IncidentField)
        release.empty_label = gettext_lazy("Not said")
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
    names = ("text", "kind", "is_churn_risk", "customer", "feature", "release", "channel", "importance")
    fields = {name: given[name] for name in names}
    fields["contact_name"], fields["contact_email"] = given["contact"]
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
        new_customer=given["new_customer"],
        contact=given["contact"],
        kind=given["kind"],
        suggested_kind=given["suggested"],
        is_churn_risk=given["is_churn_risk"],
        importance=given["importance"],
        channel=given["channel"],
        feature=given["feature"],
        release=given["release"],
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


def _feature(request: MemberRequest) -> Feature | None:
    given = request.GET.get("feature", "")
    if not given.isdecimal() or len(given) > 15:
        return None
    found: Feature | None = quicklog.features(request.workspace).select_related("product").filter(pk=int(given)).first()
    return found


@require_GET
@allow("complaint.log")
def matches(request: MemberRequest) -> HttpResponse:
    text = request.GET.get("text", "")[:2000].replace("\x00", "")
    found = quicklog.matches(request.workspace, text)
    asked = len(text.strip()) >= quicklog.LEAST
    context: dict[str, Any] = {"matches": found, "asked": asked}
    if asked:
        suggested = quicklog.suggest(request.workspace, text, _customer(request), _feature(request))
        context["suggested"] = suggested
        context["suggested_name"] = Complaint.Kind(suggested.kind).label
        context["why"] = [words.evidence(each) for each in suggested.why]
    return render(request, "feedback/_matches.html", context)


@require_GET
@allow("complaint.log")
def customers(request: MemberRequest) -> HttpResponse:
    typed = request.GET.get("who", "")[:120].replace("\x00", "")
    typed = " ".join(typed.split())
    found = list(Customer.objects.of(request.workspace).matching(typed).order_by("-revenue")[:6]) if typed else []
    word = fold(typed)
    if found:
        near = Contact.objects.filter(customer__in=found, folded__contains=word).order_by("-pk")
        by_customer = {contact.customer_id: contact for contact in near}
        for customer in found:
            customer.met = by_customer.get(customer.pk)  # type: ignore[attr-defined]
    is_known = any(word in {fold(customer.name), fold(customer.external_id)} for customer in found)
    return render(request, "feedback/_who.html", {"customers": found, "typed": typed, "is_known": is_known})
