"""What is said of an incident, how it is linked, and its review, over the API."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as Refused
from django.db.models import Q
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from feedback.api import CleanCharField
from incidents.api import member
from incidents.models import ActionItem, ActionState, Incident, Link, LinkKind, Review, Update, UpdateKind
from incidents.models.link import OTHER_WAY
from productops.lib.api import Pages
from releases.api import user_of, workspace_of
from releases.models import Release


def find(request: Request, number: int) -> Incident:
    found = Incident.objects.of(workspace_of(request)).select_related("workspace")
    return get_object_or_404(found, number=number)


def refused(problem: Refused) -> ValidationError:
    """The model's refusal as the API tells it."""
    if hasattr(problem, "error_dict"):
        return ValidationError({name: list(texts) for name, texts in problem.message_dict.items()})
    return ValidationError({"non_field_errors": list(problem.messages)})


class UpdateSerializer(serializers.ModelSerializer[Update]):
    text = CleanCharField(max_length=20_000, help_text="Markdown; @name or @e-mail names a member")
    by = serializers.EmailField(source="by.email", default=None, read_only=True, allow_null=True)
    at = serializers.DateTimeField(required=False, write_only=True, help_text="when it happened, if not now")

    class Meta:
        model = Update
        fields = ["id", "kind", "text", "by", "created_at", "at"]
        read_only_fields = ["id", "by", "created_at"]


class Updates(APIView):
    """Comments, updates for the team or for customers, and what was seen, done or decided."""

    acts = {"GET": "workspace.view", "POST": "incident.comment"}

    @extend_schema(operation_id="updates_list", responses=UpdateSerializer(many=True))
    def get(self, request: Request, number: int) -> Response:
        pages: Pages = Pages()
        found = find(request, number).updates.select_related("by").order_by("-created_at", "-pk")
        page: list[Any] | None = pages.paginate_queryset(found, request, view=self)
        return pages.get_paginated_response(UpdateSerializer(page, many=True).data)

    @extend_schema(operation_id="updates_say", request=UpdateSerializer, responses={201: UpdateSerializer})
    def post(self, request: Request, number: int) -> Response:
        incident, given = find(request, number), UpdateSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        try:
            event = Update.objects.say(
                incident, user_of(request), said["text"], said.get("kind", UpdateKind.COMMENT), said.get("at")
            )
        except Refused as problem:
            raise refused(problem) from None
        return Response(UpdateSerializer(Update.objects.get(pk=event.detail["update"])).data, status=201)


class LinkSerializer(serializers.ModelSerializer[Link]):
    kind = serializers.SerializerMethodField()
    other = serializers.SerializerMethodField()

    class Meta:
        model = Link
        fields = ["id", "kind", "other", "created_at"]

    @extend_schema_field(serializers.ChoiceField(choices=[*LinkKind.values, "causes", "recurred"]))
    def get_kind(self, link: Link) -> str:
        """As the incident that was asked about says it."""
        return link.kind if link.source_id == self.context["incident"].pk else OTHER_WAY[LinkKind(link.kind)]

    @extend_schema_field(serializers.IntegerField())
    def get_other(self, link: Link) -> int:
        return link.target.number if link.source_id == self.context["incident"].pk else link.source.number


class NewLinkSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=LinkKind.choices[:2])
    other = serializers.IntegerField(min_value=1, max_value=2**31 - 1, help_text="number of the other incident")


def _links(incident: Incident) -> Any:
    both = Q(source=incident) | Q(target=incident)
    ends = ("source__workspace", "target__workspace")
    return Link.objects.filter(both).select_related(*ends).order_by("pk")


