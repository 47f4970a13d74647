"""The one transition table. A move that is not here is answered with 409 and the moves that are."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

#: verb -> (statuses it may start from, status it leads to). Reopening always needs a reason.
MOVES: dict[str, tuple[frozenset[str], str]] = {
    "accept": (frozenset({"new", "snoozed"}), "triaged"),
    "start": (frozenset({"new", "triaged"}), "in_progress"),
    "mitigate": (frozenset({"triaged", "in_progress"}), "mitigated"),
    "resolve": (frozenset({"triaged", "in_progress", "mitigated"}), "resolved"),
    "verify": (frozenset({"resolved"}), "verified"),
    "close": (frozenset({"resolved", "verified"}), "closed"),
    "decline": (frozenset({"new", "triaged", "snoozed"}), "declined"),
    "duplicate": (frozenset({"new", "triaged", "in_progress", "snoozed"}), "duplicate"),
    "put_back": (frozenset({"triaged", "in_progress"}), "new"),
    "snooze": (frozenset({"new", "triaged"}), "snoozed"),
    "wake": (frozenset({"snoozed"}), "new"),
    "reopen": (frozenset({"resolved", "verified", "closed", "declined", "duplicate", "mitigated"}), "triaged"),
}

#: Statuses in which an incident is somebody's work.
OPEN = ("new", "triaged", "in_progress", "mitigated", "snoozed")
#: Statuses in which nobody has to do anything; `verified` still waits to be closed.
DONE = ("resolved", "verified", "closed", "declined", "duplicate")
#: Statuses that wait for a decision.
UNDECIDED = ("new",)

MOVE_NAMES: dict[str, str | Promise] = {
    "accept": _("Accept"),
    "start": _("Start work"),
    "mitigate": _("Mitigate"),
    "resolve": _("Resolve"),
    "verify": _("Verify"),
    "close": _("Close"),
    "decline": _("Decline"),
    "duplicate": _("Duplicate"),
    "put_back": _("Back to the queue"),
    "snooze": _("Snooze"),
    "wake": _("Wake"),
    "reopen": _("Reopen"),
}


class IllegalMove(Exception):
    """The move does not start from this status; `legal` names the ones that do."""

    def __init__(self, verb: str, status: str) -> None:
        self.verb, self.status, self.legal = verb, status, legal_moves(status)
        super().__init__(f"An incident that is {status} cannot {verb}. Possible: {', '.join(self.legal) or '-'}.")


def legal_moves(status: str) -> list[str]:
    return [verb for verb, (starts, _end) in MOVES.items() if status in starts]


def after(verb: str, status: str) -> str:
    """The status `verb` leads to from `status`; raises IllegalMove."""
    starts, end = MOVES[verb]
    if status not in starts:
        raise IllegalMove(verb, status)
    return end


def verb_to(status: str, wanted: str) -> str:
    """The verb that leads from `status` to `wanted`; raises IllegalMove."""
    for verb in legal_moves(status):
        if MOVES[verb][1] == wanted:
            return verb
    raise IllegalMove(f"become {wanted}", status)
