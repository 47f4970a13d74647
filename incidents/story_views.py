"""What is said of an incident, and who hears it."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.access import MemberRequest, allow
from accounts.models import User
from activity.models import Event, record
from incidents import forms, timeline
from incidents.models import Incident, Update
from incidents.views import about, find
from notices.models import Watch, Watching
from productops.lib import pages
from productops.lib.text import fold

#: People offered while one types a name.
OFFERED = 8


def answer(request: MemberRequest, incident: Incident, said: str = "") -> HttpResponse:
    """The incident again, as it is now."""
    if not pages.is_htmx(request):
        return redirect("incidents:detail", request.workspace.slug, incident.number)
    response = render(request, "incidents/_detail.html", about(request, find(request, incident.number)))
    response["HX-Retarget"], response["HX-Reswap"] = "#detail", "innerHTML"
    return pages.tell(response, said, {"dialog:close": {}}) if said else response


@require_POST
@allow("incident.comment")
def say(request: MemberRequest, number: int) -> HttpResponse:
    incident = find(request, number)
    address = reverse("incidents:detail", args=[request.workspace.slug, number])
    form = forms.SayForm({"kind": "comment", **request.POST.dict()})
    if not form.is_valid():
        told = form.errors.get("at") or form.errors.get("kind") or [_("Write something first.")]
        return pages.refuse(request, str(told[0]), 400, address)
    given = form.cleaned_data
    try:
        Update.objects.say(incident, request.membership.user, given["text"], given["kind"], given["at"])
    except ValidationError as refused:
        return pages.refuse(request, " ".join(refused.messages), 400, address)
    return answer(request, incident)


@require_POST
@allow("incident.comment")
def pin(request: MemberRequest, number: int, event: int) -> HttpResponse:
    """Pins an entry of the timeline, or takes the pin off."""
    incident = find(request, number)
    found = get_object_or_404(Event.objects.about(incident), pk=event)
    by = request.membership.user
    with transaction.atomic():
        incident.lock()  # so that two who pin at once do not pin and unpin
        pinned = timeline.pins(Event.objects.about(incident).filter(verb__in=timeline.PINS))
        verb = "incident.unpinned" if found.pk in pinned else "incident.pinned"
        if verb == "incident.pinned" and len(pinned) >= timeline.MOST_PINNED:
            text = _("At most %(n)s entries are pinned.") % {"n": timeline.MOST_PINNED}
            return pages.refuse(request, text, 409, reverse("incidents:detail", args=[request.workspace.slug, number]))
        record(request.workspace, verb, incident, by, entry=found.pk)
    return answer(request, incident)


@require_POST
@allow("workspace.view")
def watch(request: MemberRequest, number: int) -> HttpResponse:
    """Watches an incident, or hears no more of it."""
    incident = find(request, number)
    mine = Watch.objects.filter(user=request.membership.user_id, subject_type=incident._meta.label_lower)
    is_watching = mine.filter(subject_id=incident.pk, state=Watching.WATCHING).exists()
    state = Watching.MUTED if is_watching else Watching.WATCHING
    Watch.objects.set(request.workspace, request.membership.user, incident, state)
    return answer(request, incident, _("You hear no more of it.") if is_watching else _("You watch it now."))


@require_GET
@allow("workspace.view")
def people(request: MemberRequest) -> HttpResponse:
    """Whom a text may name, by what was typed after the @."""
    typed = fold(request.GET.get("q", "").replace("\x00", ""))[:80]
    members = User.objects.filter(memberships__workspace=request.workspace, is_active=True).order_by("name", "email")
    named = [user for user in members[:2_000] if typed in fold(f"{user.name} {user.email}")]
    names = [user.name for user in named]
    # Who shares a name is named by e-mail.
    found = [
        {"name": str(user), "mention": user.name if user.name and names.count(user.name) == 1 else user.email}
        for user in named[:OFFERED]
    ]
    return JsonResponse({"people": found})
