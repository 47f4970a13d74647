"""Celery's way in."""

from django.utils import timezone

from feedback import adopting, silences
from metrics.periodic import periodic


@periodic("adopt")
def adopt() -> None:
    adopting.adopt_accounts()
    adopting.adopt_messages()


@periodic("touched")
def touched() -> None:
    silences.find_touched(timezone.now())
    silences.note_heard(timezone.now())


@periodic("fallen")
def fallen() -> None:
    silences.find_fallen(timezone.now())
