"""Complaints by API: the quick log without its page."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from feedback.api import CleanCharField
from feedback.models import Complaint, Customer
from incidents import quicklog
from incidents.models import Incident
from productops.lib.api import Pages, moment
from releases.api import product_of, user_of, workspace_of
from releases.models import Feature, Product, Release


class ComplaintSerializer(serializers.ModelSerializer[Complaint]):
    text = CleanCharField(max_length=10_000)
    customer = CleanCharField(
        source="customer.external_id", max_length=120, required=False, allow_null=True, default=None,
        help_text="its external id",
    )  # fmt: skip
    product = serializers.CharField(source="product.slug", required=False, allow_null=True, default=None)
    feature = serializers.CharField(source="feature.name", required=False, allow_null=True, default=None)
    release = serializers.CharField(source="release.version", required=False, allow_null=True, default=None)
    incident = serializers.IntegerField(
        source="report.incident.number", required=False, allow_null=True, default=None, min_value=1, max_value=2**31 - 1
    )
    source_id = CleanCharField(
        max_length=120, required=False, allow_null=True, help_text="your id; the same one again changes nothing"
    )

    class Meta:
        model = Complaint
        fields = [
            "id", "text", "kind", "is_churn_risk", "customer", "product", "feature", "release", "incident",
            "importance", "channel", "language", "contact_name", "contact_email", "source", "source_id", "created_at",
        ]  # fmt: skip
        read_only_fields = ["id", "language", "source", "created_at"]
        validators: list[object] = []


class Complaints(APIView):
    acts = {"GET": "workspace.view", "POST": "complaint.log"}

    @extend_schema(
        operation_id="complaints_list",
        parameters=[
            OpenApiParameter("customer", str, description="external id"),
            OpenApiParameter("release", str),
            OpenApiParameter("kind", str),
            OpenApiParameter("since", str, description="ISO 8601"),
        ],
        responses=ComplaintSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        params = {k: str(v).replace("\x00", "") for k, v in request.query_params.items()}
        found = Complaint.objects.of(workspace_of(request))
        if params.get("customer"):
            found = found.filter(customer__external_id=params["customer"])
        if params.get("release"):
            found = found.filter(release__version=params["release"])
        if params.get("kind"):
            found = found.filter(kind=params["kind"])
        if params.get("since"):
            found = found.filter(created_at__gte=_moment(params["since"]))
        pages: Pages = Pages()
        rows = found.select_related("customer", "product", "feature", "release", "report__incident").newest_first()
        page: list[Any] | None = pages.paginate_queryset(rows, request, view=self)
        return pages.get_paginated_response(ComplaintSerializer(page, many=True).data)

    @extend_schema(operation_id="complaints_log", request=ComplaintSerializer, responses={201: ComplaintSerializer})
    def post(self, request: Request) -> Response:
        given = ComplaintSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        complaint = _log(request, dict(given.validated_data))
        return Response(ComplaintSerializer(complaint).data, status=201)


class OneComplaint(APIView):
    acts = {"GET": "workspace.view", "PATCH": "complaint.log"}

    @extend_schema(operation_id="complaint_read", responses=ComplaintSerializer)
    def get(self, request: Request, pk: int) -> Response:
        return Response(ComplaintSerializer(_complaint(request, pk)).data)

    @extend_schema(operation_id="complaint_correct", request=ComplaintSerializer, responses=ComplaintSerializer)
    def patch(self, request: Request, pk: int) -> Response:
        """Puts right what was logged; `incident` null takes it out of its incident. What is not said stays."""
        complaint = _complaint(request, pk)
        given = ComplaintSerializer(complaint, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        data = dict(given.validated_data)
        for name in ("product", "source_id"):
            if name in data:
                raise ValidationError({name: ["This cannot be changed."]})
        report = getattr(complaint, "report", None)
        incident = _joined(request, data) if "report" in data else report.incident if report else None
        data.pop("report", None)
        quicklog.correct(complaint, user_of(request), incident, **_facts(request, data, complaint.product))
        return Response(ComplaintSerializer(_complaint(request, pk)).data)


def _complaint(request: Request, pk: int) -> Complaint:
    found = Complaint.objects.of(workspace_of(request))
    more = ("workspace", "customer", "product", "feature", "release", "report__incident__original")
    return get_object_or_404(found.select_related(*more), pk=pk)


def _log(request: Request, data: dict[str, Any]) -> Complaint:
    join = _joined(request, data)
    data.pop("report", None)
    product = (data.pop("product", None) or {}).get("slug")
    fields: dict[str, Any] = {"source": "api"}
    if product:
        fields["product"] = product_of(request, product)
    fields |= _facts(request, data, fields.get("product"))
    contact = (fields.pop("contact_name", ""), fields.pop("contact_email", ""))
    return quicklog.log(
        workspace_of(request), fields.pop("text"), user_of(request), join=join, contact=contact, **fields
    )


def _joined(request: Request, data: dict[str, Any]) -> Incident | None:
    number = ((data.get("report") or {}).get("incident") or {}).get("number")
    if number is None:
        return None
    found = Incident.objects.of(workspace_of(request)).select_related("original").filter(number=number).first()
    if found is None:
        raise ValidationError({"incident": ["This incident does not exist here."]})
    return found


def _facts(request: Request, data: dict[str, Any], product: Product | None) -> dict[str, Any]:
    """The fields said, with rows in the place of names; a name that is null or empty means none."""
    workspace, fields = workspace_of(request), dict(data)
    releases, features = Release.objects.of(workspace), Feature.objects.filter(product__workspace=workspace)
    if product:
        releases, features = releases.filter(product=product), features.filter(product=product)
    if "release" in fields:
        version = (fields["release"] or {}).get("version")
        fields["release"] = None
        if version:
            fields["release"] = releases.filter(version=version).in_order().first()
            if fields["release"] is None:
                raise ValidationError({"release": ["This release does not exist here."]})
    if "feature" in fields:
        name = (fields["feature"] or {}).get("name")
        fields["feature"] = None
        if name:
            fields["feature"] = features.filter(name=name).first()
            if fields["feature"] is None:
                raise ValidationError({"feature": ["This feature does not exist here."]})
    if "customer" in fields:  # last, so that a refused request leaves no customer behind
        external_id = (fields["customer"] or {}).get("external_id")
        fields["customer"] = None
        if external_id:
            fields["customer"], _new = Customer.objects.get_or_create(
                workspace=workspace, external_id=external_id, defaults={"name": external_id}
            )
    return fields


def _moment(given: str) -> datetime:
    found = moment(given, is_zone_needed=True)
    if found is None:
        raise ValidationError({"since": ["Use ISO 8601 with a zone, e.g. 2026-11-22T10:00:00Z."]})
    return found
