"""Celery's way in: each task delegates, and is harmless when it runs twice."""

from celery import shared_task
from django.utils import timezone

from metrics import partitions, retention
from metrics.counting import drain as draining
from metrics.models import JobSlot


@shared_task
def drain() -> None:
    draining.run()
    draining.set_aside()


@shared_task
def detect() -> None:
    from metrics import watching

    if JobSlot.take("detect", 10):
        watching.look(timezone.now())


@shared_task
def tidy() -> None:
    if JobSlot.take("tidy", 600):
        partitions.ensure(timezone.now())
        partitions.drop_old(timezone.now())
        retention.sweep(timezone.now())
