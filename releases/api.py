"""Releases and deploys over the API: told by CI."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import ApiToken, Membership, User, Workspace
from productops.lib.api import Pages
from releases.models import VERSION, Deploy, Feature, Product, Release


def membership_of(request: Request) -> Membership:
    """Who the token acts for; `Allowed` has checked that there is one."""
    assert isinstance(request.auth, ApiToken)
    return request.auth.membership


def user_of(request: Request) -> User:
    return membership_of(request).user


def workspace_of(request: Request) -> Workspace:
    """The token's workspace: nothing else is reachable with it."""
    return membership_of(request).workspace


def product_of(request: Request, given: Any) -> Product:
    """The product named by slug, name or id; it may be left out where there is only one."""
    products = Product.objects.filter(workspace=workspace_of(request))
    text = str(given or "").replace("\x00", "").strip()
    if not text:
        found = list(products[:2])
        if len(found) == 1:
            return found[0]
        raise ValidationError({"product": ["Say which product: its slug or id."]})
    by_name = products.filter(slug=text).first() or products.filter(name=text).first()
    if by_name is None and text.isascii() and text.isdecimal() and len(text) < 16:
        by_name = products.filter(pk=int(text)).first()
    if by_name is None:
        raise ValidationError({"product": ["This product does not exist here."]})
    return by_name


def version_of(request: Request, version: str, product: Any = None) -> Release:
    """The release of this version; the newest when several products share it and none is named."""
    found = Release.objects.of(workspace_of(request)).filter(version=version.replace("\x00", ""))
    if product:
        found = found.filter(product=product_of(request, product))
    return get_object_or_404(found.select_related("product__workspace").in_order()[:1])


class DeploySerializer(serializers.ModelSerializer[Deploy]):
    product = serializers.CharField(write_only=True, required=False, help_text="slug, name or id")
    at = serializers.DateTimeField(required=False)
    environment = serializers.CharField(max_length=40, default="production")

    class Meta:
        model = Deploy
        fields = ["product", "environment", "percentage", "at", "source"]
        read_only_fields = ["source"]


class ReleaseSerializer(serializers.ModelSerializer[Release]):
    product = serializers.CharField(source="product.slug", required=False, help_text="slug, name or id")
    deploys = DeploySerializer(many=True, read_only=True)
    features: Any = serializers.SlugRelatedField(
        slug_field="name", many=True, read_only=True, help_text="that it touches; none: nobody said"
    )

    class Meta:
        model = Release
        fields = ["version", "product", "url", "source", "created_at", "shipped_at", "features", "deploys"]
        read_only_fields = ["source", "created_at", "shipped_at"]

    version = serializers.CharField(max_length=120, validators=[VERSION])


class NewReleaseSerializer(ReleaseSerializer):
    features: Any = serializers.ListField(
        child=serializers.CharField(max_length=80),
        max_length=200,
        required=False,
        help_text="names of features that it touches",
    )


class Releases(APIView):
    acts = {"GET": "workspace.view", "POST": "release.edit"}

    @extend_schema(
        operation_id="releases_list",
        parameters=[OpenApiParameter("product", str, description="slug, name or id")],
        responses=ReleaseSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        found = Release.objects.of(workspace_of(request)).select_related("product")
        found = found.prefetch_related("deploys", "features")
        if request.query_params.get("product"):
            found = found.filter(product=product_of(request, request.query_params["product"]))
        pages: Pages = Pages()
        page: list[Any] | None = pages.paginate_queryset(found.in_order(), request, view=self)
        return pages.get_paginated_response(ReleaseSerializer(page, many=True).data)

    @extend_schema(
        operation_id="releases_create",
        request=NewReleaseSerializer,
        responses={201: ReleaseSerializer, 200: OpenApiResponse(ReleaseSerializer, "It existed already.")},
    )
    def post(self, request: Request) -> Response:
        given = NewReleaseSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        data = given.validated_data
        product = product_of(request, (data.get("product") or {}).get("slug"))
        features = Feature.objects.filter(product=product, name__in=data.get("features", []))
        if unknown := set(data.get("features", [])) - {feature.name for feature in features}:
            raise ValidationError({"features": [f"The product has no feature {name}." for name in sorted(unknown)]})
        release, is_new = Release.objects.create_version(
            product, data["version"], "api", user_of(request), data.get("url", "")
        )
        if "features" in data:
            release.touch(features, user_of(request))
        return Response(ReleaseSerializer(release).data, status=201 if is_new else 200)


class Deploys(APIView):
    acts = {"GET": "workspace.view", "POST": "release.edit"}

    @extend_schema(
        operation_id="deploys_list",
        parameters=[OpenApiParameter("product", str)],
        responses=DeploySerializer(many=True),
    )
    def get(self, request: Request, version: str) -> Response:
        release = version_of(request, version, request.query_params.get("product"))
        return Response(DeploySerializer(release.deploys.order_by("at"), many=True).data)

    @extend_schema(operation_id="deploys_create", request=DeploySerializer, responses={201: DeploySerializer})
    def post(self, request: Request, version: str) -> Response:
        given = DeploySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        data = given.validated_data
        release = version_of(request, version, data.get("product"))
        deploy = release.deploy(
            data["environment"], data.get("percentage"), data.get("at"), user_of(request), source="api"
        )
        return Response(DeploySerializer(deploy).data, status=201)
