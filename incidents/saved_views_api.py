"""Saved views over the API."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.access import can
from feedback.api import CleanCharField
from incidents.models import SavedView
from productops.lib.api import Conflict, Pages
from releases.api import membership_of, user_of, workspace_of


class SavedViewSerializer(serializers.ModelSerializer[SavedView]):
    name = CleanCharField(max_length=60)
    query = CleanCharField(max_length=1_000, allow_blank=True, required=False)
    owner = serializers.EmailField(source="owner.email", default=None, read_only=True, allow_null=True)

    class Meta:
        model = SavedView
        fields = ["id", "name", "query", "layout", "is_shared", "role", "owner"]


class SavedViews(APIView):
    acts = {"GET": "workspace.view", "POST": "workspace.view"}

    @extend_schema(operation_id="views_list", responses=SavedViewSerializer(many=True))
    def get(self, request: Request) -> Response:
        pages: Pages = Pages()
        found = SavedView.objects.of(membership_of(request)).select_related("owner")
        page: list[Any] | None = pages.paginate_queryset(found, request, view=self)
        return pages.get_paginated_response(SavedViewSerializer(page, many=True).data)

    @extend_schema(operation_id="views_save", request=SavedViewSerializer, responses={201: SavedViewSerializer})
    def post(self, request: Request) -> Response:
        said = _given(request, partial=False)
        view = SavedView.objects.save_as(
            workspace_of(request), user_of(request), said.pop("name"), said.pop("query", ""),
            said.pop("layout", SavedView.Layout.INBOX), **said,
        )  # fmt: skip
        return Response(SavedViewSerializer(view).data, status=201)


class OneSavedView(APIView):
    acts = {"GET": "workspace.view", "PATCH": "workspace.view", "DELETE": "workspace.view"}

    @extend_schema(operation_id="views_get", responses=SavedViewSerializer)
    def get(self, request: Request, pk: int) -> Response:
        return Response(SavedViewSerializer(_find(request, pk)).data)

    @extend_schema(operation_id="views_change", request=SavedViewSerializer, responses=SavedViewSerializer)
    def patch(self, request: Request, pk: int) -> Response:
        view = _find(request, pk, to_change=True)
        return Response(SavedViewSerializer(view.change(user_of(request), **_given(request, partial=True))).data)

    @extend_schema(operation_id="views_remove", responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        _find(request, pk, to_change=True).remove(user_of(request))
        return Response(status=204)


def _given(request: Request, partial: bool) -> dict[str, Any]:
    given = SavedViewSerializer(data=request.data, partial=partial)
    given.is_valid(raise_exception=True)
    said: dict[str, Any] = dict(given.validated_data)
    if {"is_shared", "role"} & {name for name, value in said.items() if value} and not _may_share(request):
        raise ValidationError({"is_shared": ["Sharing needs the right to triage."]})
    return said


def _find(request: Request, pk: int, to_change: bool = False) -> SavedView:
    view = get_object_or_404(SavedView.objects.of(membership_of(request)).select_related("owner"), pk=pk)
    if to_change and view.owner_id != user_of(request).pk and not _may_share(request):
        raise Conflict("Others' shared views are changed by those who triage.")
    return view


def _may_share(request: Request) -> bool:
    return can(membership_of(request), "incident.triage")
