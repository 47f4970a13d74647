"""The Celery application. Redis is a doorbell: tasks carry ids or nothing, never data."""

import os
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun, worker_process_init, worker_process_shutdown
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "productops.settings")

app = Celery("productops")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Celery would connect anew for every task, which costs PostgreSQL more than a small one does.
app.conf["CELERY_DB_REUSE_MAX"] = 1_000_000_000
_sweepers: list[Any] = []


@task_prerun.connect
@task_postrun.connect
def close_what_is_broken_or_old(**_given: Any) -> None:
    close_old_connections()


@worker_process_init.connect
def start_sweeper(**_given: Any) -> None:
    from metrics.periodic import Sweeper

    _sweepers.append(Sweeper())
    _sweepers[-1].start()


@worker_process_shutdown.connect
def stop_sweeper(**_given: Any) -> None:
    for sweeper in _sweepers:
        sweeper.close()
