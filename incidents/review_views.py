"""The review of an incident, and the work that comes of it."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from accounts import access
from accounts.access import MemberRequest, allow
from incidents import forms, reviewing
from incidents.models import ActionItem, Incident, Review
from incidents.views import find
from productops.lib import pages


@require_GET
@allow("workspace.view")
def review(request: MemberRequest, number: int) -> HttpResponse:
    incident, found = _find(request, number)
    return _show(request, incident, found, forms.ReviewForm(initial=_initial(incident, found)))


def _find(request: MemberRequest, number: int) -> tuple[Incident, Review | None]:
    incident = find(request, number)
    return incident, Review.objects.filter(incident=incident).select_related("failed_by", "by").first()


def _initial(incident: Incident, found: Review | None) -> dict[str, object]:
    if found is None:
        return {"story": reviewing.story(incident)}
    return {name: getattr(found, name) for name in ("story", "cause", "learned", "version")}


@require_POST
@allow("incident.triage")
def write_review(request: MemberRequest, number: int) -> HttpResponse:
    """The first words begin it."""
    incident, found = _find(request, number)
    form, by = forms.ReviewForm(request.POST), request.membership.user
    if not form.is_valid():
        return _show(request, incident, found, form, 400)
    given = form.cleaned_data
    try:
        if found is None:
            found, expected = Review.objects.begin(incident, by, given["story"]), None
        else:
            expected = given["version"]
        found.write(by, given["story"], given["cause"], given["learned"], "finish" in request.POST, expected)
    except ValidationError as refused:
        fields = getattr(refused, "error_dict", {})
        name = next(iter(fields), None)
        form.add_error(name if name in form.fields else None, refused.messages[0])
        return _show(request, incident, found, form, 409 if getattr(refused, "code", "") == "stale" else 400)
    return redirect("incidents:review", request.workspace.slug, incident.number)


def _show(
    request: MemberRequest, incident: Incident, found: Review | None, form: forms.ReviewForm, status: int = 200
) -> HttpResponse:
    items = found.items.select_related("owner", "release").all() if found else ()
    context = {
        "incident": incident, "review": found, "form": form, "items": items,
        "action": forms.ActionForm(incident=incident) if found else None,
        "may_write": access.can(request.membership, "incident.triage"),
        "may_begin": incident.resolved_at is not None,
    }  # fmt: skip
    return render(request, "incidents/review.html", context, status=status)


@require_POST
@allow("incident.triage")
def add_action(request: MemberRequest, number: int) -> HttpResponse:
    incident = find(request, number)
    found = get_object_or_404(Review.objects.select_related("incident__workspace"), incident=incident)
    form = forms.ActionForm(request.POST, incident=incident)
    address = reverse("incidents:review", args=[request.workspace.slug, number])
    if not form.is_valid():
        told = next(iter(form.errors.values()))
        return pages.refuse(request, str(told[0]), 400, address)
    try:
        ActionItem.objects.add(found, request.membership.user, **form.cleaned_data)
    except ValidationError as refused:
        return pages.refuse(request, " ".join(refused.messages), 400, address)
    return pages.go(request, address)


@require_POST
@allow("incident.comment")
def settle_action(request: MemberRequest, number: int, pk: int) -> HttpResponse:
    incident = find(request, number)
    items = ActionItem.objects.select_related("review__incident__workspace")
    item = get_object_or_404(items, review__incident=incident, pk=pk)
    address = reverse("incidents:review", args=[request.workspace.slug, number])
    form = forms.SettleForm(request.POST)
    if not form.is_valid():
        told = next(iter(form.errors.values()))
        return pages.refuse(request, str(told[0]), 400, address)
    try:
        item.settle(request.membership.user, **form.cleaned_data)
    except ValidationError as refused:
        return pages.refuse(request, " ".join(refused.messages), 400, address)
    return pages.go(request, address)
