"""What every API answer shares: problem+json errors and pages with a cursor-free `next`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as ModelError
from django.http import Http404
from django.utils.dateparse import parse_datetime
from rest_framework import exceptions, status
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response

_TITLES = {
    400: "Bad request",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    429: "Too many requests",
    500: "Server error",
}


def moment(given: Any, is_zone_needed: bool = False) -> datetime | None:
    """An ISO 8601 text as a moment in UTC; without a zone it is UTC, unless one is needed. None when it is no moment,
    or one beside the calendar, where neither sums of times nor PostgreSQL's zones work."""
    try:
        # In an address a plus that was not escaped arrives as a space.
        found = parse_datetime(given.replace(" ", "+")) if isinstance(given, str) else None
    except ValueError:
        return None
    if found is None or not 1970 <= found.year <= 9000 or (is_zone_needed and found.tzinfo is None):
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


class Pages(LimitOffsetPagination):
    """`?limit=` (at most 500) and `?offset=`; answers {count, next, previous, results}."""

    default_limit = 50
    max_limit = 500

    def get_limit(self, request: Request) -> int | None:
        _check_number(request, "limit", 1)
        return super().get_limit(request)

    def get_offset(self, request: Request) -> int:
        _check_number(request, "offset", 0)
        return super().get_offset(request)


def _check_number(request: Request, name: str, least: int) -> None:
    """The library takes its default for a number that is none, and shows another page than was asked for."""
    given = request.query_params.get(name, "")
    if given and not (given.isascii() and given.isdecimal() and len(given) < 100 and int(given) >= least):
        raise exceptions.ValidationError({name: [f"Use a whole number from {least} on."]})


class CleanJSON(JSONParser):  # type: ignore[misc]
    """Refuses, besides broken JSON, what is nested too deeply to be read and text that no database keeps."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            found = super().parse(stream, media_type, parser_context)
            json.dumps(found, ensure_ascii=False).encode()
        except RecursionError:
            raise exceptions.ParseError("This JSON is nested too deeply.") from None
        except UnicodeEncodeError:
            raise exceptions.ParseError("This JSON has half a character (a lone surrogate).") from None
        return found


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large."


class Conflict(exceptions.APIException):
    """409; `extra` is merged into the problem, e.g. the legal moves."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.extra = extra


def problem(error: Exception, context: dict[str, Any]) -> Response | None:
    """RFC 9457: {type, title, status, detail, errors?}."""
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, RequestDataTooBig):
        error = TooLarge()
    elif isinstance(error, ModelError):
        errors = error.message_dict if hasattr(error, "error_dict") else {"detail": error.messages}
        error = exceptions.ValidationError(errors)
    if not isinstance(error, exceptions.APIException):
        return None
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(error.status_code, "Error"),
        "status": error.status_code,
    }
    if isinstance(error.detail, str):
        body["detail"] = error.detail
    else:
        body["detail"] = "Some fields are not right."
        body["errors"] = error.detail
    body.update(getattr(error, "extra", {}))
    response = Response(body, status=error.status_code, content_type="application/problem+json")
    if isinstance(error, (exceptions.AuthenticationFailed, exceptions.NotAuthenticated)):
        response["WWW-Authenticate"] = 'Bearer realm="Productops"'
        response.status_code = body["status"] = 401
    wait = getattr(error, "wait", None)
    if wait:
        response["Retry-After"] = str(int(wait) + 1)
    return response
