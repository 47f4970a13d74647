"""Triage in the browser. Every act calls the verb of the model that the API calls too."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import access
from accounts.access import MemberRequest, allow
from activity.models import Event
from feedback.models import Customer
from incidents import forms, ledger, proving, queue, telling, timeline
from incidents.lifecycle import IllegalMove
from incidents.models import Incident, Update
from incidents.models.incident import Stale
from metrics import words
from productops.lib import pages


def _find(request: MemberRequest, number: int) -> Incident:
    found = Incident.objects.of(request.workspace).select_related(
        "workspace", "assignee", "signal", "feature", "release", "fix_release", "original", "opened_by",
        "regression__release", "regression__signal",
    )  # fmt: skip
    return get_object_or_404(found, number=number)


@require_GET
@allow("workspace.view")
def index(request: MemberRequest) -> HttpResponse:
    stamp = queue.stamp(request.workspace)
    if (same := pages.unchanged(request, stamp)) is not None:
        return same
    page = queue.page(request.workspace, queue.View.of(request.GET), request.membership.user)
    is_part = pages.is_htmx(request) and not request.headers.get("HX-Boosted")
    context = {"page": page, "shows": queue.shows(), "stamp": stamp, "is_part": is_part}
    if not is_part and page.groups:
        context |= _about(request, page.groups[0].incidents[0])
        context["is_preview"] = True
    response = render(request, "incidents/_list.html" if is_part else "incidents/index.html", context)
    response["X-Stamp"] = stamp
    return response


@require_GET
@allow("workspace.view")
def detail(request: MemberRequest, number: int) -> HttpResponse:
    about = _about(request, _find(request, number))
    if pages.is_htmx(request):
        return render(request, "incidents/_detail.html", about)
    page = queue.page(request.workspace, queue.View.of(request.GET), request.membership.user)
    context = {"page": page, "shows": queue.shows(), "stamp": queue.stamp(request.workspace), **about}
    return render(request, "incidents/index.html", context)


@require_GET
@allow("workspace.view")
def impact(request: MemberRequest, number: int) -> HttpResponse:
    """The ledger alone, which an open page asks for again and again."""
    incident = _find(request, number)
    stamp = f"{incident.weighed_at.timestamp():.0f}" if incident.weighed_at else "-"
    if (same := pages.unchanged(request, stamp)) is not None:
        return same
    response = render(request, "incidents/_ledger.html", {"incident": incident})
    response["X-Stamp"] = stamp
    return response


@require_GET
@allow("workspace.view")
def proof(request: MemberRequest, number: int) -> HttpResponse:
    """What is known of the claimed fix, which an open page asks for again and again."""
    incident = _find(request, number)
    stamp = f"{incident.version}.{incident.proof.get('at', '-')}"
    if (same := pages.unchanged(request, stamp)) is not None:
        return same
    response = render(request, "incidents/_proof.html", {"incident": incident, **_fix(incident)})
    response["X-Stamp"] = stamp
    return response


def _fix(incident: Incident) -> dict[str, object]:
    told = telling.proof(incident)
    behind = proving.behind(incident) if told else []
    shown = behind[:10]
    known = Customer.objects.filter(workspace=incident.workspace_id, external_id__in=[r["customer"] for r in shown])
    by_id = {customer.external_id: customer for customer in (known if shown else [])}
    rows = [{"name": r["customer"], "customer": by_id.get(r["customer"]), "bad": r["bad"]} for r in shown]
    return {"proof": told, "behind": rows, "behind_count": len(behind), "behind_more": len(behind) - len(rows)}


def _about(request: MemberRequest, incident: Incident) -> dict[str, object]:
    rows = ledger.touched(incident)
    reports = incident.reports.select_related("complaint__customer").order_by("-complaint__created_at")
    return {
        "incident": incident,
        "trace": incident.regression.evidence if incident.regression else None,
        "lead": _lead(incident),
        "touched": rows[:10],
        "touched_count": len(rows),
        **_fix(incident),
        "reports": reports[:20],
        "entries": timeline.tell(incident),
        "comment_form": forms.CommentForm(),
        "can_triage": access.can(request.membership, "incident.triage"),
        "can_comment": access.can(request.membership, "incident.comment"),
    }


def _lead(incident: Incident) -> str:
    """The finding in one sentence; "" for an incident that no number opened."""
    if not incident.regression:
        return ""
    numbers, version = incident.ledger, incident.release.version if incident.release else ""
    return words.sentence(incident.regression.evidence, version, numbers.customers, numbers.silent)


@require_GET
@allow("workspace.view")
def customers(request: MemberRequest, number: int) -> HttpResponse:
    incident = _find(request, number)
    rows = ledger.touched(incident)
    show = request.GET.get("show", "all")
    if show in {"silent", "heard"}:
        rows = [row for row in rows if row.is_silent == (show == "silent")]
    return render(request, "incidents/customers.html", {"incident": incident, "touched": rows[:500], "show": show})


def _act(
    request: MemberRequest,
    incident: Incident,
    do: Callable[[], Event],
    said: str,
    is_decision: bool = False,
) -> HttpResponse:
    """Runs one verb and answers for both kinds of page; tells what was refused and why."""
    address = reverse("incidents:detail", args=[request.workspace.slug, incident.number])
    try:
        event = do()
    except IllegalMove as refused:
        text = _("It is %(status)s now, so this does not apply.") % {
            "status": str(incident.Status(refused.status).label).lower()
        }
        return pages.refuse(request, text, 409, address)
    except Stale:
        return pages.refuse(request, _("Someone changed it meanwhile. Look again."), 409, address)
    except ValidationError as refused:
        return pages.refuse(request, " ".join(refused.messages), 400, address)
    if not pages.is_htmx(request):
        return redirect(address)
    fresh = _find(request, incident.number)
    response = render(request, "incidents/_detail.html", _about(request, fresh))
    response["HX-Retarget"], response["HX-Reswap"] = "#detail", "innerHTML"
    undo = reverse("incidents:undo", args=[request.workspace.slug, incident.number, event.pk])
    response["HX-Push-Url"] = address
    events: dict[str, object] = {"incidents:changed": {}, "dialog:close": {}}
    if is_decision:
        events = {"incidents:decided": {}, **events}
    return pages.tell(response, said, events, undo if event.detail.get("before") else "")


def _ask(request: MemberRequest, incident: Incident, form: forms.ActForm, verb: str, title: str) -> HttpResponse:
    """The act's question: in a dialog for htmx, else as a page of its own."""
    context = {
        "incident": incident,
        "form": form,
        "title": title,
        "action": reverse(f"incidents:{verb}", args=[request.workspace.slug, incident.number]),
    }
    template = "incidents/_ask.html" if pages.is_htmx(request) else "incidents/ask.html"
    response = render(request, template, context, status=400 if form.is_bound else 200)
    if pages.is_htmx(request) and form.is_bound:
        # htmx swaps only good answers; the form with its errors is one for the person.
        response.status_code = 200
        response["HX-Retarget"], response["HX-Reswap"] = "#dialog", "innerHTML"
    return response


