"""Celery's way in."""

from celery import shared_task

from feedback import adopting


@shared_task
def adopt() -> None:
    adopting.adopt_accounts()
    adopting.adopt_messages()
