"""Bearer tokens for the API. Cookies are never looked at, so no request can be forged with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, MethodNotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import access
from accounts.models import ApiToken, User

if TYPE_CHECKING:
    from rest_framework.views import APIView


class BearerToken(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = ApiToken.objects.authenticate(text.strip(), timezone.now())
        if token is None:
            raise AuthenticationFailed("This token is unknown, expired or revoked.")
        return token.membership.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Productops"'


class Allowed(BasePermission):
    """Reads `acts = {"GET": "workspace.view", ...}` from the view; a method not listed is refused."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        acts: dict[str, str] = getattr(view, "acts", {})
        act = acts.get("GET" if request.method in {"HEAD", "OPTIONS"} else request.method or "")
        if not isinstance(request.auth, ApiToken):
            return False
        if act is None or (request.method or "").lower() not in view.http_method_names:
            raise MethodNotAllowed(request.method or "")
        return access.can(request.auth.membership, act)

