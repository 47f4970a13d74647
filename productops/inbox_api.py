"""One's own notices, over the API."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from notices.models import Notice
from productops.lib.api import Pages
from releases.api import membership_of


class NoticeSerializer(serializers.ModelSerializer[Notice]):
    class Meta:
        model = Notice
        fields = ["id", "title", "text", "reason", "is_urgent", "path", "at", "read_at"]


class ReadSerializer(serializers.Serializer[Any]):
    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1), required=False, max_length=500,
        help_text="these alone; all without it",
    )  # fmt: skip


class CountSerializer(serializers.Serializer[Any]):
    read = serializers.IntegerField()
    unread = serializers.IntegerField()


class Notices(APIView):
    """What I was told, the newest first."""

    acts = {"GET": "workspace.view"}

    @extend_schema(operation_id="notices_list", responses=NoticeSerializer(many=True))
    def get(self, request: Request) -> Response:
        pages: Pages = Pages()
        found = Notice.objects.of(membership_of(request)).order_by("-pk")
        page: list[Any] | None = pages.paginate_queryset(found, request, view=self)
        return pages.get_paginated_response(NoticeSerializer(page, many=True).data)


class ReadNotices(APIView):
    acts = {"POST": "workspace.view"}

    @extend_schema(operation_id="notices_read", request=ReadSerializer, responses=CountSerializer)
    def post(self, request: Request) -> Response:
        given = ReadSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        membership, ids = membership_of(request), given.validated_data.get("ids")
        n = Notice.objects.read(membership, timezone.now(), **({} if ids is None else {"pk__in": ids}))
        return Response({"read": n, "unread": membership.unread})
