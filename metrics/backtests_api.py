"""Backtests over the API: the detectors of today put to the product's own past."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from metrics import backtesting
from metrics.models import Backtest
from metrics.models.signal import WIDEST
from productops.lib.api import Pages
from releases.api import product_of, user_of, workspace_of


class BacktestSerializer(serializers.ModelSerializer[Backtest]):
    product = serializers.CharField(source="product.slug", required=False, help_text="slug, name or id")
    margin = serializers.FloatField(
        allow_null=True, min_value=0, max_value=WIDEST, required=False, help_text="another, tried beside; as a share"
    )
    error = serializers.CharField(read_only=True, help_text="why there is no result")

    class Meta:
        model = Backtest
        fields = ["id", "product", "margin", "name", "made_at", "done_at", "error"]
        read_only_fields = ["name", "made_at", "done_at"]


class DoneSerializer(BacktestSerializer):
    result = serializers.DictField(
        help_text="releases: of each its flags; quiet: days without a release, on which every flag is a false one; or"
        " cases: of a file. Empty until done_at is set."
    )

    class Meta(BacktestSerializer.Meta):
        fields = [*BacktestSerializer.Meta.fields, "result"]


class Backtests(APIView):
    acts = {"GET": "workspace.view", "POST": "release.edit"}

    @extend_schema(
        operation_id="backtests_list",
        parameters=[OpenApiParameter("product", str, description="slug, name or id")],
        responses=BacktestSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        found = Backtest.objects.filter(product__workspace=workspace_of(request)).select_related("product")
        if request.query_params.get("product"):
            found = found.filter(product=product_of(request, request.query_params["product"]))
        pages: Pages = Pages()
        rows = found.defer("body", "result").order_by("-made_at", "-pk")
        page: list[Any] | None = pages.paginate_queryset(rows, request, view=self)
        return pages.get_paginated_response(BacktestSerializer(page, many=True).data)

    @extend_schema(
        operation_id="backtests_run",
        request=BacktestSerializer,
        responses={202: OpenApiResponse(BacktestSerializer, "A worker does it; ask for it until done_at is set.")},
    )
    def post(self, request: Request) -> Response:
        given = BacktestSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        data = given.validated_data
        product = product_of(request, (data.get("product") or {}).get("slug"))
        test = Backtest(product=product, by=user_of(request), margin=data.get("margin"))
        backtesting.ask(test)
        return Response(BacktestSerializer(test).data, status=202)


class OneBacktest(APIView):
    acts = {"GET": "workspace.view"}

    @extend_schema(operation_id="backtests_get", responses=DoneSerializer)
    def get(self, request: Request, pk: int) -> Response:
        found = Backtest.objects.filter(product__workspace=workspace_of(request)).defer("body")
        return Response(DoneSerializer(get_object_or_404(found.select_related("product"), pk=pk)).data)