def _said(incident: Incident, text: str) -> str:
    return f"INC-{incident.number} {text}"


def _simple(verb: str, said: Callable[[], str], is_decision: bool = False) -> access.View:
    """A verb that needs nothing but the click."""

    def view(request: MemberRequest, number: int) -> HttpResponse:
        incident = _find(request, number)
        expected = _version(request)
        user = request.membership.user
        run = getattr(incident, verb)
        do = (lambda: run(user)) if verb == "wake" else (lambda: run(user, expected=expected))
        return _act(request, incident, do, _said(incident, said()), is_decision)

    view.__name__ = verb
    return require_POST(allow("incident.triage")(view))  # type: ignore[arg-type]


def _version(request: MemberRequest) -> int | None:
    given = request.POST.get("version", "")
    return int(given) if given.isdecimal() and len(given) < 10 else None


accept = _simple("accept", lambda: _("accepted"), is_decision=True)
start = _simple("start", lambda: _("is in progress"))
mitigate = _simple("mitigate", lambda: _("mitigated"))
close = _simple("close", lambda: _("closed"), is_decision=True)
wake = _simple("wake", lambda: _("is awake"))


@require_http_methods(["GET", "POST"])
@allow("incident.triage")
def decline(request: MemberRequest, number: int) -> HttpResponse:
    incident = _find(request, number)
    form = forms.ReasonForm(request.POST or None, incident=incident)
    if not form.is_valid():
        return _ask(request, incident, form, "decline", _("Decline"))
    given = form.cleaned_data
    do = lambda: incident.decline(request.membership.user, given["reason"], given["version"])  # noqa: E731
    return _act(request, incident, do, _said(incident, _("declined")), is_decision=True)


