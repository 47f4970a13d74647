"""Frames out of stack traces that clients send as plain text (OpenTelemetry's `exception.stacktrace`)."""

from __future__ import annotations

import re
from typing import Any

#: Characters of a trace that are read, from its end: the fault is there in Python, and causes before it in Java.
READ = 20_000
FRAMES = 250

_PYTHON = re.compile(r'^ {0,8}File "([^"\n]{1,300})", line (\d{1,7}), in ([^\n]{1,120})$', re.MULTILINE)
_SCRIPT = re.compile(
    r"^ {0,8}at (?:([^\s(\n]{1,120})[^(\n]{0,60}\()?([^\s()\n]{1,300}):(\d{1,7}):\d{1,7}\)?$", re.MULTILINE
)
_JAVA = re.compile(
    r"^\s{0,8}at ([\w$.<>]{1,200})\.([\w$<>]{1,120})\(([\w$]{1,80}\.\w{1,8})?(?::(\d{1,7}))?\)", re.MULTILINE
)


def frames(trace: Any) -> list[dict[str, Any]]:
    """Frames as Sentry's, outermost first: filename, function, lineno; [] for a text that is no known trace."""
    if type(trace) is not str:
        return []
    if found := _PYTHON.findall(trace[-READ:]):
        return [_frame(file, name, line) for file, line, name in found[-FRAMES:]]
    head = trace[:READ]
    if found := _SCRIPT.findall(head):
        return [_frame(file, name, line) for name, file, line in reversed(found[:FRAMES])]
    found = _JAVA.findall(head)
    return [{**_frame(file, name, line), "module": module} for module, name, file, line in reversed(found[:FRAMES])]


def _frame(file: str, name: str, line: str) -> dict[str, Any]:
    return {"filename": file, "abs_path": file, "function": name, "lineno": int(line or 0)}
