"""Ends process groups: for the supervisor that stops, and in the place of one that was killed.

Run as a program it reads lines from its input: `+ id signal grace stage` lists a group, `- id` strikes it.
When the input ends, because whoever wrote is done or dead, it ends every group still listed. The locks it
inherited are released only then, so a second start waits until the first one's databases are down.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

KILL_WAIT = 2.0  # seconds to wait after SIGKILL
ORPHAN_WAIT = 1.0  # seconds the rest of a group may live after its first process


@dataclass(frozen=True)
class Group:
    """A session: `id` is the pid of its first process. Groups of a higher stage end first."""

    id: int
    signal: int
    grace: float
    stage: int


def end_groups(groups: Iterable[Group], reap: Callable[[], None] = lambda: None) -> None:
    """Asks the first process of each group to end, kills what is left after its grace."""
    listed = list(groups)
    for stage in sorted({group.stage for group in listed}, reverse=True):
        _end_together([group for group in listed if group.stage == stage], reap)


def _end_together(groups: list[Group], reap: Callable[[], None]) -> None:
    deadlines = {group: time.monotonic() + group.grace for group in groups}
    for group in groups:
        _send(group.id, group.signal)
    while deadlines:
        reap()
        for group, deadline in list(deadlines.items()):
            now, alive = time.monotonic(), members(group.id)
            if not alive or now > deadline + KILL_WAIT:
                del deadlines[group]
            elif now > deadline:
                for pid in alive:
                    _send(pid, signal.SIGKILL)
            elif group.id not in alive:
                deadlines[group] = min(deadline, now + ORPHAN_WAIT)
        time.sleep(0.03)


def members(group: int) -> list[int]:
    """The living processes of a session; zombies are dead, although the kernel still lists them."""
    if not Path("/proc/self/stat").exists():
        return _members_without_proc(group)
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text(errors="replace")
            except OSError:
                continue
            state, _parent, pgrp, session = stat.rpartition(")")[2].split()[:4]
            if state not in "ZX" and group in (int(pgrp), int(session)):
                found.append(int(entry.name))
    return found


def _members_without_proc(group: int) -> list[int]:
    try:
        os.killpg(group, 0)
    except OSError:
        return []
    return [group]


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        return


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    listed: dict[int, Group] = {}
    for line in sys.stdin:
        match line.split():
            case ["+", id_, signal_, grace, stage]:
                listed[int(id_)] = Group(int(id_), int(signal_), float(grace), int(stage))
            case ["-", id_]:
                listed.pop(int(id_), None)
    end_groups(listed.values())


if __name__ == "__main__":
    main()
