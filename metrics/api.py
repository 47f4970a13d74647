"""Rollups, regressions and outcomes over the API."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from activity.models import record
from metrics import ledger, replica
from metrics.counting import sketch
from metrics.detection.histogram import quantile
from metrics.forms import MOST
from metrics.models import Limit, Outcome, Regression, RollupHour, RollupMinute, Signal
from productops.lib.api import Pages, moment
from releases.api import membership_of, product_of, workspace_of
from releases.models import Product, Release

#: Minutes can be asked for this far at once; longer ranges read hours.
MOST_MINUTES = timedelta(days=2)
MOST_HOURS = timedelta(days=400)


class RollupSerializer(serializers.Serializer[Any]):
    """One signal in one bucket of one release, environment and slice. Durations are in ms."""

    bucket = serializers.DateTimeField()
    signal = serializers.CharField()
    kind = serializers.CharField()
    release = serializers.CharField()
    environment = serializers.CharField()
    slice = serializers.CharField()
    n = serializers.IntegerField()
    bad = serializers.IntegerField()
    users = serializers.IntegerField()
    timed = serializers.IntegerField()
    mean_ms = serializers.FloatField(allow_null=True)
    p50_ms = serializers.FloatField(allow_null=True)
    p95_ms = serializers.FloatField(allow_null=True)


class OutcomeSerializer(serializers.Serializer[Any]):
    hour = serializers.DateTimeField()
    product = serializers.CharField()
    protocol = serializers.CharField()
    category = serializers.CharField()
    outcome = serializers.CharField()
    reason = serializers.CharField()
    n = serializers.IntegerField()


class RegressionSerializer(serializers.ModelSerializer[Regression]):
    release = serializers.CharField(source="release.version")
    product = serializers.CharField(source="release.product.slug")
    signal = serializers.CharField(source="signal.name")

    class Meta:
        model = Regression
        fields = [
            "id", "product", "release", "environment", "signal", "measure", "slice", "is_active", "found_at",
            "looked_at", "started_at", "data_up_to", "evidence",
        ]  # fmt: skip


_RANGE = [
    OpenApiParameter("product", str, description="slug, name or id"),
    OpenApiParameter("since", datetime),
    OpenApiParameter("until", datetime),
]


class Rollups(APIView):
    acts = {"GET": "workspace.view"}

    @extend_schema(
        operation_id="rollups_list",
        parameters=[
            *_RANGE,
            OpenApiParameter("resolution", str, enum=["minute", "hour"]),
            OpenApiParameter("signal", str),
            OpenApiParameter("release", str),
            OpenApiParameter("environment", str),
            OpenApiParameter("slice", str, description='"" for all (default), "*" for every slice'),
        ],
        responses=RollupSerializer(many=True),
    )
    @replica.reads
    def get(self, request: Request) -> Response:
        params = request.query_params
        product = product_of(request, params.get("product"))
        is_minute = params.get("resolution", "hour") == "minute"
        most = MOST_MINUTES if is_minute else MOST_HOURS
        since, until = _range(request, timedelta(hours=1 if is_minute else 24), most)
        model: type[RollupMinute] | type[RollupHour] = RollupMinute if is_minute else RollupHour
        found = model.objects.using(replica.alias()).filter(product_id=product.pk, bucket__gte=since, bucket__lt=until)
        found = _narrowed(found, params, product.pk)
        pages: Pages = Pages()
        rows = pages.paginate_queryset(
            found.order_by("bucket", "signal_id", "release_id", "environment", "slice"), request, view=self
        )
        return pages.get_paginated_response(_rollup_rows(rows or []))


class Regressions(APIView):
    acts = {"GET": "workspace.view"}

    @extend_schema(
        operation_id="regressions_list",
        parameters=[_RANGE[0], OpenApiParameter("release", str), OpenApiParameter("active", bool)],
        responses=RegressionSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        params = request.query_params
        found = Regression.objects.filter(release__product__workspace=workspace_of(request))
        if params.get("product"):
            found = found.filter(release__product=product_of(request, params["product"]))
        if params.get("release"):
            found = found.filter(release__version=params["release"].replace("\x00", ""))
        if active := params.get("active"):
            if active not in {"true", "false", "1", "0"}:
                raise ValidationError({"active": "Use true or false."})
            found = found.filter(is_active=active in {"true", "1"})
        pages: Pages = Pages()
        rows = found.select_related("release__product", "signal").order_by("-found_at", "-id")
        page = pages.paginate_queryset(rows, request, view=self)
        return pages.get_paginated_response(RegressionSerializer(page, many=True).data)


class LimitSerializer(serializers.Serializer[Any]):
    """Events a product may send; null: as many as it likes."""

    product = serializers.CharField(read_only=True)
    per_minute = serializers.IntegerField(allow_null=True, min_value=1, max_value=MOST)
    per_month = serializers.IntegerField(allow_null=True, min_value=1, max_value=MOST)
    used = serializers.IntegerField(read_only=True, help_text="events taken in this month (UTC)")
    starts_again = serializers.DateField(read_only=True)
    spike_since = serializers.DateTimeField(read_only=True, allow_null=True, help_text="single events are not kept")


class Limits(APIView):
    acts = {"GET": "data.view", "PUT": "product.edit"}

    @extend_schema(operation_id="limits_read", parameters=_RANGE[:1], responses=LimitSerializer)
    def get(self, request: Request) -> Response:
        return self._told(product_of(request, request.query_params.get("product")))

    @extend_schema(
        operation_id="limits_set", parameters=_RANGE[:1], request=LimitSerializer, responses=LimitSerializer
    )
    def put(self, request: Request) -> Response:
        product = product_of(request, request.query_params.get("product"))
        given = LimitSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        with transaction.atomic():
            Limit.put(product, values["per_minute"], values["per_month"], timezone.now())
            record(workspace_of(request), "limit.set", product, membership_of(request).user, **values)
        return self._told(product)

    def _told(self, product: Product) -> Response:
        found = ledger.allowance(product, timezone.now())
        limit = found.limit
        told = {name: getattr(limit, name) for name in ("per_minute", "per_month", "spike_since")}
        told |= {"product": product.slug, "used": found.used, "starts_again": found.starts_again}
        return Response(LimitSerializer(told).data)


class Outcomes(APIView):
    acts = {"GET": "data.view"}

    @extend_schema(operation_id="outcomes_list", parameters=_RANGE, responses=OutcomeSerializer(many=True))
    def get(self, request: Request) -> Response:
        products = {p.pk: p.slug for p in workspace_of(request).products.all()}
        if request.query_params.get("product"):
            product = product_of(request, request.query_params["product"])
            products = {product.pk: product.slug}
        since, until = _range(request, timedelta(hours=24), MOST_HOURS)
        since = since.replace(minute=0, second=0, microsecond=0)
        found = Outcome.objects.filter(product_id__in=products, hour__gte=since, hour__lt=until)
        pages: Pages = Pages()
        found = found.order_by("-hour", "product_id", "protocol", "category", "outcome", "reason")
        rows = pages.paginate_queryset(found, request, view=self) or []
        data = [
            {
                "hour": row.hour,
                "product": products[row.product_id],
                "protocol": row.protocol,
                "category": row.category,
                "outcome": row.outcome,
                "reason": row.reason,
                "n": row.n,
            }
            for row in rows
        ]
        return pages.get_paginated_response(OutcomeSerializer(data, many=True).data)


def _range(request: Request, back: timedelta, most: timedelta) -> tuple[datetime, datetime]:
    until = _moment(request, "until") or timezone.now() + timedelta(minutes=1)
    since = _moment(request, "since") or until - back
    if since >= until:
        raise ValidationError({"since": ["It must lie before `until`."]})
    if until - since > most:
        raise ValidationError({"since": [f"At most {most.days} days at once with this resolution."]})
    return since, until


def _moment(request: Request, name: str) -> datetime | None:
    given = request.query_params.get(name)
    if not given:
        return None
    found = moment(given)
    if found is None:
        raise ValidationError({name: ["Use ISO 8601, e.g. 2026-11-22T10:00:00Z."]})
    return found


def _narrowed(found: QuerySet[Any], params: Any, product: int) -> QuerySet[Any]:
    if params.get("slice") != "*":
        found = found.filter(slice=params.get("slice", "").replace("\x00", ""))
    if params.get("environment"):
        found = found.filter(environment=params["environment"].replace("\x00", ""))
    if params.get("signal"):
        name = params["signal"].replace("\x00", "")
        signals = Signal.objects.filter(product=product, name=name)
        found = found.filter(signal_id__in=list(signals.values_list("pk", flat=True)))
    if params.get("release"):
        version = params["release"].replace("\x00", "")
        releases = Release.objects.filter(product=product, version=version)
        found = found.filter(release_id__in=list(releases.values_list("pk", flat=True)))
    return found


def _rollup_rows(rows: list[Any]) -> list[dict[str, Any]]:
    signals = Signal.objects.in_bulk({row.signal_id for row in rows})
    releases = Release.objects.in_bulk({row.release_id for row in rows})
    return [
        {
            "bucket": row.bucket,
            "signal": signals[row.signal_id].name if row.signal_id in signals else "",
            "kind": signals[row.signal_id].kind if row.signal_id in signals else "",
            "release": releases[row.release_id].version if row.release_id in releases else "",
            "environment": row.environment,
            "slice": row.slice,
            "n": row.n,
            "bad": row.bad,
            "users": row.users,
            "timed": row.timed,
            **_durations(row),
        }
        for row in rows
    ]


def _durations(row: Any) -> dict[str, float | None]:
    if not row.timed:
        return {"mean_ms": None, "p50_ms": None, "p95_ms": None}
    hist = sketch.dense([row.hist])
    return {
        "mean_ms": round(row.total / row.timed, 3),
        "p50_ms": round(quantile(hist, 0.5), 3),
        "p95_ms": round(quantile(hist, 0.95), 3),
    }
