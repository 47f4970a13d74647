"""Signing in and out, one's own profile and tokens, the people of a workspace, and invitations."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlencode

from allauth.account import views as allauth
from allauth.core import ratelimit
from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

from accounts import access, mail
from accounts.access import MemberRequest, allow, anyone, signed_in
from accounts.forms import (
    InviteForm,
    NewPerson,
    PasswordForm,
    ProfileForm,
    ResetForm,
    ResetKeyForm,
    RoleForm,
    SignInForm,
    TokenForm,
)
from accounts.models import ApiToken, Invitation, Membership, User, Workspace

page = require_http_methods(["GET", "HEAD", "POST"])

#: Invitations one workspace may send in an hour.
INVITATIONS_PER_HOUR = 50

_reset = allauth.PasswordResetView.as_view(form_class=ResetForm)
_reset_key = allauth.PasswordResetFromKeyView.as_view(form_class=ResetKeyForm)
_sign_in = allauth.LoginView.as_view(form_class=SignInForm)


# Signing in and out: django-allauth does the work, these say who may and how it looks.


@page
@anyone
def sign_in(request: HttpRequest) -> HttpResponseBase:
    response = _sign_in(request)
    form = (getattr(response, "context_data", None) or {}).get("form")
    if form is not None and form.has_error(NON_FIELD_ERRORS, "too_many_login_attempts"):
        return too_many(request)
    return _calm(request, response)


@page
@anyone
def sign_out(request: HttpRequest) -> HttpResponseBase:
    return cast(HttpResponseBase, allauth.logout(request))


@page
@anyone
def reset_password(request: HttpRequest) -> HttpResponseBase:
    return _calm(request, _reset(request))


@require_safe
@anyone
def reset_password_done(request: HttpRequest) -> HttpResponseBase:
    return cast(HttpResponseBase, allauth.password_reset_done(request))


@page
@anyone
def reset_password_from_key(request: HttpRequest, uidb36: str, key: str) -> HttpResponseBase:
    response = _calm(request, _reset_key(request, uidb36=uidb36, key=key))
    if (getattr(response, "context_data", None) or {}).get("token_fail"):
        response.status_code = 404
    return response


@require_safe
@anyone
def reset_password_from_key_done(request: HttpRequest) -> HttpResponseBase:
    return cast(HttpResponseBase, allauth.password_reset_from_key_done(request))


@require_safe
@anyone
def inactive(request: HttpRequest) -> HttpResponse:
    return render(request, "account/account_inactive.html")


@page
@anyone
def sign_up(request: HttpRequest) -> HttpResponse:
    """Nobody signs up here: accounts come from the first run or an invitation."""
    if request.user.is_authenticated:
        return redirect("home")
    return render(request, "account/signup_closed.html", status=403)


@require_safe
@signed_in
def to_me(request: HttpRequest) -> HttpResponse:
    return redirect("accounts:me")


def too_many(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    response = render(request, "accounts/too_many.html", status=429)
    response["Retry-After"] = "300"
    return response


def _calm(request: HttpRequest, response: Any) -> HttpResponseBase:
    """allauth's own 429 is a bare page."""
    return too_many(request) if response.status_code == 429 else cast(HttpResponseBase, response)


# One's own page.


