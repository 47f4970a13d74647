"""Finds the browser of the browser tests, or gets one."""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FIX = "No Chromium: install it (Debian, Ubuntu: apt-get install -y chromium) or set CHROMIUM to its path."


def find() -> str | None:
    """The path of a Chromium that starts, from the nearest to the farthest; None when there is none."""
    named = os.environ.get("CHROMIUM")
    for candidate in [named] if named else NAMES:
        path = shutil.which(candidate)
        if path and _starts(path):
            return path
    return None if named else _from_playwright() or _from_apt()


def _from_playwright() -> str | None:
    # "0" keeps the browser inside .venv: no home folder is needed.
    os.environ.setdefault("PLAYWRIGHT_BROWSERS_PATH", "0")
    path = _playwright_path()
    if not path:
        print("  Downloading Chromium (once) ...", flush=True)
        install = [sys.executable, "-m", "playwright", "install", "chromium"]
        with open(os.devnull, "w") as quiet:
            subprocess.call(install, stdout=quiet, stderr=quiet, timeout=600)
        path = _playwright_path()
    return path


def _playwright_path() -> str | None:
    ask = "from playwright.sync_api import sync_playwright as start\n"
    ask += "with start() as playwright: print(playwright.chromium.executable_path)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False)
    said = done.stdout.strip()
    return said if said and _starts(said) else None


def _from_apt() -> str | None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return None
    print("  Installing Chromium (once) ...", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
        if subprocess.call(["apt-get", "-qq", *arguments], env=env, stdout=subprocess.DEVNULL):
            return None
    path = shutil.which("chromium")
    return path if path and _starts(path) else None


def _starts(path: str) -> bool:
    """A package may be an empty promise (snap's wrapper) or lack libraries, so it is asked its version."""
    try:
        return (
            subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
