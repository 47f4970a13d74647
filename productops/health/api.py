"""A release's health over the API: the stored verdict with its whole trace."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from feedback.models import Complaint
from incidents.models import Incident
from metrics import words
from metrics.models import Verdict
from productops.health import confusion, page
from releases.api import version_of


class HealthSerializer(serializers.Serializer[Any]):
    version = serializers.CharField()
    product = serializers.CharField()
    environment = serializers.CharField()
    verdict = serializers.ChoiceField(choices=["healthy", "watch", "regressed", "not_enough"])
    headline = serializers.CharField()
    reasons = serializers.ListField(child=serializers.CharField())
    share = serializers.FloatField(allow_null=True, help_text="of the environment's events in the last hour, 0..1")
    silent_since = serializers.DateTimeField(allow_null=True, help_text="nothing arrives, though usually much does now")
    data_up_to = serializers.DateTimeField(allow_null=True)
    looked_at = serializers.DateTimeField(allow_null=True)
    signals = serializers.ListField(child=serializers.DictField(), help_text="one entry per signal and measure")
    faults = serializers.ListField(
        child=serializers.DictField(), help_text="one entry per error group: new, back or escalating by release order"
    )
    incidents = serializers.ListField(child=serializers.IntegerField(), help_text="numbers of the open ones")
    complaints = serializers.IntegerField()


class Health(APIView):
    acts = {"GET": "workspace.view"}

    @extend_schema(
        operation_id="releases_health",
        parameters=[OpenApiParameter("product", str), OpenApiParameter("environment", str)],
        responses=HealthSerializer,
    )
    def get(self, request: Request, version: str) -> Response:
        release = version_of(request, version, request.query_params.get("product"))
        environment = request.query_params.get("environment", "production").replace("\x00", "")[:40]
        verdict = Verdict.objects.filter(release=release, environment=environment).first()
        trace = verdict.trace if verdict else []
        told = [t for t in [*trace, *(verdict.faults if verdict else [])] if t["status"] == "worse"]
        open_incidents = Incident.objects.open().filter(release=release).by_pain()
        body = {
            "version": release.version,
            "product": release.product.slug,
            "environment": environment,
            "verdict": verdict.verdict if verdict else "not_enough",
            "headline": page.headline(release, verdict),
            "reasons": [words.sentence(t, release.version) for t in told] or [page.summary(verdict)],
            "share": verdict.share if verdict else None,
            "silent_since": verdict.silent_since if verdict else None,
            "data_up_to": verdict.data_up_to if verdict else None,
            "looked_at": verdict.looked_at if verdict else None,
            "signals": trace,
            "faults": verdict.faults if verdict else [],
            "incidents": list(open_incidents.values_list("number", flat=True)),
            "complaints": Complaint.objects.filter(release=release).count(),
        }
        return Response(HealthSerializer(body).data)


class ConfusionSerializer(serializers.Serializer[Any]):
    version = serializers.CharField()
    product = serializers.CharField()
    environment = serializers.CharField()
    headline = serializers.CharField()
    features = serializers.ListField(
        child=serializers.DictField(),
        help_text="one entry per feature: status confusing, same or not_enough, sessions without errors, those"
        " confused, accounts, share with its 95 % interval, the others' share, change against theirs, signs",
    )


class ReleaseConfusion(APIView):
    acts = {"GET": "workspace.view"}

    @extend_schema(
        operation_id="releases_confusion",
        parameters=[OpenApiParameter("product", str), OpenApiParameter("environment", str)],
        responses=ConfusionSerializer,
    )
    def get(self, request: Request, version: str) -> Response:
        release = version_of(request, version, request.query_params.get("product"))
        environment = request.query_params.get("environment", "production").replace("\x00", "")[:40]
        rows = confusion.rows(release, environment)
        body = {
            "version": release.version,
            "product": release.product.slug,
            "environment": environment,
            "headline": confusion.headline(release, rows),
            "features": [row.found.as_json() for row in rows],
        }
        return Response(ConfusionSerializer(body).data)
