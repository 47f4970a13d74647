"""A question put to a detector, as a value: it can be stored, and whoever asks it again gets the same answer."""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from . import faults
from .before_after import before_after
from .concurrent import concurrent_latency, concurrent_rate
from .evidence import NOT_ENOUGH, VERSION, Evidence, Side
from .short_history import short_history

DETECTORS: Mapping[str, Callable[..., Any]] = {
    "concurrent_rate": concurrent_rate,
    "concurrent_latency": concurrent_latency,
    "before_after": before_after,
    "short_history": short_history,
    "faults": faults.judge,
}


@dataclass(frozen=True)
class Question:
    """detector: a name of DETECTORS; given: its arguments by name (numbers, texts, arrays, sides, seen faults); fewest:
    events of the new release below which nothing is said."""

    detector: str
    given: Mapping[str, Any]
    fewest: float = 0.0

    def answer(self) -> Evidence:
        found = _remembered(self.digest, self)
        if found.status != NOT_ENOUGH and 0 < found.n_new < self.fewest:
            return replace(found, status=NOT_ENOUGH, needed=self.fewest - found.n_new)
        return found

    @cached_property
    def digest(self) -> bytes:
        """The same for the same question to the same version of the same detector."""
        sums = hashlib.blake2b(f"{self.detector} {VERSION}".encode(), digest_size=16)
        for name in sorted(self.given):
            sums.update(name.encode())
            _digest(sums, self.given[name])
        return sums.digest()

    def answers(self) -> list[tuple[str, Evidence]]:
        """Those of a detector that judges many at once: (state, evidence) of each."""
        found: list[tuple[str, Evidence]] = DETECTORS[self.detector](**self.given)
        return found

    def as_json(self) -> dict[str, Any]:
        given = {name: _told(value) for name, value in self.given.items()}
        return {"detector": self.detector, "version": VERSION, "given": given, "fewest": self.fewest}

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Question:
        if told["detector"] not in DETECTORS:
            raise ValueError(f"No detector is named {told['detector']}")
        given = {name: _read(value) for name, value in told["given"].items()}
        return cls(told["detector"], given, float(told.get("fewest", 0.0)))

    def tuned(self, margin: float | None, fewest: float) -> Question:
        """The same with another margin (None: the usual one) and another least number of events."""
        given = {name: value for name, value in self.given.items() if name != "margin"}
        return Question(self.detector, given if margin is None else {**given, "margin": margin}, fewest)


#: Answers that are remembered: over time, what a day has shown does not change any more, and is asked every minute.
ANSWERS = 4096
_answers: OrderedDict[bytes, Evidence] = OrderedDict()


def _remembered(digest: bytes, question: Question) -> Evidence:
    found = _answers.get(digest)
    if found is None:
        found = _answers[digest] = DETECTORS[question.detector](**question.given)
        if len(_answers) > ANSWERS:
            _answers.popitem(last=False)
    return found


def _digest(sums: hashlib.blake2b, value: Any) -> None:
    if isinstance(value, Side):
        for part in (value.n, value.bad, value.bad_sq, value.hist):
            _digest(sums, part)
    elif isinstance(value, np.ndarray):
        sums.update(f"{value.dtype.str}{value.shape}".encode())
        sums.update(np.ascontiguousarray(value).tobytes())
    else:
        sums.update(repr(value).encode())
    sums.update(b"\0")


def differences(stored: Mapping[str, Any], found: Evidence) -> dict[str, tuple[Any, Any]]:
    """What a stored trace and an answer say differently: name -> (stored, found). Numbers may differ by rounding."""
    wrong = {}
    for name, value in asdict(found).items():
        before = stored.get(name)
        if isinstance(value, float) and isinstance(before, int | float):
            is_same = bool(np.isclose(before, value, rtol=1e-9, atol=1e-12))
        else:
            is_same = before == value
        # A detector knows an error rate only as a failure rate.
        if not is_same and name != "measure":
            wrong[name] = (before, value)
    return wrong


def _told(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value, dtype="<f8")
        return {"shape": list(array.shape), "f8": base64.b64encode(array.tobytes()).decode()}
    if isinstance(value, Side):
        return {"side": {name: _told(getattr(value, name)) for name in ("n", "bad", "bad_sq", "hist")}}
    if isinstance(value, faults.Seen):
        return {"seen": asdict(value)}
    if isinstance(value, list | tuple):
        return [_told(each) for each in value]
    return value


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "f8" in value:
        return np.frombuffer(base64.b64decode(value["f8"]), dtype="<f8").reshape(value["shape"]).astype(np.float64)
    if "side" in value:
        return Side(**{name: _read(part) for name, part in value["side"].items()})
    if "seen" in value:
        return faults.Seen(**value["seen"])
    raise ValueError("No argument of a detector looks like this")
