"""How long things took, and how long they may take."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET, require_http_methods

from accounts import access
from accounts.access import MemberRequest, allow
from accounts.models import Workspace
from activity.models import record
from incidents import clocks, timers, timing
from incidents.models import Incident, Severity, Suggestion
from incidents.models.incident import IncidentQuerySet
from incidents.timer_forms import TimersForm
from metrics.detection.rates import wilson
from productops.lib.tell import whole
from releases.models import Product, Release

DAYS = (30, 90, 365, 730)
BY = {
    "severity": gettext_lazy("severity"), "product": gettext_lazy("product"), "release": gettext_lazy("release"),
    "month": gettext_lazy("month"),
}  # fmt: skip
#: Groups and rows shown.
MOST_GROUPS, MOST_ROWS = 40, 100


def _chosen(request: MemberRequest) -> tuple[int, str, str]:
    """Days, what it is spread by, and the measure in question."""
    days = request.GET.get("days", "90")
    by, of = request.GET.get("by", "severity"), request.GET.get("of", "resolve")
    known = int(days) if days.isascii() and days.isdecimal() and len(days) < 5 else 90
    return (
        known if known in DAYS else 90, by if by in BY else "severity", of if of in timers.MEASURES else "resolve"
    )


def _found(request: MemberRequest, days: int) -> IncidentQuerySet:
    since = timezone.now() - timedelta(days=days)
    found: IncidentQuerySet = Incident.objects.of(request.workspace).filter(opened_at__gt=since)
    return found.exclude(status__in=("duplicate", "declined"))


@require_GET
@allow("workspace.view")
def times(request: MemberRequest) -> HttpResponse:
    """Percentiles of all measures, one of them by severity, product, release or month, and the rows behind it."""
    days, by, of = _chosen(request)
    policy = timers.policy_of(request.workspace.timers)
    overall, groups = clocks.spread(_found(request, days), by, policy)
    at = timers.MEASURES.index(of)
    told = _named(request.workspace, by, {key: spreads[at] for key, spreads in groups.items()})
    context = {
        "days": days, "all_days": DAYS, "by": by, "ways": BY, "of": of, "whole": [_told(each) for each in overall],
        "spans": [(name, clocks.NAMES[name], clocks.SPANS[name]) for name in timers.MEASURES],
        "of_name": clocks.NAMES[of], "groups": told[:MOST_GROUPS], "rows": _rows(request, days, of),
        "policy": _policy(policy), "hours": policy.hours, "suggested": _suggested(request.workspace),
        "can_edit": access.can(request.membership, "workspace.edit"), "is_empty": not groups,
    }  # fmt: skip
    return render(request, "incidents/times.html", context)


def _told(spread: clocks.Spread) -> dict[str, Any]:
    share = wilson(spread.inside, spread.aimed) if spread.aimed >= clocks.ENOUGH else None
    return {"spread": spread, "span": clocks.SPANS[spread.name], "share": share}


def _named(workspace: Workspace, by: str, spreads: dict[Any, clocks.Spread]) -> list[tuple[str, dict[str, Any]]]:
    """The groups in their order, with what they are called."""
    if by == "severity":
        order = [key for key, _name in clocks.severities()] + [str(Severity.UNSET)]
        names: dict[Any, str] = {key: str(name) for key, name in Severity.choices}
        keys = [key for key in order if key in spreads]
    elif by == "month":
        names, keys = {key: key for key in spreads}, sorted(spreads, reverse=True)
    else:
        model: Any = Product.objects.filter(workspace=workspace) if by == "product" else Release.objects.of(workspace)
        ordered = model.order_by("name") if by == "product" else model.in_order()
        names = {thing.pk: str(thing) for thing in ordered.filter(pk__in=[key for key in spreads if key])}
        keys = [*names, *(key for key in spreads if key not in names)]
    return [(names.get(key) or _("none"), _told(spreads[key])) for key in keys]


def _rows(request: MemberRequest, days: int, of: str) -> list[tuple[Incident, timers.Measure, str]]:
    """The cycles that took longest, those whose stamps contradict each other first."""
    found = []
    at = timers.MEASURES.index(of)
    for incident, stamps in clocks.measured(_found(request, days)):
        measure = timers.measures(stamps)[at]
        if measure.state in {"recorded", "invalid"}:
            found.append((measure, stamps.cycle, incident.pk))
    found.sort(key=lambda each: (each[0].state == "recorded", -(each[0].took or timedelta(0)), -each[2]))
    full = Incident.objects.in_full().in_bulk([pk for _m, _c, pk in found[:MOST_ROWS]])
    return [
        (full[pk], measure, clocks.length(measure.took)) for measure, _cycle, pk in found[:MOST_ROWS] if pk in full
    ]


def _policy(policy: timers.Policy) -> list[tuple[str, list[str]]]:
    return [
        (name, [clocks.target(policy.told(severity, kind)) for kind in timers.KINDS])
        for severity, name in clocks.severities()
    ]


def _suggested(workspace: Workspace) -> dict[str, Any] | None:
    answered = Suggestion.objects.filter(incident__workspace=workspace).answered()  # type: ignore[attr-defined]
    n = sum(answered.values())
    if not n:
        return None
    return {"n": n, "accepted": answered.get("accepted", 0), "share": wilson(answered.get("accepted", 0), n)}


@require_GET
@allow("workspace.view")
def times_csv(request: MemberRequest) -> HttpResponseBase:
    days, _by, _of = _chosen(request)
    rows = clocks.csv_rows(_found(request, days).order_by("-opened_at", "-pk"))
    response = StreamingHttpResponse(rows, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="times.csv"'
    return response


@require_http_methods(["GET", "POST"])
@allow("workspace.edit")
def timers_of(request: MemberRequest) -> HttpResponse:
    """How long things may take here; new targets hold at once for all that is open."""
    workspace, by = request.workspace, request.membership.user
    form = TimersForm(request.POST or None, workspace=workspace, zone=by.zone)
    if not form.is_valid():
        return render(request, "incidents/timers.html", {"form": form}, status=400 if form.is_bound else 200)
    with transaction.atomic():
        locked = Workspace.objects.select_for_update().get(pk=workspace.pk)
        before = locked.timers
        locked.timers, locked.bundle_hours = timers.as_json(form.made), form.cleaned_data["bundle_hours"]
        locked.save(update_fields=["timers", "bundle_hours"])
        record(locked, "workspace.timers_changed", locked, by, before=before, after=locked.timers)
        n = timing.recompute(locked)
    said = ngettext("Saved. It holds for %(n)s open incident.", "Saved. It holds for %(n)s open incidents.", n)
    messages.success(request, said % {"n": whole(n)})
    return redirect("incidents:timers", workspace.slug)
