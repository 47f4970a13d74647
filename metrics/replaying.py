"""Keeps what a verdict was made from, and makes it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import zstandard

from metrics.detection.asking import Question, differences
from metrics.models import Judgement, Verdict
from metrics.models.finding import JUDGEMENTS

#: Bytes that stored questions may inflate to: what is beyond was not written by this hub.
LARGEST = 256 * 2**20


@dataclass(frozen=True)
class Replayed:
    """One measure asked again. wrong: what differs from what was stored, name -> (stored, found); {} for the same."""

    trace: dict[str, Any]
    wrong: dict[str, tuple[Any, Any]]


def keep(verdict: Verdict, before: Judgement | None, questions: Sequence[Question], at: datetime) -> None:
    """Stores a judgement when the word, or which measures are worse, is not what it was."""
    traces = [*verdict.trace, *verdict.faults]
    worse = sorted(f"{t['signal']}:{t['measure']}" for t in traces if t["status"] == "worse" and not t["transient"])
    if before and (before.verdict, before.worse) == (verdict.verdict, worse):
        return
    made = Judgement.objects.filter(release=verdict.release_id, environment=verdict.environment)
    if made.count() >= JUDGEMENTS:
        return
    Judgement.objects.create(
        release=verdict.release, environment=verdict.environment, at=at, data_up_to=verdict.data_up_to,
        verdict=verdict.verdict, worse=worse, traces=traces,
        questions=zstandard.compress(orjson.dumps([question.as_json() for question in questions])),
    )  # fmt: skip


def latest(release: int, environment: str) -> Judgement | None:
    found = Judgement.objects.filter(release=release, environment=environment).order_by("-at", "-pk")
    return found.defer("questions", "traces").first()


def questions(judgement: Judgement) -> list[dict[str, Any]]:
    """As they were stored, for whoever wants to ask them with other tools."""
    raw = zstandard.ZstdDecompressor().decompress(bytes(judgement.questions), max_output_size=LARGEST)
    found: list[dict[str, Any]] = orjson.loads(raw)
    return found


def replay(judgement: Judgement) -> list[Replayed]:
    """Every measure of the judgement, asked again from the stored inputs."""
    *alone, together = [Question.of_json(told) for told in questions(judgement)]
    answers = [question.answer() for question in alone] + [evidence for _state, evidence in together.answers()]
    return [
        Replayed(trace, differences(trace, answer)) for trace, answer in zip(judgement.traces, answers, strict=True)
    ]
