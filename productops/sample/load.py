"""Loads the sample workspace, once, and removes it without a trace."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any

from django.db import connection, transaction
from django.db.models import Sum

from accounts.models import Membership, User, Workspace
from activity.models import Event, record
from feedback import adopting, silences
from incidents import attending, timers
from incidents.models import Incident
from metrics import confusing, partitions, watching
from metrics.counting import drain
from metrics.models import Account as Named
from metrics.models import Inbox, IngestKey, Outcome, Regression
from productops.sample import cast, entrance, past
from productops.sample.desk import Desk
from productops.sample.story import Narrator
from productops.sample.timeline import DAYS, ENVIRONMENT, REHEARSAL, STAGING, Version, versions
from productops.sample.wire import Account, Request, introductions, requests
from releases.models import WATCH, Product, Release

WORKSPACE, PRODUCT, CURRENCY = "Tienda", "Shop", "EUR"
#: Recorded last: a workspace without it is a loading that was cut off.
LOADED = "workspace.sample_loaded"
#: Any number will do; it only has to be the same in every process that loads the sample.
_LOCK = 71_026
#: Moments at which the hub looks at the newest release, before the end.
_LOOKS = (timedelta(minutes=40), timedelta())
#: Tables without foreign keys, which deleting a product does not reach.
#: How long things may take in a small shop software company.
_TARGETS = {
    severity: dict(zip(timers.KINDS, spans, strict=True))
    for severity, spans in {
        "critical": ("15min", "8h", "2h", "3h", "30min"),
        "high": ("8h", "14d", "2d", "3d", "1d"),
        "medium": ("1d", "30d", "", "", ""),
        "low": ("5d", "", "", "", ""),
    }.items()
}

_LOOSE = (
    "metrics_inbox", "metrics_event", "metrics_event_seen", "metrics_rollup_minute", "metrics_rollup_hour",
    "metrics_arrival", "metrics_counter",
    "metrics_customer_day", "metrics_user_day", "metrics_outcome", "metrics_refusal", "metrics_quarantine",
    "metrics_processed_batch", "metrics_featureday",
)  # fmt: skip


@dataclass
class Sample:
    workspace: Workspace
    product: Product
    key: IngestKey
    #: What the loading did, in seconds and counts; empty when it was there already.
    told: dict[str, Any] = field(default_factory=dict)


def find() -> Sample | None:
    """The sample, when it is there and whole."""
    workspace = Workspace.objects.filter(is_sample=True).order_by("pk").first()
    if workspace is None or not Event.objects.about(workspace).filter(verb=LOADED).exists():
        return None
    product = Product.objects.filter(workspace=workspace).order_by("pk").first()
    return Sample(workspace, product, IngestKey.current(product)) if product else None


def load(now: datetime, scale: float = 1.0) -> Sample:
    """The sample, loaded when it is missing or was cut off. `now` is where its thirty days end."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    try:
        found = find()
        if found:
            return found
        remove()
        return _load(now, scale)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def remove() -> int:
    """Deletes every sample workspace with all that belongs to it; how many there were."""
    removed = 0
    for workspace in Workspace.objects.filter(is_sample=True):
        products = list(workspace.products.values_list("pk", flat=True))
        people = User.objects.filter(memberships__workspace=workspace, email__endswith=f"@{cast.MAIL}")
        people_ids = list(people.values_list("pk", flat=True))
        with transaction.atomic(), connection.cursor() as cursor:
            for table in _LOOSE:
                cursor.execute(f"DELETE FROM {table} WHERE product_id = ANY(%s)", [products])
            workspace.delete()
            User.objects.filter(pk__in=people_ids, memberships=None).delete()
        removed += 1
    return removed


def _load(now: datetime, scale: float) -> Sample:
    clock = _Clock()
    partitions.ensure(now)
    team = _hire()
    workspace, product = _found(team, now)
    key = IngestKey.current(product)
    released = versions(now)
    _announce(product, released, team["carol"])
    clients = cast.clients()
    to = Account(product.pk, key.key)
    clock.told["events"] = _count(_tell(clients, released, now, scale, to), to)
    clock.lap("events")
    while Named.objects.filter(workspace=workspace, adopted_at=None).exists():
        adopting.adopt_accounts()
    desk = Desk(workspace, product, team, clients, now)
    desk.look_after()
    desk.keep_views()
    clock.lap("customers")
    clock.told["complaints"] = desk.work()
    clock.lap("people")
    clock.told["verdicts"] = _judge(product, released, now)
    clock.lap("verdicts")
    confusing.look(now)
    silences.find_touched(now)
    silences.find_fallen(now)
    desk.ask_silent()
    clock.lap("silence")
    for incident in Incident.objects.of(workspace).exclude(regression=None).filter(status="new"):
        desk.join_newest(incident)
    desk.tell()
    record(workspace, LOADED, workspace, at=now)
    return Sample(workspace, product, key, clock.told)


