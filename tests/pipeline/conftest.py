"""What the pipeline tests share: partitions, a brute-force recount, and a whole hub in its own processes."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from metrics import partitions
from metrics.counting import chunks
from metrics.intake.event import Event
from metrics.models import EventChunk, RollupHour, RollupMinute
from productops.bench.hub import Hub
from releases.models import Product
from tests import make

LOOSE = (
    *partitions.TABLES, "metrics_rollup_hour", "metrics_customer_day", "metrics_counter", "metrics_inbox",
    "metrics_processed_batch", "metrics_quarantine", "metrics_outcome", "metrics_arrival", "metrics_refusal",
)  # fmt: skip


@pytest.fixture
def days(request: pytest.FixtureRequest, db: None) -> Iterator[None]:
    """The day partitions; and after a test that commits, the tables that Django does not know how to empty."""
    partitions.ensure(timezone.now())
    yield
    marker = request.node.get_closest_marker("django_db")
    if marker and marker.kwargs.get("transaction"):
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {', '.join(LOOSE)}")


@pytest.fixture(scope="session")
def empty_hub() -> Iterator[Hub]:
    """A provisioned database to copy; nothing is started on it."""
    with Hub(os.environ["DATABASE_URL"], has_redis=False) as made:
        yield made


@pytest.fixture(scope="session")
def hub(empty_hub: Hub) -> Iterator[Hub]:
    """Web and worker with a database of their own, shared by the tests that only add to it."""
    with Hub(empty_hub.server, like=empty_hub) as made:
        made.start_web()
        made.start_worker()
        yield made


def traffic(
    product: Product, version: str, since: datetime, minutes: int, rate: float, per_minute: int = 400, seed: int = 1
) -> None:
    """Steady use of one operation by 500 people."""
    rng = random.Random(f"{version}{seed}")
    start = since.timestamp()
    make.counted(
        product,
        [
            make.event(
                at=start + 60 * minute + rng.random() * 59,
                release=version,
                user=f"u{rng.randrange(500)}",
                customer=f"c{rng.randrange(25)}",
                bad=int(rng.random() < rate),
            )
            for minute in range(minutes)
            for _number in range(per_minute)
        ],
    )


def together(*jobs: Callable[[], Any]) -> list[Any]:
    """Runs the jobs in threads that begin at the same moment; their results, or the error of one."""
    gate, found = threading.Barrier(len(jobs)), [None] * len(jobs)

    def run(place: int, job: Callable[[], Any]) -> None:
        try:
            gate.wait(10)
            found[place] = job()
        except Exception as error:
            found[place] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for result in found:
        if isinstance(result, Exception):
            raise result
    return found


def sums(model: type[RollupMinute] | type[RollupHour], **where: Any) -> dict[str, float]:
    names = ("n", "bad", "bad_sq", "users", "bad_users", "timed", "total")
    rows = list(model.objects.filter(**{"slice": "", **where}).values(*names))
    return {name: sum(row[name] for row in rows) for name in names}


def kept() -> list[Event]:
    return [event for row in EventChunk.objects.order_by("pk") for event in chunks.unpack(bytes(row.body))]


def seen() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM metrics_event_seen")
        return cursor.fetchone()[0]
