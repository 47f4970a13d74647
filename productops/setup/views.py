"""The first run: an account, a product, its first event, its first deploy, the team."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.core.cache import cache
from django.db import connection, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from accounts import access
from accounts.access import MemberRequest, allow, anyone
from accounts.adapter import client_ip
from accounts.forms import InviteForm
from accounts.models import User, Workspace
from accounts.views import page, too_many
from metrics import ledger, tail
from metrics.intake.door import client_mark
from metrics.models import IngestKey
from productops.setup.forms import DeployForm, ProductForm, WelcomeForm
from productops.setup.snippets import TABS, deploy_snippet, snippets
from releases.models import Deploy, Product, Release

#: Any number that no other advisory lock of this database has.
_FIRST_RUN = 727_001
#: Wrong setup words one address may try in a minute.
_TRIES = 10


@sensitive_post_parameters("password")
@page
@anyone
def welcome(request: HttpRequest) -> HttpResponse:
    """Only while nobody has an account; then it is gone."""
    if User.objects.exists():
        raise Http404
    refused = _ask_token(request)
    if refused is not None:
        return refused
    form = WelcomeForm(request.POST or None)
    if not form.is_valid():
        status = 400 if form.is_bound else 200
        return render(request, "productops/setup/welcome.html", {"form": form}, status=status)
    user, product = _found(form.cleaned_data)
    login(request, user)
    return redirect("setup:start", product.workspace.slug, product.pk)


def _ask_token(request: HttpRequest) -> HttpResponse | None:
    """On this machine only, whoever can open the page may; elsewhere they must know SETUP_TOKEN."""
    if settings.IS_LOOPBACK:
        return None
    given = request.GET.get("token", "")
    tries = f"setup:{client_ip(request)}"
    if given and cache.get(tries, 0) >= _TRIES:
        return too_many(request)
    if settings.SETUP_TOKEN and hmac.compare_digest(given.encode(), settings.SETUP_TOKEN.encode()):
        return None
    if given:
        cache.set(tries, cache.get(tries, 0) + 1, 60)
    context = {"is_wrong": bool(given), "has_token": bool(settings.SETUP_TOKEN)}
    return render(request, "productops/setup/token.html", context, status=403)


def _found(given: dict[str, Any]) -> tuple[User, Product]:
    with transaction.atomic(), connection.cursor() as cursor:
        # Two people who open an empty hub at once: the second one finds it taken.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_FIRST_RUN])
        if User.objects.exists():
            raise Http404
        user = User.objects.create_user(given["email"], given["password"], name=given["name"], zone=given["zone"])
        workspace = Workspace.objects.found(given["workspace"], user)
        product = Product.objects.found(workspace, given["product"], user)
        IngestKey.current(product)
    return user, product


@page
@allow("product.edit")
def new_product(request: MemberRequest) -> HttpResponse:
    form = ProductForm(request.POST or None)
    if not form.is_valid():
        status = 400 if form.is_bound else 200
        return render(request, "productops/setup/new_product.html", {"form": form}, status=status)
    product = Product.objects.found(request.workspace, form.cleaned_data["name"], request.membership.user)
    return redirect("setup:start", request.workspace.slug, product.pk)


@require_safe
@allow("product.edit")
def start(request: MemberRequest, product: int) -> HttpResponse:
    return _start(request, _product(request, product))


@require_safe
@allow("product.edit")
def waiting(request: MemberRequest, product: int) -> HttpResponse:
    """The part that changes; 204 when it has not."""
    found = _product(request, product)
    context = {**_news(request, found), "is_swap": True}
    text = render_to_string("productops/setup/_waiting.html", context, request)
    stamp = hashlib.sha256(text.encode()).hexdigest()[:16]
    if request.GET.get("stamp") == stamp:
        return HttpResponse(status=204)
    response = HttpResponse(text)
    response["X-Stamp"] = stamp
    if context["arrivals"]:
        response["X-Done"] = "1"
    return response


@require_POST
@allow("release.edit")
def deploy(request: MemberRequest, product: int) -> HttpResponse:
    found = _product(request, product)
    form = DeployForm(request.POST)
    if not form.is_valid():
        return _start(request, found, form)
    given, by = form.cleaned_data, request.membership.user
    with transaction.atomic():
        release, _is_new = Release.objects.create_version(found, given["version"], "browser", by)
        release.deploy(given["environment"], given["percentage"], by=by, source="browser")
    told = _("%(version)s reached %(environment)s.")
    messages.success(request, told % {"version": release, "environment": given["environment"]})
    tab = request.GET.get("tab", "")
    address = reverse("setup:start", args=[request.workspace.slug, found.pk])
    return redirect(f"{address}?tab={tab}#step-2" if tab in TABS else f"{address}#step-2")


def _start(request: MemberRequest, product: Product, form: DeployForm | None = None) -> HttpResponse:
    wanted = request.GET.get("tab", "")
    tab = wanted if wanted in TABS else "sentry"
    mine, workspace = request.membership, request.workspace
    can_invite = access.can(mine, "member.edit")
    context = {
        "product": product,
        "tab": tab,
        "tabs": TABS.items(),
        "snippets": snippets(tab, IngestKey.current(product)),
        "deploy": deploy_snippet(product),
        "deploy_form": form or DeployForm(),
        "can_deploy": access.can(mine, "release.edit"),
        "last_deploy": _last_deploy(product),
        "invite_form": InviteForm(mine) if can_invite else None,
        "others": workspace.memberships.count() - 1,
        "invited": workspace.invitations.open(timezone.now()).count(),
        **_news(request, product),
    }
    return render(request, "productops/setup/start.html", context, status=400 if form else 200)


def _news(request: MemberRequest, product: Product) -> dict[str, Any]:
    now = timezone.now()
    mark = client_mark(client_ip(request))
    return {
        "product": product,
        "arrivals": tail.arrivals(product),
        "in_inbox": ledger.waiting(product),
        "refusals": ledger.refusals(product, mark, now - ledger.HOUR),
    }


def _last_deploy(product: Product) -> Deploy | None:
    """Told by somebody; what events alone made known does not count."""
    told = Deploy.objects.filter(release__product=product).exclude(source="events")
    return told.select_related("release").order_by("-at").first()


def _product(request: MemberRequest, pk: int) -> Product:
    return get_object_or_404(Product.objects.select_related("workspace"), pk=pk, workspace=request.workspace)
