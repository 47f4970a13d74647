"""What every page's frame needs: navigation with counts, theme, who one is."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from accounts import access
from accounts.models import Membership
from incidents.models import Incident


def shell(request: HttpRequest) -> dict[str, Any]:
    user: Any = getattr(request, "user", None)
    is_known = user is not None and user.is_authenticated
    frame: dict[str, Any] = {
        "has_mail": settings.HAS_MAIL,
        "theme": user.theme if is_known else "auto",
        "zone": user.zone if is_known else "UTC",
        "has_shortcuts": user.has_shortcuts if is_known else True,
    }
    membership: Membership | None = getattr(request, "membership", None)
    if membership is not None:
        frame |= _navigation(request, membership)
    return {"shell": frame}


def _navigation(request: HttpRequest, membership: Membership) -> dict[str, Any]:
    workspace = membership.workspace
    undecided: int | None = getattr(request, "undecided", None)  # where the page has asked already
    if undecided is None:
        undecided = Incident.objects.of(workspace).undecided().count()
    slug = workspace.slug

    def entry(
        name: str, view: str, key: str, caption: str = "", count: int | None = None, mark: str = "count"
    ) -> dict[str, Any]:
        url = reverse(view, args=[slug])
        about = {"name": name, "url": url, "key": key, "caption": caption, "count": count, "mark": mark}
        return {**about, "is_counted": count is not None, "is_current": request.path.startswith(url)}

    entries = [
        entry(_("Triage"), "incidents:index", "t", count=undecided),
        entry(_("Notices"), "notices:index", "n", count=membership.unread, mark="unread"),
        entry(_("Complaints"), "feedback:complaints", "c"),
        entry(_("Customers"), "feedback:customers", "u"),
        entry(_("Known problems"), "incidents:known", "k"),
        entry(_("Releases"), "releases:index", "r", caption=pgettext("navigation", "Release")),
        entry(_("Data"), "metrics:data", "d", caption=_("Set up")),
        entry(_("People"), "accounts:people", "p"),
    ]
    return {
        "workspace": workspace,
        "membership": membership,
        "entries": entries,
        "undecided": undecided,
        "unread": membership.unread,
        "bottom": [entries[0], entries[1], entries[2]],
        "others": getattr(request, "others", []),
        "can_log": access.can(membership, "complaint.log"),
        "can_triage": access.can(membership, "incident.triage"),
    }
