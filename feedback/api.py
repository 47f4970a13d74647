"""Customers over the API: upsert by your own id."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from feedback.models import Customer, Silence
from productops.lib.api import Pages
from releases.api import user_of, workspace_of


class CleanCharField(serializers.CharField):
    """DRF refuses NUL already; lone surrogates cannot be stored either."""

    def to_internal_value(self, data: Any) -> str:
        text: str = super().to_internal_value(data)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise serializers.ValidationError("This text has characters that cannot be stored.") from None
        return text


class CustomerSerializer(serializers.ModelSerializer[Customer]):
    external_id = CleanCharField(max_length=120)
    name = CleanCharField(max_length=120, required=False)
    domain = CleanCharField(max_length=120, required=False, allow_blank=True)
    plan = CleanCharField(max_length=40, required=False, allow_blank=True)

    class Meta:
        model = Customer
        fields = ["id", "external_id", "name", "domain", "plan", "revenue", "currency", "language", "created_at"]
        read_only_fields = ["id", "created_at"]
        validators: list[object] = []


class Customers(APIView):
    acts = {"GET": "workspace.view", "POST": "customer.edit"}

    @extend_schema(
        operation_id="customers_list",
        parameters=[OpenApiParameter("q", str, description="name, domain, id or e-mail")],
        responses=CustomerSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        typed = request.query_params.get("q", "").replace("\x00", "")[:120]
        found = Customer.objects.of(workspace_of(request)).matching(typed).order_by("name", "id")
        pages: Pages = Pages()
        page: list[Any] | None = pages.paginate_queryset(found, request, view=self)
        return pages.get_paginated_response(CustomerSerializer(page, many=True).data)

    @extend_schema(
        operation_id="customers_upsert",
        request=CustomerSerializer,
        responses={201: CustomerSerializer, 200: OpenApiResponse(CustomerSerializer, "It existed; now changed.")},
    )
    def post(self, request: Request) -> Response:
        given = CustomerSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        fields = dict(given.validated_data)
        external_id = fields.pop("external_id")
        customer, is_new = Customer.objects.upsert(
            workspace_of(request), external_id, user_of(request), is_edited=True, **fields
        )
        return Response(CustomerSerializer(customer).data, status=201 if is_new else 200)


class SilenceSerializer(serializers.ModelSerializer[Silence]):
    customer = serializers.CharField(source="customer.external_id")
    name = serializers.CharField(source="customer.name")
    revenue = serializers.DecimalField(
        source="customer.revenue", max_digits=12, decimal_places=2, allow_null=True, help_text="per month"
    )
    release = serializers.CharField(source="release.version", default=None, allow_null=True)
    reasons = serializers.ListField(child=serializers.DictField(), help_text="code, and the numbers behind it")
    result = serializers.ChoiceField(choices=["", *Silence.Result.values])

    class Meta:
        model = Silence
        fields = [
            "id", "customer", "name", "revenue", "release", "reasons", "is_listed", "listed_at", "heard_at", "left_at",
            "result", "result_at",
        ]  # fmt: skip


class ResultSerializer(serializers.Serializer[Any]):
    result = serializers.ChoiceField(
        choices=["", *Silence.Result.values], help_text='what came of asking; "" takes it back'
    )


class Silences(APIView):
    acts = {"GET": "workspace.view"}

    @extend_schema(
        operation_id="silent_customers_list",
        parameters=[OpenApiParameter("release", str, description="a version; without it those of all")],
        responses=SilenceSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Customers who were hit, did not write, and were not asked yet; the biggest revenue first."""
        found = Silence.objects.of(workspace_of(request)).open().select_related("customer", "release").by_revenue()
        if version := request.query_params.get("release", "").replace("\x00", "")[:120]:
            found = found.filter(release__version=version)
        pages: Pages = Pages()
        page: list[Any] | None = pages.paginate_queryset(found, request, view=self)
        return pages.get_paginated_response(SilenceSerializer(page, many=True).data)


class OneSilence(APIView):
    acts = {"PATCH": "customer.edit"}

    @extend_schema(
        operation_id="silent_customers_answer", request=ResultSerializer, responses=SilenceSerializer
    )
    def patch(self, request: Request, pk: int) -> Response:
        """Notes what came of asking, for every release of which the customer is listed."""
        ours = Silence.objects.of(workspace_of(request)).select_related("customer", "release", "workspace")
        found = get_object_or_404(ours, pk=pk)
        given = ResultSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        found.answer(user_of(request), given.validated_data["result"])
        return Response(SilenceSerializer(found).data)
