"""Celery's way in: each task delegates, and is harmless when it runs twice."""

from celery import shared_task
from django.utils import timezone

from metrics import guarding, partitions, refusing, retention
from metrics.counting import drain as draining
from metrics.periodic import periodic


@shared_task
def drain() -> None:
    """The doorbell."""
    draining.run()


@periodic("sweep")
def sweep() -> None:
    """What no ring told of, and what failed too often."""
    draining.run()
    draining.set_aside()


@periodic("detect")
def detect() -> None:
    from metrics import watching  # brings arrays, which the web process that rings does not need

    watching.look(timezone.now())


@periodic("refusals")
def refusals() -> None:
    refusing.count(timezone.now())


@periodic("understand")
def understand() -> None:
    from metrics import confusing  # brings arrays, too

    confusing.look(timezone.now())


@shared_task
def backtest(pk: int) -> None:
    from metrics import backtesting  # brings arrays, too

    backtesting.run(pk)


@periodic("guard")
def guard() -> None:
    guarding.guard(timezone.now())


@periodic("tidy")
def tidy() -> None:
    partitions.ensure(timezone.now())
    partitions.drop_old(timezone.now())
    retention.sweep(timezone.now())
