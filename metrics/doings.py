"""What one customer did around a moment, out of the kept events: the evidence beside a complaint."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

from metrics.counting import chunks
from metrics.detection.sessions import Act, cut, part_of, signs
from metrics.intake.event import AGGREGATED, FAULT
from metrics.models import CustomerDay, EventChunk, Signal
from releases.models import Feature, Product

#: How far around the moment.
SPAN = timedelta(minutes=30)
#: Rows of kept events that are read at most, of up to 1,000 events each, and signals that are looked at.
MOST, SIGNALS = 24, 60

_FIELDS = ("at", "kind", "name", "user", "customer", "session", "feature", "bad", "flags", "props")


def around(
    product: Product, customer: str, moment: datetime, feature: Feature | None = None
) -> tuple[int, dict[str, int], dict[str, int]]:
    """(uses, name -> failures, sign -> sessions) of a customer (its id in the events) within SPAN of a moment, of one
    feature or of all. At most three queries, and MOST rows of events however many came."""
    days = {(moment - SPAN).astimezone(UTC).date(), (moment + SPAN).astimezone(UTC).date()}
    used = CustomerDay.objects.filter(product_id=product.pk, customer=customer, day__in=days)
    wanted = list(used.values_list("signal_id", flat=True).distinct()[:SIGNALS])
    if not wanted:
        return 0, {}, {}
    told = Signal.objects.filter(pk__in=wanted).values_list("pk", "feature", "feature__name", "part", "name", "kind")
    signals = {pk: (of or 0, called or "", part, name, kind) for pk, of, called, part, name, kind in told}
    if feature is not None:
        signals = {pk: each for pk, each in signals.items() if each[0] in {0, feature.pk}}
    ids = dict(Feature.objects.filter(product=product).values_list("name", "pk")) if feature is None else {
        feature.name: feature.pk
    }  # fmt: skip
    kept = EventChunk.objects.filter(
        product_id=product.pk, signal_id__in=signals, first_at__lte=moment + SPAN, last_at__gte=moment - SPAN,
        first_at__gte=moment - SPAN - timedelta(days=1),
    )  # fmt: skip
    uses, failed = 0, Counter[str]()
    by_user: defaultdict[str, list[tuple[float, Act | None, bool]]] = defaultdict(list)
    first, last = (moment - SPAN).timestamp(), (moment + SPAN).timestamp()
    for signal, body in kept.order_by("-last_at").values_list("signal_id", "body")[:MOST]:
        of, called, part, signal_name, signal_kind = signals[signal]
        for at, kind, name, user, who, session, in_feature, bad, flags, props in chunks.fields(bytes(body), *_FIELDS):
            if who != customer or not first <= at <= last or flags & AGGREGATED:
                continue
            if feature is not None and in_feature and in_feature != feature.name:
                continue
            act = None
            if kind == "use":
                uses += 1
                struggle = bool(props.get("struggle")) if props else False
                act = Act(at, name, ids.get(in_feature, 0) or of, part or part_of(signal_name), struggle)
            if bad:
                failed[in_feature or called or ("" if signal_kind == FAULT else signal_name)] += 1
            by_user[user or session].append((at, act, bool(bad)))
    return uses, dict(failed), _struggles(by_user)


def _struggles(by_user: dict[str, list[tuple[float, Act | None, bool]]]) -> dict[str, int]:
    """Signs of sessions in which nothing failed."""
    found = Counter[str]()
    for did in by_user.values():
        did.sort(key=lambda each: each[0])
        for session in cut([at for at, _act, _bad in did]):
            acts = did[session]
            if not any(bad for _at, _act, bad in acts):
                seen = signs([act for _at, act, _bad in acts if act])
                found.update(sign for each in seen.values() for sign in each)
    return dict(found)
