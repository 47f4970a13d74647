"""Known problems: what an agent may tell customers today."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.access import MemberRequest, allow
from incidents import known


@require_GET
@allow("workspace.view")
def known_problems(request: MemberRequest) -> HttpResponse:
    typed = request.GET.get("q", "").replace("\x00", "").strip()[:120]
    today = timezone.localdate()
    problems = known.problems(request.workspace, typed, today)
    return render(request, "incidents/known.html", {"problems": problems, "typed": typed})
