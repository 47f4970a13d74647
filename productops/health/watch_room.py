"""The watch room of a release: 72 hours from its first deploy, what is new since then, and who called what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET, require_POST

from accounts.access import MemberRequest, allow, can
from feedback.models import Complaint, Silence
from incidents import lifecycle
from incidents.models import ActionItem, Incident
from metrics import words
from metrics.intake.event import FAULT
from metrics.models import Confusion, Regression, Verdict
from notices.models import Watch, Watching
from productops.health import page
from productops.lib import pages
from productops.lib.tell import percent, whole
from releases.models import WATCH, Call, Decision, Release

#: Rows of each kind that are shown.
MOST = 20


@dataclass(frozen=True)
class Room:
    """Everything since the first deploy. `left`: what remains of the watch; None before the first deploy."""

    release: Release
    began_at: datetime | None
    left: timedelta | None
    verdict: Verdict | None
    incidents: list[Incident]
    regressions: int
    severe: int
    is_open: int
    confused: int
    silent: int
    complaints: int
    calls: list[Call]
    owed: list[ActionItem]

    @property
    def evidence(self) -> dict[str, Any]:
        """What one sees now, as it is kept with a call."""
        return {
            "verdict": self.verdict.verdict if self.verdict else "not_judged",
            "share": self.verdict.share if self.verdict else None,
            "summary": page.summary(self.verdict),
            "incidents": len(self.incidents), "open": self.is_open, "severe": self.severe,
            "regressions": self.regressions, "confused": self.confused, "silent": self.silent,
            "complaints": self.complaints,
            "worst": [f"INC-{incident.number}" for incident in self.incidents[:5]],
        }  # fmt: skip

    @property
    def stamp(self) -> str:
        last = self.calls[0].pk if self.calls else 0
        return "-".join(map(str, (last, *(v for k, v in self.evidence.items() if k not in {"worst", "summary"}))))


def load(release: Release, now: datetime) -> Room:
    began = release.shipped_at
    since = Q(opened_at__gte=began) if began else Q(pk__in=[])
    opened = Incident.objects.filter(since, release=release)
    numbers = opened.aggregate(
        severe=Count("pk", filter=Q(severity__in=("high", "critical"), status__in=lifecycle.OPEN)),
        open=Count("pk", filter=Q(status__in=lifecycle.OPEN)),
    )
    complaints = Complaint.objects.filter(release=release, created_at__gte=began) if began else Complaint.objects.none()
    return Room(
        release=release,
        began_at=began,
        left=max(timedelta(0), began + WATCH - now) if began else None,
        verdict=Verdict.objects.filter(release=release).order_by("-environment").first(),
        incidents=list(opened.in_full().by_pain()[:MOST]),
        regressions=Regression.objects.filter(release=release, is_active=True).exclude(signal__kind=FAULT).count(),
        severe=numbers["severe"],
        is_open=numbers["open"],
        confused=Confusion.objects.filter(release=release, is_active=True).count(),
        silent=Silence.objects.filter(release=release).open().values("customer").distinct().count(),
        complaints=complaints.count(),
        calls=list(release.calls.select_related("by")[:MOST]),
        owed=list(
            ActionItem.objects.owed().filter(release=release).select_related("owner", "review__incident")[:MOST]
        ),
    )


class CallForm(forms.Form):
    decision = forms.ChoiceField(label=gettext_lazy("Call"), choices=Decision.choices, widget=forms.RadioSelect)
    reason = forms.CharField(label=gettext_lazy("Why?"), max_length=500, required=False)


def _find(request: MemberRequest, pk: int) -> Release:
    return get_object_or_404(Release.objects.of(request.workspace).select_related("product__workspace"), pk=pk)


@require_GET
@allow("workspace.view")
def watch(request: MemberRequest, pk: int) -> HttpResponse:
    room = load(_find(request, pk), timezone.now())
    if (same := pages.unchanged(request, room.stamp)) is not None:
        return same
    is_part = pages.is_htmx(request) and not request.headers.get("HX-Boosted")
    response = render(request, "releases/_watch.html" if is_part else "releases/watch.html", _context(request, room))
    response["X-Stamp"] = room.stamp
    return response


def _context(request: MemberRequest, room: Room) -> dict[str, Any]:
    mine = Watch.objects.filter(
        user=request.membership.user_id, subject_type="releases.release", subject_id=room.release.pk
    )
    return {
        "room": room, "release": room.release, "stamp": room.stamp, "form": CallForm(),
        "can_call": can(request.membership, "release.edit"), "summary": page.summary(room.verdict),
        "calls": [(call, told(call.evidence)) for call in room.calls],
        "is_watching": mine.filter(state=Watching.WATCHING).exists(),
    }  # fmt: skip


def told(evidence: Mapping[str, Any]) -> str:
    """What was seen when somebody called, in one line."""
    name, share = words.verdict_name(evidence["verdict"]), evidence["share"]
    parts = [
        name,
        "" if share is None else _("%(share)s of the sessions") % {"share": percent(share, 0)},
        ngettext(
            "%(n)s open incident, %(severe)s severe", "%(n)s open incidents, %(severe)s severe", evidence["open"]
        ) % {"n": whole(evidence["open"]), "severe": whole(evidence["severe"])},
        ngettext("%(n)s complaint", "%(n)s complaints", evidence["complaints"]) % {"n": whole(evidence["complaints"])},
        ngettext("%(n)s silent customer", "%(n)s silent customers", evidence["silent"])
        % {"n": whole(evidence["silent"])},
        ngettext("%(n)s feature not understood", "%(n)s features not understood", evidence["confused"])
        % {"n": whole(evidence["confused"])},
    ]  # fmt: skip
    return " · ".join(filter(None, parts))


@require_POST
@allow("release.edit")
def call(request: MemberRequest, pk: int) -> HttpResponse:
    """Go, watch or roll back, with the evidence as it is at this moment."""
    release = _find(request, pk)
    address = reverse("releases:watch", args=[request.workspace.slug, pk])
    form = CallForm(request.POST)
    if not form.is_valid():
        return pages.refuse(request, _("Say go, watch or roll back."), 400, address)
    given = form.cleaned_data
    try:
        evidence = load(release, timezone.now()).evidence
        release.call(request.membership.user, given["decision"], given["reason"], evidence)
    except ValidationError as refused:
        return pages.refuse(request, " ".join(refused.messages), 400, address)
    return pages.go(request, address)


@require_POST
@allow("workspace.view")
def follow(request: MemberRequest, pk: int) -> HttpResponse:
    """Hears what happens to a release, or no more."""
    release = _find(request, pk)
    mine = Watch.objects.filter(user=request.membership.user_id, subject_type="releases.release", subject_id=pk)
    is_watching = mine.filter(state=Watching.WATCHING).exists()
    state = Watching.MUTED if is_watching else Watching.WATCHING
    Watch.objects.set(request.workspace, request.membership.user, release, state)
    if pages.is_htmx(request):
        return pages.go(request, reverse("releases:watch", args=[request.workspace.slug, pk]))
    return redirect("releases:watch", request.workspace.slug, pk)
