"""Charts and rollups are read from a replica of the database, where there is one and it is not too far behind.

What decides and what changes things (detection, triage, every form) always asks the database itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpResponseBase

log = logging.getLogger(__name__)

ALIAS = "replica"
#: Seconds for which the answer to how far behind it is holds, and for which one that failed is left alone.
HOLDS, SPARED = 1.0, 10.0

#: What was replayed last, or the newest tick of a periodic job: with traffic the first is younger, without it the
#: second. Both are moments up to which nothing is missing.
_BEHIND = """
SELECT extract(epoch FROM now() - greatest(pg_last_xact_replay_timestamp(), (SELECT max(at) FROM metrics_jobslot)))
"""
_reading: ContextVar[str] = ContextVar("reading", default=DEFAULT_DB_ALIAS)

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


class Lag:
    """How far behind the replica is: asked once for all requests of a moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until, self._seconds = 0.0, float("inf")

    def read(self) -> float:
        """Seconds; infinity when there is no replica, or it cannot be asked."""
        if ALIAS not in connections:
            return float("inf")
        with self._lock:
            if time.monotonic() > self._until:
                self._until, self._seconds = time.monotonic() + HOLDS, self._ask()
            return self._seconds

    def spare(self) -> None:
        """It failed: nothing is asked of it for a while."""
        connections[ALIAS].close()
        with self._lock:
            self._until, self._seconds = time.monotonic() + SPARED, float("inf")

    def _ask(self) -> float:
        try:
            with connections[ALIAS].cursor() as cursor:
                cursor.execute(_BEHIND)
                found = cursor.fetchone()[0]
        except OperationalError as error:
            log.warning("The replica cannot be asked: %s", str(error).strip().splitlines()[:1])
            connections[ALIAS].close()
            self._until = time.monotonic() + SPARED
            return float("inf")
        return float("inf") if found is None else max(0.0, float(found))


lag = Lag()


def alias() -> str:
    """For `using`: where this request reads charts and rollups."""
    return _reading.get()


def connection() -> BaseDatabaseWrapper:
    return connections[alias()]


def reads(view: View) -> View:
    """A view that may be a little behind; how much, its header X-Data-Age and `data_age` of the request tell in
    seconds. When the replica fails meanwhile, the view is run again with the database itself: it only reads."""

    @wraps(view)
    def read(*args: Any, **kwargs: Any) -> HttpResponseBase:
        request = next(each for each in args if hasattr(each, "META"))
        behind = lag.read()
        if behind <= settings.REPLICA_MOST_BEHIND:
            request.data_age = round(behind)
            token = _reading.set(ALIAS)
            try:
                response = view(*args, **kwargs)
            except OperationalError as error:
                log.warning("The replica failed: %s", str(error).strip().splitlines()[:1])
                lag.spare()
            else:
                response["X-Data-Age"] = f"{behind:.1f}"
                return response
            finally:
                _reading.reset(token)
        request.data_age = None
        return view(*args, **kwargs)

    return read  # type: ignore[return-value]
