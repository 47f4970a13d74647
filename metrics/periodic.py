"""Jobs that beat asks for again and again: each at most once in its slot, and somebody does them when beat is silent.

`settings.CELERY_BEAT_SCHEDULE` is the only list; a job's row in JobSlot says when it ran last.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps

from celery import current_app, shared_task
from django.conf import settings
from django.db import close_old_connections, connections
from django.utils import timezone

from metrics.models import JobSlot

log = logging.getLogger(__name__)

#: Of a job's period: two ticks of one beat never share a slot, those of two beats mostly do.
SLOT = 0.8
#: Seconds between two looks for jobs that nobody does.
LOOK = 5.0
#: A job is late after this many periods, and never before this many seconds.
LATE, LEAST = 3, 15.0


def periodic(job: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """A task of the schedule. Whoever comes second in its slot does nothing."""

    def wrap(run: Callable[[], None]) -> Callable[[], None]:
        @wraps(run)
        def once() -> None:
            if JobSlot.take(job, period(job) * SLOT):
                run()

        task: Callable[[], None] = shared_task(once)
        return task

    return wrap


def period(job: str) -> float:
    """Seconds."""
    return float(settings.CELERY_BEAT_SCHEDULE[job]["schedule"])


def ages(now: datetime) -> dict[str, float]:
    """Seconds since each job began last; one that never did is as old as the world. One query."""
    ran = dict(JobSlot.objects.values_list("job", "at"))
    return {
        job: (now - ran[job]).total_seconds() if job in ran else float("inf") for job in settings.CELERY_BEAT_SCHEDULE
    }


def late(ages: dict[str, float]) -> list[str]:
    return sorted(job for job, age in ages.items() if age > max(LATE * period(job), LEAST))


class Sweeper(threading.Thread):
    """Does what is late: when beat died, or when Redis is away and no task arrives. One in each worker process."""

    def __init__(self) -> None:
        super().__init__(name="sweeper", daemon=True)
        self._closing = threading.Event()
        self._began = timezone.now()

    def run(self) -> None:
        while not self._closing.wait(LOOK * random.uniform(0.7, 1.3)):
            try:
                close_old_connections()
                if timezone.now() - self._began > timedelta(seconds=LEAST):  # a beat that starts with us has its chance
                    self.sweep()
            except Exception as error:
                log.warning("The sweeper could not look: %s", error)
        connections.close_all()

    def sweep(self) -> None:
        for job in late(ages(timezone.now())):
            log.warning("%s is late; done without beat", job)
            current_app.tasks[settings.CELERY_BEAT_SCHEDULE[job]["task"]]()

    def close(self) -> None:
        self._closing.set()
