"""`python -m productops.bench [NAME ...]`: see bin/bench."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from productops.bench import (
    chaos,
    dashboard,
    detect,
    drain,
    intake,
    look,
    loop,
    overload,
    pages,
    pipeline,
    sample,
    seed,
    triage,
)
from productops.bench.figures import Figure

BENCHES = ("intake", "drain", "pipeline", "overload", "loop", "pages", "dashboard", "sample", "chaos", "detect", "look")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="bin/bench", description="Measures the hub; one JSON line per figure. Exit 1 when a goal is not reached."
    )
    known = f"{', '.join(BENCHES)}; none means all. After `seed`, pages measures two busy years too"
    parser.add_argument("name", nargs="*", help=known)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each figure of intake")
    parser.add_argument("--sustained", type=float, default=300.0, help="seconds of pipeline")
    parser.add_argument("--events", type=int, default=600_000, help="in the backlog of drain")
    parser.add_argument("--incidents", type=int, default=100_000, help="of seed")
    parser.add_argument("--complaints", type=int, default=1_000_000, help="of seed")
    parser.add_argument("--series", type=Path, help="folder of files and labels.csv for detect; see docs/detection.md")
    options = parser.parse_args(argv)
    if unknown := set(options.name) - {*BENCHES, "seed", "triage"}:
        parser.error(f"unknown bench: {', '.join(sorted(unknown))}. Known: {', '.join(BENCHES)}")
    for number in (signal.SIGTERM, signal.SIGHUP):  # what was started ends with us, also then
        signal.signal(number, signal.default_int_handler)
    server = os.environ["DATABASE_URL"]
    runs: dict[str, Callable[[], Iterator[Figure]]] = {
        "intake": lambda: intake.run(server, options.seconds),
        "drain": lambda: drain.run(server, options.events),
        "pipeline": lambda: pipeline.run(server, options.sustained),
        "overload": lambda: overload.run(server, min(60.0, options.sustained)),
        "loop": lambda: loop.run(server),
        "pages": lambda: chain(pages.run(server), triage.run(server)),
        "triage": lambda: triage.run(server),
        "dashboard": lambda: dashboard.run(server),
        "sample": lambda: sample.run(server),
        "chaos": chaos.bench,
        "detect": lambda: detect.run(options.series),
        "look": lambda: look.run(server),
        "seed": lambda: seed.run(server, options.incidents, options.complaints),
    }
    failed = 0
    for name in options.name or BENCHES:
        for figure in runs[name]():
            print(figure.line(), flush=True)
            failed += not figure.ok
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
