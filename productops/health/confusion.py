"""The page of what people do not understand in a release, though nothing is broken."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from accounts.access import MemberRequest, allow, can
from accounts.models import Workspace
from feedback.models import Complaint
from metrics import confusing
from metrics.confusing import Found
from metrics.detection.confusion import ACCOUNTS, CONFUSING, NOT_ENOUGH, SESSIONS
from metrics.detection.rates import Interval, wilson
from metrics.models import Confusion, SessionDay
from productops.lib import pages
from productops.lib.tell import whole
from releases.models import Release

#: How long after it was told a complaint about the feature shows that it was right, and none that it was not.
PROVEN = timedelta(days=30)
#: Known outcomes from which on it is said how often it was right.
ENOUGH = 10
#: Kinds of complaint that say "I do not understand it".
_PUZZLED = (Complaint.Kind.NOT_UNDERSTOOD, Complaint.Kind.QUESTION)


@dataclass(frozen=True)
class Row:
    found: Found
    signs: list[str]
    noted: Confusion | None

    @property
    def is_bad(self) -> bool:
        return self.found.told.status == CONFUSING

    @property
    def is_thin(self) -> bool:
        return self.found.told.status == NOT_ENOUGH


@dataclass(frozen=True)
class Proven:
    """Of n features told of, of which it is known, `right` were not understood."""

    n: int
    right: int

    @property
    def share(self) -> Interval | None:
        return wilson(self.right, self.n) if self.n >= ENOUGH else None


@require_GET
@allow("workspace.view")
def confusion(request: MemberRequest, pk: int) -> HttpResponse:
    release = _find(request, pk)
    environment = request.GET.get("environment", "production").replace("\x00", "")[:40]
    found = rows(release, environment)
    read = SessionDay.objects.filter(product=release.product_id).exclude(read_at=None)
    context = {
        "release": release,
        "environment": environment,
        "rows": found,
        "headline": headline(release, found),
        "read": read.order_by("-read_at").first(),
        "proven": proven(request.workspace, timezone.now()),
        "fewest": {"sessions": SESSIONS, "accounts": ACCOUNTS, "outcomes": ENOUGH},
        "can_edit": can(request.membership, "release.edit"),
    }
    return render(request, "releases/confusion.html", context)


@require_POST
@allow("release.edit")
def answer(request: MemberRequest, pk: int) -> HttpResponse:
    """Whether people really do not understand it; the same answer again takes it back."""
    ours = Confusion.objects.filter(release__product__workspace=request.workspace)
    found = get_object_or_404(ours.select_related("release__product__workspace", "feature"), pk=pk)
    address = reverse("releases:confusion", args=[request.workspace.slug, found.release_id])
    said = {"yes": True, "no": False}.get(request.POST.get("right", ""))
    if said is None:
        return pages.refuse(request, _("Say yes or no."), 400, address)
    found.answer(request.membership.user, None if found.is_right is said else said)
    return pages.go(request, f"{address}?environment={found.environment}")


def rows(release: Release, environment: str) -> list[Row]:
    noted = {c.feature_id: c for c in Confusion.objects.filter(release=release, environment=environment)}
    return [
        Row(each, [sign(*told) for told in each.signs.items()], noted.get(each.feature.pk))
        for each in confusing.load(release, environment)
    ]


def headline(release: Release, found: list[Row]) -> str:
    bad = [row.found.feature.name for row in found if row.is_bad]
    if len(bad) == 1:
        return _("%(feature)s is not understood") % {"feature": bad[0]}
    if bad:
        return _("%(n)s features are not understood") % {"n": len(bad)}
    if any(not row.is_thin for row in found):
        return _("Nothing stands out in %(version)s") % {"version": release.version}
    return _("Not enough sessions yet to say anything of %(version)s") % {"version": release.version}


def sign(code: str, n: int) -> str:
    """"12 sessions with angry clicks"."""
    told = {
        "rage": ngettext("angry clicks in %(n)s session", "angry clicks in %(n)s sessions", n),
        "dead": ngettext("clicks without effect in %(n)s session", "clicks without effect in %(n)s sessions", n),
        "retries": ngettext("the same over and over in %(n)s session", "the same over and over in %(n)s sessions", n),
        "help": ngettext("help looked for in %(n)s session", "help looked for in %(n)s sessions", n),
        "unfinished": ngettext("begun, not finished in %(n)s session", "begun, not finished in %(n)s sessions", n),
        "marked": ngettext("marked by the product in %(n)s session", "marked by the product in %(n)s sessions", n),
    }
    return told[code] % {"n": whole(n)}


def proven(workspace: Workspace, now: datetime) -> Proven:
    """A person's word counts; else a puzzled complaint about the feature after it was told, or a month without one."""
    told = list(Confusion.objects.filter(release__product__workspace=workspace).order_by("-found_at")[:500])
    unsaid = [c for c in told if c.is_right is None]
    puzzled = Complaint.objects.of(workspace).filter(
        feature__in={c.feature_id for c in unsaid}, kind__in=_PUZZLED, created_at__gt=now - 12 * PROVEN
    )
    said: dict[int, list[datetime]] = {}
    for feature, at in puzzled.values_list("feature", "created_at"):
        said.setdefault(feature or 0, []).append(at)
    right = [c for c in told if c.is_right] + [
        c for c in unsaid if any(c.found_at < at <= c.found_at + PROVEN for at in said.get(c.feature_id, ()))
    ]
    over = [c for c in unsaid if c not in right and c.found_at < now - PROVEN]
    wrong = [c for c in told if c.is_right is False] + over
    return Proven(len(right) + len(wrong), len(right))


def _find(request: MemberRequest, pk: int) -> Release:
    return get_object_or_404(Release.objects.of(request.workspace).select_related("product"), pk=pk)
