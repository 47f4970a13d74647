"""What can be measured of a signal, by the name under which it is stored. Names and kinds only; no numbers."""

from __future__ import annotations

#: Failed uses, or crashed visits, of all; errors per use; users for whom something failed, of all that came that day.
FAILURES, ERRORS, HURT = "failure_rate", "error_rate", "bad_users"
#: Uses, or visits, in five minutes; users at their first of the day; of the day's active users, those who use it.
VOLUME, USERS, CONVERSION = "volume", "users", "conversion"
#: Customers who complain (each once a day), of the day's active users; told per 1,000.
COMPLAINTS = "complaints"
P50, P95 = "latency_p50", "latency_p95"

#: Measures of which more is worse and that say what failed, those of which less is, and the same as families: when one
#: of a family got worse, the others of the same signal most often tell of the same problem.
TROUBLE, USAGE, SLOWNESS, VOICE = (FAILURES, ERRORS, HURT), (VOLUME, USERS, CONVERSION), (P50, P95), (COMPLAINTS,)
FAMILY = {name: family for family, names in enumerate((TROUBLE, USAGE, SLOWNESS, VOICE)) for name in names}
#: In the order of a page.
ALL = (*TROUBLE, *VOICE, *reversed(SLOWNESS), *USAGE)
SHARES = frozenset({*TROUBLE, CONVERSION, COMPLAINTS})
COUNTS = frozenset({VOLUME, USERS})
#: Without one of these judged, nobody knows whether it works.
VITAL = frozenset({*TROUBLE, P95})


def is_turned(kind: str, measure: str) -> bool:
    """Told the other way round: as crash-free visits and users."""
    return kind == "session" and measure in (FAILURES, HURT)


def scale(measure: str) -> float:
    """What a share is multiplied by where it is told."""
    return 1000.0 if measure == COMPLAINTS else 1.0


def unit(measure: str) -> str:
    if measure == COMPLAINTS:
        return "count"
    return "ms" if measure in SLOWNESS else "count" if measure in COUNTS else "share"
