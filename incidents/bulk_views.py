"""One act to many incidents, from the list."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from accounts.access import MemberRequest, allow
from incidents import bulk
from incidents.forms import ActForm
from incidents.models import Incident, acts
from incidents.verbs import VERBS
from productops.lib import pages
from productops.lib.tell import whole


@require_POST
@allow("incident.triage")
def act(request: MemberRequest) -> HttpResponse:
    """`numbers` with commas, `verb`, and what the verb's form asks. JSON for the page's module; else a message."""
    numbers = _numbers(request)
    name = request.POST.get("verb", "")
    if name not in bulk.VERBS or not numbers:
        return _refuse(request, _("Tick what you mean, then choose what to do."), 400)
    if len(numbers) > bulk.MOST:
        return _refuse(request, _("At most %(n)s at once.") % {"n": whole(bulk.MOST)}, 400)
    if Incident.objects.of(request.workspace).filter(number__in=numbers).count() < len(numbers):
        raise Http404
    verb = VERBS[name]
    if verb.form is None:
        assert verb.act
        return _done(request, verb.act(), numbers, name)
    if name == "assign" and request.POST.get("me"):
        return _done(request, acts.assign(request.membership.user, request.workspace.pk), numbers, name)
    form = verb.form(request.POST if "asked" in request.POST else None, workspace=request.workspace)
    if form.is_valid():
        return _done(request, form.act, numbers, name)
    return _ask(request, form, numbers, name)


@require_POST
@allow("incident.triage")
def undo(request: MemberRequest, batch: UUID) -> HttpResponse:
    outcome = bulk.undo(request.workspace, request.membership.user, batch)
    if not outcome.done and not outcome.refused:
        raise Http404
    return _tell(request, outcome, _said(outcome, _("are as they were")), is_undo=True)


def _done(request: MemberRequest, what: acts.Act, numbers: list[int], name: str) -> HttpResponse:
    try:
        outcome = bulk.act(request.workspace, request.membership.user, what, numbers, _batch(request))
    except Incident.DoesNotExist:
        raise Http404 from None
    except ValidationError as refused:
        return _refuse(request, " ".join(refused.messages), 400)
    before = (_count(request, "done_before"), _count(request, "refused_before"))
    return _tell(request, outcome, _said(outcome, str(VERBS[name].said_of_many), *before))


def _tell(request: MemberRequest, outcome: bulk.Outcome, said: str, is_undo: bool = False) -> HttpResponse:
    undo_at = "" if is_undo else reverse("incidents:undo_many", args=[request.workspace.slug, outcome.batch])
    if request.headers.get("Accept") == "application/json":
        return JsonResponse({**outcome.as_json(), "said": said, "undo": undo_at})
    if pages.is_htmx(request):
        return pages.tell(HttpResponse(status=204), said, {"incidents:changed": {}})
    messages.success(request, said)
    for number, why in list(outcome.refused.items())[:5]:
        messages.error(request, f"INC-{number}: {why}")
    return redirect("incidents:index", request.workspace.slug)


def _said(outcome: bulk.Outcome, what: str, done_before: int = 0, refused_before: int = 0) -> str:
    n, refused = len(outcome.done) + done_before, len(outcome.refused) + refused_before
    said = ngettext("%(n)s incident: %(what)s", "%(n)s incidents: %(what)s", n) % {"n": whole(n), "what": what}
    if not refused:
        return said
    return said + ". " + ngettext("%(n)s could not be.", "%(n)s could not be.", refused) % {"n": whole(refused)}


def _ask(request: MemberRequest, form: ActForm, numbers: list[int], name: str) -> HttpResponse:
    context: dict[str, Any] = {
        "form": form,
        "title": VERBS[name].title,
        "verb": name,
        "numbers": ",".join(map(str, numbers)),
        "count": len(numbers),
        "action": reverse("incidents:act_on_many", args=[request.workspace.slug]),
    }
    template = "incidents/_ask_many.html" if pages.is_htmx(request) else "incidents/ask_many.html"
    response = render(request, template, context)
    if pages.is_htmx(request):
        response["HX-Retarget"], response["HX-Reswap"] = "#dialog", "innerHTML"
    return response


def _refuse(request: MemberRequest, text: str, status: int) -> HttpResponse:
    return pages.refuse(request, text, status, reverse("incidents:index", args=[request.workspace.slug]))


def _numbers(request: MemberRequest) -> list[int]:
    """`numbers=1,2,3`, or ticked boxes `n=1&n=2`. What is no number is of no incident: 404."""
    given = [part for part in request.POST.get("numbers", "").split(",") if part.strip()] + request.POST.getlist("n")
    if any(not (part.isascii() and part.isdecimal() and len(part) < 10) for part in given[: bulk.MOST + 1]):
        raise Http404
    return sorted({int(part) for part in given[: bulk.MOST + 1]})


def _count(request: MemberRequest, name: str) -> int:
    """What the page's earlier requests of the same act came to."""
    given = request.POST.get(name, "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 7 else 0


def _batch(request: MemberRequest) -> UUID:
    """One act that the page sends in several requests is one batch, undone at once."""
    try:
        return UUID(request.POST.get("batch", ""))
    except ValueError:
        return uuid4()
