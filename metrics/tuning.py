"""What another tuning of a signal would have changed: the questions of earlier verdicts, asked with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from metrics import replaying
from metrics.detection.asking import Question
from metrics.detection.evidence import WORSE, Evidence
from metrics.measures import COUNTS
from metrics.models import Judgement, Signal

#: Verdicts that are asked again, the newest first.
MOST = 20


@dataclass(frozen=True)
class Change:
    """A measure that would be told otherwise; `is_worse` after the change."""

    judgement: Judgement
    trace: dict[str, Any]
    is_worse: bool


@dataclass(frozen=True)
class Preview:
    asked: int  # verdicts
    changes: list[Change]


def preview(signal: Signal, margin: float | None, fewest: int | None, volume_worse: int) -> Preview:
    """Of the verdicts kept of this product that judged the signal: which findings would appear or go."""
    kept = Judgement.objects.filter(release__product=signal.product_id).select_related("release")
    asked, changes = 0, []
    for judgement in kept.order_by("-at", "-pk")[:MOST]:
        places = [
            place for place, t in enumerate(judgement.traces) if t["signal"] == signal.pk and not t.get("state")
        ]
        if not places:
            continue
        asked += 1
        told = replaying.questions(judgement)
        for place in places:
            trace = judgement.traces[place]
            question = _with(Question.of_json(told[place]), trace, volume_worse).tuned(margin, fewest or 0)
            is_worse = _is_worse(question.answer())
            if is_worse != (trace["status"] == WORSE and not trace["transient"]):
                changes.append(Change(judgement, trace, is_worse))
    return Preview(asked, changes)


def _with(question: Question, trace: dict[str, Any], volume_worse: int) -> Question:
    if trace["measure"] not in COUNTS or "direction" not in question.given:
        return question
    return Question(question.detector, {**question.given, "direction": volume_worse}, question.fewest)


def _is_worse(evidence: Evidence) -> bool:
    return evidence.status == WORSE and not evidence.transient