class Links(APIView):
    acts = {"GET": "workspace.view", "POST": "incident.triage"}

    @extend_schema(operation_id="links_list", responses=LinkSerializer(many=True))
    def get(self, request: Request, number: int) -> Response:
        incident, pages = find(request, number), Pages()
        page: list[Any] | None = pages.paginate_queryset(_links(incident), request, view=self)
        return pages.get_paginated_response(LinkSerializer(page, many=True, context={"incident": incident}).data)

    @extend_schema(operation_id="links_add", request=NewLinkSerializer, responses={201: LinkSerializer})
    def post(self, request: Request, number: int) -> Response:
        incident, given = find(request, number), NewLinkSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        other = Incident.objects.of(workspace_of(request)).select_related("workspace")
        target = other.filter(number=given.validated_data["other"]).first()
        if target is None:
            raise ValidationError({"other": ["Name an incident of this workspace."]})
        try:
            link, _event = Link.objects.link(incident, target, given.validated_data["kind"], user_of(request))
        except Refused as problem:
            raise refused(problem) from None
        return Response(LinkSerializer(link, context={"incident": incident}).data, status=201)


class OneLink(APIView):
    acts = {"DELETE": "incident.triage"}

    @extend_schema(operation_id="links_remove", responses={204: OpenApiResponse(description="Gone.")})
    def delete(self, request: Request, number: int, pk: int) -> Response:
        get_object_or_404(_links(find(request, number)), pk=pk).remove(user_of(request))
        return Response(status=204)


class ActionSerializer(serializers.ModelSerializer[ActionItem]):
    title = CleanCharField(max_length=200)
    owner = serializers.EmailField(source="owner.email", default=None, allow_null=True, required=False)
    release = CleanCharField(
        source="release.version", max_length=120, default=None, allow_null=True, required=False,
        help_text="version that must ship it",
    )  # fmt: skip

    class Meta:
        model = ActionItem
        fields = ["id", "title", "owner", "release", "due_on", "state", "reason", "done_at"]
        read_only_fields = ["id", "state", "reason", "done_at"]


class SettleSerializer(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=ActionState.choices)
    reason = CleanCharField(max_length=500, required=False, allow_blank=True, help_text="why it is dropped")


class ReviewSerializer(serializers.ModelSerializer[Review]):
    items = ActionSerializer(many=True, read_only=True)
    failed_by = serializers.IntegerField(source="failed_by.number", default=None, read_only=True, allow_null=True)

    class Meta:
        model = Review
        fields = ["story", "cause", "learned", "finished_at", "failed_by", "items", "version"]


def _review(request: Request, number: int) -> Review:
    reviews = Review.objects.select_related("incident__workspace", "failed_by")
    return get_object_or_404(reviews, incident=find(request, number))


class OneReview(APIView):
    acts = {"GET": "workspace.view"}

    @extend_schema(operation_id="reviews_get", responses=ReviewSerializer)
    def get(self, request: Request, number: int) -> Response:
        return Response(ReviewSerializer(_review(request, number)).data)


class Actions(APIView):
    acts = {"POST": "incident.triage"}

    @extend_schema(operation_id="actions_add", request=ActionSerializer, responses={201: ActionSerializer})
    def post(self, request: Request, number: int) -> Response:
        review, given = _review(request, number), ActionSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        said = given.validated_data
        owner = member(workspace_of(request), (said.get("owner") or {}).get("email"))
        version = (said.get("release") or {}).get("version")
        release = Release.objects.of(workspace_of(request)).select_related("product").filter(version=version).first()
        if version and release is None:
            raise ValidationError({"release": ["This release does not exist here."]})
        try:
            item = ActionItem.objects.add(
                review, user_of(request), said["title"], owner, release if version else None, said.get("due_on")
            )
        except Refused as problem:
            raise refused(problem) from None
        return Response(ActionSerializer(item).data, status=201)


class OneAction(APIView):
    acts = {"PATCH": "incident.comment"}

    @extend_schema(operation_id="actions_settle", request=SettleSerializer, responses=ActionSerializer)
    def patch(self, request: Request, number: int, pk: int) -> Response:
        items = ActionItem.objects.select_related("review__incident__workspace", "owner", "release")
        item = get_object_or_404(items, review=_review(request, number), pk=pk)
        given = SettleSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        try:
            item.settle(user_of(request), given.validated_data["state"], given.validated_data.get("reason", ""))
        except Refused as problem:
            raise refused(problem) from None
        return Response(ActionSerializer(item).data)
