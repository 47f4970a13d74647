"""How a verdict came about: each time it changed, with what it was made from; made again on demand."""

from __future__ import annotations

from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from accounts.access import MemberRequest, allow
from metrics import replaying
from metrics.models import Judgement
from releases.models import Release


@require_GET
@allow("workspace.view")
def history(request: MemberRequest, pk: int) -> HttpResponse:
    """Every change of the verdict, the newest first; `?replay=` makes one again."""
    release = get_object_or_404(Release.objects.of(request.workspace).select_related("product"), pk=pk)
    made = Judgement.objects.filter(release=release).defer("questions").order_by("-at", "-pk")
    chosen = request.GET.get("replay", "")
    judgement = _find(release, int(chosen)) if chosen.isascii() and chosen.isdecimal() and len(chosen) < 16 else None
    asked = replaying.replay(judgement) if judgement else []
    context = {
        "release": release,
        "judgements": [{"row": row, "worse": _worse(row)} for row in made],
        "chosen": judgement,
        "asked": asked,
        "wrong": [each for each in asked if each.wrong],
    }
    return render(request, "releases/history.html", context)


@require_GET
@allow("workspace.view")
def questions(request: MemberRequest, pk: int, judgement: int) -> HttpResponse:
    """What was asked and what was answered, as one file."""
    release = get_object_or_404(Release.objects.of(request.workspace), pk=pk)
    found = _find(release, judgement)
    told = {
        "release": release.version, "environment": found.environment, "at": found.at.isoformat(),
        "data_up_to": found.data_up_to.isoformat(), "verdict": found.verdict, "answers": found.traces,
        "questions": replaying.questions(found),
    }  # fmt: skip
    response = JsonResponse(told)
    response["Content-Disposition"] = f'attachment; filename="verdict-{found.pk}.json"'
    return response


def _find(release: Release, pk: int) -> Judgement:
    return get_object_or_404(Judgement, pk=pk, release=release)


def _worse(judgement: Judgement) -> list[dict[str, object]]:
    """The traces of what was worse."""
    told = set(judgement.worse)
    return [trace for trace in judgement.traces if f"{trace['signal']}:{trace['measure']}" in told]
