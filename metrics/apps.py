from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils import timezone


class MetricsConfig(AppConfig):
    name = "metrics"

    def ready(self) -> None:
        post_migrate.connect(_make_partitions, sender=self)


def _make_partitions(**_kwargs: Any) -> None:
    from metrics import partitions

    partitions.ensure(timezone.now())
