"""What the detectors would have said of the past, with the settings of today: of the product's releases, of days on
which nothing was released (where every flag is a false one), or of a file of cases."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import decompressobj
from zlib import error as ZlibError

import orjson
from django.db import transaction
from django.db.models import Min
from django.utils import timezone
from django.utils.translation import gettext as _

from metrics import comparing, history, series, watching
from metrics.detection.evidence import WORSE
from metrics.detection.replay import BadCase, replay
from metrics.models import Backtest, Signal
from metrics.models.backtest import BACKTESTS
from releases.models import WATCH, Deploy, Product, Release

ENVIRONMENT = "production"
#: How far back minutes are sure to be there, with the days before that a comparison needs.
REACH = timedelta(days=28)
#: Releases that are looked at again, the newest first.
RELEASES = 20
#: So long before a quiet day nothing was deployed either: what a release changed goes on the next day.
APART = timedelta(days=1)
#: Of a file: cases, and bytes after inflating.
CASES, LARGEST = 5_000, 200 * 2**20
#: Seconds after which one that is not done was cut off.
LONGEST = 900.0
_DAY = timedelta(days=1)

#: {trace of a finding, with `after_min` (minutes from the deploy to the flag), `is_flag` and `with` (flagged with the
#: other margin)}.
Flag = dict[str, Any]


class BadFile(ValueError):
    """Says what is wrong with it."""


def run(pk: int) -> None:
    """Does what was asked for, once; harmless when it runs twice."""
    test = Backtest.objects.select_related("product").filter(pk=pk, done_at=None).first()
    if test is None:
        return
    error, result = "", {}
    try:
        if test.body is None:
            result = of_product(test.product, timezone.now(), test.margin)
        else:
            result = of_file(bytes(test.body), test.margin)
    except (BadFile, BadCase) as wrong:
        error = str(wrong)[:300]
    Backtest.objects.filter(pk=pk).update(done_at=timezone.now(), result=result, error=error, body=None)


def ask(test: Backtest) -> None:
    """Stores it, forgets the oldest, and has a worker do it."""
    from metrics.tasks import backtest

    with transaction.atomic():
        test.save()
        kept = Backtest.objects.filter(product=test.product).order_by("-made_at", "-pk").values_list("pk", flat=True)
        Backtest.objects.filter(product=test.product).exclude(pk__in=list(kept[:BACKTESTS])).delete()
        transaction.on_commit(lambda: backtest.delay(test.pk))


def of_product(product: Product, now: datetime, margin: float | None) -> dict[str, Any]:
    """{releases: [{pk, version, began, measures, flags}], quiet: {days: [{at, measures, flags}]}}."""
    deploys = Deploy.objects.filter(release__product=product, environment=ENVIRONMENT).exclude(percentage=0)
    began = dict(deploys.values_list("release").annotate(first=Min("at")).values_list("release", "first"))
    recent = sorted(((at, pk) for pk, at in began.items() if now - REACH < at < now), reverse=True)[:RELEASES]
    releases = Release.objects.filter(pk__in=[pk for _at, pk in recent]).in_bulk()
    told = []
    for at, pk in recent:
        scene = comparing.scene(releases[pk], ENVIRONMENT, at, min(now, at + WATCH))
        told.append({"pk": pk, "version": releases[pk].version, **_judged(scene, margin)})
    return {"releases": told, "quiet": [_judged(scene, margin) for scene in _quiet(product, now, [*began.values()])]}


def _quiet(product: Product, now: datetime, deployed: list[datetime]) -> Iterator[comparing.Scene]:
    """Days without a deploy, as if something had been released at their start."""
    since = now - REACH
    whole = history.load(product.pk, ENVIRONMENT, since, now, since)
    busy = [table[0].nonzero()[0][0] for table in whole.counts.values() if table[0].any()]
    if not busy:
        return
    first = datetime.fromtimestamp(whole.since + int(min(busy)) * history.SLOT, UTC)
    signals = list(Signal.objects.filter(pk__in=list(whole.counts)).select_related("feature").order_by("pk"))
    began = now - _DAY
    while began - first >= history.NEEDED:
        if not any(began - APART <= at <= began + _DAY for at in deployed):
            past = whole.around(began)
            nobody = Release(product=product, version="")
            frame = series.Frame(int(began.timestamp()), history.SLOT, 0)
            yield comparing.Scene(nobody, ENVIRONMENT, began, began + _DAY, signals, frame, past)
        began -= _DAY


def _judged(scene: comparing.Scene, margin: float | None) -> dict[str, Any]:
    found = comparing.compare(scene)
    flags: list[Flag] = []
    for finding in found:
        is_flag = finding.evidence.status == WORSE
        other = is_flag
        if margin is not None and finding.question:
            other = finding.question.tuned(margin, finding.question.fewest).answer().status == WORSE
        if is_flag or other:
            after = (finding.started_at - scene.began).total_seconds() / 60
            flags.append({**watching.trace(finding), "after_min": after, "is_flag": is_flag, "with": other})
    return {"began": scene.began.isoformat(), "measures": len(found), "flags": flags}


def of_file(body: bytes, margin: float | None) -> dict[str, Any]:
    """{cases: [{id, mode, first, with, after_min, measure, ratio}]}: what was flagged first, in buckets, or -1."""
    told: list[dict[str, Any]] = []
    for number, line in enumerate(_lines(body), 1):
        if not line.strip():
            continue
        if len(told) >= CASES:
            raise BadFile(_("It has more than %(most)s cases.") % {"most": CASES})
        try:
            case = orjson.loads(line)
            if type(case) is not dict:
                raise BadFile(_("Line %(number)s: it is not a JSON object.") % {"number": number})
            found = replay(case)
            others = replay(case, margin=margin) if margin is not None else found
        except orjson.JSONDecodeError:
            raise BadFile(_("Line %(number)s: broken JSON.") % {"number": number}) from None
        except BadCase as wrong:
            raise BadFile(_("Line %(number)s: %(why)s") % {"number": number, "why": wrong}) from None
        for one, other in zip(found, others, strict=True):
            worst = max(one.evidence, key=lambda evidence: evidence.evidence)
            told.append({
                "id": one.id[:200], "mode": one.mode, "first": one.first_flag, "with": other.first_flag,
                "after_min": (one.first_flag + 1) * case["bucket_s"] / 60 if one.first_flag >= 0 else None,
                "measure": worst.measure, "ratio": worst.ratio,
            })  # fmt: skip
    if not told:
        raise BadFile(_("It is empty."))
    return {"cases": told}


def _lines(body: bytes) -> Iterator[bytes]:
    if body[:2] != b"\x1f\x8b":
        yield from io.BytesIO(body)
        return
    inflate = decompressobj(31)
    try:
        raw = inflate.decompress(body, LARGEST)
    except ZlibError:
        raise BadFile(_("It is no whole gzip file.")) from None
    if inflate.unconsumed_tail:
        raise BadFile(_("It inflates to more than %(most)s MB.") % {"most": LARGEST // 2**20})
    if not inflate.eof:
        raise BadFile(_("It is no whole gzip file."))
    yield from io.BytesIO(raw)
