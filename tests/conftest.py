"""Personas: alice (manager), bob (agent), carol (pm) of one workspace; mallory owns another one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client
from playwright.sync_api import Browser, sync_playwright

from accounts.models import User, Workspace
from releases.models import Product
from tests import make

#: Tables made in SQL: Django's flush between transactional tests does not know them.
BEYOND_DJANGO = (
    "metrics_inbox",
    "metrics_processed_batch",
    "metrics_quarantine",
    "metrics_outcome",
    "metrics_arrival",
    "metrics_refusal",
    "metrics_event",
    "metrics_event_seen",
    "metrics_rollup_minute",
    "metrics_rollup_hour",
    "metrics_counter",
    "metrics_customer_day",
    "metrics_user_day",
)


@pytest.fixture(autouse=True)
def beyond_django(request: pytest.FixtureRequest) -> Iterator[None]:
    marker = request.node.get_closest_marker("django_db")
    is_real = "transactional_db" in request.fixturenames or (marker is not None and marker.kwargs.get("transaction"))
    if is_real:
        request.getfixturevalue("transactional_db")
    yield
    if is_real:
        with connection.cursor() as cursor:
            for table in BEYOND_DJANGO:
                cursor.execute(f"DELETE FROM {table}")


@pytest.fixture
def tienda(db: None) -> Workspace:
    return make.workspace("Tienda")


@pytest.fixture
def shop(tienda: Workspace) -> Product:
    return make.product(tienda)


@pytest.fixture
def alice(tienda: Workspace) -> User:
    return make.member(tienda, "manager", "alice@example.com", name="Alice")


@pytest.fixture
def bob(tienda: Workspace) -> User:
    return make.member(tienda, "agent", "bob@example.com", name="Bob")


@pytest.fixture
def carol(tienda: Workspace) -> User:
    return make.member(tienda, "pm", "carol@example.com", name="Carol")


@pytest.fixture
def mallory(db: None) -> User:
    other = make.workspace("Elsewhere")
    make.product(other, "Other shop")
    return make.member(other, "owner", "mallory@example.com", name="Mallory")


@pytest.fixture
def as_() -> type[As]:
    return As


class As(Client):
    """A browser signed in as somebody: `as_(carol).get(...)`."""

    def __init__(self, user: User, **defaults: object) -> None:
        super().__init__(**defaults)
        self.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for one module: its loop runs in this thread, so no other may begin meanwhile, and Django would take
    the tests for async code."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    calm = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        running = playwright.chromium.launch(executable_path=path, args=[*calm, "--disable-component-update"])
        yield running
        running.close()
