"""Triage in the browser: the acts. Each is one verb of the model, which the API calls too."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import MemberRequest, View, allow
from activity.models import Event
from incidents import bulk, forms, ledger, timeline
from incidents.lifecycle import MOVE_NAMES, IllegalMove
from incidents.models import Incident
from incidents.models.incident import Stale
from incidents.verbs import VERBS, Verb
from incidents.views import about, find
from productops.lib import pages


def _doing(name: str) -> View:
    """The page of one verb: at once when it needs nothing, else after its question."""
    verb = VERBS[name]

    def at_once(request: MemberRequest, number: int) -> HttpResponse:
        assert verb.act
        incident = get_object_or_404(Incident.objects.of(request.workspace), number=number)
        act = verb.act()
        return _run(request, incident, lambda: incident.do(act, request.membership.user, _version(request)), verb)

    def asked(request: MemberRequest, number: int) -> HttpResponse:
        assert verb.form
        incident = find(request, number)
        form = verb.form(request.POST or None, workspace=request.workspace, incident=incident)
        if not form.is_valid():
            return _ask(request, incident, form, name)
        expected = form.cleaned_data["version"]
        do = lambda: incident.do(form.act, request.membership.user, expected)  # noqa: E731
        return _run(request, incident, do, verb, lambda problem: _ask(request, incident, form, name, problem))

    if verb.form is None:
        at_once.__name__ = name
        return require_POST(allow("incident.triage")(at_once))  # type: ignore[arg-type]
    asked.__name__ = name
    return require_http_methods(["GET", "POST"])(allow("incident.triage")(asked))  # type: ignore[arg-type]


accept = _doing("accept")
start = _doing("start")
mitigate = _doing("mitigate")
resolve = _doing("resolve")
close = _doing("close")
decline = _doing("decline")
duplicate = _doing("duplicate")
snooze = _doing("snooze")
wake = _doing("wake")
put_back = _doing("put_back")
confirm = _doing("confirm")
stamp = _doing("stamp")
reopen = _doing("reopen")
set_severity = _doing("set_severity")
inform = _doing("inform")
_assign = _doing("assign")


@require_http_methods(["GET", "POST"])
@allow("incident.triage")
def assign(request: MemberRequest, number: int) -> HttpResponse:
    if not request.POST.get("me"):
        return _assign(request, request.workspace.slug, number)  # type: ignore[return-value]
    incident, me = find(request, number), request.membership.user
    return _run(request, incident, lambda: incident.assign(me, me), VERBS["assign"], said=_("is yours"))


@require_POST
@allow("incident.triage")
def undo(request: MemberRequest, number: int, event: int) -> HttpResponse:
    incident = find(request, number)
    found = get_object_or_404(Event.objects.about(incident), pk=event)
    do = lambda: incident.undo(found, request.membership.user)  # noqa: E731
    return _run(request, incident, do, said=_("is as it was"))


@require_http_methods(["GET", "POST"])
@allow("incident.triage")
def move(request: MemberRequest, number: int) -> HttpResponse:
    """What it can become: the keyboard's way of dragging a card."""
    incident = find(request, number)
    slug, legal = request.workspace.slug, [(name, VERBS[name]) for name in incident.legal if name in VERBS]
    moves = [
        {"title": verb.title, "to": reverse(f"incidents:{name}", args=[slug, number]), "asks": verb.form is not None}
        for name, verb in legal
    ]
    template = "incidents/_move.html" if pages.is_htmx(request) else "incidents/move.html"
    return render(request, template, {"incident": incident, "moves": moves})


@require_http_methods(["GET", "POST"])
@allow("incident.triage")
def report(request: MemberRequest) -> HttpResponse:
    """Opening an incident by hand."""
    form = forms.ReportForm(request.POST or None)
    if not form.is_valid():
        template = "incidents/_report.html" if pages.is_htmx(request) else "incidents/report.html"
        return render(request, template, {"form": form})
    incident = Incident.objects.report(
        request.workspace, form.cleaned_data["title"], request.membership.user, form.cleaned_data["kind"]
    )
    ledger.weigh(incident, timezone.now())
    return pages.go(request, reverse("incidents:detail", args=[request.workspace.slug, incident.number]))