@page
@signed_in
def me(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _me(request)
    user = _user(request)
    form = ProfileForm(request.POST, instance=User.objects.get(pk=user.pk))
    if not form.is_valid():
        return _me(request, profile=form)
    form.save()
    messages.success(request, _("Saved."))
    return redirect("accounts:me")


@sensitive_post_parameters("current", "new")
@require_POST
@signed_in
def change_password(request: HttpRequest) -> HttpResponse:
    user = _user(request)
    if not ratelimit.consume(request, action="reauthenticate", user=user):
        return too_many(request)
    form = PasswordForm(user, request.POST)
    if not form.is_valid():
        return _me(request, password=form)
    user.set_password(form.cleaned_data["new"])
    user.save(update_fields=["password"])
    update_session_auth_hash(request, user)  # a new key for this session; every other one is signed out
    messages.success(request, _("Password changed. Your other sessions ended."))
    return redirect("accounts:me")


@sensitive_post_parameters("current")
@require_POST
@signed_in
def issue_token(request: HttpRequest) -> HttpResponse:
    """Answers with the page itself: a redirect would have to keep the secret somewhere."""
    user = _user(request)
    if not ratelimit.consume(request, action="reauthenticate", user=user):
        return too_many(request)
    form = TokenForm(user, request.POST)
    if not form.is_valid():
        return _me(request, token=form)
    membership = form.cleaned_data["workspace"]
    if not access.can(membership, "token.issue"):
        raise PermissionDenied
    _token, text = ApiToken.objects.issue(membership, form.cleaned_data["name"])
    return _me(request, shown=text)


@require_POST
@signed_in
def revoke_token(request: HttpRequest, pk: int) -> HttpResponse:
    get_object_or_404(ApiToken, pk=pk, membership__user=_user(request)).revoke()
    messages.success(request, _("Token revoked. It stopped working."))
    return redirect("accounts:me")


def _me(
    request: HttpRequest,
    profile: ProfileForm | None = None,
    password: PasswordForm | None = None,
    token: TokenForm | None = None,
    shown: str = "",
) -> HttpResponse:
    user = _user(request)
    now = timezone.now()
    memberships = list(user.memberships.select_related("workspace").order_by("joined_at", "pk"))
    _frame(request, memberships)
    tokens = ApiToken.objects.filter(membership__user=user, revoked_at=None)
    context = {
        "profile": profile or ProfileForm(instance=user),
        "password": password or PasswordForm(user),
        "token": token or TokenForm(user),
        "shown": shown,
        "tokens": tokens.select_related("membership__workspace").order_by("-created_at"),
        "memberships": memberships,
        "now": now,
    }
    is_wrong = profile or password or token
    return render(request, "accounts/me.html", context, status=400 if is_wrong else 200)


def _frame(request: HttpRequest, memberships: list[Membership]) -> None:
    """Keeps the navigation of the workspace one came from: this page belongs to none."""
    came_from = re.search(r"/w/([\w-]+)/", request.headers.get("Referer", ""))
    slug = came_from[1] if came_from else request.session.get("place")
    known = {membership.workspace.slug: membership for membership in memberships}
    found = known.get(slug or "") or next(iter(memberships), None)
    if found is None:
        return
    if request.session.get("place") != found.workspace.slug:
        request.session["place"] = found.workspace.slug
    found.user = _user(request)
    request.membership = found  # type: ignore[attr-defined]


# The people of a workspace.


@require_safe
@allow("workspace.view")
def people(request: MemberRequest) -> HttpResponse:
    return _people(request)


@require_GET
@allow("member.edit")
def member(request: MemberRequest, pk: int) -> HttpResponse:
    """The form of one person: a dialog with script, a page without."""
    found = _member(request, pk)
    if not access.may_grant(request.membership, found.role):
        raise PermissionDenied
    form = RoleForm(request.membership, initial={"role": found.role})
    template = "accounts/_member.html" if request.headers.get("HX-Request") else "accounts/member.html"
    context = {"member": found, "form": form, "is_last_owner": found.is_last_owner}
    return render(request, template, context)


@require_POST
@allow("member.edit")
def change_role(request: MemberRequest, pk: int) -> HttpResponse:
    role = request.POST.get("role", "")
    with transaction.atomic():
        found = _locked(request, pk)
        if not all(access.may_grant(request.membership, each) for each in (found.role, role)):
            raise PermissionDenied
        form = RoleForm(request.membership, request.POST)
        if not form.is_valid():
            return _people(request, problem=_("Choose one of the roles."), status=400)
        try:
            found.change_role(role)
        except ValidationError as error:
            return _people(request, problem=error.messages[0], status=409)
    told = {"name": found.user, "role": found.get_role_display()}
    messages.success(request, _("%(name)s: %(role)s.") % told)
    return redirect("accounts:people", request.workspace.slug)


@require_POST
@allow("member.edit")
def remove(request: MemberRequest, pk: int) -> HttpResponse:
    with transaction.atomic():
        found = _locked(request, pk)
        if not access.may_grant(request.membership, found.role):
            raise PermissionDenied
        try:
            found.remove()
        except ValidationError as error:
            return _people(request, problem=error.messages[0], status=409)
    if found.user_id == request.membership.user_id:
        return redirect("home")
    messages.success(request, _("%(name)s has no access any more.") % {"name": found.user})
    return redirect("accounts:people", request.workspace.slug)


@require_http_methods(["GET", "POST"])
@allow("member.edit")
def invite(request: MemberRequest) -> HttpResponse:
    """Answers with the page itself: the link is shown once and kept nowhere. Reloading leads back."""
    if request.method == "GET":
        return redirect("accounts:people", request.workspace.slug)
    with transaction.atomic():
        _lock(request)
        if not access.may_grant(request.membership, request.POST.get("role", "")):
            raise PermissionDenied
        form = InviteForm(request.membership, request.POST)
        if not form.is_valid():
            return _people(request, form=form, status=400)
        if _sent_lately(request.workspace) >= INVITATIONS_PER_HOUR:
            problem = _("50 invitations went out in an hour. Try again later.")
            return _people(request, problem=problem, status=429)
        email, role = form.cleaned_data["email"], form.cleaned_data["role"]
        invitation, text = Invitation.objects.send(request.workspace, email, role, request.membership.user)
    is_mailed = mail.invite(invitation, text)
    shown = {"email": email, "url": mail.link("accounts:invitation", text), "is_mailed": is_mailed}
    return _people(request, shown=shown)


@require_POST
@allow("member.edit")
def revoke_invitation(request: MemberRequest, pk: int) -> HttpResponse:
    invitation = get_object_or_404(Invitation, pk=pk, workspace=request.workspace)
    if not access.may_grant(request.membership, invitation.role):
        raise PermissionDenied
    invitation.revoke()
    messages.success(request, _("Invitation revoked. Its link stopped working."))
    return redirect("accounts:people", request.workspace.slug)


def _people(
    request: MemberRequest,
    form: InviteForm | None = None,
    shown: dict[str, Any] | None = None,
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    mine = request.membership
    can_edit = access.can(mine, "member.edit")
    members = list(request.workspace.memberships.select_related("user").order_by("user__name", "user__email"))
    for each in members:
        each.is_editable = access.may_grant(mine, each.role)  # type: ignore[attr-defined]
    context: dict[str, Any] = {"members": members, "can_edit": can_edit, "shown": shown, "problem": problem}
    if can_edit:
        invitations = request.workspace.invitations.open(timezone.now()).select_related("invited_by")
        context["invitations"] = invitations.order_by("-created_at")[:200]
        context["form"] = form or InviteForm(mine)
    return render(request, "accounts/people.html", context, status=status)


def _member(request: MemberRequest, pk: int) -> Membership:
    return get_object_or_404(Membership.objects.select_related("user"), pk=pk, workspace=request.workspace)


def _lock(request: MemberRequest) -> None:
    """One change of people at a time in a workspace; what one may do is read again behind the lock."""
    Workspace.objects.select_for_update(no_key=True).get(pk=request.workspace.pk)
    role = Membership.objects.filter(pk=request.membership.pk).values_list("role", flat=True).first()
    if role is None:
        raise Http404
    request.membership.role = role


def _locked(request: MemberRequest, pk: int) -> Membership:
    _lock(request)
    return _member(request, pk)


def _sent_lately(workspace: Workspace) -> int:
    hour_ago = timezone.now() - timedelta(hours=1)
    return workspace.invitations.filter(created_at__gt=hour_ago).count()


# Joining.


@sensitive_post_parameters("password")
@page
@anyone
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    found = Invitation.objects.for_text(token, timezone.now())
    if found is None:
        return _spent(request)
    if request.user.is_authenticated:
        return _join(request, found)
    if User.objects.filter(email=found.email).exists():
        back = urlencode({"next": request.path})
        return _invitation(request, found, sign_in=f"{reverse('account_login')}?{back}")
    return _begin(request, found)


def _join(request: HttpRequest, found: Invitation) -> HttpResponse:
    user = _user(request)
    if user.email.lower() != found.email:
        return _invitation(request, found, other=user)
    if request.method != "POST":
        return _invitation(request, found)
    membership = found.accept(user)
    return redirect("workspace", found.workspace.slug) if membership else _spent(request)


def _begin(request: HttpRequest, found: Invitation) -> HttpResponse:
    """Makes the account, joins, and signs in: all or nothing."""
    form = NewPerson(request.POST or None, initial={"email": found.email})
    if not form.is_valid():
        return _invitation(request, found, status=400 if form.is_bound else 200, form=form)
    given = form.cleaned_data
    try:
        with transaction.atomic():
            more = {"name": given["name"], "zone": given["zone"]}
            user = User.objects.create_user(found.email, given["password"], **more)
            if found.accept(user) is None:
                raise IntegrityError  # it was spent meanwhile: no account either
    except IntegrityError:
        return _spent(request)
    login(request, user)
    return redirect("workspace", found.workspace.slug)


def _invitation(request: HttpRequest, found: Invitation, status: int = 200, **more: Any) -> HttpResponse:
    return render(request, "accounts/invitation.html", {"invitation": found, **more}, status=status)


def _spent(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/invitation_spent.html", status=404)


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)
