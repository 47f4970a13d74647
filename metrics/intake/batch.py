"""What one request is being turned into: events, and the outcomes of what was not taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .event import Event, Parsed


@dataclass
class Batch:
    """shift: seconds to add to the client's clock. historical: the client imports the past, which must not be
    counted as now."""

    product: str
    now: float
    shift: float = 0.0
    historical: bool = False
    events: list[Event] = field(default_factory=list)
    outcomes: dict[tuple[str, str, str], int] = field(default_factory=dict)
    page: tuple[dict[str, Any], dict[str, Any], int] | None = None  # segment.py's last page, and what was kept of it
    process: tuple[dict[str, Any], str] | None = None  # otlp_metrics.py's last resource, and its hash

    def miss(self, category: str, outcome: str, reason: str) -> None:
        key = (category, outcome, reason)
        self.outcomes[key] = self.outcomes.get(key, 0) + 1

    def parsed(self, reply: dict[str, Any] | None = None) -> Parsed:
        return Parsed(self.events, self.outcomes, reply or {})
