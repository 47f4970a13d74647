"""Whether a worsening that was found over time is this release's at all. Side by side, older versions in the same
minutes already answer that; over time, the same moment may have another cause."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db.models import Sum

from metrics import placing, series
from metrics.comparing import Finding, Scene
from metrics.detection.asking import Question
from metrics.detection.evidence import CONCURRENT, FAULTS, WORSE, Side
from metrics.detection.rates import ratio, wilson
from metrics.measures import COUNTS, ERRORS, FAILURES, SLOWNESS
from metrics.models import RollupMinute
from releases.models import Deploy, Product

#: Why it is probably not the release.
OLDER, BEFORE, OTHERS = "older_versions", "began_before", "other_products"
ADOPTION, UNTOUCHED = "adoption", "untouched"
#: How many times more went wrong than the release could have touched at all.
MORE = 2.0
#: Share of what lies beyond the old rate that came from older versions, from which it is not the new one's.
SHARE = 0.5
#: The hour before the deploy.
EARLIER = timedelta(hours=1)
#: Other products that are asked, and how many times their usual rate they must surely have.
MOST, TIMES = 20, 1.25
#: A deploy of the other product so close before explains its change by itself.
OWN_DEPLOY = timedelta(hours=6)

#: {code, and numbers or names that belong to it}.
Doubt = dict[str, Any]


def doubts(at: Scene, finding: Finding) -> list[Doubt]:
    """Why this is probably not the release, the strongest reason first; [] when nothing says so."""
    evidence = finding.evidence
    if evidence.status != WORSE or evidence.method in (CONCURRENT, FAULTS) or finding.question is None:
        return []
    found = [
        _began_before(at, finding.question), _of_older_versions(at, finding), _of_adoption(at, finding),
        _of_others(at, finding), _of_features(at, finding),
    ]  # fmt: skip
    return [doubt for doubt in found if doubt]


def _began_before(at: Scene, question: Question) -> Doubt | None:
    """The same question about the hour before the deploy."""
    given = dict(question.given)
    if question.detector == "short_history":
        before, hour = given["before"], int(EARLIER.total_seconds()) // 60
        if len(before.n) < 2 * hour:
            return None
        given |= {"before": _cut(before, slice(None, -hour)), "after": _cut(before, slice(-hour, None))}
    else:
        hour = int(EARLIER.total_seconds()) // int(given["bucket_s"])
        for pre, post in (("pre", "post"), ("pre_n", "post_n"), ("pre_bad", "post_bad")):
            if pre in given and len(given[pre]):
                given |= {pre: given[pre][:-hour], post: given[pre][-hour:]}
    told = Question(question.detector, given).answer()
    return {"code": BEFORE, "rate": told.new} if told.status == WORSE else None


def _of_older_versions(at: Scene, finding: Finding) -> Doubt | None:
    """They serve beside it, too few to compare with, and are as bad."""
    signal, measure, evidence = finding.signal.pk, finding.measure, finding.evidence
    old = at.old(signal) - {0}  # what names no release may well be the new one
    if measure not in (FAILURES, ERRORS, *SLOWNESS) or not old:
        return None
    baseline = evidence.old
    if measure in SLOWNESS:
        baseline = 1 - placing.QUANTILE
        where = (at.release.product_id, at.environment, signal, at.began, at.now)
        sides = [placing.slow(series.durations(*where, ids), evidence.old) for ids in (old, at.new)]
    else:
        sides = [placing.counts(at.frame, signal, ids, measure == ERRORS) for ids in (old, at.new)]
    (n_old, bad_old), (n_new, bad_new) = (side.get("", (0.0, 0.0)) for side in sides)
    beyond_old, beyond_new = bad_old - n_old * baseline, bad_new - n_new * baseline
    if n_old <= 0 or n_new <= 0 or wilson(bad_old, n_old, deff=evidence.deff).low <= baseline * (1 + evidence.margin):
        return None
    share = beyond_old / (beyond_old + max(0.0, beyond_new))
    return {"code": OLDER, "share": share, "rate": bad_old / n_old, "n": n_old} if share >= SHARE else None


def _of_adoption(at: Scene, finding: Finding) -> Doubt | None:
    """Too few use it: all of them together could not have done that."""
    signal, measure, evidence = finding.signal.pk, finding.measure, finding.evidence
    if measure in COUNTS and evidence.ratio < 1:
        deploys = at.release.deploys.filter(environment=at.environment, at__lte=at.now).order_by("-at")
        percentage = deploys.values_list("percentage", flat=True).first()
        if percentage is None or (1 - evidence.ratio) * 100 <= MORE * percentage:
            return None
        return {"code": ADOPTION, "share": percentage / 100}
    if measure not in (FAILURES, ERRORS) or 0 in at.frame.releases(signal):  # what names no release may be the new one
        return None
    sides = [placing.counts(at.frame, signal, ids, measure == ERRORS) for ids in (at.new, None)]
    (n_new, _bad), (n, bad) = (side.get("", (0.0, 0.0)) for side in sides)
    beyond = bad - n * evidence.old
    return {"code": ADOPTION, "share": n_new / n} if n and beyond > MORE * max(n_new, 1.0) else None


def _of_features(at: Scene, finding: Finding) -> Doubt | None:
    """Its makers say that it touches other features."""
    feature = finding.signal.feature
    if feature is None:
        return None
    touched = sorted(at.release.features.values_list("name", flat=True))
    return {"code": UNTOUCHED, "names": touched} if touched and feature.name not in touched else None


def _of_others(at: Scene, finding: Finding) -> Doubt | None:
    """Another product of the workspace, without a deploy of its own, fails more from the same time on."""
    workspace = at.release.product.workspace_id
    others = Product.objects.filter(workspace=workspace).exclude(pk=at.release.product_id).order_by("pk")[:MOST]
    names = [other.name for other in others if _is_worse(other, at.environment, finding.started_at, at.now)]
    return {"code": OTHERS, "names": names} if names else None


def _is_worse(product: Product, environment: str, since: datetime, now: datetime) -> bool:
    own = Deploy.objects.filter(release__product=product, environment=environment, at__range=(since - OWN_DEPLOY, now))
    if own.exists():
        return False
    before = _sums(product, environment, since - timedelta(days=1), since - EARLIER)
    after = _sums(product, environment, since, now)
    if before["n"] < 100 or after["bad"] < 10:
        return False
    deff = max(1.0, after["sq"] / after["bad"])
    return ratio(before["bad"], before["n"], after["bad"], after["n"], level=0.999, deff=deff).low > TIMES


def _sums(product: Product, environment: str, since: datetime, until: datetime) -> Mapping[str, float]:
    rows = RollupMinute.objects.filter(
        product_id=product.pk, environment=environment, slice="", signal_id__in=series.uses(product.pk),
        bucket__gte=since, bucket__lt=until,
    )  # fmt: skip
    found = rows.aggregate(n=Sum("n"), bad=Sum("bad"), sq=Sum("bad_sq"))
    return {name: float(value or 0) for name, value in found.items()}


def _cut(side: Side, which: slice) -> Side:
    return Side(*(None if part is None else np.asarray(part)[which] for part in vars(side).values()))  # type: ignore[arg-type]
