"""`manage.py messages`: collects what is said on screen, without the gettext tools.

Without options it adds new texts to locale/*/LC_MESSAGES/django.po, takes out unused ones and compiles the
.mo files. `--check` changes nothing and fails when a text has no translation or a .mo is stale.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation.template import templatize

LANGUAGES = ("es", "pt_BR")
_SAYS = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy", "pgettext", "pgettext_lazy"}
_CALL = re.compile(r"""(?:n|p|np)?gettext\((?:[^()"']|"(?:\\.|[^"\\])*"|u?'(?:\\.|[^'\\])*')*\)""")
_SHORT_CALL = re.compile(r"""_\((?:"[^"]*"|'[^']*')\)""")
_HOLES = re.compile(r"%\((\w+)\)[sd]")


class Text(NamedTuple):
    """One text: its context (pgettext), singular, and plural when it has one."""

    context: str | None
    text: str
    plural: str | None


class Command(BaseCommand):
    help = "Collects, checks and compiles the translations."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="fail on missing or stale translations")

    def handle(self, *_args: Any, **options: Any) -> None:
        said = collect(settings.ROOT)
        faults = [fault for language in LANGUAGES for fault in _work(language, said, options["check"])]
        if faults:
            raise CommandError("\n".join([*faults[:60], f"{len(faults)} faults."]))
        self.stdout.write(f"{len(said)} texts in {', '.join(LANGUAGES)}: complete.")


def collect(root: Path) -> dict[Text, str]:
    """Every text said in code and templates, with one place where it is said."""
    found: dict[Text, str] = {}
    ours = sorted(path for config in apps.get_app_configs() if (path := Path(config.path)).parent == root)
    for app in ours:
        for file in sorted(app.rglob("*.py")):
            if "migrations" not in file.parts:
                for text in _in_code(file.read_text()):
                    found.setdefault(text, str(file.relative_to(root)))
    for file in sorted((root / "templates").rglob("*.*")):
        for text in _in_code(_template_code(file.read_text(), str(file))):
            found.setdefault(text, str(file.relative_to(root)))
    return found


def _template_code(source: str, origin: str) -> str:
    """Django turns a template into calls as xgettext wants them; what lies between is not Python."""
    said = templatize(source, origin)
    return "\n".join([*_CALL.findall(said), *_SHORT_CALL.findall(said)])


def _in_code(source: str) -> Iterator[Text]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in _SAYS:
            continue
        texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if not texts:
            continue
        name = node.func.id.removesuffix("_lazy")
        if name == "pgettext" and len(texts) > 1:
            yield Text(texts[0], texts[1], None)
        elif name == "ngettext" and len(texts) > 1:
            yield Text(None, texts[0], texts[1])
        elif name in {"_", "gettext"}:
            yield Text(None, texts[0], None)


def _work(language: str, said: dict[Text, str], is_check: bool) -> list[str]:
    import polib  # a development package: the running hub only reads the .mo

    folder = settings.ROOT / "locale" / language / "LC_MESSAGES"
    po = polib.pofile(str(folder / "django.po"))
    known = {Text(e.msgctxt, e.msgid, e.msgid_plural or None): e for e in po if not e.obsolete}
    if is_check:
        return [*_faults(language, said, known), *_stale(language, po, folder)]
    for text, place in sorted(said.items(), key=lambda pair: (pair[1], pair[0].text)):
        if text not in known:
            plural = {0: "", 1: ""} if text.plural else {}
            entry = polib.POEntry(
                msgctxt=text.context, msgid=text.text, msgid_plural=text.plural or "", msgstr_plural=plural
            )
            entry.occurrences = [(place, "")]
            po.append(entry)
    for text, entry in known.items():
        if text not in said:
            po.remove(entry)
    po.save()
    po.save_as_mofile(str(folder / "django.mo"))
    return []


def _faults(language: str, said: dict[Text, str], known: dict[Text, Any]) -> Iterator[str]:
    for text, place in said.items():
        entry = known.get(text)
        told = list(entry.msgstr_plural.values()) if entry and text.plural else [entry.msgstr] if entry else []
        if not told or not all(told):
            yield f"{language}: not translated: {text.text!r} ({place})"
            continue
        wanted = set(_HOLES.findall(text.text)) | set(_HOLES.findall(text.plural or ""))
        for one in told:
            if not set(_HOLES.findall(one)) <= wanted or (not text.plural and set(_HOLES.findall(one)) != wanted):
                yield f"{language}: other holes than in {text.text!r}: {one!r}"


def _stale(language: str, po: Any, folder: Path) -> Iterator[str]:
    file = folder / "django.mo"
    if not file.exists() or file.read_bytes() != po.to_binary():
        yield f"{language}: django.mo is stale; run manage.py messages"
