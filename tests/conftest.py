"""Personas: alice (manager), bob (agent), carol (pm) of one workspace; mallory owns another one."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import User, Workspace
from releases.models import Product
from tests import make


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
