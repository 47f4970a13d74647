"""Whether events of a product come again these days. Asking for each whether it was counted costs more than writing it
down, and most clients never send one twice: where none came lately it is written, and the key tells."""

from __future__ import annotations

import time

#: Seconds after a repeat in which more are likely; products remembered.
CAREFUL, MOST = 60.0, 10_000

_until: dict[int, float] = {}


def note(product: int) -> None:
    if len(_until) > MOST:
        _until.clear()
    _until[product] = time.monotonic() + CAREFUL


def are_likely(product: int) -> bool:
    return time.monotonic() < _until.get(product, 0.0)
