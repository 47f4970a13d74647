"""A request in a charset that is no plain text encoding (`charset=hex`) is read as UTF-8 instead of breaking."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.core.handlers.wsgi import WSGIRequest

_KNOWN = {"utf-8", "utf8", "utf-16", "us-ascii", "ascii", "iso-8859-1", "latin-1", "windows-1252"}


class Request(WSGIRequest):
    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc]
        except (LookupError, ValueError, SuspiciousOperation):  # the last is what Django makes of some
            self._encoding = None
        if self._encoding and self._encoding.lower() not in _KNOWN:
            self._encoding = None
