"""How long the sample workspace takes to load on two cores."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

from productops.bench.figures import Figure
from productops.bench.hub import Hub


def run(server: str) -> Iterator[Figure]:
    with Hub(server, has_redis=False) as hub:
        can_pin = shutil.which("taskset") is not None
        began = time.monotonic()
        told = hub.sample(wrap=("taskset", "-c", "0,1") if can_pin else ())
        took = time.monotonic() - began
        note = f"{told['seconds']} s of it loading; PostgreSQL on all cores"
        if not can_pin:
            note = f"not pinned to two; {note}"
        yield Figure("sample", "loaded on 2 cores", took, "s", 60, is_ceiling=True, note=note)
