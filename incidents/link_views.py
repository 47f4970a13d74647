"""How incidents belong together: links by people, and what the hub suggests."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import MemberRequest, allow
from accounts.models import User
from incidents import forms
from incidents.acting_views import possible
from incidents.lifecycle import IllegalMove
from incidents.models import Incident, Link, LinkKind, Suggestion, SuggestionState
from incidents.story_views import answer as show
from incidents.views import find
from productops.lib import pages


@require_http_methods(["GET", "POST"])
@allow("incident.triage")
def link(request: MemberRequest, number: int) -> HttpResponse:
    incident = find(request, number)
    form = forms.LinkForm(request.POST or None, workspace=request.workspace, incident=incident)
    if form.is_valid():
        try:
            given = form.cleaned_data
            Link.objects.link(incident, given["other"], given["kind"], request.membership.user)
            return show(request, incident, f"{incident} {_('is linked')}")
        except ValidationError as refused:
            form.add_error(None, refused.messages[0])
    action = reverse("incidents:link", args=[request.workspace.slug, number])
    return pages.ask(request, form, _("Link"), action)


@require_POST
@allow("incident.triage")
def unlink(request: MemberRequest, number: int, pk: int) -> HttpResponse:
    incident = find(request, number)
    links = Link.objects.select_related("source__workspace", "target__workspace")
    found = get_object_or_404(links.filter(source=incident) | links.filter(target=incident), pk=pk)
    found.remove(request.membership.user)
    return show(request, incident, f"{incident} {_('is not linked any more')}")


@require_POST
@allow("incident.triage")
def answer(request: MemberRequest, number: int, pk: int) -> HttpResponse:
    """Accepts a suggestion as a kind of link, or as a duplicate; or dismisses it."""
    incident, by = find(request, number), request.membership.user
    found = get_object_or_404(Suggestion.objects.select_related("other__workspace"), incident=incident, pk=pk)
    kind = request.POST.get("as", "")
    try:
        settle(incident, found, kind, by)
    except IllegalMove as refused:
        address = reverse("incidents:detail", args=[request.workspace.slug, number])
        return pages.refuse(request, possible(refused), 409, address)
    except ValidationError as refused:
        address = reverse("incidents:detail", args=[request.workspace.slug, number])
        return pages.refuse(request, " ".join(refused.messages), 400, address)
    return show(request, incident)


def settle(incident: Incident, suggestion: Suggestion, kind: str, by: User) -> None:
    """Raises IllegalMove or ValidationError, and then the suggestion stays open."""
    if kind == "dismiss":
        suggestion.answer(SuggestionState.DISMISSED, by, timezone.now())
        return
    if kind == "duplicate":
        incident.duplicate(by, suggestion.other.root)
    elif kind in {LinkKind.RELATED, LinkKind.CAUSED_BY}:
        Link.objects.link(incident, suggestion.other, kind, by)
    else:
        raise ValidationError(_("Unknown kind."))
    suggestion.answer(SuggestionState.ACCEPTED, by, timezone.now())
