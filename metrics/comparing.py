"""Puts the right numbers of one release before the right detector. Reads rollups; decides nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metrics import history, placing, series, silence
from metrics.detection.asking import Question
from metrics.detection.evidence import BEFORE_AFTER, NOT_ENOUGH, WORSE, Evidence, FloatArray, Side
from metrics.detection.slices import Place
from metrics.detection.thresholds import needed, together
from metrics.intake.event import COMPLAINT, REFUSAL
from metrics.measures import COMPLAINTS, CONVERSION, COUNTS, ERRORS, FAILURES, HURT, P95, SHARES, USERS, VOLUME
from metrics.models import Signal
from releases.models import Release

#: Share of the traffic the old release must have for a side-by-side comparison.
CONTROL_SHARE = 0.05
#: Of the day's users, between which shares conversion says something that users and volume do not.
TELLING = (0.02, 0.9)
#: Share of a day's users up to which something is rare.
RARE = 0.2
#: Kinds of what is done: what errors are counted per.
COUNTABLE = ("use", "session")
_SLOTS = 86_400 // history.SLOT
#: Minutes on either side of a release without it.
SHORT = timedelta(hours=6)


@dataclass(frozen=True)
class Finding:
    """What was found for one measure of one signal; `places`: the slices that explain it, if any do;
    `state`: of a fault, see detection/faults.py; `question`: what was asked, None where many were judged together."""

    signal: Signal
    measure: str
    evidence: Evidence
    started_at: datetime
    places: tuple[Place, ...] = ()
    state: str = ""
    question: Question | None = None


@dataclass
class Scene:
    """One release in one environment at one moment."""

    release: Release
    environment: str
    began: datetime
    now: datetime
    signals: list[Signal]
    frame: series.Frame
    past: history.Past
    newer: set[int] = field(default_factory=set)  # releases that came later are nobody's control

    @property
    def new(self) -> set[int]:
        return {self.release.pk}

    def old(self, signal: int) -> set[int]:
        return self.frame.releases(signal) - self.new - self.newer

    def old_share(self, signal: int) -> float:
        new = self.frame.sum(signal, self.new).n.sum()
        old = self.frame.sum(signal, self.old(signal)).n.sum()
        return float(old / (new + old)) if new + old else 0.0

    @cached_property
    def visits(self) -> set[int]:
        """The signals that count visits: whose users are the active ones."""
        return {signal.pk for signal in self.signals if signal.kind == "session"}

    def people(self, signals: set[int]) -> float:
        """How many came, each once a day: in the past, or when that is not known, since the release."""
        known = float(self.all_of(signals, "users").sum())
        return known or float(self.frame.together(signals, None).users.sum())

    def all_of(self, signals: set[int], field: str) -> FloatArray:
        """Together, in each bucket of the past."""
        return np.asarray(sum((self.past.of(pk, field) for pk in signals), np.zeros(self.past.buckets)))

    @cached_property
    def gaps(self) -> NDArray[np.bool_]:
        """Buckets of the past in which nothing at all arrived, at times of day when much does: not known, not zero."""
        total = self.all_of(set(self.past.counts), "n")
        slots = (self.past.since // history.SLOT + np.arange(len(total))) % _SLOTS
        usual = np.array([np.median(total[slots == slot]) if (slots == slot).any() else 0.0 for slot in range(_SLOTS)])
        return np.asarray((total == 0) & (usual[slots] >= silence.ENOUGH))

    @cached_property
    def around(self) -> tuple[series.Frame, series.Frame]:
        """The minutes before the release, and those after it."""
        measured = datetime.fromtimestamp(self.past.since, UTC)
        since, until = max(measured, self.began - SHORT), min(self.now, self.began + SHORT)
        ends = ((since, self.began), (self.began, until))
        product, environment = self.release.product_id, self.environment
        before, after = (series.load(product, environment, *between, 60, has_hists=True) for between in ends)
        return before, after


def scene(release: Release, environment: str, began: datetime, now: datetime) -> Scene:
    """Loads what is needed; buckets grow with the age of the release, so that the cost does not."""
    age = now - began
    if age <= timedelta(hours=2):
        step, table = 60, series.MINUTE
    elif age <= timedelta(hours=12):
        step, table = history.SLOT, series.MINUTE
    else:
        step, table = 3600, series.HOUR
    product = release.product_id
    frame = series.load(product, environment, began, now, step, table=table, dimensions=("plan",), has_hists=True)
    past = history.read(release, environment, began, now)
    # One that nobody uses any more since the release is the one to tell of.
    known = {*frame.of, *past.counts}
    signals = list(Signal.objects.filter(pk__in=known).select_related("feature").order_by("kind", "name"))
    newer = Release.objects.filter(product=product, shipped_at__gt=began).exclude(pk=release.pk)
    return Scene(release, environment, began, now, signals, frame, past, set(newer.values_list("pk", flat=True)))


def compare(at: Scene) -> list[Finding]:
    """One finding for each measure of each signal, also when it says "the same" or "not enough"."""
    pairs = [(signal, measure) for signal in at.signals for measure in measures(at, signal)]
    told = [_ask(at, signal, measure, len(pairs)) for signal, measure in pairs]
    fewer = together([(evidence.method, evidence.evidence) for _question, evidence in told])
    if fewer < len(pairs):
        told = [_again(question, evidence, fewer) for question, evidence in told]
    found = []
    for (signal, measure), (question, evidence) in zip(pairs, told, strict=True):
        bucket = evidence.first_bucket or 0
        step = at.frame.step if evidence.method != BEFORE_AFTER else history.SLOT
        started = at.began + timedelta(seconds=bucket * step)
        where = _places(at, signal, measure, evidence) if evidence.status == WORSE else ()
        found.append(Finding(signal, measure, evidence, min(started, at.now), where, question=question))
    return found


def _again(question: Question, evidence: Evidence, signals: int) -> tuple[Question, Evidence]:
    """The same, as one of fewer signals, where that makes a difference."""
    if evidence.status == WORSE or evidence.evidence < needed(evidence.method, signals):
        return question, evidence
    asked = Question(question.detector, {**question.given, "signals": signals}, question.fewest)
    return asked, asked.answer()


def _ask(at: Scene, signal: Signal, measure: str, signals: int) -> tuple[Question, Evidence]:
    """Side by side where that says something, else over time."""
    beside = _tuned(signal, _side_by_side(at, signal, measure, signals))
    told = beside.answer() if beside else None
    if beside and told and told.status != NOT_ENOUGH:
        return beside, told
    alone = _tuned(signal, _over_time(at, signal, measure, signals))
    assert alone is not None
    evidence = alone.answer()
    return (beside, told) if beside and told and evidence.status == NOT_ENOUGH else (alone, evidence)


def _places(at: Scene, signal: Signal, measure: str, evidence: Evidence) -> tuple[Place, ...]:
    told = replace(evidence, measure=measure)  # a detector knows an error rate only as a failure rate
    product, old = at.release.product_id, at.old(signal.pk)
    return placing.places(product, at.environment, signal.pk, told, old, at.new, at.began, at.now)


def measures(at: Scene, signal: Signal) -> list[str]:
    """What is known of the signal, since the release or before it."""
    if signal.kind == COMPLAINT:
        return [COMPLAINTS] if at.people(at.visits) else []
    if signal.kind in ("error", REFUSAL):
        return [ERRORS]
    cells = at.frame.sum(signal.pk, None)
    found = [FAILURES, VOLUME]
    people = at.people({signal.pk})
    if people and signal.kind == "session":
        found += [HURT, USERS]
    elif people and TELLING[0] <= people / max(1.0, at.people(at.visits)) <= TELLING[1]:
        found.append(CONVERSION)
    return [*found, P95] if cells.timed.any() or signal.pk in at.past.p95 else found


def _tuned(signal: Signal, question: Question | None) -> Question | None:
    return question.tuned(signal.margin, signal.fewest or 0) if question else None


def _side_by_side(at: Scene, signal: Signal, measure: str, signals: int) -> Question | None:
    """None when the old release is not there to compare with, or the measure needs time."""
    old = at.old(signal.pk)
    is_of_time = measure in (*COUNTS, CONVERSION) or signal.kind == REFUSAL
    if is_of_time or not old or at.old_share(signal.pk) < CONTROL_SHARE:
        return None
    if measure == P95:
        sides = {"old": _timed(at.frame, signal, old), "new": _timed(at.frame, signal, at.new)}
        return Question("concurrent_latency", {**sides, "signals": signals})
    if measure in (HURT, COMPLAINTS):
        return _people_beside(at, signal, measure, old, signals)
    if measure == ERRORS:
        sides = {"old": _errors(at, at.frame, signal, old), "new": _errors(at, at.frame, signal, at.new)}
        return Question("concurrent_rate", {**sides, "signals": signals, "measure": measure})
    strata = at.frame.slices(signal.pk, "plan")
    sides = {"old": at.frame.side(signal.pk, old, strata), "new": at.frame.side(signal.pk, at.new, strata)}
    return Question("concurrent_rate", {**sides, "signals": signals, "stratified": bool(strata)})


def _people_beside(at: Scene, signal: Signal, measure: str, old: set[int], signals: int) -> Question | None:
    """Each user counts once a day, in the bucket of the first time: per visit, so that both sides are as exposed. None
    where that is no rare thing: who moves to the new release is counted afresh, and would make it look worse."""
    sides, people = [], []
    for releases in (old, at.new):
        ours = at.frame.sum(signal.pk, releases)
        whole = ours if measure == HURT else at.frame.together(at.visits, releases)
        counted = ours.bad_users if measure == HURT else ours.users
        sides.append(Side(whole.n, counted))
        people += [float(whole.users.sum()), float(min(counted.sum(), whole.users.sum()))]
    if any(bad > RARE * everyone for everyone, bad in (people[:2], people[2:])):
        return None
    given = {"old": sides[0], "new": sides[1], "people": people, "signals": signals, "measure": measure}
    return Question("concurrent_rate", given)


def _timed(frame: series.Frame, signal: Signal, releases: set[int]) -> Side:
    cells = frame.sum(signal.pk, releases)
    return Side(cells.timed, np.zeros_like(cells.timed), None, frame.hist(signal.pk, releases))


def _errors(at: Scene, frame: series.Frame, signal: Signal, releases: set[int] | None) -> Side:
    """Errors have no denominator of their own: they are counted per use and visit of the same releases."""
    errors = frame.sum(signal.pk, releases)
    countable = (other.pk for other in at.signals if other.kind in COUNTABLE)
    uses = sum((frame.sum(pk, releases).n for pk in countable), np.zeros(frame.buckets))
    return Side(uses + errors.n, errors.n, errors.bad_sq)


def _over_time(at: Scene, signal: Signal, measure: str, signals: int) -> Question:
    if not at.past.is_long:
        return _short(at, signal, measure, signals)
    past = at.past
    is_whole = at.now >= at.began + history.AFTER
    whole = past.buckets if is_whole else past.buckets - 1  # the last is filling
    before, after = slice(None, past.cut), slice(past.cut, whole)
    given = {"bucket_s": history.SLOT, "direction": 1, "measure": measure, "signals": signals}
    if measure in SHARES:
        n, bad = _counted(at, signal, measure)
        counts = {"pre_n": n[before], "pre_bad": bad[before], "post_n": n[after], "post_bad": bad[after]}
        given["direction"] = -1 if measure == CONVERSION else 1
        return Question("before_after", {"pre": n[:0], "post": n[:0], **given, **counts})
    if measure in COUNTS:
        values = np.where(at.gaps, np.nan, past.of(signal.pk, "n" if measure == VOLUME else "users"))
        given["direction"] = signal.volume_worse
        return Question("before_after", {"pre": values[before], "post": values[after], **given})
    p95 = past.p95.get(signal.pk, np.full(past.buckets, np.nan))
    timed = slice(max(0, past.cut - int(history.TIMED.total_seconds()) // history.SLOT), past.cut)
    return Question("before_after", {"pre": p95[timed], "post": p95[after], **given})


def _counted(at: Scene, signal: Signal, measure: str) -> tuple[FloatArray, FloatArray]:
    """Of how many, and how many, in each bucket of the past."""
    past = at.past
    if measure == FAILURES:
        return past.of(signal.pk, "n"), past.of(signal.pk, "bad")
    if measure == HURT:
        return past.of(signal.pk, "users"), past.of(signal.pk, "bad_users")
    if measure in (CONVERSION, COMPLAINTS):
        return at.all_of(at.visits, "users"), past.of(signal.pk, "users")
    errors = past.of(signal.pk, "n")
    return at.all_of({other.pk for other in at.signals if other.kind in COUNTABLE}, "n") + errors, errors


def _short(at: Scene, signal: Signal, measure: str, signals: int) -> Question:
    sides = []
    for frame in at.around:
        everyone = frame.releases(signal.pk)
        if measure == P95:
            sides.append(_timed(frame, signal, everyone))
        elif measure == ERRORS:
            # What was refused has no release, and is counted per use of all.
            sides.append(_errors(at, frame, signal, None if signal.kind == REFUSAL else everyone))
        else:
            sides.append(frame.side(signal.pk, everyone, []))
    # People need days; an error rate is a failure rate to a detector.
    name = {ERRORS: FAILURES, HURT: USERS, CONVERSION: USERS, COMPLAINTS: USERS}.get(measure, measure)
    return Question("short_history", {"before": sides[0], "after": sides[1], "measure": name, "signals": signals})
