"""What I was told, by thing; read when the thing is opened, or here."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import MemberRequest, allow
from accounts.models import Membership, User
from notices.models import Mail, MailStatus, Notice
from productops.lib import pages
from productops.lib.tell import whole

#: Things on one page.
PAGE = 50


@require_GET
@allow("workspace.view")
def index(request: MemberRequest) -> HttpResponse:
    membership = request.membership
    show = "all" if request.GET.get("show") == "all" else "unread"
    mine = Notice.objects.of(membership)
    newest = mine.order_by("-pk").values_list("pk", flat=True)[:1]
    stamp = f"{membership.unread}.{next(iter(newest), 0)}"
    if (same := pages.unchanged(request, stamp)) is not None:
        return same
    given = request.GET.get("page", "1")
    at = min(int(given), 1_000) if given.isascii() and given.isdecimal() and len(given) < 5 else 1
    things = mine.unread() if show == "unread" else mine
    groups = things.grouped((max(1, at) - 1) * PAGE, PAGE + 1)
    context = {
        "groups": groups[:PAGE], "has_more": len(groups) > PAGE, "at": at, "show": show, "stamp": stamp,
        "failed": Mail.objects.filter(
            user=membership.user_id, workspace=membership.workspace_id, status=MailStatus.FAILED
        ).count() if settings.HAS_MAIL else 0,
    }  # fmt: skip
    is_part = pages.is_htmx(request) and not request.headers.get("HX-Boosted")
    response = render(request, "notices/_list.html" if is_part else "notices/index.html", context)
    response["X-Stamp"] = stamp
    return response


@require_POST
@allow("workspace.view")
def read(request: MemberRequest) -> HttpResponse:
    """All of it, or one thing (`type`, `id`); with `again` one thing is unread again."""
    membership, which = request.membership, _thing(request)
    if request.POST.get("again") and which:
        Notice.objects.unread_again(membership, **which)
        said = _("Unread again.")
    else:
        n = Notice.objects.read(membership, timezone.now(), **which)
        said = ngettext("%(n)s notice read.", "%(n)s notices read.", n) % {"n": whole(n)}
    address = reverse("notices:index", args=[request.workspace.slug])
    if not pages.is_htmx(request):
        return redirect(address)
    response = HttpResponse(status=204)
    response["X-Unread"] = str(membership.unread)
    return pages.tell(response, said, {"notices:changed": {"unread": membership.unread}})


def _thing(request: MemberRequest) -> dict[str, Any]:
    kind, pk = request.POST.get("type", ""), request.POST.get("id", "")
    if not kind or not (pk.isascii() and pk.isdecimal() and len(pk) < 19):
        return {}
    return {"subject_type": kind.replace("\x00", "")[:60], "subject_id": int(pk)}


class SettingsForm(forms.Form):
    new_incidents = forms.ChoiceField(
        label=gettext_lazy("New incidents I am told of"), choices=Membership._meta.get_field("new_incidents").choices,  # type: ignore[arg-type]
        required=False, widget=forms.RadioSelect,
        help_text=gettext_lazy("As usual: product managers hear of all, owners and managers of severe ones."),
    )  # fmt: skip
    mail = forms.ChoiceField(
        label=gettext_lazy("Notices by e-mail"), choices=User._meta.get_field("mail").choices,  # type: ignore[arg-type]
        widget=forms.RadioSelect,
    )


@require_http_methods(["GET", "POST"])
@allow("workspace.view")
def settings_of(request: MemberRequest) -> HttpResponse:
    """What I am told of, and how."""
    membership, user = request.membership, request.membership.user
    initial = {"new_incidents": membership.new_incidents, "mail": user.mail}
    form = SettingsForm(request.POST or None, initial=initial)
    address = reverse("notices:settings", args=[request.workspace.slug])
    if not form.is_valid():
        return pages.ask(request, form, _("What I am told of"), address)
    given = form.cleaned_data
    Membership.objects.filter(pk=membership.pk).update(new_incidents=given["new_incidents"])
    User.objects.filter(pk=user.pk).update(mail=given["mail"])
    messages.success(request, _("Saved."))
    return pages.go(request, reverse("notices:index", args=[request.workspace.slug]))
