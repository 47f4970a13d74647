"""Markdown from people, rendered once at write time and cleaned of everything that could act."""

from __future__ import annotations

import nh3
from markdown_it import MarkdownIt

#: Longer texts are refused before they get here; the parser is slow on long runs of brackets.
LIMIT = 65_536

_TAGS = {
    "p", "br", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a", "h1", "h2", "h3", "h4",
    "hr", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
_parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "maxNesting": 20}).enable(
    ["table", "strikethrough"]
)


def render(text: str) -> str:
    """Safe HTML of a Markdown text."""
    return nh3.clean(
        _parser.render(text[:LIMIT]),
        tags=_TAGS,
        attributes={"a": {"href", "title"}, "code": {"class"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow ugc",
    )
