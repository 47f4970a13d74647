"""A release of the past put before the detectors: when would it have been flagged?

Pure. A case is one JSON object, see docs/detection.md, "Replay a file". What was flagged first is what a look after
every bucket would have flagged first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .before_after import before_after
from .concurrent import concurrent_rate
from .evidence import WORSE, Evidence, FloatArray, Side

BEFORE_AFTER, SIDE_BY_SIDE = "before_after", "concurrent"
#: Buckets of one case at most: two years of minutes.
MOST_BUCKETS = 1_100_000
_COUNTS, _SIDES = ("n_pre", "k_pre", "n_post", "k_post"), ("nA", "kA", "nB", "kB")
_GAUGE, _LATENCY = ("pre", "post"), ("p50_pre", "p50_post", "p95_pre", "p95_post")


class BadCase(ValueError):
    """Says what is wrong with a case."""


@dataclass(frozen=True)
class Replayed:
    """What one method said of one case. `first_flag`: 0-based bucket after the release, -1 when never flagged."""

    id: str
    mode: str
    first_flag: int
    evidence: tuple[Evidence, ...]


def replay(case: Mapping[str, Any], margin: float | None = None) -> list[Replayed]:
    """One answer for each method that the case has data for. margin: another than the usual one. Raises BadCase."""
    id_, bucket_s = case.get("id"), case.get("bucket_s")
    if type(id_) is not str or not id_:
        raise BadCase("It has no id.")
    if type(bucket_s) is not int or not 1 <= bucket_s <= 86_400:
        raise BadCase("bucket_s must be a whole number of seconds, from 1 to 86400.")
    direction = case.get("bad_direction", 1)
    if direction not in (-1, 0, 1):
        raise BadCase("bad_direction must be 1, -1 or 0.")
    found = [_told(id_, mode, evidence) for mode, evidence in _judged(case, bucket_s, direction, margin)]
    if not found:
        raise BadCase("It has none of pre/post, n_pre/k_pre/n_post/k_post, p50_*/p95_* or nA/kA/nB/kB.")
    return found


def _judged(
    case: Mapping[str, Any], bucket_s: int, direction: int, margin: float | None
) -> list[tuple[str, list[Evidence]]]:
    usual: dict[str, Any] = {"bucket_s": bucket_s, "direction": direction, "margin": margin}
    found: list[tuple[str, list[Evidence]]] = []
    empty = np.zeros(0)
    if case.keys() >= set(_COUNTS):
        n_pre, k_pre, n_post, k_post = _columns(case, _COUNTS)
        rate = before_after(
            empty, empty, **usual | {"direction": direction or 1}, measure="failure_rate",
            pre_n=n_pre, pre_bad=k_pre, post_n=n_post, post_bad=k_post,
        )  # fmt: skip
        found.append((BEFORE_AFTER, [rate]))
    elif case.keys() >= set(_LATENCY):
        p50_pre, p50_post, p95_pre, p95_post = _columns(case, _LATENCY)
        p50 = before_after(p50_pre, p50_post, **usual, measure="latency_p50", signals=2)
        p95 = before_after(p95_pre, p95_post, **usual, measure="latency_p95", signals=2)
        found.append((BEFORE_AFTER, [p50, p95]))
    elif case.keys() >= set(_GAUGE):
        pre, post = _columns(case, _GAUGE)
        found.append((BEFORE_AFTER, [before_after(pre, post, **usual, measure="gauge")]))
    if case.keys() >= set(_SIDES):
        n_old, k_old, n_new, k_new = _columns(case, _SIDES)
        sides = Side(n_old, k_old), Side(n_new, k_new)
        # Who got the new release first was left to chance: such files hold what a rollout by share does.
        beside = concurrent_rate(*sides, bad_is_up=direction >= 0, randomised=True, margin=margin)
        found.append((SIDE_BY_SIDE, [beside]))
    return found


def _columns(case: Mapping[str, Any], names: Sequence[str]) -> list[FloatArray]:
    """The named series; before and after may differ in length, sides may not."""
    found = [_column(case, name) for name in names]
    for a, b in zip(names[::2], names[1::2], strict=True):
        is_pair = a[0] == "n"  # n and k of the same buckets
        if is_pair and len(case[a]) != len(case[b]):
            raise BadCase(f"{a} and {b} must have as many buckets.")
    if names == _SIDES and len(found[0]) != len(found[2]):
        raise BadCase("nA and nB must have as many buckets.")
    if "n" in names[0] and any((bad > n).any() for n, bad in zip(found[::2], found[1::2], strict=True)):
        raise BadCase("A bucket has more bad events than events.")
    return found


def _column(case: Mapping[str, Any], name: str) -> FloatArray:
    values = case[name]
    if type(values) is not list or len(values) > MOST_BUCKETS:
        raise BadCase(f"{name} must be a list of at most {MOST_BUCKETS} numbers.")
    if any(type(value) not in (int, float, type(None)) for value in values):
        raise BadCase(f"{name} holds something that is no number.")
    found = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    if name[0] in "nk" and (found < 0).any():
        raise BadCase(f"{name} holds a count below zero.")
    return found


def _told(id_: str, mode: str, evidence: list[Evidence]) -> Replayed:
    flags = [e.first_bucket for e in evidence if e.status == WORSE and e.first_bucket is not None]
    return Replayed(id_, mode, min(flags, default=-1), tuple(evidence))
