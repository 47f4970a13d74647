"""The start page, the palette, and what operators ask: cross-app reads only."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from accounts.access import MemberRequest, allow, anyone, can, signed_in
from accounts.models import Membership, User
from feedback.models import Customer
from incidents import queue
from metrics import watermarks
from releases.models import Release


@require_GET
@anyone
def home(request: HttpRequest) -> HttpResponse:
    """To the one workspace, to the first run, or to sign-in."""
    if not request.user.is_authenticated:
        return redirect("account_login" if User.objects.exists() else "setup:welcome")
    memberships = list(
        Membership.objects.filter(user=request.user.pk).select_related("workspace").order_by("joined_at")
    )
    if not memberships:
        return render(request, "productops/no_workspace.html")
    return redirect("workspace", memberships[0].workspace.slug)


@require_GET
@allow("workspace.view")
def workspace(request: MemberRequest) -> HttpResponse:
    """Each role starts where its work is."""
    is_agent = request.membership.role == "agent"
    is_manager = request.membership.role in {"manager", "marketer", "viewer"}
    view = "feedback:complaints" if is_agent else "releases:index" if is_manager else "incidents:index"
    return redirect(view, request.workspace.slug)


@require_GET
@allow("workspace.view")
def palette(request: MemberRequest) -> HttpResponse:
    typed = request.GET.get("q", "").replace("\x00", "").strip()[:120]
    options = [*_places(request, typed), *_things(request, typed)]
    return render(request, "productops/_palette_options.html", {"options": options[:12]})


def _places(request: MemberRequest, typed: str) -> list[dict[str, Any]]:
    slug = request.workspace.slug
    places = [
        (_("Triage"), "incidents:index", False),
        (_("Complaints"), "feedback:complaints", False),
        (_("Customers"), "feedback:customers", False),
        (_("Releases"), "releases:index", False),
        (_("Data"), "metrics:data", False),
        (_("People"), "accounts:people", False),
    ]
    if can(request.membership, "complaint.log"):
        places.insert(0, (_("Log a complaint"), "feedback:log", True))
    if can(request.membership, "incident.triage"):
        places.append((_("New incident"), "incidents:report", True))
    if can(request.membership, "release.edit"):
        places.append((_("New release"), "releases:create", True))
    found = [
        {"title": name, "kind": _("page"), "url": reverse(view, args=[slug]), "is_dialog": is_dialog}
        for name, view, is_dialog in places
        if typed.casefold() in name.casefold()
    ]
    if typed.casefold() in _("Profile").casefold():
        found.append({"title": _("Profile"), "kind": _("page"), "url": reverse("accounts:me"), "is_dialog": False})
    return found


def _things(request: MemberRequest, typed: str) -> list[dict[str, Any]]:
    if len(typed) < 2 and not typed.isdecimal():
        return []
    slug = request.workspace.slug
    found: list[dict[str, Any]] = []
    for incident in queue.titled(request.workspace, request.membership, typed, 6):
        url = reverse("incidents:detail", args=[slug, incident.number])
        found.append({"title": f"{incident} · {incident.headline}", "kind": _("incident"), "url": url})
    for customer in Customer.objects.of(request.workspace).matching(typed).order_by("-revenue")[:4]:
        url = reverse("feedback:customer", args=[slug, customer.pk])
        found.append({"title": customer.name, "kind": _("customer"), "url": url})
    for release in Release.objects.of(request.workspace).filter(version__icontains=typed).in_order()[:4]:
        url = reverse("releases:health", args=[slug, release.pk])
        found.append({"title": release.version, "kind": _("release"), "url": url})
    # What was typed in full stands first, whatever it is.
    return sorted(found, key=lambda option: str(option["title"]).casefold() != typed.casefold())


@require_GET
@signed_in
def styleguide(request: HttpRequest) -> HttpResponse:
    if not settings.DEBUG:
        raise Http404
    return render(request, "productops/styleguide.html", {"line": [3, 4, 3.5, 5, 4, 8, 9, 8.5, 9]})


@require_GET
@anyone
def live(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


@require_GET
@anyone
def ready(request: HttpRequest) -> HttpResponse:
    """200 while events can be taken; says how far behind the workers are, which alone is no failure."""
    found = watermarks.read(timezone.now()) | {"cache": _cache()}
    return JsonResponse(found, status=503 if found["status"] == "down" else 200)


def _cache() -> str:
    try:
        cache.set("ready", 1, 5)
        return "ok" if cache.get("ready") else "down"
    except Exception:  # whatever the cache's client raises, the hub serves without it
        return "down"


@require_GET
@anyone
def version(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"name": "productops", "version": settings.VERSION})
