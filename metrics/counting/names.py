"""Finds the database ids for the names events use, and makes the ones that are new, within their bounds."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db.models import Min
from django.utils import timezone

from metrics.counting.grouping import Known, fault_of
from metrics.intake.event import FAULT, Event, field_of
from metrics.models import Account, Fault, Signal, SliceValue
from metrics.models.fault import FAULTS_PER_PRODUCT
from metrics.models.signal import OTHER, SIGNALS_PER_PRODUCT, VALUES_PER_SLICE
from releases.models import Deploy, Feature, Product, Release

MEASURED = ("use", "session", "error")
FEATURES_PER_PRODUCT = 200
#: Customers of a workspace; events of further ones count, but for no customer.
CUSTOMERS = 200_000
#: Seconds for which the room for more is believed.
_BELIEVED = 60.0
_FAR = float("inf")


class Look(NamedTuple):
    """The names one event uses."""

    environment: str
    kind: str
    name: str
    feature: str
    release: str
    plan: str
    platform: str
    country: str


_look, _at, _customer = field_of(*Look._fields), field_of("at"), field_of("customer")
_room: dict[int, tuple[int, float]] = {}  # workspace -> customers that there is room for, and until when it is believed


def resolve(product: Product, events: list[Event]) -> tuple[Known, list[Event]]:
    """Ids for all names, and the events with names beyond the bounds renamed to OTHER."""
    events = within_room(product.workspace_id, events)
    # Thousands of events hold few different names.
    looks = set(map(_look, events))
    environments = _slice_values(product, "environment", {look.environment for look in map(Look._make, looks)})
    if any(look[0] not in environments for look in looks):
        events = [e if e.environment in environments else e._replace(environment=OTHER) for e in events]
        looks = set(map(_look, events))
    seen = sorted(map(Look._make, looks))
    wanted = {(look.kind, look.name): look.feature for look in seen if look.kind in MEASURED}
    signals, events = _signals(product, wanted, events)
    if any(look.kind == "error" for look in seen):
        signals |= _faults(product, events)
    releases = Release.objects.discover(product, {look.release for look in seen}, timezone.now())
    _note_arrivals(releases, seen, events)
    return (
        Known(
            signals={key: signal.pk for key, signal in signals.items()},
            releases={version: release.pk for version, release in releases.items()},
            plans=_slice_values(product, "plan", {look.plan for look in seen}),
            platforms=_slice_values(product, "platform", {look.platform for look in seen}),
            countries=_slice_values(product, "country", {look.country for look in seen}),
        ),
        events,
    )


def within_room(workspace: int, events: list[Event]) -> list[Event]:
    """The events, without the customers for which there is no room: names that somebody makes up fill no table."""
    named = set(map(_customer, events)) - {""}
    room, until = _room.get(workspace, (0, 0.0))
    if len(named) <= room and time.monotonic() < until:
        _room[workspace] = room - len(named), until  # as if all were new
        return events
    accounts = Account.objects.filter(workspace=workspace)
    room = CUSTOMERS - accounts.count()
    _room[workspace] = room - len(named), time.monotonic() + _BELIEVED
    if len(named) <= room:
        return events
    unknown = named - set(accounts.filter(external_id__in=named).values_list("external_id", flat=True))
    beyond = set(sorted(unknown)[max(0, room) :])
    return [e._replace(customer="") if e.customer in beyond else e for e in events] if beyond else events


def _signals(
    product: Product, wanted: dict[tuple[str, str], str], events: list[Event]
) -> tuple[dict[tuple[str, str], Signal], list[Event]]:
    known = {(s.kind, s.name): s for s in Signal.objects.filter(product=product, name__in={n for _k, n in wanted})}
    missing = sorted(wanted.keys() - known.keys())
    if missing:
        room = SIGNALS_PER_PRODUCT - Signal.objects.filter(product=product).exclude(kind=FAULT).count()
        if len(missing) > room:
            beyond = set(missing[max(0, room - len(MEASURED)) :])
            missing = missing[: max(0, room - len(MEASURED))]
            events = [e._replace(name=OTHER) if (e.kind, e.name) in beyond else e for e in events]
            wanted |= {(kind, OTHER): "" for kind, _name in beyond}
            missing += sorted({(kind, OTHER) for kind, _name in beyond})
        for kind, name in missing:
            known[kind, name], _new = Signal.objects.get_or_create(product=product, kind=kind, name=name)
    _link_features(product, known, wanted)
    return known, events


def _faults(product: Product, events: list[Event]) -> dict[tuple[str, str], Signal]:
    """The signals of the groups that errors belong to; those beyond the bound have none."""
    first: dict[str, Event] = {}
    for event in events:
        if (name := fault_of(event)) and (name not in first or event.at < first[name].at):
            first[name] = event
    if not first:
        return {}
    known = {s.name: s for s in Signal.objects.filter(product=product, kind=FAULT, name__in=list(first))}
    missing = sorted(first.keys() - known.keys())
    if missing:
        room = FAULTS_PER_PRODUCT - Signal.objects.filter(product=product, kind=FAULT).count()
        for name in missing[: max(0, room)]:
            known[name] = _make_fault(product, name, first[name])
    found = {(FAULT, name): signal for name, signal in known.items()}
    _link_features(product, found, {(FAULT, name): first[name].feature for name in known})
    return found


def _make_fault(product: Product, name: str, event: Event) -> Signal:
    signal, _new = Signal.objects.get_or_create(product=product, kind=FAULT, name=name)
    props = event.props
    told = {key: str(props.get(key) or "")[:limit] for key, limit in (("type", 200), ("value", 2000), ("culprit", 400))}
    if not any(told.values()):
        told["value"] = str(props.get("message") or "")[:2000]
    values = {
        **told, "frames": props.get("frames") or [], "platform": event.platform,
        "group_version": int(props.get("group_version") or 0), "first_at": datetime.fromtimestamp(event.at, UTC),
    }  # fmt: skip
    Fault.objects.get_or_create(signal=signal, defaults=values)
    return signal


def _link_features(
    product: Product, signals: dict[tuple[str, str], Signal], wanted: dict[tuple[str, str], str]
) -> None:
    """A signal belongs to the first feature its events name."""
    unlinked = [(key, s) for key, s in signals.items() if s.feature_id is None and wanted.get(key)]
    for key, signal in unlinked:
        name = wanted[key]
        feature = Feature.objects.filter(product=product, name=name).first()
        if feature is None and Feature.objects.filter(product=product).count() < FEATURES_PER_PRODUCT:
            feature, _new = Feature.objects.get_or_create(product=product, name=name)
        if feature:
            signal.feature = feature
            signal.save(update_fields=["feature"])


def _note_arrivals(releases: dict[str, Release], seen: list[Look], events: list[Event]) -> None:
    """A release nobody announced counts as deployed when its first event happened, also when that comes late."""
    quiet = {r.version: r for r in releases.values() if r.source == "events"}
    pairs = {(look.release, look.environment) for look in seen if look.release in quiet and look.kind in MEASURED}
    if not pairs:
        return
    deploys = Deploy.objects.filter(release__in=quiet.values()).order_by()
    known = {(r, e): at for r, e, at in deploys.values_list("release", "environment").annotate(Min("at"))}
    earliest = min(map(_at, events), default=0.0)
    pairs = {(v, e) for v, e in pairs if (at := known.get((quiet[v].pk, e))) is None or earliest < at.timestamp()}
    if not pairs:
        return
    first: dict[tuple[str, str], float] = {}
    for event in events:
        key = (event.release, event.environment)
        if key in pairs and event.kind in MEASURED and event.at < first.get(key, _FAR):
            first[key] = event.at
    for (version, environment), at in sorted(first.items()):
        quiet[version].arrive(environment, datetime.fromtimestamp(int(at), UTC))


def _slice_values(product: Product, dimension: str, values: Iterable[str]) -> frozenset[str]:
    if not set(values) - {""}:
        return frozenset()
    known = set(
        SliceValue.objects.filter(product=product, dimension=dimension).values_list("value", flat=True)
    )
    for value in sorted(set(values) - known - {""})[: max(0, VALUES_PER_SLICE - len(known))]:
        SliceValue.objects.get_or_create(product=product, dimension=dimension, value=value)
        known.add(value)
    return frozenset(known)


def kept_since(now: datetime) -> float:
    """Unix seconds from which raw events are kept."""
    return (now - timedelta(days=14)).timestamp()
