"""Celery's way in: each task delegates, and is harmless when it runs twice."""

from django.utils import timezone

from incidents import attending, ledger, spiking
from metrics.periodic import periodic


@periodic("attend")
def attend() -> None:
    attending.open_incidents(timezone.now())
    attending.wake_snoozed(timezone.now())


@periodic("weigh")
def weigh() -> None:
    ledger.weigh_open(timezone.now())


@periodic("complaints")
def complaints() -> None:
    spiking.open_incidents(timezone.now())


@periodic("verify")
def verify() -> None:
    attending.verify_resolved(timezone.now())
