"""Triage in the browser: what one looks at. The acts are in acting_views.py."""

from __future__ import annotations

from django.http import Http404, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts import access
from accounts.access import MemberRequest, allow
from incidents import beside, bulk, clocks, exporting, forms, ledger, proving, queue, telling, timeline
from incidents.models import Incident
from incidents.query import completing
from incidents.verbs import VERBS
from metrics import words
from notices.models import Notice
from productops.lib import pages

#: Acts that the bar offers for what is ticked, with their keys.
_ON_MANY = (
    ("accept", "1"), ("duplicate", "2"), ("decline", "3"), ("snooze", "h"), ("assign", "a"), ("set_severity", "s"),
    ("resolve", "d"),
)  # fmt: skip


#: Changes of the numbers that are shown.
MOST_HISTORY = 200


def find(request: MemberRequest, number: int) -> Incident:
    return get_object_or_404(Incident.objects.of(request.workspace).in_full(), number=number)


@require_GET
@allow("workspace.view")
def index(request: MemberRequest) -> HttpResponse:
    if request.GET.get("stamp") and (same := pages.unchanged(request, queue.pulse(request.workspace).stamp)):
        return same
    page = queue.page(request.membership, request.GET)
    is_part = pages.is_htmx(request) and not request.headers.get("HX-Boosted")
    context = listed(request, page) | {"is_part": is_part}
    if not is_part and page.view.layout == "inbox" and page.first:
        context |= about(request, page.first, is_opened=False) | {"is_preview": True}
    response = render(request, f"incidents/_{page.view.layout}.html" if is_part else "incidents/index.html", context)
    response["X-Stamp"] = page.pulse.stamp
    return response


def listed(request: MemberRequest, page: queue.Page) -> dict[str, object]:
    """What the list of every layout needs."""
    request.undecided = page.pulse.undecided  # type: ignore[attr-defined]
    return {
        "page": page,
        "stamp": page.pulse.stamp,
        "layout": f"incidents/_{page.view.layout}.html",
        "can_triage": access.can(request.membership, "incident.triage"),
        "many_acts": [
            {"verb": name, "key": key, "title": VERBS[name].short or VERBS[name].title} for name, key in _ON_MANY
        ],
    }


@require_GET
@allow("workspace.view")
def detail(request: MemberRequest, number: int) -> HttpResponse:
    if pages.is_htmx(request):
        return render(request, "incidents/_detail.html", about(request, find(request, number)))
    page = queue.page(request.membership, request.GET, "inbox", number)
    if page.also is None:
        raise Http404
    return render(request, "incidents/index.html", listed(request, page) | about(request, page.also))


@require_GET
@allow("workspace.view")
def counts(request: MemberRequest) -> HttpResponse:
    """How many are in each view, asked for after the page."""
    told = queue.counts(request.membership)
    return JsonResponse({key: n if n <= queue.MOST_COUNTED else f"{queue.MOST_COUNTED}+" for key, n in told.items()})


@require_GET
@allow("workspace.view")
def complete(request: MemberRequest) -> HttpResponse:
    """What the query line offers at the caret."""
    text, at = request.GET.get("q", "").replace("\x00", ""), request.GET.get("at", "")
    caret = int(at) if at.isascii() and at.isdecimal() and len(at) < 6 else len(text)
    options = completing.complete(text, caret, request.workspace)
    return render(request, "incidents/_complete.html", {"options": options})


@require_GET
@allow("workspace.view")
def numbers(request: MemberRequest) -> HttpResponse:
    """The numbers of all that the query finds, the worst first, as far as one act reaches."""
    found = queue.asked(request.membership, request.GET).in_order().values_list("number", flat=True)[: bulk.MOST]
    return JsonResponse({"numbers": list(found)})


@require_GET
@allow("workspace.view")
def export(request: MemberRequest) -> HttpResponseBase:
    """All that the query finds, as CSV."""
    rows = exporting.rows(queue.asked(request.membership, request.GET))
    response = StreamingHttpResponse(rows, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="incidents.csv"'
    return response


@require_GET
@allow("workspace.view")
def impact(request: MemberRequest, number: int) -> HttpResponse:
    """The ledger alone, which an open page asks for again and again."""
    incident = find(request, number)
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
    incident = find(request, number)
    stamp = f"{incident.version}.{incident.proof.get('at', '-')}"
    if (same := pages.unchanged(request, stamp)) is not None:
        return same
    response = render(request, "incidents/_proof.html", {"incident": incident, **_fix(incident)})
    response["X-Stamp"] = stamp
    return response


def _fix(incident: Incident) -> dict[str, object]:
    told = telling.proof(incident)
    behind = proving.behind(incident) if told else []
    rows = behind[:10]
    return {"proof": told, "behind": rows, "behind_count": len(behind), "behind_more": len(behind) - len(rows)}


def about(request: MemberRequest, incident: Incident, is_opened: bool = True) -> dict[str, object]:
    """All of one incident; whoever opens it has read its notices."""
    rows = ledger.touched(incident)
    stands = beside.load(incident, request.membership.user)
    if stands.is_unread and is_opened:
        Notice.objects.read(
            request.membership, timezone.now(), subject_type=incident._meta.label_lower, subject_id=incident.pk
        )
    entries = timeline.tell(incident)
    return {
        "incident": incident,
        "trace": incident.regression.evidence if incident.regression else None,
        "lead": _lead(incident),
        "touched": rows[:10],
        "touched_count": len(rows),
        **_fix(incident),
        "entries": entries,
        "pinned": [entry for entry in entries if entry.is_pinned],
        "beside": stands,
        "clocks": clocks.clocks(incident, timezone.now()),
        "kinds": forms.SayForm.base_fields["kind"].choices,  # type: ignore[attr-defined]
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
    incident = find(request, number)
    rows = ledger.touched(incident)
    show = request.GET.get("show", "all")
    if show in {"silent", "heard"}:
        rows = [row for row in rows if row.is_silent == (show == "silent")]
    return render(request, "incidents/customers.html", {"incident": incident, "touched": rows[:500], "show": show})


@require_GET
@allow("workspace.view")
def history(request: MemberRequest, number: int) -> HttpResponse:
    """How its impact grew or fell: a row for each time the numbers changed."""
    incident = find(request, number)
    rows = list(incident.impacts.order_by("-at", "-pk")[:MOST_HISTORY])
    pains = [row.pain for row in reversed(rows)]
    return render(request, "incidents/history.html", {"incident": incident, "rows": rows, "pains": pains})
