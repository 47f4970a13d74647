"""One act to many incidents over the API: the same verbs as in the browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User, Workspace
from feedback.api import CleanCharField
from incidents import api, bulk
from incidents.models import Incident, acts
from incidents.verbs import VERBS
from releases.api import user_of, workspace_of

_LARGEST = 2**31 - 1


class ManySerializer(serializers.Serializer[Any]):
    """`verb`, the incidents by their numbers, and what the verb needs."""

    verb = serializers.ChoiceField(choices=sorted(bulk.VERBS))
    numbers = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=_LARGEST), min_length=1, max_length=bulk.MOST
    )
    reason = CleanCharField(max_length=500, required=False, help_text="for decline, reopen, set_severity")
    severity = serializers.ChoiceField(
        choices=api.SEVERITY_OR_AUTO, required=False, help_text="`auto` gives it back to the hub"
    )
    assignee = serializers.EmailField(required=False, allow_null=True, help_text="a member's e-mail, or null")
    fix_release = CleanCharField(
        max_length=120, required=False, allow_null=True, help_text="for resolve: a version, or null for no code change"
    )
    duplicate_of = serializers.IntegerField(required=False, min_value=1, max_value=_LARGEST)
    snoozed_until = serializers.DateTimeField(required=False)
    snooze_customers = serializers.IntegerField(required=False, min_value=1, max_value=acts.MOST_CUSTOMERS)
    snooze_release = serializers.BooleanField(required=False)


class ManyDoneSerializer(serializers.Serializer[Any]):
    done = serializers.ListField(child=serializers.IntegerField(), help_text="the numbers it was done to")
    refused = serializers.DictField(child=serializers.CharField(), help_text="number -> why it was not done")
    batch = serializers.UUIDField(help_text="undoes it: POST incidents/bulk/{batch}/undo")


class ManyIncidents(APIView):
    acts = {"POST": "incident.triage"}

    @extend_schema(
        operation_id="incidents_bulk",
        request=ManySerializer,
        responses={200: ManyDoneSerializer, 404: OpenApiResponse(description="A number is of no incident here.")},
    )
    def post(self, request: Request) -> Response:
        given = ManySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        what = _acts(workspace_of(request), user_of(request), said)[said["verb"]]()
        try:
            outcome = bulk.act(workspace_of(request), user_of(request), what, said["numbers"])
        except Incident.DoesNotExist:
            raise Http404 from None
        return Response(ManyDoneSerializer(outcome.as_json()).data)


class UndoMany(APIView):
    acts = {"POST": "incident.triage"}

    @extend_schema(operation_id="incidents_bulk_undo", request=None, responses=ManyDoneSerializer)
    def post(self, request: Request, batch: UUID) -> Response:
        outcome = bulk.undo(workspace_of(request), user_of(request), batch)
        if not outcome.done and not outcome.refused:
            raise Http404
        return Response(ManyDoneSerializer(outcome.as_json()).data)


def _acts(workspace: Workspace, by: User, said: dict[str, Any]) -> dict[str, Callable[[], acts.Act]]:
    """verb -> the act it stands for, with what was given."""

    def original() -> Incident:
        found = Incident.objects.of(workspace).filter(number=said.get("duplicate_of") or 0).first()
        if found is None:
            raise ValidationError({"duplicate_of": ["Name an incident of this workspace."]})
        return found

    def needed(name: str) -> Any:
        if name not in said:
            raise ValidationError({name: ["This verb needs it."]})
        return said[name]

    simple = {name: verb.act for name, verb in VERBS.items() if verb.act}
    reason = said.get("reason", "")
    return {
        **simple,
        "decline": lambda: acts.decline(reason),
        "reopen": lambda: acts.reopen(reason),
        "resolve": lambda: acts.resolve(api.fix(workspace, None, said.get("fix_release"))),
        "duplicate": lambda: acts.duplicate(original()),
        "snooze": lambda: acts.snooze(
            said.get("snoozed_until"), said.get("snooze_customers"), said.get("snooze_release", False)
        ),
        "assign": lambda: acts.assign(api.member(workspace, needed("assignee")), workspace.pk),
        "set_severity": lambda: acts.set_severity(needed("severity"), reason),
    }
