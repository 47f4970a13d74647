"""Celery's way in: each task delegates, and is harmless when it runs twice."""

from django.utils import timezone

from incidents import attending, ledger, notifying, reviewing, spiking, suggesting, timing
from metrics.periodic import periodic
from notices import mailing
from notices.models import Notice


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


@periodic("notify")
def notify() -> None:
    notifying.notify(timezone.now())


@periodic("compare")
def compare() -> None:
    suggesting.compare_new(timezone.now())


@periodic("remind")
def remind() -> None:
    reviewing.remind(timezone.now())


@periodic("timers")
def timers() -> None:
    timing.watch(timezone.now())


@periodic("forget")
def forget() -> None:
    Notice.objects.forget(timezone.now())


@periodic("bundle")
def bundle() -> None:
    mailing.bundle(timezone.now())


@periodic("deliver")
def deliver() -> None:
    mailing.deliver(timezone.now())
