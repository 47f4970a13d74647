"""Timers in words, for templates."""

from __future__ import annotations

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from incidents import clocks
from incidents.models import Incident, Status
from incidents.query import grammar

register = template.Library()
register.filter("time_span", clocks.length)


@register.filter
def release_query(version: str) -> str:
    """The query that finds what belongs to a release."""
    return f"release:{grammar.quoted(version)} sort:newest"


@register.simple_tag
def due(incident: Incident) -> SafeString | str:
    """What a row says of its next timer: nothing while there is time."""
    now = timezone.now()
    if incident.due_at is None or incident.risk_at is None or now < incident.risk_at:
        return ""
    if incident.status == Status.SNOOZED:
        return ""
    name = clocks.NAMES.get(incident.due_kind, "")
    if now >= incident.due_at:
        text, state = _("%(what)s late by %(span)s"), "bad"
        span = clocks.short(now - incident.due_at)
    else:
        text, state = _("%(what)s due in %(span)s"), "warn"
        span = clocks.short(incident.due_at - now)
    return format_html('<span class="{}-text nowrap">{}</span>', state, text % {"what": name, "span": span})
