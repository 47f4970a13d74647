"""How values are told on every page: numbers, money, times, shares, and small drawings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

register = template.Library()

_NARROW = "\u202f"


@register.filter
def whole(value: Decimal | float | int | None) -> str:
    """1234567 -> 1,234,567 in the reader's way."""
    return "–" if value is None else formats.number_format(round(value), 0, use_l10n=True, force_grouping=True)


@register.filter
def percent(share: float | None, digits: int = 1) -> str:
    """0.1294 -> 12.9 %."""
    if share is None:
        return "–"
    return f"{formats.number_format(round(share * 100, digits), digits)}{_NARROW}%"


@register.filter
def bare_percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else formats.number_format(round(share * 100, digits), digits)


@register.filter
def milliseconds(value: float | None) -> str:
    if value is None:
        return "–"
    if value >= 10_000:
        return f"{formats.number_format(value / 1000, 1)}{_NARROW}s"
    return f"{whole(value)}{_NARROW}ms"


@register.filter
def money(value: Decimal | float | None, currency: str = "EUR") -> str:
    """18400 -> € 18,400; whole units, since nobody decides on cents."""
    if value is None:
        return "–"
    sign = {"EUR": "€", "USD": "US$", "BRL": "R$", "GBP": "£", "MXN": "MX$"}.get(currency, currency)
    return f"{sign}\u00a0{whole(value)}"


@register.filter
def ago(moment: datetime | None, now: datetime | None = None) -> SafeString | str:
    """A short age ("6 min", "2 h", "3 d") whose exact stamp stands on hover."""
    if moment is None:
        return "–"
    seconds = int(((now or timezone.now()) - moment).total_seconds())
    local = timezone.localtime(moment)
    exact = formats.date_format(local, "DATETIME_FORMAT")
    return format_html(
        '<time datetime="{}" title="{} {}">{}</time>', moment.isoformat(), exact, local.tzname() or "", age(seconds)
    )


def age(seconds: int) -> str:
    if seconds < 45:
        return _("now")
    for size, name in ((86_400, _("d")), (3_600, _("h")), (60, _("min"))):
        if seconds >= size:
            return f"{seconds // size}{_NARROW}{name}"
    return f"1{_NARROW}{_('min')}"


@register.filter
def stamp(moment: datetime | None) -> SafeString | str:
    """Date and time in the reader's zone."""
    if moment is None:
        return "–"
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        f"{local:%Y-%m-%d %H:%M:%S %Z}",
        formats.date_format(local, "SHORT_DATETIME_FORMAT"),
    )


@register.filter
def customers(count: int) -> str:
    return ngettext("%(n)s customer", "%(n)s customers", count) % {"n": whole(count)}


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


@register.simple_tag
def language() -> str:
    return get_language() or "en"
