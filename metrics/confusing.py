"""Reads the sessions of each day out of the kept events, and asks of each release which features are not understood.

Of what was received only this is read event by event, so it has bounds: a day is read again when a quarter came to it
or when it is over, and of days beyond MOST events some hours only.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from math import ceil
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Sum
from django.db.models.functions import TruncDate

from metrics.counting import chunks
from metrics.detection import confusion
from metrics.detection.rates import Interval, wilson
from metrics.detection.sessions import ASKING, FINISH, RETRY, SIGNS, Act, cut, part_of, signs
from metrics.intake.event import AGGREGATED, FAULT
from metrics.models import Confusion, EventChunk, FeatureDay, SessionDay, Signal, Trial
from releases.models import Deploy, Feature, Product, Release

#: Days that are read: as long as events are kept.
DAYS = 14
#: Events of a day that are read at most, and the growth from which a day is read again before it is over.
MOST, GROWTH = 300_000, 1.25
#: How long after its end a day is read for good.
LATE = timedelta(hours=1)
#: How far back the time before a release reaches, and how long after it sessions are its own.
BEFORE, AFTER = timedelta(days=14), timedelta(days=14)
#: First uses of so many days are followed, for so many days each.
FOLLOWED, RETURN = 28, 14
log = logging.getLogger(__name__)

_FIELDS = (
    "at", "kind", "name", "release", "environment", "user", "customer", "session", "feature", "bad", "flags", "props",
)  # fmt: skip


class Did(NamedTuple):
    """One event of somebody."""

    at: float
    act: Act | None  # None: it only says that something failed
    release: str
    customer: str
    is_bad: bool


@dataclass
class Count:
    sessions: int = 0
    confused: int = 0
    users: set[str] = field(default_factory=set)
    signs: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))


def look(now: datetime) -> None:
    """Everything that is due."""
    read(now)
    follow(now)
    judge(now)


def read(now: datetime) -> int:
    """Every product's days that are due; how many there were."""
    total = 0
    for product in Product.objects.order_by("pk"):
        try:
            total += read_product(product, now)
        except Exception:  # whatever is wrong with its events, the other products have nothing to do with it
            log.exception("The sessions of product %s could not be read", product.pk)
    return total


def read_product(product: Product, now: datetime) -> int:
    first = (now.astimezone(UTC) - timedelta(days=DAYS)).date()
    kept = EventChunk.objects.filter(product_id=product.pk, first_at__gte=_midnight(first))
    told = kept.annotate(day=TruncDate("first_at", tzinfo=UTC)).values("day").annotate(total=Sum("n")).order_by("day")
    known = {row.day: row for row in SessionDay.objects.filter(product=product, day__gte=first)}
    due = [row for row in told if _is_due(known.get(row["day"]), row["day"], row["total"], now)]
    for row in due:
        read_day(product, row["day"], row["total"], now)
    return len(due)


def _is_due(known: SessionDay | None, day: date, events: int, now: datetime) -> bool:
    if known is None or known.read_at is None or events >= known.events * GROWTH:
        return True
    return events != known.events and now >= _midnight(day) + timedelta(days=1) + LATE


def read_day(product: Product, day: date, events: int, now: datetime) -> None:
    """All that is told of the day is what its events say now."""
    every = min(24, ceil(events / MOST))
    with transaction.atomic():
        # One at a time.
        SessionDay.objects.get_or_create(product=product, day=day)
        kept = SessionDay.objects.select_for_update().get(product=product, day=day)
        counts, kept.sessions, kept.failed = _count(product, day, every)
        ours = FeatureDay.objects.filter(product_id=product.pk, day=day)
        ours.delete()
        FeatureDay.objects.bulk_create(_rows(product, day, counts), batch_size=2_000)
        kept.events, kept.every, kept.read_at = events, every, now
        kept.save()


Place = tuple[int, int, str, str]  # feature, release, environment, customer


def _count(product: Product, day: date, every: int) -> tuple[dict[Place, Count], int, int]:
    """Counts by place; sessions in all, and those in which something failed."""
    releases = dict(Release.objects.filter(product=product).values_list("version", "pk"))
    finishing = frozenset(
        feature for feature, part in _parts(product).values() if part == FINISH and feature
    )
    counts: defaultdict[Place, Count] = defaultdict(Count)
    total = failed = 0
    for (environment, who), did in _by_user(product, day, every).items():
        did.sort(key=lambda each: each.at)
        for session in cut([each.at for each in did]):
            acts = did[session]
            total += 1
            if any(each.is_bad for each in acts):
                failed += 1
                continue
            found = signs([each.act for each in acts if each.act], finishing)
            customer = next((each.customer for each in acts if each.customer), "")
            for feature, seen in found.items():
                version = next(each.release for each in acts if each.act and each.act.feature == feature)
                count = counts[feature, releases.get(version, 0), environment, customer]
                count.sessions += 1
                count.users.add(who)
                count.confused += bool(seen)
                for sign in seen:
                    count.signs[sign] += 1
    return counts, total, failed


