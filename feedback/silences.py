"""Finds the customers whom a release hurt, or whose use fell away, and of whom nobody has heard; and what became of
those found before.

Reasons, as Silence keeps them:
  {code: "errors", signal, failures, uses, usual}      failures beyond what is usual for what this customer did
  {code: "confusion", feature, confused, sessions}     sessions without errors that showed a feature is not understood
  {code: "drop", uses, usual, days}                    since the release less than half of its own weekdays' median
  {code: "quiet", uses, usual, days}                   the same for two weeks, whatever the release
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db import transaction
from django.db.models import Max, Sum

from feedback.models import Complaint, Customer, Silence
from metrics.detection import touched
from metrics.models import Confusion, CustomerDay, FeatureDay, Signal
from releases.models import Product, Release

ENVIRONMENT = "production"
#: How long after it shipped a release's customers are watched, and how far back the usual reaches.
WATCHED, USUAL = timedelta(days=14), timedelta(days=14)
#: Full days of use that are needed to say that it fell away, and the days before whose weekdays are the usual.
FEWEST_DAYS, REFERENCE, QUIET = 3, 28, 14
#: Confused sessions that are no accident.
OFTEN = 2
#: Whom a complaint of the last days, or nothing for so long, takes from the list.
RECENT, GONE = timedelta(days=30), timedelta(days=14)

#: customer's own id -> its reasons
Reasons = dict[str, list[dict[str, Any]]]


def find_touched(now: datetime) -> int:
    """Errors and confusion of the releases of the last two weeks; how many customers are listed now."""
    total = 0
    for release in _young(now):
        found = _together(_errors(release, now), _confused(release))
        total += _keep(release.product, release, ("errors", "confusion"), found, now)
    return total


def find_fallen(now: datetime) -> int:
    """Use that fell away: since a release, and over two weeks; and who listed before has left."""
    total = 0
    for release in _young(now):
        began = (release.shipped_at or now).astimezone(UTC).date()
        days = [began + timedelta(days=n) for n in range(1, (now.astimezone(UTC).date() - began).days)]
        if len(days) >= FEWEST_DAYS:
            ours = _days(release.product).filter(release_id=release.pk)
            seen = set(ours.values_list("customer", flat=True).distinct())
            fallen = {who: why for who, why in _fallen(release.product, days, "drop").items() if who in seen}
            total += _keep(release.product, release, ("drop",), fallen, now)
    today = now.astimezone(UTC).date()
    for product in Product.objects.order_by("pk"):
        days = [today - timedelta(days=n) for n in range(QUIET, 0, -1)]
        total += _keep(product, None, ("quiet",), _fallen(product, days, "quiet"), now)
        _note_left(product, now)
    return total


def note_heard(now: datetime) -> None:
    """Who was listed and has written since."""
    waiting = Silence.objects.filter(heard_at=None, listed_at__gt=now - 2 * RECENT)
    said = Complaint.objects.filter(customer__in=waiting.values("customer")).exclude(kind=Complaint.Kind.PRAISE)
    told: defaultdict[int, list[datetime]] = defaultdict(list)
    for customer, at in said.filter(created_at__gt=now - 2 * RECENT).values_list("customer", "created_at"):
        told[customer].append(at)
    for row in waiting.filter(customer__in=told):
        if later := [at for at in told[row.customer_id] if at > row.listed_at]:
            Silence.objects.filter(pk=row.pk, heard_at=None).update(heard_at=min(later))


def _young(now: datetime) -> list[Release]:
    found = Release.objects.filter(shipped_at__gt=now - WATCHED, shipped_at__lte=now)
    return list(found.select_related("product__workspace").order_by("pk"))


def _keep(product: Product, release: Release | None, codes: Collection[str], found: Reasons, now: datetime) -> int:
    """Lists who is found and was not heard, with these reasons instead of the earlier ones of the same codes."""
    since = (release.shipped_at or now) if release else now - RECENT
    with transaction.atomic():
        Product.objects.select_for_update().get(pk=product.pk)  # one at a time
        rows = Silence.objects.filter(product=product, release=release)
        known = {row.customer_id: row for row in rows.select_related("customer")}
        ids = {c.external_id: c for c in Customer.objects.filter(workspace=product.workspace_id, external_id__in=found)}
        heard = Complaint.objects.filter(customer__in=ids.values(), created_at__gte=since)
        loud = set(heard.exclude(kind=Complaint.Kind.PRAISE).values_list("customer", flat=True))
        named = {ids[name].pk: why for name, why in found.items() if name in ids}
        more = [
            Silence(
                workspace_id=product.workspace_id, product=product, release=release, customer_id=pk, reasons=reasons,
                listed_at=now, looked_at=now,
            )
            for pk, reasons in named.items() if pk not in loud and pk not in known
        ]  # fmt: skip
        Silence.objects.bulk_create(more, batch_size=500)
        changed = []
        for pk, row in known.items():
            reasons = [r for r in row.reasons if r["code"] not in codes] + named.get(pk, [])
            if reasons != row.reasons:
                row.reasons, row.is_listed, row.looked_at = reasons, bool(reasons), now
                changed.append(row)
        Silence.objects.bulk_update(changed, ["reasons", "is_listed", "looked_at"], batch_size=500)
    return len(more) + sum(row.is_listed for row in known.values())


def _errors(release: Release, now: datetime) -> Reasons:
    """Of each customer the signal with the surest failures beyond the usual, among all that all customers used."""
    began = (release.shipped_at or now).astimezone(UTC).date()
    names = dict(Signal.objects.filter(product=release.product, kind__in=("use", "session")).values_list("pk", "name"))
    days = _days(release.product).filter(signal_id__in=list(names))
    before = days.filter(day__gte=began - USUAL, day__lt=began).exclude(release_id=release.pk).values("signal_id")
    usual = {
        row["signal_id"]: row["f"] / row["u"] for row in before.annotate(u=Sum("uses"), f=Sum("failures")) if row["u"]
    }
    ours = days.filter(release_id=release.pk, day__gte=began).exclude(customer="")
    pairs = ours.values("customer", "signal_id").annotate(u=Sum("uses"), f=Sum("failures"))
    told = {
        (row["customer"], row["signal_id"]): (row["u"], row["f"]) for row in pairs.filter(f__gte=touched.FEWEST)
    }
    counts = {
        (who, signal): (float(f), u * usual.get(signal, 0.0)) for (who, signal), (u, f) in told.items()
    }
    found: Reasons = {}
    for who, signal in touched.unusual(counts, pairs.count()):
        uses, failures = told[who, signal]
        reason = {"code": "errors", "signal": names[signal], "failures": failures, "uses": uses}
        found.setdefault(who, [{**reason, "usual": usual.get(signal, 0.0)}])
    return found


def _confused(release: Release) -> Reasons:
    """Sessions that went wrong without an error; one is enough where the feature is not understood by many."""
    hard = set(Confusion.objects.filter(release=release, is_active=True).values_list("feature", flat=True))
    features = dict(release.product.features.values_list("pk", "name"))
    ours = FeatureDay.objects.filter(product_id=release.product_id, release_id=release.pk, environment=ENVIRONMENT)
    found: Reasons = {}
    sums = ours.exclude(customer="").values("customer", "feature_id").annotate(k=Sum("confused"), n=Sum("sessions"))
    for row in sums.filter(k__gt=0).order_by("customer", "-k"):
        is_often = row["k"] >= (1 if row["feature_id"] in hard else OFTEN)
        if is_often and row["feature_id"] in features and row["customer"] not in found:
            told = {"feature": features[row["feature_id"]], "confused": row["k"], "sessions": row["n"]}
            found[row["customer"]] = [{"code": "confusion", **told}]
    return found


def _fallen(product: Product, days: list[date], code: str) -> Reasons:
    """Use on these days against the median of the same weekdays in the four weeks before; days on which nothing arrived
    from anybody are not known, and left out."""
    since = days[0] - timedelta(days=REFERENCE)
    uses = Signal.objects.filter(product=product, kind="use").values_list("pk", flat=True)
    rows = _days(product).filter(signal_id__in=list(uses)).exclude(customer="")
    measured = set(rows.filter(day__gte=since, day__lte=days[-1]).values_list("day", flat=True).distinct())
    window = [day for day in days if day in measured]
    before = [day for n in range(REFERENCE) if (day := since + timedelta(days=n)) in measured]
    known: defaultdict[int, int] = defaultdict(int)
    for day in before:
        known[day.isoweekday()] += 1
    window = [day for day in window if known[day.isoweekday()] >= 2]
    if len(window) < max(FEWEST_DAYS, len(days) - 2):
        return {}
    actual = dict(
        rows.filter(day__in=window).values("customer").annotate(u=Sum("uses")).values_list("customer", "u")
    )
    daily = rows.filter(day__in=before).values_list("customer", "day").annotate(u=Sum("uses")).order_by("customer")
    found: Reasons = {}
    # One customer after the other, as the key has them: of all at once there may be millions of days.
    for who, told in groupby(daily.iterator(chunk_size=10_000), itemgetter(0)):
        seen: defaultdict[int, list[float]] = defaultdict(list)
        for _who, day, uses_then in told:
            seen[day.isoweekday()].append(uses_then)
        usual = sum(touched.median(seen[day.isoweekday()], known[day.isoweekday()]) for day in window)
        if touched.has_fallen(actual.get(who, 0), usual):
            found[who] = [{"code": code, "uses": actual.get(who, 0), "usual": round(usual, 1), "days": len(window)}]
    return found


def _note_left(product: Product, now: datetime) -> None:
    """Who has not used it for two weeks since it was listed, while others went on."""
    waiting = Silence.objects.filter(product=product, left_at=None, listed_at__gt=now - 3 * RECENT)
    ids = {name: (pk, at) for name, pk, at in waiting.values_list("customer__external_id", "customer", "listed_at")}
    newest = _days(product).aggregate(at=Max("last_at"))["at"]
    if not ids or newest is None or now - newest > timedelta(days=1):
        return
    last = _days(product).filter(customer__in=list(ids)).values("customer").annotate(at=Max("last_at"))
    for row in last:
        customer, listed_at = ids[row["customer"]]
        if now - max(row["at"], listed_at) >= GONE:
            waiting.filter(customer=customer).update(left_at=row["at"])


def _days(product: Product) -> Any:
    return CustomerDay.objects.filter(product_id=product.pk, environment=ENVIRONMENT)


def _together(*found: Reasons) -> Reasons:
    told: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for reasons in found:
        for who, why in reasons.items():
            told[who] += why
    return dict(told)
