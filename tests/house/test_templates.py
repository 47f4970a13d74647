"""Templates compile, carry no script or style of their own, and every form that changes something has its token."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.template import engines

FOLDER = settings.ROOT / "templates"
ALL = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.*"))
#: Of mails: their programs know no other styles than those of a tag.
PAGES = [name for name in ALL if name.endswith(".html") and "/email/" not in name]
#: The only place where text is put into a page unescaped: Markdown that was cleaned when it was written.
SAFE = {"incidents/_entry.html": ["entry.html|safe"]}

_TAG = re.compile(r"<[a-zA-Z][^<>]*>", re.S)
_DJANGO = re.compile(r"{%.*?%}|{{.*?}}|{#.*?#}", re.S)


def source(name: str) -> str:
    return (FOLDER / name).read_text()


def tags(name: str) -> list[str]:
    """The opening tags of a template; what Django puts in is replaced by x, quotes and all."""
    return _TAG.findall(_DJANGO.sub("x", source(name)))


def test_there_are_templates():
    assert len(PAGES) > 40


@pytest.mark.parametrize("name", ALL)
def test_compiles(name):
    engines["django"].get_template(name)


@pytest.mark.parametrize("name", PAGES)
def test_no_inline_script_style_or_handler(name):
    for tag in tags(name):
        lower = tag.lower()
        assert not re.search(r"""[\s"']on[a-z]+\s*=""", lower), tag
        assert not re.search(r"""[\s"']style\s*=""", lower), tag
        assert not lower.startswith("<style"), tag
        assert not re.search(r"hx-on[:-]|javascript:|srcdoc", lower), tag
        if lower.startswith("<script"):
            assert " src=" in lower or 'type="application/json"' in lower, tag
        if lower.startswith(("<iframe", "<object", "<embed", "<base")):
            pytest.fail(tag)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_from_elsewhere(name):
    """No page asks another host for anything (links to the outside are none of ours either, so far)."""
    assert not re.findall(r"""(?:src|href|action|hx-[a-z]+)=["'](?:https?:)?//[^"']*""", source(name))


@pytest.mark.parametrize("name", ALL)
def test_unescaped_only_where_it_was_cleaned(name):
    found = re.findall(r"[\w.]+\|safe\w*|\|\s*safe", source(name))
    assert found == SAFE.get(name, [])
    if name.endswith(".html"):
        assert "autoescape off" not in source(name)


def test_unescaped_in_code_only_by_format_html():
    ours = [Path(config.path) for config in apps.get_app_configs() if Path(config.path).parent == settings.ROOT]
    assert {"notices", "incidents", "productops"} <= {app.name for app in ours}
    for app in ours:
        for path in app.rglob("*.py"):
            text = path.read_text()
            assert "mark_safe" not in text, path
            assert not re.search(r"SafeString\(|format_html\(\s*f[\"']", text), path


@pytest.mark.parametrize("name", PAGES)
def test_forms_that_post_have_their_token(name):
    for form in re.findall(r"<form\b.*?</form>", source(name), re.S | re.I):
        opening = form.split(">", maxsplit=1)[0].lower()
        if 'method="post"' in opening or "hx-post" in opening:
            assert "{% csrf_token %}" in form, opening
        else:
            assert "{% csrf_token %}" not in form, f"the token would stand in the address: {opening}"


@pytest.mark.parametrize("name", PAGES)
def test_attributes_are_quoted(name):
    """An unquoted attribute with a value in it is the one place where escaping does not help."""
    bare = re.findall(r"""\s[\w-]+={{""", source(name))
    assert not bare


@pytest.mark.parametrize("name", PAGES)
def test_every_post_works_without_script(name):
    """hx-post on a form comes with method and action, so that the plain form does the same."""
    for tag in tags(name):
        if tag.lower().startswith("<form") and "hx-post" in tag:
            assert 'method="post"' in tag, tag
            assert "action=" in tag, tag
