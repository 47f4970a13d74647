"""The supervisor keeps processes, and leaves none behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from productops.lib import supervisor
from productops.lib.supervisor import Child, GaveUp, Program, Stopped, Supervisor, rotate
from productops.lib.supervisor_guard import members

ROOT = Path(__file__).resolve().parents[2]
FOREVER = "import time; time.sleep(600)"
FAMILY = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
STUBBORN = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)


def program(folder: Path, code: str, **more) -> Program:
    more = {"grace": 2.0, **more}
    return Program("web", [sys.executable, "-c", code], folder / "web.log", dict(os.environ), **more)


def until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.02)


@pytest.fixture
def keeper():
    said: list[str] = []
    keeper = Supervisor(said.append)
    keeper.said = said
    yield keeper
    keeper.stop()


def test_stopping_ends_grandchildren(tmp_path, keeper):
    child = keeper.start(program(tmp_path, FAMILY))
    group = child.group.id
    until(lambda: len(members(group)) == 2)
    keeper.stop()
    assert members(group) == []


def test_a_deaf_program_is_killed_after_its_grace(tmp_path, keeper):
    child = keeper.start(program(tmp_path, STUBBORN, grace=0.3))
    group = child.group.id
    until(lambda: "deaf" in child.last_lines())
    began = time.monotonic()
    keeper.stop()
    assert members(group) == []
    assert 0.3 <= time.monotonic() - began < 3


def test_higher_stages_end_first(tmp_path, keeper):
    # Not by print: the signal may come while the other print is at work.
    note = "import os, signal, sys, time; "
    note += "signal.signal(15, lambda *_: (os.write(1, b'{0} ends\\n'), sys.exit())); "
    note += "print('{0} runs', flush=True); time.sleep(600)"
    for name, stage in (("database", 0), ("worker", 1)):
        child = keeper.start(program(tmp_path, note.format(name), stage=stage))
        until(lambda child=child, name=name: f"{name} runs" in child.last_lines())
    keeper.stop()
    ends = [line for line in (tmp_path / "web.log").read_text().splitlines() if line.endswith("ends")]
    assert ends == ["worker ends", "database ends"]


def test_a_dead_program_is_started_again_and_it_is_said(tmp_path, keeper):
    child = keeper.start(program(tmp_path, FOREVER))
    first = child.group.id
    os.kill(first, signal.SIGKILL)
    until(lambda: keeper.tick() or (child.process is not None and child.process.pid != first))
    assert child.is_alive()
    assert keeper.said == ["web ended (SIGKILL). Starting it again in 0.5 s."]


def test_the_rest_of_a_dead_family_is_ended_before_the_next_start(tmp_path, keeper):
    child = keeper.start(program(tmp_path, FAMILY))
    first = child.group.id
    until(lambda: len(members(first)) == 2)
    os.kill(first, signal.SIGKILL)
    until(lambda: keeper.tick() or child.process is None)
    assert members(first) == []


def test_pauses_grow_up_to_a_limit(tmp_path, keeper, monkeypatch):
    child = keeper.start(program(tmp_path, "raise SystemExit(3)"))
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE", 0.6)
    until(lambda: keeper.tick() or len(keeper.said) == 3)
    assert [line.split(" in ")[1] for line in keeper.said] == ["0.5 s.", "0.6 s.", "0.6 s."]
    assert "exit 3" in keeper.said[0]
    assert child.due is not None


def test_a_vital_program_that_cannot_live_ends_everything_with_its_last_lines(tmp_path, keeper):
    keeper.start(program(tmp_path, "raise SystemExit('no such table')", is_vital=True))
    with pytest.raises(GaveUp, match=r"3 times in a row(.|\n)*no such table"):
        until(lambda: keeper.tick())
    assert len(keeper.said) == 2


def test_a_command_that_takes_too_long_is_ended(tmp_path):
    child = Child(program(tmp_path, FOREVER)).start()
    group = child.group.id
    with pytest.raises(GaveUp, match="took longer than 0 s"):
        child.wait(0.2)
    assert members(group) == []


def test_a_signal_interrupts_the_next_pause(monkeypatch):
    monkeypatch.setattr(supervisor._Signals, "stopping", True)
    with pytest.raises(Stopped):
        supervisor.pause(5)


def start_killable(folder: Path) -> tuple[subprocess.Popen, int]:
    """A process with a supervisor in it, and the group of its child."""
    code = f"""
import os, sys, time
from pathlib import Path
from productops.lib.supervisor import Program, Supervisor
keeper = Supervisor(print)
argv = [sys.executable, "-c", {FAMILY!r}]
child = keeper.start(Program("web", argv, Path({str(folder)!r}, "log"), os.environ))
print(child.group.id, flush=True)
time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


@pytest.mark.live
def test_a_killed_supervisor_leaves_nothing_behind(tmp_path):
    process, group = start_killable(tmp_path)
    until(lambda: len(members(group)) == 2)
    process.kill()
    process.wait()
    until(lambda: not members(group))


@pytest.mark.live
def test_a_guard_that_was_killed_is_replaced(tmp_path, keeper):
    keeper.start(program(tmp_path, FOREVER))
    guard = supervisor.guard._process
    guard.kill()
    guard.wait()
    keeper.tick()
    assert supervisor.guard._process.pid != guard.pid
    assert supervisor.guard._process.poll() is None


def test_logs_over_the_limit_are_moved_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "LOG_LIMIT", 4)
    log = tmp_path / "web.log"
    for number in range(6):
        log.write_text(f"run {number}")
        rotate(log)
    assert not log.exists()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "web.log.1": "run 5",
        "web.log.2": "run 4",
        "web.log.3": "run 3",
    }


def test_small_logs_stay(tmp_path):
    log = tmp_path / "web.log"
    log.write_text("short")
    rotate(log)
    rotate(tmp_path / "missing.log")
    assert [path.name for path in tmp_path.iterdir()] == ["web.log"]
