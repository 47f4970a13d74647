"""The Celery application. Redis is a doorbell: tasks carry ids or nothing, never data."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "productops.settings")

app = Celery("productops")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
_sweepers: list[Any] = []


@worker_process_init.connect
def start_sweeper(**_given: Any) -> None:
    from metrics.periodic import Sweeper

    _sweepers.append(Sweeper())
    _sweepers[-1].start()


@worker_process_shutdown.connect
def stop_sweeper(**_given: Any) -> None:
    for sweeper in _sweepers:
        sweeper.close()
