"""The detectors on series of real releases: how often they cry wolf, what they find and how soon, beside simple peers.

The series are those of the tests, or a folder of files in the format of docs/detection.md with a `labels.csv`
(id, track, label: `aa` nothing changed, everything else a change).
"""

from __future__ import annotations

import csv
import gzip
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from metrics.detection.replay import SIDE_BY_SIDE, replay
from productops.bench import peers
from productops.bench.figures import Figure
from productops.bench.hub import ROOT

SAMPLE = ROOT / "tests" / "metrics" / "detection" / "data"
OURS = "ours"
#: Share of releases without a change that may ever be flagged: of all, and of one track.
MOST_FALSE, MOST_OF_A_TRACK = 0.007, 0.015
#: Least share found, by (track, mode, label).
LEAST = {
    ("G", "before_after", "inj25"): 0.52, ("G", "before_after", "inj50"): 0.74,
    ("R", SIDE_BY_SIDE, "inj25"): 0.90, ("R", SIDE_BY_SIDE, "inj50"): 0.98,
}  # fmt: skip
_COUNTED = (("before_after", ("n_pre", "k_pre", "n_post", "k_post")), (SIDE_BY_SIDE, ("nA", "kA", "nB", "kB")))
#: Bad events a day from which the goals of side by side are meant.
BUSY = 2_000


class Told(NamedTuple):
    id: str
    mode: str
    method: str
    first: int  # bucket, or -1
    bucket_s: int
    is_busy: bool
    mde: float = math.inf  # the smallest change that was said to be visible


def run(folder: Path | None = None) -> Iterator[Figure]:
    folder = folder or SAMPLE
    packed = [path.read_bytes() for path in sorted(folder.glob("*.jsonl.gz"))]
    lines = [line for each in packed for line in gzip.decompress(each).splitlines()]
    labels = _labels(folder, lines)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        told = [each for found in pool.map(judge, lines, chunksize=16) for each in found if each.id in labels]
    yield from _false_flags(told, labels)
    yield from _recall(told, labels)
    yield from _stated(told, labels)


def judge(line: bytes) -> list[Told]:
    """Ours and the peers' word on one case."""
    case = orjson.loads(line)
    bucket_s, direction = case["bucket_s"], case.get("bad_direction", 1)
    days = len(case.get("nA", ())) * bucket_s / 86_400
    is_busy = days > 0 and sum(case["kA"]) + sum(case["kB"]) >= BUSY * days
    found = [
        Told(r.id, r.mode, OURS, r.first_flag, bucket_s, is_busy, min(e.mde for e in r.evidence)) for r in replay(case)
    ]

    def add(mode: str, method: str, first: int) -> None:
        found.append(Told(case["id"], mode, method, first, bucket_s, is_busy))

    if "pre" in case:
        pre, post = np.array(case["pre"], dtype=float), np.array(case["post"], dtype=float)
        for name, gauge in peers.GAUGES.items():
            add("before_after", name, gauge(pre, post, direction))
    for mode, names in _COUNTED:
        if names[0] in case:
            series = [np.array(case[name], dtype=float) for name in names]
            for name, rate in peers.RATES.items():
                if mode == SIDE_BY_SIDE or name != "z-test, peeking":
                    add(mode, name, rate(*series))
    return found


def _stated(told: list[Told], labels: dict[str, tuple[str, str]]) -> Iterator[Figure]:
    """Of the changes as large as what was said to be visible, or larger: how many were found."""
    for mode in ("before_after", SIDE_BY_SIDE):
        found = []
        for each in told:
            _track, label = labels[each.id]
            size = int(label[3:]) / 100 if label.startswith("inj") else 0.0
            if (each.method, each.mode) == (OURS, mode) and each.mde <= size:
                found.append(each.first >= 0)
        if found:
            share, note = sum(found) / len(found), f"{sum(found)} of {len(found)}"
            yield Figure("detect", f"{mode}: found where it was said to be visible", share, "", 0.95, note=note)


def _labels(folder: Path, lines: list[bytes]) -> dict[str, tuple[str, str]]:
    """id -> (track, label)."""
    told = folder / "labels.csv"
    if told.exists():
        with told.open(newline="") as file:
            return {row["id"]: (row["track"], row["label"]) for row in csv.DictReader(file)}
    cases: list[dict[str, Any]] = [orjson.loads(line) for line in lines]
    return {case["id"]: (case["track"], case["label"]) for case in cases}


def _false_flags(told: list[Told], labels: dict[str, tuple[str, str]]) -> Iterator[Figure]:
    by: defaultdict[tuple[str, str, str], list[bool]] = defaultdict(list)
    for each in told:
        track, label = labels[each.id]
        if label == "aa":
            by[track, each.mode, each.method].append(each.first >= 0)
    ours = [flag for (_track, _mode, method), flags in by.items() if method == OURS for flag in flags]
    note = f"{sum(ours)} of {len(ours)}"
    share = sum(ours) / max(1, len(ours))
    yield Figure("detect", "releases without a change ever flagged", share, "", MOST_FALSE, is_ceiling=True, note=note)
    for (track, mode, method), flags in sorted(by.items()):
        if method == OURS:
            value = sum(flags) / len(flags)
            note = f"{sum(flags)} of {len(flags)}; {_peers(by, track, mode)}"
            name = f"{track} {mode}: false flags"
            yield Figure("detect", name, value, "", MOST_OF_A_TRACK, is_ceiling=True, note=note)


def _peers(by: dict[tuple[str, str, str], list[bool]], track: str, mode: str) -> str:
    shares = [
        f"{method} {sum(flags) / len(flags):.2f}"
        for (its_track, its_mode, method), flags in sorted(by.items())
        if (its_track, its_mode) == (track, mode) and method != OURS
    ]
    return "peers: " + (", ".join(shares) or "none")


def _recall(told: list[Told], labels: dict[str, tuple[str, str]]) -> Iterator[Figure]:
    by: defaultdict[tuple[str, str, str, str], list[Told]] = defaultdict(list)
    for each in told:
        track, label = labels[each.id]
        if label != "aa" and (each.mode != SIDE_BY_SIDE or each.is_busy):
            by[track, each.mode, label, each.method].append(each)
    for (track, mode, label, method), found in sorted(by.items()):
        if method != OURS:
            continue
        delays = [(each.first + 1) * each.bucket_s / 60 for each in found if each.first >= 0]
        note = f"n={len(found)}"
        if delays:
            p90 = sorted(delays)[int(0.9 * len(delays))]
            note += f", delay median {statistics.median(delays):.0f} min, p90 {p90:.0f} min"
        others = {
            name: [each.first >= 0 for each in rest]
            for (t, m, kind, name), rest in by.items()
            if (t, m, kind) == (track, mode, label) and name != OURS
        }
        note += "; peers: " + (", ".join(f"{n} {sum(f) / len(f):.2f}" for n, f in sorted(others.items())) or "none")
        share = len(delays) / len(found)
        yield Figure("detect", f"{track} {mode}: {label} found", share, "", LEAST.get((track, mode, label)), note=note)
