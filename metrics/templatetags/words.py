"""Findings in words, for templates."""

from django import template

from metrics import words

register = template.Library()
for _name in (
    "title", "sentence", "why", "footnote", "status_name", "measure_name", "change", "interval", "where",
    "complaints_why", "state_name", "compact", "after",
):  # fmt: skip
    register.filter(_name, getattr(words, _name))


@register.simple_tag
def told_value(trace: words.Trace, number: float) -> str:
    return words.value(trace, number)
