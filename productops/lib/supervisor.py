"""Keeping processes: start, restart with growing pauses, end all of them in order.

Every child leads its own session, so one signal to the terminal does not reach it and the whole family can be
ended together. A guard process (`supervisor_guard`) ends them when this process is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from productops.lib import supervisor_guard
from productops.lib.supervisor_guard import Group, end_groups, members

QUICK = 10.0  # seconds; whoever lives shorter than this died quickly
PATIENCE = 3  # quick deaths in a row of a vital program before the supervisor gives up
LONGEST_PAUSE = 30.0  # seconds between two starts
LOG_LIMIT = 5_000_000  # bytes
LOGS_KEPT = 3


class Stopped(Exception):
    """The user, or the machine, asked this process to end."""


class GaveUp(Exception):
    """A program does not stay alive; the message carries its last log lines."""


class _Signals:
    stopping = False


def listen() -> None:
    """SIGINT, SIGTERM and SIGHUP let the next `pause` raise Stopped: never in the middle of a start."""

    def note(_number: int, _frame: FrameType | None) -> None:
        _Signals.stopping = True

    signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGTERM, note)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup stays nohup
        signal.signal(signal.SIGHUP, note)


def pause(seconds: float) -> None:
    """Sleeps; raises Stopped as soon as a signal asked for the end."""
    deadline = time.monotonic() + seconds
    while True:
        if _Signals.stopping:
            raise Stopped
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, 0.1))


class Guard:
    """Our end of the pipe to the guard process, which is started with the first child."""

    def __init__(self) -> None:
        self._groups: dict[int, Group] = {}
        self._process: subprocess.Popen[str] | None = None
        self._locks: list[int] = []

    def hold(self, lock: int) -> None:
        """From now on the guard keeps this locked file open; call it before the first child."""
        self._locks.append(lock)

    def add(self, group: Group) -> None:
        self._groups[group.id] = group
        if not self._tell(_listing(group)):
            self._start()

    def remove(self, id_: int) -> None:
        if self._groups.pop(id_, None):
            self._tell(f"- {id_}\n")
        if not self._groups and self._process:
            self._close()

    def revive(self) -> None:
        """Starts the guard again when somebody ended it."""
        if self._process and self._process.poll() is not None:
            self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", supervisor_guard.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd="/",
            start_new_session=True,
            pass_fds=self._locks,
        )
        for group in self._groups.values():
            self._tell(_listing(group))

    def _tell(self, line: str) -> bool:
        if not self._process or not self._process.stdin:
            return False
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except OSError:
            return False
        return True

    def _close(self) -> None:
        if self._process and self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        self._process = None


def _listing(group: Group) -> str:
    return f"+ {group.id} {group.signal} {group.grace} {group.stage}\n"


guard = Guard()


@dataclass(frozen=True)
class Program:
    name: str
    argv: list[str]
    log: Path
    env: Mapping[str, str]
    cwd: Path = Path("/")
    stop_signal: int = signal.SIGTERM
    grace: float = 10.0  # seconds
    stage: int = 1  # the highest stage ends first; databases are 0
    is_vital: bool = False
    prepare: Callable[[], None] | None = None  # in this process, before every start
    demote: Callable[[], None] | None = None  # in the child, before it becomes the program


class Child:
    """One running program and its family."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.quick_deaths = 0
        self.due: float | None = None  # when to start again

    def start(self, output: int | None = None) -> Child:
        """`output` is a file descriptor for stdout instead of the log."""
        program = self.program
        if program.prepare:
            program.prepare()
        with program.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603
                program.argv,
                env=dict(program.env),
                cwd=program.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log if output is None else output,
                stderr=log,
                start_new_session=True,
                preexec_fn=program.demote,
            )
        self.started = time.monotonic()
        guard.add(self.group)
        return self

    @property
    def group(self) -> Group:
        if not self.process:
            raise RuntimeError(f"{self.program.name} was never started")
        return Group(self.process.pid, self.program.stop_signal, self.program.grace, self.program.stage)

    def poll(self) -> int | None:
        return self.process.poll() if self.process else None

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait(self, seconds: float) -> int:
        """The exit code; ends the program when it takes longer, or when we are stopped."""
        deadline = time.monotonic() + seconds
        try:
            while (code := self.poll()) is None:
                if time.monotonic() > deadline:
                    raise GaveUp(
                        f"{self.program.name} took longer than {seconds:.0f} s. See {self.program.log}"
                    )
                pause(0.03)
        finally:
            self.stop()
        return code

    def stop(self) -> None:
        stop([self])

    def last_lines(self, count: int = 12) -> str:
        try:
            text = self.program.log.read_text(errors="replace")[-20_000:]
        except OSError:
            return ""
        return "\n".join(f"  | {line}" for line in text.splitlines()[-count:])


def stop(children: list[Child]) -> None:
    """Ends the children and their families, stage by stage, and forgets them."""
    started = [child for child in children if child.process]

    def reap() -> None:
        for child in started:
            child.poll()

    end_groups([each.group for each in started if each.is_alive() or members(each.group.id)], reap)
    for child in started:
        group, child.process = child.group, None
        guard.remove(group.id)


class Supervisor:
    """Keeps children alive and tells about it through `say`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.children: list[Child] = []

    def keep(self, child: Child) -> None:
        self.children.append(child)

    def start(self, program: Program) -> Child:
        child = Child(program).start()
        self.keep(child)
        return child

    def watch(self) -> None:
        while True:
            self.tick()
            pause(0.2)

    def tick(self) -> None:
        """Notices deaths and starts whoever is due. Raises GaveUp for a vital program that cannot live."""
        guard.revive()
        now = time.monotonic()
        for child in self.children:
            if child.process and child.poll() is not None:
                self._bury(child, now)
            elif child.due is not None and now >= child.due:
                child.due = None
                child.start()

    def stop(self) -> None:
        stop(self.children)

    def _bury(self, child: Child, now: float) -> None:
        name, code = child.program.name, child.poll()
        child.quick_deaths = child.quick_deaths + 1 if now - child.started < QUICK else 0
        child.stop()
        if child.program.is_vital and child.quick_deaths >= PATIENCE:
            raise GaveUp(f"{name} ended {PATIENCE} times in a row. Its last lines:\n{child.last_lines()}")
        delay = min(0.5 * 2 ** max(child.quick_deaths - 1, 0), LONGEST_PAUSE)
        child.due = now + delay
        self.say(f"{name} ended ({_ending(code)}). Starting it again in {delay:g} s.")


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit {code}"


def rotate(log: Path) -> None:
    """Makes room: a log over the limit becomes log.1, and log.1 becomes log.2."""
    if not log.exists() or log.stat().st_size < LOG_LIMIT:
        return
    for number in range(LOGS_KEPT - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            os.replace(older, log.with_name(f"{log.name}.{number + 1}"))
    os.replace(log, log.with_name(f"{log.name}.1"))