def _run(
    request: MemberRequest,
    incident: Incident,
    do: Callable[[], Event],
    verb: Verb | None = None,
    ask_again: Callable[[str], HttpResponse] | None = None,
    said: str = "",
) -> HttpResponse:
    """Runs one verb and answers for both kinds of page; tells what was refused and why."""
    address = reverse("incidents:detail", args=[request.workspace.slug, incident.number])
    try:
        event = do()
    except IllegalMove as refused:
        return _refuse(request, possible(refused), 409, address)
    except Stale as refused:
        incident.version = refused.incident.version
        text = told(refused.incident)
        return ask_again(text) if ask_again else _refuse(request, text, 409, address)
    except ValidationError as refused:
        text = " ".join(refused.messages)
        return ask_again(text) if ask_again else _refuse(request, text, 400, address)
    if not pages.is_htmx(request):
        return redirect(address)
    fresh = find(request, incident.number)
    response = render(request, "incidents/_detail.html", about(request, fresh))
    response["HX-Retarget"], response["HX-Reswap"] = "#detail", "innerHTML"
    if request.headers.get("X-Layout", "inbox") == "inbox":  # elsewhere nothing is shown beside the list
        query = urlsplit(request.headers.get("HX-Current-URL", "")).query
        response["HX-Push-Url"] = f"{address}?{query}" if query else address
    undo_at = reverse("incidents:undo", args=[request.workspace.slug, incident.number, event.pk])
    events: dict[str, object] = {"incidents:changed": {}, "dialog:close": {}}
    if verb and verb.is_decision:
        events = {"incidents:decided": {}, **events}
    text = f"INC-{incident.number} {said or (verb.said if verb else '')}"
    return pages.tell(response, text, events, undo_at if event.detail.get("before") else "")


def possible(refused: IllegalMove) -> str:
    """Why it cannot be, and what can."""
    moves = ", ".join(str(MOVE_NAMES[verb]) for verb in refused.legal)
    return f"{bulk.why(refused)} {_('Possible: %(moves)s.') % {'moves': moves}}" if moves else bulk.why(refused)


def _refuse(request: MemberRequest, text: str, status: int, address: str) -> HttpResponse:
    response = pages.refuse(request, text, status, address)
    if pages.is_htmx(request):
        response["HX-Trigger"] = '{"incidents:changed": {}}'  # what it is now stands in the list and beside it
    return response


def told(incident: Incident) -> str:
    """What somebody else did to it last."""
    last = Event.objects.about(incident).select_related("by").order_by("-at", "-id").first()
    if last is None:
        return _("Someone changed it meanwhile. Look again.")
    entry = timeline.told([last])[0]
    values = {"who": entry.by, "what": entry.text}
    return pgettext("conflict", "Changed meanwhile: %(who)s %(what)s. Look again.") % values


def _ask(
    request: MemberRequest, incident: Incident, form: forms.ActForm, name: str, problem: str = ""
) -> HttpResponse:
    """The act's question: in a dialog for htmx, else as a page of its own."""
    if problem:
        form.add_error(None, problem)
        # What the person has seen now is the newest version: sending again means it.
        form.data = {**form.data.dict(), "version": incident.version}  # type: ignore[attr-defined]
    context = {
        "incident": incident,
        "form": form,
        "title": VERBS[name].title,
        "action": reverse(f"incidents:{name}", args=[request.workspace.slug, incident.number]),
    }
    template = "incidents/_ask.html" if pages.is_htmx(request) else "incidents/ask.html"
    status = 409 if problem else 400 if form.is_bound else 200
    response = render(request, template, context, status=status)
    if pages.is_htmx(request) and form.is_bound:
        # htmx swaps only good answers and this one's 409; the form with its errors is one for the person.
        response.status_code = 409 if problem else 200
        response["HX-Retarget"], response["HX-Reswap"] = "#dialog", "innerHTML"
    return response


def _version(request: MemberRequest) -> int | None:
    given = request.POST.get("version", "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else None


