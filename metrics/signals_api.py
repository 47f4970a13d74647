"""Signals over the API, and how they are judged: the same verb as in the browser."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from metrics.intake.event import FAULT
from metrics.models import Signal
from metrics.models.signal import PARTS, TUNED, WIDEST
from productops.lib.api import Pages
from releases.api import product_of, user_of, workspace_of


class SignalSerializer(serializers.ModelSerializer[Signal]):
    product = serializers.CharField(source="product.slug", read_only=True)
    feature = serializers.CharField(source="feature.name", default=None, read_only=True, allow_null=True)
    margin = serializers.FloatField(
        allow_null=True, min_value=0, max_value=WIDEST, required=False, help_text="as a share; null: as usual"
    )
    fewest = serializers.IntegerField(
        allow_null=True, min_value=1, max_value=2**31 - 1, required=False, help_text="uses of a new release"
    )
    volume_worse = serializers.ChoiceField(choices=[-1, 0, 1], required=False, help_text="-1: less is worse, 1: more")
    muted_until = serializers.DateTimeField(allow_null=True, required=False)
    part = serializers.ChoiceField(choices=PARTS, required=False, help_text="of its feature; empty: as its name says")

    class Meta:
        model = Signal
        fields = ["id", "product", "kind", "name", "feature", *TUNED]
        read_only_fields = ["id", "kind", "name"]


class Signals(APIView):
    acts = {"GET": "workspace.view"}

    @extend_schema(
        operation_id="signals_list",
        parameters=[OpenApiParameter("product", str, description="slug, name or id")],
        responses=SignalSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        found = Signal.objects.filter(product__workspace=workspace_of(request)).exclude(kind=FAULT)
        if request.query_params.get("product"):
            found = found.filter(product=product_of(request, request.query_params["product"]))
        pages: Pages = Pages()
        rows = found.select_related("product", "feature").order_by("product", "kind", "name")
        page: list[Any] | None = pages.paginate_queryset(rows, request, view=self)
        return pages.get_paginated_response(SignalSerializer(page, many=True).data)


class OneSignal(APIView):
    acts = {"GET": "workspace.view", "PATCH": "release.edit"}

    @extend_schema(operation_id="signals_get", responses=SignalSerializer)
    def get(self, request: Request, pk: int) -> Response:
        return Response(SignalSerializer(_find(request, pk)).data)

    @extend_schema(operation_id="signals_tune", request=SignalSerializer, responses=SignalSerializer)
    def patch(self, request: Request, pk: int) -> Response:
        signal = _find(request, pk)
        given = SignalSerializer(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        if unknown := set(request.data) - set(TUNED):
            raise ValidationError({name: ["This cannot be changed."] for name in sorted(unknown)})
        signal.tune(user_of(request), **given.validated_data)
        return Response(SignalSerializer(_find(request, pk)).data)


def _find(request: Request, pk: int) -> Signal:
    found = Signal.objects.filter(product__workspace=workspace_of(request)).exclude(kind=FAULT)
    return get_object_or_404(found.select_related("product__workspace", "feature"), pk=pk)
