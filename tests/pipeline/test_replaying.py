"""A verdict is kept with what it was made from, and made again from that alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import orjson
import pytest
import zstandard
from django.utils import timezone

from metrics import replaying, watching
from metrics.detection.asking import Question, differences
from metrics.detection.evidence import Side
from metrics.models import Judgement, RollupHour, RollupMinute, Verdict
from metrics.models.finding import JUDGEMENTS
from tests import make

from .conftest import traffic
from .test_faults import errors

pytestmark = pytest.mark.usefixtures("days")

NOW = timezone.now().replace(second=0, microsecond=0)
BEGAN = NOW - timedelta(minutes=20)


@pytest.fixture
def worse(shop):
    make.release(shop, "1.0", at=BEGAN - timedelta(days=9))
    release = make.release(shop, "2.0", at=BEGAN, percentage=50)
    traffic(shop, "1.0", BEGAN, 20, 0.03)
    traffic(shop, "2.0", BEGAN, 20, 0.15)
    errors(shop, "2.0", 30)
    return release


def test_a_verdict_is_made_again_without_the_rows_it_came_from(worse):
    watching.judge(worse, "production", NOW)
    RollupMinute.objects.all().delete()
    RollupHour.objects.all().delete()
    judgement = Judgement.objects.get()
    asked = replaying.replay(judgement)
    assert len(asked) == len(judgement.traces) >= 4
    assert {each.trace["method"] for each in asked} >= {"concurrent", "faults"}
    assert [each.wrong for each in asked] == [{}] * len(asked)


def test_what_was_changed_afterwards_is_told(worse):
    watching.judge(worse, "production", NOW)
    judgement = Judgement.objects.get()
    told = replaying.questions(judgement)
    place = next(i for i, trace in enumerate(judgement.traces) if trace["status"] == "worse")
    told[place]["given"]["signals"] += 5
    judgement.questions = zstandard.compress(orjson.dumps(told))
    wrong = replaying.replay(judgement)[place].wrong
    assert set(wrong) == {"threshold", "mde"}
    judgement.traces[place]["evidence"] += 1
    assert set(replaying.replay(judgement)[place].wrong) == {"threshold", "mde", "evidence"}


def test_a_judgement_is_kept_when_something_changed_and_only_then(worse):
    for minutes in (19, 12, 4, 2, 0, 0):
        watching.judge(worse, "production", NOW - timedelta(minutes=minutes))
    words = list(Judgement.objects.order_by("at").values_list("verdict", flat=True))
    assert words[-1] == "regressed"
    changes = [(j.verdict, j.worse) for j in Judgement.objects.order_by("at")]
    assert all(one != other for one, other in pairwise(changes))
    assert len(changes) < 6


def test_a_verdict_that_swings_fills_no_table(worse):
    for turn in range(JUDGEMENTS + 5):
        verdict = watching.judge(worse, "production", NOW)
        assert verdict
        verdict.verdict = "healthy" if turn % 2 else "watch"
        replaying.keep(verdict, replaying.latest(worse.pk, "production"), [], NOW)
    assert Judgement.objects.count() == JUDGEMENTS


def test_questions_come_back_as_they_were():
    rng = np.random.default_rng(1)
    n = rng.integers(50, 90, (6, 2)).astype(float)
    side = Side(n, np.floor(n / 9), np.floor(n / 4))
    question = Question("concurrent_rate", {"old": side, "new": side, "signals": 7, "stratified": True})
    again = Question.of_json(orjson.loads(orjson.dumps(question.as_json())))
    assert differences(vars(question.answer()), again.answer()) == {}
    assert again.given["old"].n.shape == (6, 2)
    assert again.given["old"].hist is None


@pytest.mark.parametrize("told", [{"detector": "eval", "given": {}}, {"detector": "before_after", "given": {"pre": {"x": 1}}}])
def test_what_is_no_question_is_refused(told):
    with pytest.raises(ValueError, match="detector"):
        Question.of_json(told)


def test_about_when_it_can_be_told(shop):
    make.release(shop, "1.0", at=BEGAN - timedelta(days=9))
    release = make.release(shop, "2.0", at=BEGAN, percentage=5)
    traffic(shop, "1.0", BEGAN, 20, 0.03, per_minute=100)
    traffic(shop, "2.0", BEGAN, 20, 0.03, per_minute=25)
    verdict = watching.judge(release, "production", NOW)
    assert verdict
    trace = next(t for t in verdict.trace if t["measure"] == "failure_rate")
    assert trace["status"] == "not_enough", trace
    wanted = NOW + timedelta(minutes=20 * trace["needed"] / trace["n_new"])
    assert abs((datetime.fromisoformat(trace["ready_at"]) - wanted).total_seconds()) < 2
    assert Verdict.objects.get().trace[0].keys() >= {"ready_at"}


def test_the_history_page_asks_again(worse, client, alice):
    watching.judge(worse, "production", NOW)
    client.force_login(alice)
    base = f"/w/{worse.product.workspace.slug}/releases/{worse.pk}/history/"
    judgement = Judgement.objects.get()
    assert "Regressed" in client.get(base).content.decode()
    told = client.get(f"{base}?replay={judgement.pk}").content.decode()
    assert "the same answers" in told
    assert "differs" not in told
    file = client.get(f"{base}{judgement.pk}.json").json()
    assert (file["verdict"], len(file["questions"])) == ("regressed", sum(not t["state"] for t in file["answers"]) + 1)
    for bad in ("x", "-1", "9" * 30, str(judgement.pk + 999)):
        assert client.get(f"{base}?replay={bad}").status_code in {200, 404}
