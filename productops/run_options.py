"""What bin/run accepts, and what it refuses before anything slow.

Only the standard library: bin/run reads this file before the packages are there.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import socket
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EPOCH = 1  # of the data folder's layout
MARK = "productops data, layout "


class Refusal(Exception):
    """One line that says what is wrong and what to do."""


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bin/run", description="Starts Productops and all it needs on this machine. Ctrl-C ends it."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (8000; 0: any free one)")
    parser.add_argument("--data", default=ROOT / ".data", type=Path, help="folder of all state (.data)")
    parser.add_argument("--empty", action="store_true", help="start without the sample workspace")
    parser.add_argument("--live", action="store_true", help="let the sample's traffic continue")
    workers = os.environ.get("WEB_WORKERS", "")
    parser.add_argument(
        "--workers", type=int, default=int(workers) if workers.isdigit() else 1, help="web processes (1)"
    )
    options = parser.parse_args(argv)
    if options.empty and options.live:
        parser.error("--live needs the sample workspace; leave --empty away.")
    if not 0 <= options.port <= 65_535:
        parser.error("--port is a number from 0 to 65535.")
    if options.workers < 1:
        parser.error("--workers is at least 1.")
    options.data = Path(os.path.abspath(options.data.expanduser()))
    return options


def check(options: argparse.Namespace) -> None:
    """Raises Refusal when this start cannot end well."""
    check_data(options.data)
    runner = runner_of(options.data)
    if runner and is_running(runner):
        raise Refusal(in_use(options.data, runner))
    if runner is None:  # else a killed run is still ending, and so is its port
        check_port(options.host, options.port)


def runner_of(data: Path) -> str | None:
    """Who holds the folder's lock: the pid of the run, also when only its guard is left."""
    try:
        with (data / "lock").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return (data / "lock").read_text().strip()
    except OSError:
        return None
    return None


def is_running(pid: str) -> bool:
    """Whether the process lives; one that was killed and that nobody collected yet does not."""
    try:
        os.kill(int(pid), 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2]
    except FileNotFoundError:
        return not os.path.exists("/proc/self/stat")  # no /proc here; else it ended just now
    except PermissionError:
        return True
    except (ValueError, OSError):
        return False


def in_use(data: Path, runner: str) -> str:
    return f"{data} is in use by another bin/run (process {runner or 'unknown'})."


def check_port(host: str, port: int) -> int:
    """The port that is free to listen on."""
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
            free: int = probe.getsockname()[1]
            return free
    except PermissionError:
        raise Refusal(
            f"Port {port} needs more rights than you have. Choose one above 1023: --port 8001"
        ) from None
    except OSError as error:
        if error.errno is None or isinstance(error, socket.gaierror):
            raise Refusal(f"--host {host} is not an address of this machine.") from None
        if error.strerror and "in use" in error.strerror:
            raise Refusal(f"Port {port} on {host} is in use. Choose another one: --port {port + 1}") from None
        raise Refusal(f"Cannot listen on {host} port {port}: {error.strerror}.") from None


def check_data(folder: Path) -> None:
    """A folder of ours and of this layout, an empty one, or one that can be made."""
    if folder.exists() and not folder.is_dir():
        raise Refusal(f"{folder} is not a folder.")
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(nearest, os.W_OK | os.X_OK | os.R_OK):
        raise Refusal(f"{nearest} is not writable for you. Choose another folder: --data ~/productops")
    if not folder.exists():
        return
    mark = folder / "VERSION"
    if not mark.exists():
        if set(os.listdir(folder)) - {"lost+found"}:
            raise Refusal(f"{folder} holds other things. Choose an empty or a new folder for --data.")
        return
    said = mark.read_text(errors="replace").strip()
    if said != f"{MARK}{EPOCH}":
        raise Refusal(
            f"{folder} was made by another version ({said[:60]!r}). Choose another folder for --data."
        )


def make_data(folder: Path) -> None:
    """The marked, private folder."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    mark = folder / "VERSION"
    if not mark.exists():
        mark.write_text(f"{MARK}{EPOCH}\n")
    (folder / "log").mkdir(exist_ok=True)
