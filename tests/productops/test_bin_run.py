"""bin/run: from nothing to ready, through accidents, and back to nothing."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from productops.run_options import EPOCH, MARK, Refusal, check_data, check_port, make_data, parse, runner_of

ROOT = Path(__file__).resolve().parents[2]
OURS = {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "DATA_DIR", "BASE_URL", "TEST_DATABASE_NAME", "PYTHONPATH"}


def command(data: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "productops.run", "--empty", "--port", "0", "--data", str(data), *options]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OURS}


class Started:
    """A run in the background, read until it is ready."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.process = subprocess.Popen(
            command(data, *options),
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self.address = self.read_until(r"^Ready: http://(.+)$")[1]

    def read_until(self, pattern: str) -> re.Match[str]:
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.search(pattern, line.rstrip("\n")):
                return found
        raise AssertionError("ended too early:\n" + "".join(self.lines))

    def is_ready(self) -> bool:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://{self.address}/ready", timeout=5) as got,
        ):
            return got.status == 200
        return False

    def end(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode


def processes(data: Path) -> dict[int, str]:
    """Living processes whose command line or environment names the data folder."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                known = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if os.fsencode(data) in known:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def until(condition, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.05)


@pytest.fixture
def start(tmp_path):
    runs: list[Started] = []

    def begin(*options: str) -> Started:
        runs.append(Started(tmp_path / "data", *options))
        return runs[-1]

    yield begin
    for run in runs:
        run.end()
    until(lambda: not processes(tmp_path / "data"))


@pytest.fixture
def data(tmp_path):
    make_data(tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.live
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
class TestLife:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_ready_and_ended_without_a_trace(self, start, tmp_path, number):
        run = start()
        assert run.is_ready()
        assert (tmp_path / "data").stat().st_mode & 0o077 == 0
        assert (tmp_path / "data" / "secret_key").stat().st_mode & 0o077 == 0
        assert run.end(number) == 0
        assert processes(tmp_path / "data") == {}

    def test_a_killed_run_leaves_nothing_and_the_next_continues(self, start, tmp_path):
        first = start()
        key = (tmp_path / "data" / "secret_key").read_text()
        first.process.kill()
        again = start()  # at once: it waits for the databases of the first
        assert again.is_ready()
        assert (tmp_path / "data" / "secret_key").read_text() == key
        assert again.end() == 0

    def test_whoever_dies_is_started_again(self, start, tmp_path):
        run = start()
        for trace, name in (
            ("productops.serving", "web"),
            ("celery -A productops worker", "worker"),
            ("postgres -D", "Postgre"),
        ):
            victim = min(pid for pid, line in processes(tmp_path / "data").items() if trace in line)
            os.kill(victim, signal.SIGKILL)
            run.read_until(rf"^{name}.* ended \(SIGKILL\). Starting it again")
        until(run.is_ready)
        assert run.end(signal.SIGTERM) == 0

    def test_a_second_run_in_the_same_folder_is_refused(self, start, tmp_path):
        run = start()
        second = subprocess.run(
            command(tmp_path / "data"),
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert second.returncode == 1
        assert (
            second.stderr
            == f"{tmp_path / 'data'} is in use by another bin/run (process {run.process.pid}).\n"
        )
        assert run.is_ready()

    def test_a_web_that_cannot_live_ends_everything(self, tmp_path):
        broken = environment() | {"BASE_URL": "nonsense"}
        ended = subprocess.run(
            command(tmp_path / "data"), cwd=ROOT, env=broken, capture_output=True, text=True, timeout=90
        )
        assert ended.returncode == 1
        assert "BASE_URL must look like" in ended.stderr
        assert processes(tmp_path / "data") == {}


def refused(*options: str, env: dict[str, str] | None = None) -> str:
    """What bin/run says when it refuses; it must be one line, said quickly."""
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, ROOT / "bin" / "run", *options],
        env=env or environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert time.monotonic() - began < 5
    return ended.stderr.strip()


def test_a_taken_port_is_refused(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused("--port", str(port), "--data", str(tmp_path / "data"))
    assert said == f"Port {port} on 127.0.0.1 is in use. Choose another one: --port {port + 1}"
    assert not (tmp_path / "data").exists()


def test_a_foreign_folder_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert "holds other things" in refused("--port", "0", "--data", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_of_another_layout_is_refused(data):
    (data / "VERSION").write_text(f"{MARK}{EPOCH + 1}\n")
    assert "made by another version" in refused("--port", "0", "--data", str(data))


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Refusal, match="is not a folder"):
        check_data(tmp_path / "file")


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(Refusal, match=r"192\.0\.2\.1"):
        check_port("192.0.2.1", 0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_ours_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(Refusal, match="not writable"):
        check_data(tmp_path / "data")


def test_empty_and_own_folders_are_welcome(tmp_path):
    check_data(tmp_path / "new" / "deep")
    check_data(tmp_path)
    make_data(tmp_path)
    check_data(tmp_path)
    assert runner_of(tmp_path) is None


def test_live_needs_the_sample(capsys):
    with pytest.raises(SystemExit):
        parse(["--live", "--empty"])
    assert "--live needs the sample" in capsys.readouterr().err


def test_workers_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("WEB_WORKERS", "3")
    assert parse([]).workers == 3
    assert parse(["--workers", "2"]).workers == 2


@pytest.mark.parametrize("name", ["python3.6", "python3.8", "python3.9", "python3.10"])
def test_an_old_python_gets_one_line(name, tmp_path):
    old = shutil.which(name)
    if not old or subprocess.run([old, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"no {name} here")
    ended = subprocess.run(
        [old, ROOT / "bin" / "run"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("Productops needs Python 3.11 or newer, and this is 3.")
    assert ended.stderr.count("\n") == 1
