"""When things happen: the releases with their staged deploys, and the rhythm of traffic. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

from productops.sample.cast import COUNTRIES, Client, Person

DAYS = 30
ENVIRONMENT, STAGING = "production", "staging"
#: How long before production a release is tried in staging.
REHEARSAL = timedelta(hours=9)
#: Days until a phone has taken a release that is out for everybody.
SLOWEST_PHONE = 3.0

CHECKOUT, SEARCH, FILTERS = "Checkout", "Search", "Saved filters"
#: The release that brings Saved filters, and the one that breaks the checkout of one plan.
NEW_FEATURE, BROKEN = "2.3.0", "2.4.0"
BROKEN_PLAN = "Free"


class Stage(NamedTuple):
    at: datetime
    percentage: int


@dataclass(frozen=True)
class Version:
    """A release of the shop: what changed, and its deploys to production."""

    version: str
    tells: str
    stages: tuple[Stage, ...]

    @property
    def began(self) -> datetime:
        return self.stages[0].at

    def percentage(self, at: datetime) -> int:
        return max((stage.percentage for stage in self.stages if stage.at <= at), default=0)

    def is_on(self, person: Person, at: datetime) -> bool:
        """Whether this person runs it, if nothing newer came: a share of the users each time, phones late."""
        reached = self.percentage(at)
        mine = place(person.luck, self.version)
        if mine >= reached:
            return False
        if reached < 100 or person.platform == "web" or mine < self.stages[-2].percentage:
            return True
        days = person.luck % 1000 / 1000 * SLOWEST_PHONE
        return at >= self.stages[-1].at + timedelta(days=days)


#: version, what it brings, days before the end (moved to a working day), hours after the start -> percentage
_PLAN: tuple[tuple[str, str, float, tuple[tuple[float, int], ...]], ...] = (
    ("2.1.0", "Faster product pages", 26.4, ((0, 10), (18, 50), (42, 100))),
    ("2.1.1", "Bizum and Pix no longer time out", 22.3, ((0, 25), (8, 50), (44, 100))),
    ("2.2.0", "Search understands accents", 17.6, ((0, 10), (20, 50), (44, 100))),
    (NEW_FEATURE, "Saved filters", 12.5, ((0, 10), (20, 50), (46, 100))),
    ("2.3.1", "The cart survives a change of language", 7.5, ((0, 25), (16, 50), (40, 100))),
)
_NEWEST = (BROKEN, "New discount step in the checkout", ((-14.0, 10), (-3.6, 50)))


def versions(now: datetime) -> list[Version]:
    """The six releases, oldest first. Only the newest is young; it stays at half of the users."""
    found = []
    for version, tells, days, steps in _PLAN:
        began = _working_day(now - timedelta(days=days))
        found.append(_version(version, tells, began, steps))
    version, tells, steps = _NEWEST
    return [*found, _version(version, tells, now.replace(second=0, microsecond=0), steps)]


def _version(version: str, tells: str, began: datetime, steps: tuple[tuple[float, int], ...]) -> Version:
    return Version(version, tells, tuple(Stage(began + timedelta(hours=h), p) for h, p in steps))


def _working_day(at: datetime) -> datetime:
    """Ten in the morning UTC of that day, or of the nearest one on which people ship: Monday to Thursday."""
    day = at.replace(hour=10, minute=5, second=0, microsecond=0)
    return day + timedelta(days={4: -1, 5: 2, 6: 1}.get(day.weekday(), 0))


def running(released: list[Version], person: Person, at: datetime) -> str:
    """The version this person's device runs at a moment; "" before the product named its releases."""
    for version in reversed(released):
        if version.began <= at and version.is_on(person, at):
            return version.version
    return ""


@lru_cache(maxsize=20_000)
def place(luck: int, version: str) -> int:
    """Where somebody stands in a rollout, 0..99; mixed anew for each release."""
    return crc32(f"{luck}:{version}".encode()) % 100


#: Activity by the hour of the day where the customer is: shops open late and sell until the evening.
_HOURS = (
    0.42, 0.36, 0.32, 0.30, 0.30, 0.34, 0.44, 0.60, 0.82, 1.00, 1.12, 1.18,
    1.14, 1.06, 1.00, 1.04, 1.12, 1.20, 1.26, 1.24, 1.10, 0.88, 0.68, 0.52,
)  # fmt: skip
_WEEKDAYS = (0.97, 0.96, 0.98, 1.00, 1.08, 1.10, 0.90)
#: The business grows: traffic at the start and at the end, relative to its mean.
_GROWTH = (0.62, 1.38)


def activity(country: str, at: datetime, now: datetime) -> float:
    """How busy a country's shops are at a moment; 1 is an ordinary busy hour in the middle of the story."""
    local = at.astimezone(_ZONES[country])
    position = min(1.0, max(0.0, 1 - (now - at) / timedelta(days=DAYS)))
    growth = _GROWTH[0] + (_GROWTH[1] - _GROWTH[0]) * position
    return _HOURS[local.hour] * _WEEKDAYS[local.weekday()] * growth


def is_gone(client: Client, at: datetime, now: datetime) -> bool:
    """Whether this customer has silently stopped using the product."""
    return client.is_silent and at > now - timedelta(days=14)


_ZONES = {country: Client("", "", country, "", 0).zone for country in COUNTRIES}
