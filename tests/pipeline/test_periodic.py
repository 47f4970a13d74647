"""Periodic jobs: two beats are harmless, and without any the workers help themselves."""

from __future__ import annotations

import time
from datetime import timedelta

import httpx
import pytest
from django.conf import settings
from django.db.models import F
from django.utils import timezone

from metrics import periodic, watermarks
from metrics.models import JobSlot, RollupMinute
from productops.bench.hub import Hub
from productops.celery import app
from tests import make

from .conftest import together
from .test_store import counted, send

pytestmark = pytest.mark.usefixtures("days")


@pytest.fixture(autouse=True, scope="module")
def tasks():
    app.loader.import_default_modules()


def test_a_slot_is_taken_once(db):
    now = timezone.now()
    assert [JobSlot.take("detect", 8, now) for _beat in range(3)] == [True, False, False]
    assert not JobSlot.take("detect", 8, now - timedelta(seconds=60))  # a message that was held up
    assert JobSlot.take("detect", 8, now + timedelta(seconds=8))
    assert JobSlot.take("guard", 8, now)  # another job


@pytest.mark.django_db(transaction=True)
def test_of_twenty_beats_one_wins():
    now = timezone.now()
    assert sum(together(*[lambda: JobSlot.take("detect", 8, now)] * 20)) == 1


def test_every_job_of_the_schedule_takes_its_slot(db):
    for job, entry in settings.CELERY_BEAT_SCHEDULE.items():
        task = app.tasks[entry["task"]]
        task()
        assert JobSlot.objects.filter(job=job).exists(), job
        # A slot later, lest the clock goes on to the next one meanwhile.
        JobSlot.objects.filter(job=job).update(at=timezone.now() - timedelta(hours=1), slot=F("slot") + 1)
        task()  # the slot is taken: nothing runs
        assert JobSlot.objects.get(job=job).at < timezone.now() - timedelta(minutes=59), job


def test_late_jobs_are_named_and_done(shop):
    everything = set(settings.CELERY_BEAT_SCHEDULE)
    now = timezone.now()
    assert set(watermarks.read(now)["late"]) == everything
    for job in everything:
        JobSlot.take(job, 1, now)
    assert watermarks.read(now)["late"] == []
    assert watermarks.read(now + timedelta(seconds=50))["late"] == [
        "adopt", "attend", "compare", "deliver", "detect", "guard", "notify", "sweep"
    ]  # fmt: skip
    JobSlot.objects.filter(job="sweep").update(slot=0, at=now - timedelta(seconds=60))
    make.batch(shop, [make.event()])
    assert watermarks.read(timezone.now())["drain_lag_s"] >= 0
    periodic.Sweeper().sweep()
    assert RollupMinute.objects.filter(slice="").count() == 1
    assert watermarks.read(timezone.now())["late"] == []


def test_the_oldest_waiting_request_of_any_product_is_the_lag(tienda, shop):
    now = timezone.now()
    make.batch(make.product(tienda, "Other"), [make.event()], received_at=now - timedelta(seconds=90))
    make.batch(shop, [make.event()], received_at=now - timedelta(seconds=30))
    make.batch(shop, [make.event()], received_at=now)
    assert watermarks.read(now)["drain_lag_s"] == 90


@pytest.mark.live
def test_without_redis_and_without_beat_the_worker_counts(empty_hub):
    with Hub(empty_hub.server, like=empty_hub) as hub, httpx.Client(timeout=10) as client:
        hub.start_web()
        hub.start_worker(2)
        hub.wait(lambda: send(client, hub).status_code == 200 and counted(hub), "the first event", 30)
        hub.redis.stop()
        # Celery may end when its broker dies in the middle of a task; whoever keeps it starts it again.
        hub.kill("worker")
        hub.start_worker(2)
        before = counted(hub)
        began = time.monotonic()
        assert send(client, hub, 10).status_code == 200
        hub.wait(lambda: counted(hub) >= before + 10, "the events of a hub without Redis", 60)
        print(f"counted after {time.monotonic() - began:.1f} s")
        hub.wait(lambda: client.get(f"{hub.url}/ready").json()["late"] == [], "all jobs done", 60)
