"""`manage.py provision`: what a deployment needs, without a browser. Running it again changes nothing."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from accounts.models import ApiToken, Membership, Role, User, Workspace
from metrics.models import IngestKey
from productops.lib import tokens
from releases.models import Product

TOKEN_NAME = "provisioned"  # noqa: S105  a name, no secret


class Command(BaseCommand):
    help = "Makes a workspace, a product, an owner, an ingest key and an API token; prints them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workspace", required=True, help="name of the workspace")
        parser.add_argument("--product", required=True, help="name of the product")
        parser.add_argument("--email", required=True, help="e-mail of its owner")
        parser.add_argument("--password", help="password of a new owner; without one, they reset it by e-mail")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            validate_email(options["email"])
        except ValidationError as error:
            raise CommandError(f"--email: {error.messages[0]}") from None
        with transaction.atomic():
            found = self._provision(options)
        if options["json"]:
            self.stdout.write(json.dumps(found))
        else:
            for name, value in found.items():
                self.stdout.write(f"{name:12} {value}")

    def _provision(self, options: dict[str, Any]) -> dict[str, Any]:
        user = User.objects.filter(email=options["email"].lower()).first() or User.objects.create_user(
            options["email"], options["password"]
        )
        workspace = Workspace.objects.filter(name=options["workspace"], memberships__user=user).first()
        workspace = workspace or Workspace.objects.found(options["workspace"], user)
        product = Product.objects.filter(workspace=workspace, name=options["product"]).first()
        product = product or Product.objects.found(workspace, options["product"], user)
        key = IngestKey.current(product)
        membership = Membership.objects.get(workspace=workspace, user=user)
        if membership.role not in {Role.OWNER, Role.MANAGER}:
            raise CommandError(f"{user.email} is {membership.role} of this workspace, not its owner or manager.")
        return {
            "workspace": workspace.slug,
            "product_id": product.pk,
            "ingest_key": key.key,
            "dsn": key.dsn,
            "api_token": _token(membership),
            "url": f"{settings.BASE_URL}/w/{workspace.slug}/",
        }


def _token(membership: Membership) -> str:
    """The same token each time: its secret is made from SECRET_KEY and its stored id, so it is kept nowhere."""
    stored = ApiToken.objects.filter(membership=membership, name=TOKEN_NAME, revoked_at=None).first()
    if stored is not None:
        text = tokens.derive("pat", stored.token_id, settings.SECRET_KEY).text
        if ApiToken.objects.authenticate(text, timezone.now()):
            return text
        stored.revoke()  # SECRET_KEY was changed, or its year is over
    token = tokens.derive("pat", tokens.issue("pat").id, settings.SECRET_KEY)
    ApiToken.objects.store(membership, TOKEN_NAME, token)
    return token.text
