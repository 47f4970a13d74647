"""CSV that is written line by line, and that a spreadsheet takes for text and numbers only."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from typing import Any

#: A spreadsheet takes a text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class _Line:
    """A file that hands back what is written to it."""

    def write(self, line: str) -> str:
        return line


def writer() -> Callable[[Iterable[Any]], str]:
    """Makes a line of values; those of people are made harmless."""
    write = csv.writer(_Line()).writerow
    return lambda values: write([cell(value) for value in values])  # type: ignore[return-value]


def cell(value: Any) -> Any:
    if value is None or isinstance(value, (int, float)):
        return value
    text = value.isoformat(timespec="seconds") if hasattr(value, "isoformat") else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
