"""A module imports its own app or a lower one, in the body of a function too; so do the relations of models."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings

LOWEST_FIRST = [
    "accounts", "activity", "notices", "releases", "training", "metrics", "feedback", "incidents",
    ("launches", "goals"), "integrations", "productops",
]  # fmt: skip
RANK = {
    name: rank
    for rank, floor in enumerate(LOWEST_FIRST, 1)
    for name in (floor if isinstance(floor, tuple) else (floor,))
}
LIB = 0
#: Words that the pure parts may not know (STYLE, "Rules that can be pure are pure").
PURE = ("metrics/detection", "incidents/impact.py", "incidents/lifecycle.py", "feedback/similar.py")


def modules() -> list[Path]:
    found = [path for app in RANK for path in (settings.ROOT / app).rglob("*.py")]
    return sorted(path for path in found if "migrations" not in path.parts)


def rank_of(module: str) -> int | None:
    """The floor of a dotted name; None for packages that are not ours."""
    if module == "productops.lib" or module.startswith("productops.lib."):
        return LIB
    return RANK.get(module.split(".", maxsplit=1)[0])


def dotted(path: Path) -> str:
    parts = path.relative_to(settings.ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything a file imports, wherever it does so."""
    package = dotted(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
            yield node.lineno, base
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            yield from ((node.lineno, str(given.value)) for given in node.args if isinstance(given, ast.Constant))


def is_upward(importer: str, imported: str) -> bool:
    mine, other = rank_of(importer), rank_of(imported)
    if mine is None or other is None or importer.split(".")[0] == imported.split(".")[0] != "productops":
        return False
    # Apps of one floor do not know each other either.
    return other > mine or (other == mine and importer.split(".")[0] != imported.split(".")[0])


def test_no_module_imports_upwards():
    wrong = {
        f"{path.relative_to(settings.ROOT)}:{line} imports {name}"
        for path in modules()
        for line, name in imports(path)
        if is_upward(dotted(path), name)
    }
    assert not wrong, "\n".join(sorted(wrong))


def test_lib_imports_no_app():
    wrong = {
        f"{path.relative_to(settings.ROOT)}:{line} imports {name}"
        for path in (settings.ROOT / "productops" / "lib").rglob("*.py")
        for line, name in imports(path)
        if rank_of(name) not in {None, LIB} and name != "productops"
    }
    assert not wrong, "\n".join(sorted(wrong))


@pytest.mark.parametrize(
    ("importer", "imported", "expected"),
    [
        ("metrics.words", "productops.templatetags.ui", True),
        ("metrics.words", "productops.lib.tell", False),
        ("productops.lib.api", "accounts.models", True),
        ("releases.models", "incidents.models", True),
        ("incidents.models", "releases.models", False),
        ("launches.models", "goals.models", True),
        ("productops.views", "incidents.models", False),
        ("metrics.api", "metrics.models", False),
        ("metrics.api", "django.db", False),
    ],
)
def test_the_rule_itself(importer, imported, expected):
    assert is_upward(importer, imported) is expected


def test_imports_sees_function_local_and_relative_ones(tmp_path, settings):
    settings.ROOT = tmp_path
    file = tmp_path / "metrics" / "models" / "signal.py"
    file.parent.mkdir(parents=True)
    file.write_text("from ..intake import own\ndef f():\n    from incidents.models import Incident\n")
    assert {name for _line, name in imports(file)} >= {"metrics.intake.own", "incidents.models"}


def test_no_model_points_upwards():
    wrong = []
    for model in apps.get_models():
        for field in model._meta.get_fields():
            if field.is_relation and not field.auto_created and field.related_model:
                mine, other = model._meta.app_label, field.related_model._meta.app_label
                if is_upward(f"{mine}.models", f"{other}.models"):
                    wrong.append(f"{model.__name__}.{field.name} points to {field.related_model.__name__}")
    assert not wrong


def test_every_app_has_its_floor():
    ours = {config.label for config in apps.get_app_configs() if Path(config.path).parent == settings.ROOT}
    assert ours <= RANK.keys()
    with_models = {model._meta.app_label for model in apps.get_models()} & RANK.keys()
    assert with_models >= {"accounts", "activity", "releases", "metrics", "feedback", "incidents"}


@pytest.mark.parametrize("place", PURE)
def test_pure_rules_know_no_database_and_no_clock(place):
    path = settings.ROOT / place
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    assert files
    wrong = [
        f"{file.name}:{line} imports {name}"
        for file in files
        for line, name in imports(file)
        if name.startswith(("django.db", "django.utils.timezone", "django.conf")) or name.endswith(".models")
    ]
    assert not wrong
    clocks = ("timezone.now(", "datetime.now(", "time.time(", "utcnow(")
    assert not [file.name for file in files for clock in clocks if clock in file.read_text()]
