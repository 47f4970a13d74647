"""Ids of another workspace inside a body: refused, and nothing is written."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.urls import reverse

from accounts.models import ApiToken, Invitation, Membership, User
from activity.models import Event
from feedback.models import Complaint, Customer
from incidents.models import Incident, Report
from metrics.models import IngestKey
from releases.models import Deploy, Product, Release
from tests.security import world as worlds
from tests.security.conftest import browser

WRITTEN = (
    ApiToken,
    Complaint,
    Customer,
    Deploy,
    Event,
    IngestKey,
    Incident,
    Invitation,
    Membership,
    Product,
    Release,
    Report,
    User,
)


def everything() -> dict[str, Any]:
    """How many rows there are of what people write, and the columns of incidents that acts change."""
    counts: dict[str, Any] = {model.__name__: model._default_manager.count() for model in WRITTEN}
    fields = ("pk", "status", "severity", "assignee", "original", "fix_release", "version", "snoozed_until")
    counts["incidents"] = list(Incident.objects.order_by("pk").values_list(*fields))
    return counts


def foreign(mine, theirs) -> dict[str, Any]:
    """What of theirs is named, by the words the bodies below use. Numbers: ones that only they have."""
    for k in range(3):
        worlds.make.incident(theirs.workspace, f"Only there {k}", theirs.owner)
    number = Incident.objects.of(theirs.workspace).order_by("-number")[0].number
    assert not Incident.objects.of(mine.workspace).filter(number=number).exists()
    return {
        "user": theirs.owner.pk,
        "mail": theirs.owner.email,
        "incident": theirs.incidents[0].pk,
        "number": number,
        "release": theirs.releases[0].pk,
        "version": theirs.releases[0].version,
        "customer": theirs.customers[0].pk,
        "complaint": theirs.complaints[0].pk,
        "product": theirs.product.pk,
        "slug": "elsewhere",
        "feature": theirs.features[0].pk,
        "feature_name": theirs.features[0].name,
        "membership": theirs.membership("owner").pk,
    }


FORMS = [
    ("incidents:assign", {"assignee": "{user}"}),
    ("incidents:duplicate", {"original": "{incident}"}),
    ("incidents:resolve", {"release": "{release}"}),
    ("feedback:log", {"text": "Broken", "kind": "bug", "customer": "{customer}"}),
    ("feedback:log", {"text": "Broken", "kind": "bug", "feature": "{feature}"}),
    ("feedback:log", {"text": "Broken", "kind": "bug", "same": "incident:{number}"}),
    ("feedback:log", {"text": "Broken", "kind": "bug", "same": "complaint:{complaint}"}),
    ("releases:create", {"product": "{product}", "version": "9.9"}),
]


@pytest.mark.parametrize(("name", "fields"), FORMS)
def test_form(name, fields, world, elsewhere):
    theirs = foreign(world, elsewhere)
    incident = world.incidents[0]
    incident.accept(world.owner)  # so that every act above applies but for the foreign id
    args = [world.workspace.slug, incident.number] if name.startswith("incidents") else [world.workspace.slug]
    before = everything()
    response = browser(world.owner).post(reverse(name, args=args), {k: v.format(**theirs) for k, v in fields.items()})
    assert response.status_code in {200, 400, 404}
    if response.status_code == 200:  # the form again, with its error
        assert response.context["form"].errors
    assert everything() == before
    assert b"elsewhere" not in response.content


BODIES = [
    ("patch", "incidents/{own}", {"assignee": "{mail}"}),
    ("patch", "incidents/{own}", {"status": "duplicate", "duplicate_of": "{number}"}),
    ("patch", "incidents/{own}", {"status": "resolved", "fix_release": "{version}"}),
    ("patch", "incidents/{own}", {"severity": "high", "assignee": "{mail}"}),
    ("post", "complaints", {"text": "Broken", "incident": "{number}"}),
    ("post", "complaints", {"text": "Broken", "release": "{version}"}),
    ("post", "complaints", {"text": "Broken", "release": "{version}", "customer": "somebody-new"}),
    ("post", "complaints", {"text": "Broken", "feature": "{feature_name}"}),
    ("post", "complaints", {"text": "Broken", "product": "{product}"}),
    ("post", "complaints", {"text": "Broken", "product": "{slug}"}),
    ("post", "releases", {"version": "9.9", "product": "{product}"}),
    ("post", "releases", {"version": "9.9", "product": "{slug}"}),
    ("post", "releases/{own_version}/deploys", {"environment": "production", "product": "{product}"}),
    ("post", "releases/{version}/deploys", {"environment": "production"}),
]


@pytest.mark.parametrize(("method", "path", "given"), BODIES)
def test_api_body(method, path, given, world, elsewhere):
    theirs = foreign(world, elsewhere)
    incident = world.incidents[0]
    incident.accept(world.owner)
    token = worlds.token_of(world.owner, world.workspace)
    before = everything()
    body = {key: _filled(value, theirs) for key, value in given.items()}
    response = getattr(browser(), method)(
        "/api/v1/" + path.format(**theirs, own=incident.number, own_version=world.releases[0].version),
        body,
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert response.status_code in {400, 404}, response.content
    assert everything() == before


def _filled(value: str, theirs: dict[str, Any]) -> Any:
    found = value.format(**theirs)
    return int(found) if found.isdecimal() and value == "{number}" else found


QUERIES = [
    "releases?product={product}",
    "rollups?product={product}",
    "regressions?product={slug}",
    "outcomes?product={product}",
    "releases/{own_version}/health?product={product}",
    "incidents?assignee={mail}",
    "incidents?release={version}",
    "complaints?release={version}",
    "customers?q=elsewhere",
    "regressions?release={version}",
]


@pytest.mark.parametrize("path", QUERIES)
def test_api_query(path, world, elsewhere):
    """Refused, or an empty list; never a row of theirs."""
    theirs = foreign(world, elsewhere)
    token = worlds.token_of(world.owner, world.workspace)
    response = browser().get(
        "/api/v1/" + path.format(**theirs, own_version=world.releases[0].version),
        headers={"Authorization": f"Bearer {token}"},
    )
    if response.status_code == 200:
        assert response.json()["count"] == 0
    else:
        assert response.status_code in {400, 404}
    assert b"elsewhere" not in response.content.replace(b"q=elsewhere", b"")


def test_query_cannot_reach_through_relations(world):
    """Names of columns in the query are no filters: the answer is the same with and without them."""
    token = worlds.token_of(world.owner, world.workspace)
    plain = _list(token, "incidents")
    for query in (
        "workspace__slug=x",
        "ordering=assignee__password",
        "assignee__password__startswith=a",
        "expand=workspace",
        "_connector=OR",
        "fields=workspace",
    ):
        assert _list(token, f"incidents?{query}") == plain


def _list(token: str, path: str) -> Any:
    found = browser().get(f"/api/v1/{path}", headers={"Authorization": f"Bearer {token}"})
    assert found.status_code == 200
    return found.json()["results"]


def test_mass_assignment_changes_nothing(world, elsewhere):
    token = worlds.token_of(world.owner, world.workspace)
    more = {
        "workspace": elsewhere.workspace.pk,
        "workspace_id": elsewhere.workspace.pk,
        "id": 1,
        "pk": 1,
        "created_at": "2000-01-01T00:00:00Z",
        "logged_by": elsewhere.owner.pk,
        "is_edited": False,
        "source": "sdk",
        "owner": elsewhere.owner.pk,
        "role": "owner",
        "is_superuser": True,
        "grams": ["x"],
    }
    for path, body in (
        ("complaints", {"text": "Broken"}),
        ("customers", {"external_id": "fresh"}),
        ("releases", {"version": "9.9"}),
    ):
        made = browser().post(
            f"/api/v1/{path}",
            {**more, **body},
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}"},
        )
        assert made.status_code == 201
        assert not made.json()["created_at"].startswith("2000")
    complaint = Complaint.objects.get(text="Broken")
    assert (complaint.workspace, complaint.logged_by, complaint.source) == (world.workspace, world.owner, "api")
    customer = Customer.objects.get(external_id="fresh")
    assert (customer.workspace, customer.owner_id, customer.is_edited) == (world.workspace, None, True)
    assert Release.objects.get(version="9.9").product == world.product
    refused = browser().patch(
        f"/api/v1/incidents/{world.incidents[0].number}",
        {"severity": "high", "pain": 1, "workspace": 1},
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert refused.status_code == 400
    assert set(refused.json()["errors"]) == {"pain", "workspace"}


def test_form_fields_beyond_the_form_change_nothing(world, elsewhere):
    browser(world.people["agent"]).post(
        reverse("feedback:edit_customer", args=[world.workspace.slug, world.customers[0].pk]),
        {
            "name": "New",
            "external_id": "x",
            "workspace": elsewhere.workspace.pk,
            "owner": elsewhere.owner.pk,
            "id": elsewhere.customers[0].pk,
        },
    )
    customer = Customer.objects.get(pk=world.customers[0].pk)
    assert (customer.name, customer.workspace, customer.owner) == ("New", world.workspace, world.owner)
    browser(world.people["agent"]).post(
        reverse("accounts:me"),
        {"name": "B", "zone": "UTC", "theme": "dark", "email": "x@example.com", "is_active": "", "password": "x"},
    )
    agent = User.objects.get(pk=world.people["agent"].pk)
    assert (agent.name, agent.email, agent.is_active) == ("B", world.people["agent"].email, True)
    assert agent.password == world.people["agent"].password


# Roles cannot be raised.


@pytest.mark.parametrize(
    ("actor", "target", "role", "status"),
    [
        ("manager", "owner", "viewer", 403),
        ("manager", "manager", "owner", 403),
        ("manager", "agent", "owner", 403),
        ("pm", "pm", "owner", 403),
        ("pm", "agent", "viewer", 403),
        ("viewer", "viewer", "manager", 403),
        ("owner", "owner", "viewer", 409),
        ("owner", "agent", "superuser", 400),
        ("manager", "agent", "viewer", 302),
        ("owner", "agent", "owner", 302),
    ],
)
def test_change_of_role(actor, target, role, status, world):
    found = world.membership(target)
    path = reverse("accounts:change_role", args=[world.workspace.slug, found.pk])
    assert browser(world.people[actor]).post(path, {"role": role}).status_code == status
    found.refresh_from_db()
    assert found.role == (role if status == 302 else target)


def test_the_last_owner_stays(world):
    path = reverse("accounts:remove", args=[world.workspace.slug, world.membership("owner").pk])
    assert browser(world.people["manager"]).post(path).status_code == 403
    assert browser(world.owner).post(path).status_code == 409
    assert world.membership("owner")


def test_nobody_invites_above_themselves(world):
    path = reverse("accounts:invite", args=[world.workspace.slug])
    before = Invitation.objects.count()
    for role in ("owner", "superuser", ""):
        given = {"email": "new@example.com", "role": role}
        assert browser(world.people["manager"]).post(path, given).status_code in {400, 403}
    assert Invitation.objects.count() == before


def test_token_for_a_workspace_one_is_not_in(world, elsewhere):
    before = ApiToken.objects.count()
    response = browser(world.owner).post(
        reverse("accounts:issue_token"),
        {"workspace": elsewhere.membership("owner").pk, "name": "x", "current": worlds.make.PASSWORD},
    )
    assert response.status_code == 400
    assert ApiToken.objects.count() == before


def test_member_removed_loses_everything_at_once(world):
    manager = world.people["manager"]
    client, token = browser(manager), worlds.token_of(manager, world.workspace)
    page = reverse("accounts:people", args=[world.workspace.slug])
    assert client.get(page).status_code == 200
    world.membership("manager").remove()
    assert client.get(page).status_code == 404
    assert browser().get("/api/v1/incidents", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_role_lowered_counts_for_tokens_too(world):
    manager = world.people["manager"]
    token = worlds.token_of(manager, world.workspace)
    world.membership("manager").change_role("viewer")
    made = browser().post(
        "/api/v1/releases",
        {"version": "9.9"},
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert made.status_code == 403
    assert not Release.objects.filter(version="9.9").exists()


def test_another_workspaces_quarantine_and_key(world, elsewhere):
    """POSTs that only have an id: nothing of theirs moves."""
    owner = browser(elsewhere.owner)
    for name, pk in (("metrics:rotate", world.key.pk), ("metrics:replay", world.quarantine[0].batch_id)):
        assert owner.post(reverse(name, args=[elsewhere.workspace.slug, pk])).status_code == 404
    assert IngestKey.objects.get(pk=world.key.pk).revoked_at is None
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM metrics_quarantine WHERE batch_id = %s", [world.quarantine[0].batch_id])
        assert cursor.fetchone() == (1,)


def test_undo_takes_only_events_of_its_own_incident(world):
    mine, other = world.incidents[0], worlds.make.incident(world.workspace, "Other", world.owner)
    decision = other.accept(world.owner)
    path = reverse("incidents:undo", args=[world.workspace.slug, mine.number, decision.pk])
    assert browser(world.owner).post(path).status_code == 404
    other.refresh_from_db()
    assert other.status == "triaged"
