"""One measured figure: one JSON line, with its goal and the machine's own limit beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """`goal` is the least (or, with `is_ceiling`, the most) that is good enough; `limit` is what this machine
    can do at all, measured in the same run."""

    bench: str
    figure: str
    value: float
    unit: str
    goal: float | None = None
    is_ceiling: bool = False
    limit: float | None = None
    note: str = ""

    @property
    def ok(self) -> bool:
        if self.goal is None:
            return True
        return self.value <= self.goal if self.is_ceiling else self.value >= self.goal

    def line(self) -> str:
        shown = asdict(self)
        del shown["is_ceiling"]
        for name in ("value", "limit"):
            if shown[name] is not None:
                shown[name] = round(shown[name], 1 if self.unit else 3)
        return json.dumps({**shown, "ok": self.ok}, ensure_ascii=False)
