"""Sets the hub's clock back while people of the story act, so that their acts carry the time of the story."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from unittest.mock import patch


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Only for a command of its own: the clock of the whole process is changed."""
    with patch("django.utils.timezone.now", lambda: moment):
        yield
