from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from accounts.models import User, Workspace


@pytest.fixture(autouse=True)
def own_counters(settings: Any) -> None:
    """Rate limits count in a cache of this test alone; passwords are hashed quickly."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": uuid4().hex}}


@pytest.fixture
def owner(tienda: Workspace) -> User:
    return tienda.memberships.get(role="owner").user


@pytest.fixture
def at_once() -> Callable[[int, Callable[[], Any]], list[Any]]:
    """Runs a function in n threads that start together; their answers."""

    def run(n: int, act: Callable[[], Any]) -> list[Any]:
        barrier = Barrier(n)

        def one() -> Any:
            barrier.wait()
            try:
                return act()
            finally:
                connection.close()

        with ThreadPoolExecutor(n) as pool:
            return [future.result() for future in [pool.submit(one) for _ in range(n)]]

    return run