def _by_user(product: Product, day: date, every: int) -> dict[tuple[str, str], list[Did]]:
    """What each user of each environment did; without a user, each session. Nobody's events are nobody's session."""
    parts, features = _parts(product), dict(Feature.objects.filter(product=product).values_list("name", "pk"))
    found: defaultdict[tuple[str, str], list[Did]] = defaultdict(list)
    first, read_ = _midnight(day), 0
    kept = EventChunk.objects.filter(product_id=product.pk, first_at__gte=first, first_at__lt=first + timedelta(days=1))
    rows = kept.exclude(signal_id=0).order_by("first_at").values_list("first_at", "signal_id", "n", "body")
    for first_at, signal, n, body in rows.iterator(chunk_size=50):
        # Other hours each day, so that no time of day is left out.
        if (first_at.astimezone(UTC).hour + day.toordinal()) % every or read_ >= MOST * 2:
            continue
        read_ += n
        feature_of, part = parts.get(signal, (0, ""))
        for at, kind, name, release, environment, user, customer, session, feature, bad, flags, props in chunks.fields(
            bytes(body), *_FIELDS
        ):
            who = user or session
            if not who or flags & AGGREGATED:
                continue
            act = None
            if kind == "use":
                is_struggle = bool(props.get("struggle")) if props else False
                act = Act(at, name, features.get(feature, 0) or feature_of, part, is_struggle)
            if act or bad:
                found[environment, who].append(Did(at, act, release, customer, bool(bad)))
    return found


def _parts(product: Product) -> dict[int, tuple[int, str]]:
    """signal -> its feature (0: none), and what it is a part of."""
    told = Signal.objects.filter(product=product).exclude(kind=FAULT).values_list("pk", "feature", "part", "name")
    return {pk: (feature or 0, part or part_of(name)) for pk, feature, part, name in told}


def _rows(product: Product, day: date, counts: Mapping[Place, Count]) -> list[FeatureDay]:
    return [
        FeatureDay(
            product_id=product.pk, day=day, feature_id=feature, release_id=release, environment=environment,
            customer=customer, sessions=count.sessions, users=len(count.users), confused=count.confused,
            **{sign: count.signs[sign] for sign in SIGNS},
        )
        for (feature, release, environment, customer), count in counts.items()
    ]  # fmt: skip


@dataclass(frozen=True)
class Found:
    """Of one feature with one release; signs: how many sessions showed each. once: accounts that used it for the first
    time and never again within 14 days, with how many were followed; None where too few were."""

    feature: Feature
    told: confusion.Told
    signs: dict[str, int]
    once: tuple[int, int, Interval] | None

    def as_json(self) -> dict[str, Any]:
        told = self.told
        return {
            "feature": self.feature.name, "status": told.status, "sessions": round(told.sums.n),
            "confused": round(told.sums.k), "accounts": round(told.sums.accounts),
            "share": _plain(told.share), "others": _plain(told.others),
            "change": _plain(told.change) if told.change else None, "signs": self.signs,
            "once": {"accounts": self.once[1], "never_again": self.once[0], "share": _plain(self.once[2])}
            if self.once else None,
        }  # fmt: skip