@require_http_methods(["GET", "POST"])
@allow("incident.triage")
def duplicate(request: MemberRequest, number: int) -> HttpResponse:
    incident = _find(request, number)
    form = forms.DuplicateForm(request.POST or None, incident=incident)
    if not form.is_valid():
        return _ask(request, incident, form, "duplicate", _("Mark as duplicate"))
    given = form.cleaned_data
    do = lambda: incident.duplicate(request.membership.user, given["original"], given["version"])  # noqa: E731
    said = _("is a duplicate of %(other)s") % {"other": given["original"]}
    return _act(request, incident, do, _said(incident, said), is_decision=True)


@require_http_methods(["GET", "POST"])
@allow("incident.triage")
def snooze(request: MemberRequest, number: int) -> HttpResponse:
    incident = _find(request, number)
    form = forms.SnoozeForm(request.POST or None, incident=incident)
    if not form.is_valid():
        return _ask(request, incident, form, "snooze", _("Snooze"))
    do = lambda: incident.snooze(request.membership.user, form.moment(), form.cleaned_data["version"])  # noqa: E731
    return _act(request, incident, do, _said(incident, _("snoozed")), is_decision=True)


@require_http_methods(["GET", "POST"])
@allow("incident.triage")
def resolve(request: MemberRequest, number: int) -> HttpResponse:
    incident = _find(request, number)
    form = forms.ResolveForm(request.POST or None, incident=incident)
    if not form.is_valid():
        return _ask(request, incident, form, "resolve", _("Resolve"))
    given = form.cleaned_data
    do = lambda: incident.resolve(request.membership.user, given["release"], given["version"])  # noqa: E731
    return _act(request, incident, do, _said(incident, _("resolved")), is_decision=True)


@require_http_methods(["GET", "POST"])
@allow("incident.triage")
def reopen(request: MemberRequest, number: int) -> HttpResponse:
    incident = _find(request, number)
    form = forms.ReasonForm(request.POST or None, incident=incident)
    if not form.is_valid():
        return _ask(request, incident, form, "reopen", _("Reopen"))
    given = form.cleaned_data
    do = lambda: incident.reopen(request.membership.user, given["reason"], given["version"])  # noqa: E731
    return _act(request, incident, do, _said(incident, _("reopened")))


@require_http_methods(["GET", "POST"])
@allow("incident.triage")
def assign(request: MemberRequest, number: int) -> HttpResponse:
    incident = _find(request, number)
    me = request.membership.user
    if request.POST.get("me"):
        return _act(request, incident, lambda: incident.assign(me, me), _said(incident, _("is yours")))
    form = forms.AssignForm(request.POST or None, incident=incident)
    if not form.is_valid():
        return _ask(request, incident, form, "assign", _("Assign"))
    given = form.cleaned_data
    do = lambda: incident.assign(me, given["assignee"], given["version"])  # noqa: E731
    return _act(request, incident, do, _said(incident, _("assigned")))


@require_http_methods(["GET", "POST"])
@allow("incident.triage")
def set_severity(request: MemberRequest, number: int) -> HttpResponse:
    incident = _find(request, number)
    form = forms.SeverityForm(request.POST or None, incident=incident)
    if not form.is_valid():
        return _ask(request, incident, form, "set_severity", _("Set severity"))
    given, me = form.cleaned_data, request.membership.user
    do = lambda: incident.set_severity(me, given["severity"], given["reason"], given["version"])  # noqa: E731
    return _act(request, incident, do, _said(incident, _("has a new severity")))


@require_POST
@allow("incident.comment")
def comment(request: MemberRequest, number: int) -> HttpResponse:
    incident = _find(request, number)
    form = forms.CommentForm(request.POST)
    address = reverse("incidents:detail", args=[request.workspace.slug, number])
    if not form.is_valid():
        return pages.refuse(request, _("Write something first."), 400, address)
    Update.objects.comment(incident, request.membership.user, form.cleaned_data["text"])
    if not pages.is_htmx(request):
        return redirect(address)
    return render(request, "incidents/_detail.html", _about(request, _find(request, number)))


@require_POST
@allow("incident.triage")
def undo(request: MemberRequest, number: int, event: int) -> HttpResponse:
    incident = _find(request, number)
    found = get_object_or_404(Event.objects.about(incident), pk=event)
    do = lambda: incident.undo(found, request.membership.user)  # noqa: E731
    return _act(request, incident, do, _said(incident, _("is as it was")))


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
    address = reverse("incidents:detail", args=[request.workspace.slug, incident.number])
    if pages.is_htmx(request):
        response = HttpResponse(status=204)
        response["HX-Redirect"] = address
        return response
    return redirect(address)
