"""Factories: plain functions, each making one valid thing with as little said as possible."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Any
from uuid import uuid4

from django.utils import timezone

from accounts.models import ApiToken, Membership, User, Workspace
from feedback.models import Complaint, Customer
from incidents.models import Incident
from metrics.counting import drain
from metrics.intake import stored
from metrics.intake.event import Event, Parsed
from metrics.models import Inbox, IngestKey, Regression, Signal
from releases.models import Product, Release

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)


def user(email: str = "", **fields: Any) -> User:
    return User.objects.create_user(email or f"person{next(_numbers)}@example.com", PASSWORD, **fields)


def member(workspace: Workspace, role: str, email: str = "", **fields: Any) -> User:
    person = user(email or f"{role}{next(_numbers)}@example.com", **fields)
    Membership.objects.create(workspace=workspace, user=person, role=role)
    return person


def workspace(name: str = "Tienda") -> Workspace:
    return Workspace.objects.found(name, user())


def product(workspace: Workspace, name: str = "Shop") -> Product:
    return Product.objects.found(workspace, name)


def key(product: Product) -> str:
    return IngestKey.current(product).key


def token(user: User, workspace: Workspace, name: str = "test") -> str:
    membership = Membership.objects.get(user=user, workspace=workspace)
    return ApiToken.objects.issue(membership, name)[1]


def release(product: Product, version: str = "1.0", at: datetime | None = None, **deploy: Any) -> Release:
    made, _new = Release.objects.create_version(product, version, "api")
    if at or deploy:
        made.deploy(deploy.pop("environment", "production"), at=at, **deploy)
    return made


def customer(workspace: Workspace, name: str = "", **fields: Any) -> Customer:
    name = name or f"Customer {next(_numbers)}"
    fields.setdefault("external_id", f"c-{next(_numbers)}")
    return Customer.objects.create(workspace=workspace, name=name, **fields)


def complaint(workspace: Workspace, text: str = "The checkout fails.", **fields: Any) -> Complaint:
    return Complaint.objects.log(workspace, text, **fields)


def incident(workspace: Workspace, title: str = "Checkout fails", by: User | None = None, **fields: Any) -> Incident:
    return Incident.objects.report(workspace, title, by or user(), **fields)


def event(name: str = "checkout", **fields: Any) -> Event:
    """A normal event; any field can be given."""
    given = {
        "id": uuid4().hex, "kind": "use", "name": name, "at": timezone.now().timestamp(), "release": "1.0",
        "environment": "production", "user": "u1", "customer": "c1", "session": "", "feature": "", "platform": "",
        "plan": "", "country": "", "n": 1, "bad": 0, "value": None, "flags": 0, "props": {},
    }  # fmt: skip
    return Event(**{**given, **fields})


def batch(product: Product, events: list[Event], outcomes: Parsed | None = None, **fields: Any) -> Inbox:
    """An accepted request, as the door commits it."""
    body = stored.pack(events, outcomes.outcomes if outcomes else {})
    given = {
        "batch_id": uuid4(), "product_id": product.pk, "protocol": "productops", "events": len(events),
        "body": body, "received_at": timezone.now(),
    }  # fmt: skip
    return Inbox.objects.create(**{**given, **fields})


def counted(product: Product, events: list[Event]) -> int:
    """Events accepted and drained."""
    batch(product, events)
    return drain.run()


def evidence(**fields: Any) -> dict[str, Any]:
    """A stored trace entry that says "worse"."""
    return {
        "signal": 0, "name": "checkout", "kind": "use", "feature": "", "slice": "", "places": [], "measure": "failure_rate",
        "method": "concurrent", "version": 1, "status": "worse", "transient": False, "n_old": 5000.0, "bad_old": 205.0,
        "n_new": 1402.0, "bad_new": 181.0, "old": 0.041, "new": 0.129, "low": 0.112, "high": 0.148, "ratio": 3.1,
        "ratio_low": 2.5, "ratio_high": 3.8, "evidence": 21000.0, "threshold": 400.0, "margin": 0.1, "mde": 0.3,
        "deff": 1.2, "needed": 0.0, "first_bucket": 2, "buckets": 30, "control": "plain",
        "started_at": timezone.now().isoformat(), **fields,
    }  # fmt: skip


def regression(release: Release, signal_name: str = "checkout", **fields: Any) -> Regression:
    signal, _new = Signal.objects.get_or_create(product=release.product, kind="use", name=signal_name)
    now = timezone.now()
    given = {
        "release": release, "environment": "production", "signal": signal, "measure": "failure_rate",
        "evidence": evidence(signal=signal.pk, name=signal_name), "data_up_to": now, "started_at": now,
    }  # fmt: skip
    return Regression.objects.create(**{**given, **fields})
