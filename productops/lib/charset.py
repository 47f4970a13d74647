"""The hub speaks UTF-8."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

_KNOWN = {"utf-8", "utf8", "us-ascii", "ascii"}


class Utf8:
    """Refuses bodies in another charset: Django reads the query with it too, and `charset=hex` breaks that."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.encoding and request.encoding.lower() not in _KNOWN:
            # Not by its setter, which reads the query first.
            request._encoding = "utf-8"  # type: ignore[attr-defined]
            raise BadRequest("Send UTF-8.")
        return self.get_response(request)
