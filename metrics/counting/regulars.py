"""Who this process knows to be written down for the day: most people come again and again, and asking the database
whether it knows them costs more than everything else that is done for their events."""

from __future__ import annotations

from threading import Lock

from metrics.counting.grouping import Cohort

People = dict[Cohort, dict[int, int]]

#: People remembered; beyond, it begins anew. About 100 bytes each.
MOST = 200_000

_known: dict[tuple[int, Cohort], set[int]] = {}
_size = 0
_lock = Lock()


def strangers(product: int, people: People) -> People:
    """Those of `people` (cohort -> user -> bad events) who change what is written: not known here, or with something
    bad."""
    found = {}
    for cohort, users in people.items():
        known = _known.get((product, cohort)) or set()
        rest = {user: bad for user, bad in users.items() if bad or user not in known}
        if rest:
            found[cohort] = rest
    return found


def remember(product: int, people: People) -> None:
    """They are written down; to be called after the commit."""
    global _size
    with _lock:
        for cohort, users in people.items():
            known = _known.setdefault((product, cohort), set())
            before = len(known)
            known.update(users)
            _size += len(known) - before
        if _size > MOST:
            _known.clear()
            _size = 0

