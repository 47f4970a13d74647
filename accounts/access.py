"""The one place that says who may do what.

A page asks with `@allow("incident.triage")`, the API with `may("incident.triage")` on its view. Whoever is
not a member of the workspace gets 404, as if it did not exist; a member whose role lacks the act gets 403.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase

from accounts.models import Membership, Role, Workspace

_EVERYONE = frozenset(Role.values)
_LEADS = frozenset({Role.OWNER, Role.MANAGER})
_DECIDE = _LEADS | {Role.PM}
_LISTEN = _DECIDE | {Role.AGENT}

#: act -> roles that may do it.
ACTS: dict[str, frozenset[str]] = {
    "workspace.view": _EVERYONE,
    "incident.triage": _DECIDE,
    "incident.comment": _EVERYONE - {Role.VIEWER},
    "complaint.log": _LISTEN,
    "customer.edit": _LISTEN,
    "release.edit": _DECIDE,
    "product.edit": _LEADS | {Role.PM},
    "member.edit": _LEADS,
    "workspace.edit": _LEADS,
    "token.issue": _EVERYONE,
    "data.view": _EVERYONE,
}


class MemberRequest(HttpRequest):
    """A request that passed `allow`."""

    membership: Membership
    workspace: Workspace
    others: list[Workspace]


View = Callable[..., HttpResponseBase]


def can(membership: Membership | None, act: str) -> bool:
    return membership is not None and membership.role in ACTS[act]


def may_grant(membership: Membership, role: str) -> bool:
    """Nobody hands out more than they have: only an owner makes or touches an owner."""
    return can(membership, "member.edit") and (role != Role.OWNER or membership.role == Role.OWNER)


def allow(act: str) -> Callable[[View], View]:
    """For views whose first URL argument is the workspace's slug."""
    if act not in ACTS:
        raise KeyError(act)

    def wrap(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, slug: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return _sign_in(request)
            # All of the person's at once: the frame names the other workspaces.
            known = Membership.objects.select_related("workspace", "user").filter(user=request.user.pk)
            memberships = list(known.order_by("joined_at"))
            membership = next((m for m in memberships if m.workspace.slug == slug), None)
            if membership is None:
                raise Http404
            if not can(membership, act):
                raise PermissionDenied
            request.membership = membership  # type: ignore[attr-defined]
            request.workspace = membership.workspace  # type: ignore[attr-defined]
            request.others = [m.workspace for m in memberships if m is not membership][:20]  # type: ignore[attr-defined]
            response = view(request, *args, **kwargs)
            response["X-Unread"] = str(membership.unread)  # for the bell of a page that stays open
            return response

        guarded.act = act  # type: ignore[attr-defined]
        return guarded

    return wrap


def signed_in(view: View) -> View:
    """For the few pages outside a workspace that need a person."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _sign_in(request)
        return view(request, *args, **kwargs)

    guarded.act = "signed_in"  # type: ignore[attr-defined]
    return guarded


def anyone(view: View) -> View:
    """Says aloud that a page is public; the route matrix fails on a view that says nothing."""
    view.act = "anyone"  # type: ignore[attr-defined]
    return view


def _sign_in(request: HttpRequest) -> HttpResponse:
    if request.headers.get("HX-Request"):
        # A swapped-in login form would land inside a partial; the header makes the whole page go there.
        response = HttpResponse(status=401)
        response["HX-Redirect"] = redirect_to_login(request.headers.get("HX-Current-URL", "/"))["Location"]
        return response
    return redirect_to_login(request.get_full_path())
