"""How values are told on every page, and small drawings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from productops.lib import tell

register = template.Library()
for _told in (
    tell.whole,
    tell.percent,
    tell.bare_percent,
    tell.points,
    tell.milliseconds,
    tell.money,
    tell.ago,
    tell.stamp,
    tell.customers,
):
    register.filter(_told)


@register.simple_tag
def spark(
    values: Sequence[float | None], mark: int | None = None, is_bad: bool = False, label: str = ""
) -> SafeString:
    """A line of values as SVG; `mark` is the index at which the release came."""
    known = [v for v in values if v is not None]
    if len(known) < 2:
        return format_html('<svg class="spark" viewBox="0 0 300 40" role="img" aria-label="{}"></svg>', label)
    low, high = min(known), max(known)
    reach = (high - low) or 1.0
    width = 300 / max(1, len(values) - 1)
    points, is_new = [], True
    for at, value in enumerate(values):
        if value is None:
            is_new = True
            continue
        points.append(f"{'M' if is_new else 'L'}{at * width:.1f} {36 - (value - low) / reach * 32:.1f}")
        is_new = False
    line = format_html('<path class="mark-line" d="M{} 2V38"/>', f"{mark * width:.1f}") if mark is not None else ""
    return format_html(
        '<svg class="spark{}" viewBox="0 0 300 40" preserveAspectRatio="none" role="img" aria-label="{}">{}'
        '<path d="{}"/></svg>',
        " is-bad" if is_bad else "",
        label,
        line,
        "".join(points),
    )


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: Any) -> str:
    """The page's own query string with some values changed; None takes one out."""
    params = context["request"].GET.copy()
    params.pop("stamp", None)
    for name, value in changes.items():
        params.pop(name, None)
        if value not in (None, ""):
            params[name] = value
    return f"?{params.urlencode()}" if params else "?"


@register.filter
def get(mapping: Any, key: Any) -> Any:
    return mapping.get(key, "")


@register.simple_tag
def language() -> str:
    return get_language() or "en"
