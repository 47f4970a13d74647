"""Incidents over the API: the same verbs as in the browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User, Workspace
from activity.models import Event
from feedback.api import CleanCharField
from incidents import lifecycle, timers
from incidents.lifecycle import IllegalMove
from incidents.models import Incident, Severity, Status, acts
from incidents.models.incident import IncidentQuerySet, Stale
from incidents.query.search import search
from productops.lib.api import Conflict, Pages
from releases.api import user_of, workspace_of
from releases.models import Release

_MORE = ("assignee", "product", "release", "fix_release", "feature", "original", "workspace", "signal",
         "regression__release", "regression__signal")  # fmt: skip


TIMER_STATES = tuple(
    (state, state) for state in ("running", "at_risk", "late", "paused", "met", "missed", "invalid")
)
#: What a severity can be set to.
SEVERITY_OR_AUTO = [*((value, value) for value in Severity.values), (acts.AUTO, acts.AUTO)]


class TimerSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=("acknowledge", "resolve", "update"))
    state = serializers.ChoiceField(choices=TIMER_STATES)
    target = serializers.CharField(help_text="such as 15min, 4h, 1d")
    due_at = serializers.DateTimeField(allow_null=True)
    used_minutes = serializers.FloatField()


class IncidentSerializer(serializers.ModelSerializer[Incident]):
    title = serializers.CharField(source="headline", read_only=True)
    assignee = serializers.EmailField(source="assignee.email", default=None, read_only=True, allow_null=True)
    product = serializers.CharField(source="product.slug", default=None, read_only=True, allow_null=True)
    release = serializers.CharField(source="release.version", default=None, read_only=True, allow_null=True)
    fix_release = serializers.CharField(source="fix_release.version", default=None, read_only=True, allow_null=True)
    feature = serializers.CharField(source="feature.name", default=None, read_only=True, allow_null=True)
    signal = serializers.CharField(source="signal.name", default=None, read_only=True, allow_null=True)
    duplicate_of = serializers.IntegerField(source="original.number", default=None, read_only=True, allow_null=True)
    legal = serializers.ListField(child=serializers.CharField(), read_only=True)
    timers = serializers.SerializerMethodField()

    class Meta:
        model = Incident
        fields = [
            "number", "title", "kind", "status", "severity", "is_severity_forced", "assignee", "product", "release",
            "environment", "feature", "signal", "fix_release", "duplicate_of", "snoozed_until", "opened_at",
            "impact_started_at", "acknowledged_at", "mitigated_at", "resolved_at", "verified_at", "pain", "impact",
            "proof", "wording", "workaround", "expected_on", "cycle", "told_at", "due_at",
            "timers", "version", "legal",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(TimerSerializer(many=True))
    def get_timers(self, incident: Incident) -> list[dict[str, Any]]:
        policy = timers.policy_of(incident.workspace.timers)
        found = timers.timers(incident.stamps, policy, timezone.now())
        return [
            {"kind": timer.kind, "state": timer.state, "target": timer.target, "due_at": timer.due_at,
             "used_minutes": round(timer.used.total_seconds() / 60, 1)}
            for timer in found
        ]  # fmt: skip


class ChangeSerializer(serializers.Serializer[Any]):
    """What to change. `status` moves along the transition table; an illegal move is answered with 409."""

    status = serializers.ChoiceField(choices=Status.choices, required=False)
    severity = serializers.ChoiceField(
        choices=SEVERITY_OR_AUTO, required=False, help_text="`auto` gives it back to the hub"
    )
    assignee = serializers.EmailField(required=False, allow_null=True, help_text="a member's e-mail, or null")
    reason = CleanCharField(max_length=500, required=False, help_text="for declined, reopening, severity")
    fix_release = CleanCharField(
        max_length=120, required=False, allow_null=True, help_text="for resolved: a version, or null for no code change"
    )
    duplicate_of = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1)
    snoozed_until = serializers.DateTimeField(required=False)
    snooze_customers = serializers.IntegerField(
        required=False, min_value=1, max_value=100_000, help_text="for snoozed: until so many more customers are hit"
    )
    snooze_release = serializers.BooleanField(required=False, help_text="for snoozed: until the next release is out")
    wording = CleanCharField(
        max_length=acts.MOST_WORDS, required=False, allow_blank=True, help_text="what agents may tell; empty: nothing"
    )
    workaround = CleanCharField(max_length=acts.MOST_WORDS, required=False, allow_blank=True)
    expected_on = serializers.DateField(required=False, allow_null=True)
    still_on_it = serializers.BooleanField(required=False, help_text="answers the hub's question")
    impact_started_at = serializers.DateTimeField(required=False, help_text="puts right when the first was hit")
    acknowledged_at = serializers.DateTimeField(required=False)
    mitigated_at = serializers.DateTimeField(required=False)
    resolved_at = serializers.DateTimeField(required=False)
    version = serializers.IntegerField(
        required=False, min_value=0, help_text="the version you read; a newer one is answered with 409"
    )


class Incidents(APIView):
    acts = {"GET": "workspace.view"}

    @extend_schema(
        operation_id="incidents_list",
        parameters=[
            OpenApiParameter("q", str, description="the query line of triage: `status:new severity:>=high is:silent`"),
            OpenApiParameter("status", str, description="one or more, comma-separated; `open` for all open ones"),
            OpenApiParameter("severity", str),
            OpenApiParameter("release", str),
            OpenApiParameter("assignee", str, description="e-mail, `me` or `none`"),
        ],
        responses=IncidentSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        pages: Pages = Pages()
        found = _chosen(request).select_related(*_MORE)
        page: list[Any] | None = pages.paginate_queryset(found, request, view=self)
        return pages.get_paginated_response(IncidentSerializer(page, many=True).data)


class OneIncident(APIView):
    acts = {"GET": "workspace.view", "PATCH": "incident.triage"}

    @extend_schema(operation_id="incidents_get", responses=IncidentSerializer)
    def get(self, request: Request, number: int) -> Response:
        return Response(IncidentSerializer(_find(request, number)).data)

    @extend_schema(
        operation_id="incidents_change",
        request=ChangeSerializer,
        responses={200: IncidentSerializer, 409: OpenApiResponse(description="Illegal move, or changed meanwhile.")},
    )
    def patch(self, request: Request, number: int) -> Response:
        incident = _find(request, number)
        given = ChangeSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        unknown = set(request.data) - set(given.fields)
        if unknown:
            raise ValidationError({name: ["This cannot be changed."] for name in sorted(unknown)})
        change(incident, user_of(request), dict(given.validated_data))
        return Response(IncidentSerializer(_find(request, number)).data)


def change(incident: Incident, by: User, given: dict[str, Any]) -> None:
    """Runs the verbs that bring the incident to what is asked; all or none."""
    try:
        with transaction.atomic():
            expected = given.get("version")
            for do in _verbs(incident, by, given):
                do(expected)
                expected = None  # the first verb checked it; each verb makes a newer one
    except IllegalMove as refused:
        raise Conflict(str(refused), legal=refused.legal) from None
    except Stale as refused:
        raise Conflict(str(refused), current=IncidentSerializer(refused.incident).data) from None


def _verbs(incident: Incident, by: User, given: dict[str, Any]) -> list[Callable[[int | None], Event]]:
    verbs: list[Callable[[int | None], Event]] = []
    if "assignee" in given:
        assignee = member(incident.workspace, given["assignee"])
        verbs.append(lambda expected: incident.assign(by, assignee, expected))
    if "severity" in given:
        verbs.append(lambda expected: incident.set_severity(by, given["severity"], given.get("reason", ""), expected))
    told = {name: given.get(name, getattr(incident, name)) for name in ("wording", "workaround", "expected_on")}
    if any(name in given for name in told):
        verbs.append(lambda expected: incident.inform(by, **told, expected=expected))
    stamps = {name: given[name] for name in acts.STAMPS if name in given}
    if stamps:
        verbs.append(lambda expected: incident.do(acts.stamp(stamps), by, expected))
    if given.get("still_on_it"):
        verbs.append(lambda expected: incident.confirm(by, expected))
    if "status" in given and given["status"] != incident.status:
        verbs.append(_move(incident, by, lifecycle.verb_to(incident.status, given["status"]), given))
    return verbs


def _move(incident: Incident, by: User, verb: str, given: dict[str, Any]) -> Callable[[int | None], Event]:
    reason = given.get("reason", "")
    if verb == "decline":
        return lambda expected: incident.decline(by, reason, expected)
    if verb == "reopen":
        return lambda expected: incident.reopen(by, reason, expected)
    if verb == "resolve":
        release = fix(incident.workspace, incident.product_id, given.get("fix_release"))
        return lambda expected: incident.resolve(by, release, expected)
    if verb == "duplicate":
        number = given.get("duplicate_of")
        original = Incident.objects.filter(workspace=incident.workspace_id, number=number or 0).first()
        if original is None:
            raise ValidationError({"duplicate_of": ["Name an incident of this workspace."]})
        return lambda expected: incident.duplicate(by, original, expected)
    if verb == "snooze":
        return lambda expected: incident.snooze(
            by, given.get("snoozed_until"), expected,
            customers=given.get("snooze_customers"), next_release=given.get("snooze_release", False),
        )  # fmt: skip
    if verb in {"verify", "wake"}:
        return lambda _expected: getattr(incident, verb)(by)  # type: ignore[no-any-return]
    return lambda expected: getattr(incident, verb)(by, expected=expected)  # type: ignore[no-any-return]


def fix(workspace: Workspace, product_id: int | None, version: str | None) -> Release | None:
    if version is None:
        return None
    found = Release.objects.of(workspace).filter(version=version)
    if product_id:
        found = found.filter(product=product_id)
    release = found.select_related("product").first()
    if release is None:
        raise ValidationError({"fix_release": ["This release does not exist here."]})
    return release


def member(workspace: Workspace, email: str | None) -> User | None:
    if email is None:
        return None
    user = User.objects.filter(email=email.lower(), memberships__workspace=workspace).first()
    if user is None:
        raise ValidationError({"assignee": ["This person is not in the workspace."]})
    return user


def _find(request: Request, number: int) -> Incident:
    return get_object_or_404(
        Incident.objects.of(workspace_of(request)).select_related(*_MORE), number=number
    )


def _chosen(request: Request) -> IncidentQuerySet:
    """What the query and the single filters ask, the worst first unless the query says otherwise."""
    params = {k: str(v).replace("\x00", "") for k, v in request.query_params.items()}
    asked = search(params.get("q", ""), workspace_of(request), user_of(request), timezone.now())
    if asked.error is not None:
        wrong = asked.text[asked.error.start : asked.error.end][:80]
        raise ValidationError({"q": [f"{wrong}: {asked.error.reason}"]})
    found = asked.in_order()
    if params.get("status"):
        names = params["status"].split(",")
        wanted = [s for name in names for s in (lifecycle.OPEN if name == "open" else [name])]
        if not set(wanted) <= set(Status.values):
            raise ValidationError({"status": ["Unknown status."]})
        found = found.filter(status__in=wanted)
    if params.get("severity"):
        found = found.filter(severity__in=params["severity"].split(","))
    if params.get("release"):
        found = found.filter(release__version=params["release"])
    if params.get("assignee") == "none":
        found = found.filter(assignee=None)
    elif params.get("assignee"):
        email = user_of(request).email if params["assignee"] == "me" else params["assignee"].lower()
        found = found.filter(assignee__email=email)
    return found
