"""How values are told: numbers, money, shares and times, in the reader's language and zone."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

_NARROW = "\u202f"


def whole(value: Decimal | float | int | None) -> str:
    """1234567 -> 1,234,567 in the reader's way."""
    return "–" if value is None else formats.number_format(round(value), 0, use_l10n=True, force_grouping=True)


def percent(share: float | None, digits: int = 1) -> str:
    """0.1294 -> 12.9 %."""
    if share is None:
        return "–"
    return f"{formats.number_format(round(share * 100, digits), digits)}{_NARROW}%"


def bare_percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else formats.number_format(round(share * 100, digits), digits)


def points(share: float | None, digits: int = 1) -> str:
    """A difference of shares, in points of percent: 0.123 -> +12.3; a true minus for less."""
    if share is None:
        return "–"
    value = round(share * 100, digits)
    sign = "+" if value > 0 else "−" if value < 0 else ""
    return f"{sign}{formats.number_format(abs(value), digits)}"


def milliseconds(value: float | None) -> str:
    if value is None:
        return "–"
    if value >= 10_000:
        return f"{formats.number_format(round(value / 1000, 1), 1)}{_NARROW}s"
    return f"{whole(value)}{_NARROW}ms"


def money(value: Decimal | float | None, currency: str = "EUR") -> str:
    """18400 -> € 18,400; whole units, since nobody decides on cents."""
    if value is None:
        return "–"
    sign = {"EUR": "€", "USD": "US$", "BRL": "R$", "GBP": "£", "MXN": "MX$"}.get(currency, currency)
    if get_language() == "es":
        return f"{whole(value)}\u00a0{sign}"
    return f"{sign}\u00a0{whole(value)}"


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
    if seconds >= 86_400:
        return f"{seconds // 86_400}{_NARROW}{_('d')}"
    if seconds >= 3_600:
        return f"{seconds // 3_600}{_NARROW}{_('h')}"
    return f"{max(1, seconds // 60)}{_NARROW}{_('min')}"


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


def customers(count: int) -> str:
    return ngettext("%(n)s customer", "%(n)s customers", count) % {"n": whole(count)}