def _plain(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def load(release: Release, environment: str) -> list[Found]:
    """Every feature that was used with the release, the most confusing first. Four queries."""
    began = _began(release, environment)
    if began is None:
        return []
    since, until = (began - BEFORE).astimezone(UTC).date(), (began + AFTER).astimezone(UTC).date()
    newer = Release.objects.filter(product=release.product_id, shipped_at__gt=began).exclude(pk=release.pk)
    sides = _sums(release, environment, since, until, set(newer.values_list("pk", flat=True)))
    told = confusion.judge(sides[True], sides[False])
    features = Feature.objects.filter(pk__in=told).select_related("trial").in_bulk()
    shown = _signs(release, environment, until)
    found = [
        Found(features[pk], each, shown.get(pk, {}), _once(features[pk])) for pk, each in told.items() if pk in features
    ]
    order = {confusion.CONFUSING: 0, confusion.SAME: 1, confusion.NOT_ENOUGH: 2}
    return sorted(found, key=lambda each: (order[each.told.status], -each.told.share.value, each.feature.name))


def judge(now: datetime) -> int:
    """Notes what is surely confusing of the releases of the last weeks; how many features that are."""
    total = 0
    young = Deploy.objects.filter(at__gt=now - AFTER, at__lte=now)
    pairs = young.values_list("release", "environment").distinct().order_by("release", "environment")
    releases = Release.objects.select_related("product").in_bulk([release for release, _environment in pairs])
    for pk, environment in pairs:
        found = [each for each in load(releases[pk], environment) if each.told.status == confusion.CONFUSING]
        total += len(found)
        with transaction.atomic():
            known = Confusion.objects.filter(release=pk, environment=environment)
            known.exclude(feature__in=[each.feature for each in found]).update(is_active=False, looked_at=now)
            for each in found:
                values = {"numbers": each.as_json(), "is_active": True, "looked_at": now}
                Confusion.objects.update_or_create(
                    release_id=pk, environment=environment, feature=each.feature,
                    defaults=values, create_defaults={**values, "found_at": now},
                )  # fmt: skip
    return total


def follow(now: datetime) -> None:
    """Once a day: of each feature, who used it for the first time and came back."""
    today = now.astimezone(UTC).date()
    until, since = today - timedelta(days=RETURN), today - timedelta(days=RETURN + FOLLOWED)
    due = Feature.objects.exclude(trial__counted_at__gt=now - timedelta(days=1))
    for feature in due.order_by("pk").iterator():
        parts = Signal.objects.filter(feature=feature, kind="use").values_list("pk", "part", "name")
        signals = [pk for pk, part, name in parts if (part or part_of(name)) not in (ASKING, RETRY)]
        accounts, once = _followed(feature.product_id, signals, since, until)
        values = {"since": since, "until": until, "accounts": accounts, "once": once, "counted_at": now}
        Trial.objects.update_or_create(feature=feature, defaults=values)


def _followed(product: int, signals: list[int], since: date, until: date) -> tuple[int, int]:
    """Accounts whose first use lies between the days, and those of them without another day within RETURN. Whoever used
    it on the first day that is known may have done so before."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(*) FILTER (WHERE second IS NULL OR second - first > %s) FROM ("
            "  SELECT customer, min(day) AS first, (array_agg(day ORDER BY day))[2] AS second FROM ("
            "   SELECT DISTINCT customer, day FROM metrics_customer_day"
            "   WHERE product_id = %s AND signal_id = ANY(%s) AND day >= %s AND customer <> ''"
            "  ) AS days GROUP BY customer) AS accounts WHERE first > %s AND first <= %s",
            [RETURN, product, signals, since, since, until],
        )
        accounts, once = cursor.fetchone()
    return accounts, once


def _once(feature: Feature) -> tuple[int, int, Interval] | None:
    trial = getattr(feature, "trial", None)
    if trial is None or trial.accounts < confusion.ACCOUNTS:
        return None
    return trial.once, trial.accounts, wilson(trial.once, trial.accounts)


def _began(release: Release, environment: str) -> datetime | None:
    deploy = Deploy.objects.filter(release=release, environment=environment).order_by("at").first()
    return deploy.at if deploy else None


def _sums(
    release: Release, environment: str, since: date, until: date, newer: set[int]
) -> dict[bool, dict[int, confusion.Sums]]:
    """is it the release -> feature -> sums over accounts; sessions of nobody known are an account each, of which a day
    tells how many there were at least."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT is_new, feature_id, sum(CASE WHEN customer = '' THEN users ELSE 1 END), sum(n), sum(k),"
            " sum(CASE WHEN customer = '' THEN n ELSE n * n END), sum(CASE WHEN customer = '' THEN k ELSE k * k END),"
            " sum(CASE WHEN customer = '' THEN k ELSE n * k END) FROM ("
            "  SELECT release_id = %s AS is_new, feature_id, customer, max(users) AS users,"
            "   sum(sessions)::float8 AS n, sum(confused)::float8 AS k FROM metrics_featureday"
            "  WHERE product_id = %s AND day BETWEEN %s AND %s AND environment = %s AND NOT release_id = ANY(%s)"
            "  GROUP BY 1, 2, 3) AS accounts GROUP BY 1, 2",
            [release.pk, release.product_id, since, until, environment, list(newer)],
        )
        found: dict[bool, dict[int, confusion.Sums]] = {True: {}, False: {}}
        for is_new, feature, *sums in cursor.fetchall():
            found[is_new][feature] = confusion.Sums(*map(float, sums))
    return found


def _signs(release: Release, environment: str, until: date) -> dict[int, dict[str, int]]:
    ours = FeatureDay.objects.filter(
        product_id=release.product_id, release_id=release.pk, environment=environment, day__lte=until
    )
    told = ours.values("feature_id").annotate(*map(Sum, SIGNS)).values_list("feature_id", *(f"{s}__sum" for s in SIGNS))
    return {row[0]: {sign: n for sign, n in zip(SIGNS, row[1:], strict=True) if n} for row in told}


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
