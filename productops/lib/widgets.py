"""Form widgets of the browser's own kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.forms import TextInput
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


class Typeahead(TextInput):
    """A text field that offers `options` while typing (HTML's datalist)."""

    options: Callable[[], Iterable[str]] = staticmethod(tuple)

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        offered = f"{(attrs or {}).get('id', name)}_options"
        field = super().render(name, value, {**(attrs or {}), "list": offered, "autocomplete": "off"}, renderer)
        options = format_html_join("", '<option value="{}"></option>', ((option,) for option in self.options()))
        return format_html('{}<datalist id="{}">{}</datalist>', field, offered, options)