class _Clock:
    def __init__(self) -> None:
        self._last, self.told = time.monotonic(), dict[str, Any]()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.told[f"{name}_seconds"], self._last = round(now - self._last, 1), now


def _hire() -> dict[str, User]:
    found = {}
    for person in cast.TEAM:
        known = User.objects.filter(email=person.email).first()
        found[person.name] = known or User.objects.create_user(
            person.email, cast.PASSWORD, name=person.full_name, language=person.language, zone=person.zone
        )
    return found


def _found(team: dict[str, User], now: datetime) -> tuple[Workspace, Product]:
    began = now - timedelta(days=DAYS)
    with transaction.atomic():
        workspace = Workspace.objects.found(WORKSPACE, team[cast.TEAM[0].name], CURRENCY)
        targets = timers.as_json(timers.Policy(_TARGETS))
        Workspace.objects.filter(pk=workspace.pk).update(is_sample=True, created_at=began, timers=targets)
        workspace.refresh_from_db()
        for person in cast.TEAM[1:]:
            Membership.objects.create(workspace=workspace, user=team[person.name], role=person.role, joined_at=began)
        with past.at(began):
            product = Product.objects.found(workspace, PRODUCT, team["carol"])
    return workspace, product


def _announce(product: Product, released: list[Version], by: User) -> None:
    for version in released:
        rehearsal = version.began - REHEARSAL
        with past.at(rehearsal):
            release, _new = Release.objects.create_version(product, version.version, "api", by)
        Release.objects.filter(pk=release.pk).update(created_at=rehearsal)
        release.deploy(STAGING, 100, at=rehearsal, by=by)
        for stage in version.stages:
            release.deploy(ENVIRONMENT, stage.percentage, at=stage.at, by=by)


def _tell(
    clients: list[cast.Client], released: list[Version], now: datetime, scale: float, to: Account
) -> Iterator[Request]:
    began = (now - timedelta(days=DAYS) + timedelta(hours=1)).timestamp()
    narrator = Narrator(clients, now, scale)
    hours = narrator.hours(released)
    return chain(introductions(clients, began, to), chain.from_iterable(requests(hour, to) for hour in hours))


def _count(told: Iterator[Request], to: Account) -> int:
    """Requests are taken in beside the counting, so that two cores share the work; how many events there are."""
    taking = _Taker(told, to)
    while taking.is_busy():
        drain.run(600)
    taking.check()
    # What one of the two could not count at once (a deadlock) waits for its next try.
    waiting = Inbox.objects.filter(product_id=to.product)
    while waiting.exists():
        if not drain.run(600):
            if stuck := waiting.filter(attempts__gte=drain.TRIES).first():
                raise RuntimeError(f"The sample's events could not be counted. {stuck.error}")
            time.sleep(0.2)
    accepted = Outcome.objects.filter(product_id=to.product, outcome="accepted")
    return int(accepted.aggregate(n=Sum("n"))["n"] or 0)


class _Taker:
    """Runs `entrance.take` in a forked process where that is safe, else on a thread."""

    def __init__(self, told: Iterator[Request], to: Account) -> None:
        self._told, self._to, self._failed = told, to, ""
        self._worker: BaseProcess | threading.Thread
        if sys.platform == "linux":
            self._worker = get_context("fork").Process(target=self._take_and_count, daemon=True)
        else:
            self._worker = threading.Thread(target=self._take, daemon=True)
        self._worker.start()

    def _take(self) -> None:
        try:
            entrance.take(self._told, self._to)  # has a connection of its own
        except Exception as error:
            self._failed = repr(error)

    def _take_and_count(self) -> None:
        connection.connection = None  # it is the parent's; psycopg2 closes no connection of another process
        entrance.take(self._told, self._to)
        drain.run(600)

    def is_busy(self) -> bool:
        self._worker.join(0.3)
        return self._worker.is_alive()

    def check(self) -> None:
        if self._failed or (isinstance(self._worker, BaseProcess) and self._worker.exitcode):
            raise RuntimeError(f"The sample's events could not be taken in. {self._failed}")


def _judge(product: Product, released: list[Version], now: datetime) -> dict[str, str]:
    """The hub's own verdicts: on old releases when their watch ended, on the newest again and again until now."""
    found = {}
    for version in released:
        release = Release.objects.select_related("product__workspace").get(product=product, version=version.version)
        over = version.began + WATCH
        looks = [over] if over < now else [now - before for before in _LOOKS]
        for moment in looks:
            verdict = watching.judge(release, ENVIRONMENT, moment)
            found[version.version] = verdict.verdict if verdict else ""
            if Regression.objects.filter(release=release, is_active=True).exists():
                attending.open_incidents(moment)
    return found
