"""Celery's way in."""

from feedback import adopting
from metrics.periodic import periodic


@periodic("adopt")
def adopt() -> None:
    adopting.adopt_accounts()
    adopting.adopt_messages()
