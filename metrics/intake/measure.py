"""What properties of an analytics event say about its outcome: how many, how many failed, how long it took."""

from __future__ import annotations

from typing import Any

from .clean import number

#: Most that one event may claim to have counted.
COUNT_LIMIT = 1_000_000
#: Properties that become n, bad and value, and so are not kept again.
DURATIONS = ("duration_ms", "duration", "latency_ms", "elapsed_ms")
MEASURES = ("n", "bad", *DURATIONS)
#: What `counts` looks at.
COUNTS = frozenset(("n", "bad", "ok", "success", "failed", "status", "error"))
_FAILED = frozenset(("error", "failed", "failure", "fail"))


def counts(properties: dict[str, Any]) -> tuple[int, int]:
    """(n, bad). Explicit counts win; else ok or success false, failed true, a failed status or an error."""
    n, bad = properties.get("n"), properties.get("bad")
    if type(n) is int and 0 < n <= COUNT_LIMIT:
        if type(bad) is int and 0 <= bad <= n:
            return n, bad
    else:
        n = 1
    get = properties.get
    status, error = get("status"), get("error")
    failed = (
        get("ok") is False
        or get("success") is False
        or get("failed") is True
        or (type(status) is str and status.lower() in _FAILED)
        or error is True
        or (type(error) is str and error.lower() not in ("", "none", "null", "false", "0"))
    )
    return n, n if failed else 0


def duration(properties: dict[str, Any]) -> float | None:
    """Milliseconds; only `$duration` is in seconds."""
    for key in DURATIONS:
        if key in properties:
            return number(properties[key])
    seconds = number(properties.get("$duration"))
    return None if seconds is None else number(seconds * 1000)
