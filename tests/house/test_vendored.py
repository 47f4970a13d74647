"""What we ship of others is what they published: every vendored file has its sum in the list, and fits it."""

from __future__ import annotations

import hashlib
import re

from django.conf import settings

VENDOR = settings.ROOT / "productops" / "static" / "vendor"
_ROW = re.compile(r"^\| (?P<file>[\w.-]+) \| .+ \| (?P<version>[\d.]+) \| .+ \| (?P<sum>[0-9a-f]{64}) \|$", re.M)


def listed() -> dict[str, tuple[str, str]]:
    found = _ROW.finditer((VENDOR / "README.md").read_text())
    return {row["file"]: (row["version"], row["sum"]) for row in found}


def test_sums_match():
    assert len(listed()) >= 5
    for name, (_version, wanted) in listed().items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == wanted, name


def test_every_file_is_listed():
    files = {path.name for path in VENDOR.iterdir() if path.is_file()}
    assert files - {"README.md"} - {name for name in files if name.endswith("-LICENSE.txt")} == set(listed())


def test_names_carry_the_version():
    for name, (version, _sum) in listed().items():
        assert version in name


def test_a_licence_lies_beside_each():
    for name in listed():
        assert (VENDOR / f"{name.split('-')[0]}-LICENSE.txt").is_file(), name


def test_pages_load_only_listed_vendor_files():
    used = set()
    for folder, suffix in (("templates", "*.html"), ("productops/static", "*.js"), ("productops/static", "*.css")):
        for path in (settings.ROOT / folder).rglob(suffix):
            if path.parent != VENDOR:
                used |= set(re.findall(r"vendor/([\w.-]+\.(?:js|css|woff2))", path.read_text()))
    assert used
    assert used <= set(listed())
