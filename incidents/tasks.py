"""Celery's way in: each task delegates, and is harmless when it runs twice."""

from celery import shared_task
from django.utils import timezone

from incidents import attending, ledger


@shared_task
def attend() -> None:
    attending.open_incidents(timezone.now())
    attending.wake_snoozed(timezone.now())


@shared_task
def weigh() -> None:
    ledger.weigh_open(timezone.now())


@shared_task
def verify() -> None:
    attending.verify_resolved(timezone.now())
