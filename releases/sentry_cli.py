"""What `sentry-cli releases …` and `sentry-cli deploys …` ask of a server, so that existing CI steps work unchanged.

SENTRY_URL is the hub, SENTRY_AUTH_TOKEN a personal token, SENTRY_ORG the workspace's slug, SENTRY_PROJECT the
product's.
"""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from productops.lib.api import moment
from releases.api import product_of, user_of, version_of, workspace_of
from releases.models import VERSION, Deploy, Product, Release


class NewRelease(serializers.Serializer[Any]):
    version = serializers.CharField(max_length=120, validators=[VERSION])
    projects = serializers.ListField(child=serializers.CharField(), required=False, max_length=50)
    url = serializers.URLField(required=False, allow_null=True)


class NewDeploy(serializers.Serializer[Any]):
    environment = serializers.CharField(max_length=40)
    dateFinished = serializers.CharField(required=False, allow_null=True)
    dateStarted = serializers.CharField(required=False, allow_null=True)


class CliView(APIView):
    """The organization of the address must be the token's workspace; else it does not exist."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if "org" in kwargs and kwargs["org"] != workspace_of(request).slug:
            raise Http404


@extend_schema(exclude=True)
class Info(CliView):
    acts = {"GET": "workspace.view"}

    def get(self, request: Request) -> Response:
        user = user_of(request)
        about = {"id": str(user.pk), "email": user.email, "name": str(user)}
        return Response({"version": "0", "auth": {"scopes": ["project:releases"]}, "user": about})


@extend_schema(exclude=True)
class Nothing(CliView):
    """Repositories and the commits of earlier releases: the hub keeps none."""

    acts = {"GET": "workspace.view"}
    empty: Any = []

    def get(self, request: Request, **_parts: str) -> Response:
        return Response(self.empty)


@extend_schema(exclude=True)
class CliReleases(CliView):
    acts = {"GET": "workspace.view", "POST": "release.edit"}

    def get(self, request: Request, org: str, project: str = "") -> Response:
        found = Release.objects.of(workspace_of(request)).select_related("product")
        if project:
            found = found.filter(product=product_of(request, project))
        return Response([_told(release) for release in found.in_order()[:100]])

    def post(self, request: Request, org: str) -> Response:
        given = NewRelease(data=request.data)
        given.is_valid(raise_exception=True)
        made = [
            Release.objects.create_version(
                product, given.validated_data["version"], "cli", user_of(request), given.validated_data.get("url") or ""
            )
            for product in _products(request, given.validated_data.get("projects"))
        ]
        # 208 is what the real server answers when the release was there already.
        return Response(_told(made[0][0]), status=201 if any(is_new for _r, is_new in made) else 208)


@extend_schema(exclude=True)
class CliRelease(CliView):
    """Commits and `finalize` are taken without effect: a release ships with its first deploy or event."""

    acts = {"GET": "workspace.view", "PUT": "release.edit"}

    def get(self, request: Request, org: str, version: str) -> Response:
        return Response(_told(version_of(request, version)))

    def put(self, request: Request, org: str, version: str) -> Response:
        found = Release.objects.of(workspace_of(request)).filter(version=version).first()
        if found is None:
            VERSION(version)
            given = request.data if isinstance(request.data, dict) else {}
            for product in _products(request, given.get("projects")):
                found, _new = Release.objects.create_version(product, version[:120], "cli", user_of(request))
        return Response(_told(version_of(request, version)))


@extend_schema(exclude=True)
class CliDeploys(CliView):
    acts = {"GET": "workspace.view", "POST": "release.edit"}

    def get(self, request: Request, org: str, version: str) -> Response:
        return Response([_deployed(deploy) for deploy in version_of(request, version).deploys.order_by("-at")])

    def post(self, request: Request, org: str, version: str) -> Response:
        given = NewDeploy(data=request.data)
        given.is_valid(raise_exception=True)
        at = moment(given.validated_data.get("dateFinished"), True) or moment(
            given.validated_data.get("dateStarted"), True
        )
        deploy = version_of(request, version).deploy(
            given.validated_data["environment"], at=at, by=user_of(request), source="cli"
        )
        return Response(_deployed(deploy), status=201)


def _products(request: Request, names: Any) -> list[Product]:
    given = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return [product_of(request, name) for name in given or [""]]


def _told(release: Release) -> dict[str, Any]:
    return {
        "version": release.version,
        "shortVersion": release.version,
        "url": release.url or None,
        "dateCreated": release.created_at,
        "dateReleased": release.shipped_at,
        "lastEvent": None,
        "newGroups": 0,
        "projects": [{"slug": release.product.slug, "name": release.product.name}],
    }


def _deployed(deploy: Deploy) -> dict[str, Any]:
    return {
        "id": str(deploy.pk),
        "environment": deploy.environment,
        "name": None,
        "url": None,
        "dateStarted": None,
        "dateFinished": deploy.at,
    }
