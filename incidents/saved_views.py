"""Keeping a query under a name."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts import access
from accounts.access import MemberRequest, allow
from incidents.forms import SaveViewForm
from incidents.models import SavedView
from productops.lib import pages


@require_http_methods(["GET", "POST"])
@allow("workspace.view")
def save_view(request: MemberRequest) -> HttpResponse:
    """The page's query as a new view."""
    given = {"query": request.GET.get("q", ""), "layout": request.GET.get("as", "inbox")}
    form = _form(request, None, given)
    if form.is_valid():
        try:
            view = SavedView.objects.save_as(request.workspace, request.membership.user, **form.cleaned_data)
            return _show(request, view)
        except ValidationError as refused:
            form.add_error(None, refused)
    return pages.ask(request, form, _("Save view"), reverse("incidents:save_view", args=[request.workspace.slug]))


@require_http_methods(["GET", "POST"])
@allow("workspace.view")
def change_view(request: MemberRequest, pk: int) -> HttpResponse:
    view = get_object_or_404(SavedView.objects.of(request.membership), pk=pk)
    if not _may_change(request, view):
        return _refuse(request)
    # What the page shows now is what one wants to keep.
    now = {"query": request.GET.get("q", view.query), "layout": request.GET.get("as", view.layout)}
    form = _form(request, view, now)
    if form.is_valid():
        try:
            fresh = SavedView.objects.get(pk=view.pk)
            return _show(request, fresh.change(request.membership.user, **form.cleaned_data))
        except ValidationError as refused:
            form.add_error(None, refused)
    address = reverse("incidents:change_view", args=[request.workspace.slug, pk])
    remove = reverse("incidents:remove_view", args=[request.workspace.slug, pk])
    return pages.ask(request, form, _("Change view"), address, remove)


@require_POST
@allow("workspace.view")
def remove_view(request: MemberRequest, pk: int) -> HttpResponse:
    view = get_object_or_404(SavedView.objects.of(request.membership), pk=pk)
    if not _may_change(request, view):
        return _refuse(request)
    view.remove(request.membership.user)
    return pages.go(request, reverse("incidents:index", args=[request.workspace.slug]))


def _form(request: MemberRequest, view: SavedView | None, given: dict[str, str]) -> SaveViewForm:
    may_share = access.can(request.membership, "incident.triage")
    instance = view or SavedView(workspace=request.workspace, owner=request.membership.user)
    return SaveViewForm(request.POST or None, instance=instance, initial=given, may_share=may_share)


def _may_change(request: MemberRequest, view: SavedView) -> bool:
    """One's own, or a shared one for whoever may triage."""
    return view.owner_id == request.membership.user_id or access.can(request.membership, "incident.triage")


def _refuse(request: MemberRequest) -> HttpResponse:
    text = _("This view is shared: those who triage change it.")
    return pages.refuse(request, text, 409, reverse("incidents:index", args=[request.workspace.slug]))


def _show(request: MemberRequest, view: SavedView) -> HttpResponse:
    return pages.go(request, reverse("incidents:index", args=[request.workspace.slug]) + f"?view={view.pk}")
