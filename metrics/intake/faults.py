"""Exceptions of any client as one small shape with a key that puts the same fault together.

The shape (a props object): type, value, culprit, handled, frames, group, group_version. `group` is 32 hex
digits: the client's fingerprint when it set one, else exception type and in-app frames without line
numbers, so that an edit elsewhere in a file does not split a fault.
"""

from __future__ import annotations

import re
from typing import Any

from .clean import stable_id, text
from .origin import mapping
from .scrub import scrub_text

GROUP_VERSION = 1
#: In-app frames kept per fault, and frames read from a stack, nearest to the fault in both cases.
FRAMES, FRAMES_READ = 20, 250
_DEFAULTS = ("{{ default }}", "{{default}}")

_HASHED = re.compile(r"(?<=[.-])(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{6,}(?=\.)")
_VOLATILE = re.compile(
    r"0x[0-9a-fA-F]+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|\b(?=[a-fA-F]*\d)[0-9a-fA-F]{8,}\b|\d+"
)
_FOREIGN = ("/site-packages/", "/dist-packages/", "/node_modules/", "node:internal")


def fault(error: Any, message: str, fingerprint: Any = None) -> tuple[dict[str, Any], int]:
    """(props, flags) of one exception object of Sentry or PostHog: {type, value, mechanism, stacktrace}.

    Without an exception (`error` is no object) the message is what groups. Both texts arrive untouched
    and are scrubbed here.
    """
    error = mapping(error)
    kind, _ = text(error.get("type"), 200)
    value, flags = scrub_text(_flat(error.get("value")), 2000)
    frames = _frames(mapping(error.get("stacktrace")).get("frames"))
    props: dict[str, Any] = {"group": _group(kind, value or message, frames, fingerprint)}
    props["group_version"] = GROUP_VERSION
    if kind:
        props["type"] = kind
    if value:
        props["value"] = value
    if frames:
        top = frames[-1]
        place = top.get("module") or top.get("filename", "")
        props["culprit"] = f"{place} in {top['function']}" if top.get("function") else place
        props["frames"] = frames
    handled = mapping(error.get("mechanism")).get("handled")
    if type(handled) is bool:
        props["handled"] = handled
    return props, flags


def _flat(value: Any) -> str:
    return value if type(value) is str else "" if value is None else str(value)[:4000]


def _frames(raw: Any) -> list[dict[str, Any]]:
    """The last in-app frames, outermost first; all frames count when none is marked in-app."""
    if type(raw) is not list:
        return []
    read = [frame for frame in raw[-FRAMES_READ:] if type(frame) is dict]
    own = [frame for frame in read if _is_own(frame)] or read
    return [small for frame in own[-FRAMES:] if (small := _frame(frame))]


def _is_own(frame: dict[str, Any]) -> bool:
    if type(frame.get("in_app")) is bool:
        return bool(frame["in_app"])
    path = frame.get("abs_path") or frame.get("filename")
    return type(path) is not str or not any(part in path for part in _FOREIGN)


def _frame(frame: dict[str, Any]) -> dict[str, Any]:
    """filename, function, module, lineno and nothing else: source lines and `vars` hold secrets."""
    small: dict[str, Any] = {}
    for key, limit in (("filename", 200), ("function", 120), ("module", 120)):
        cleaned, _ = text(frame.get(key), limit)
        if cleaned:
            small[key] = scrub_text(cleaned, limit)[0]
    if type(frame.get("lineno")) is int and 0 <= frame["lineno"] < 10_000_000:
        small["lineno"] = frame["lineno"]
    return small


def _group(kind: str, message: str, frames: list[dict[str, Any]], fingerprint: Any) -> str:
    parts: list[str] = [kind]
    if frames:
        for frame in frames:
            parts.append(frame.get("module") or _file(frame.get("filename", "")))
            parts.append(frame.get("function", ""))
    else:
        parts.append(_VOLATILE.sub("*", message[:300]))
    if type(fingerprint) is str:
        fingerprint = [fingerprint]
    if type(fingerprint) is list and fingerprint and fingerprint != ["{{ default }}"]:
        own: list[str] = ["fingerprint"]
        for part in fingerprint[:20]:
            own.extend(parts if part in _DEFAULTS else [_flat(part)[:200]])
        parts = own
    return stable_id(f"v{GROUP_VERSION}", *parts)


def _file(name: str) -> str:
    """A file name without host, query and build hash, so a new bundle does not make new faults."""
    path = re.sub(r"^[a-z][a-z0-9+.-]*://[^/]*", "", name).split("?")[0].split("#")[0]
    return _HASHED.sub("*", path)
