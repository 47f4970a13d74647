"""The first steps of bin/run and bin/test, with any Python: a new enough one, .venv, the locked packages.

Only the standard library, and only syntax that Python 3.6 reads, so that an old Python gets a line instead
of a traceback.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
MARK = os.path.join(VENV, "installed.json")
OLDEST = (3, 11)
LOCKS = ("requirements.lock", "requirements-dev.lock")
PIP = ("-m", "pip", "install", "--quiet", "--quiet", "--no-input", "--no-deps", "--disable-pip-version-check")


def with_new_python():
    """Goes on only in a Python that is new enough; looks for one on PATH first."""
    if os.name != "posix":
        sys.exit("Productops runs on Linux and macOS; on Windows use WSL, or docker compose up.")
    if sys.version_info >= OLDEST:
        return
    for minor in (12, 13, 11, 14):
        other = shutil.which(f"python3.{minor}")
        # A name on PATH may be an empty promise (pyenv's shims), so it is asked.
        if other and _works(other, "import ensurepip"):
            os.execv(other, [other, *sys.argv])  # noqa: S606
    have = "{}.{}".format(*sys.version_info)
    sys.exit(
        f"Productops needs Python 3.11 or newer, and this is {have}. Install a newer python3, then again."
    )


def install(lock):
    """Makes .venv and installs the lock, unless that exact lock is already there."""
    if _is_installed(lock):
        return
    if not os.access(ROOT, os.W_OK) or (os.path.isdir(VENV) and not os.access(VENV, os.W_OK)):
        sys.exit(f"{ROOT} is not writable for you, and .venv has to be made there. Use a copy of your own.")
    import fcntl

    folder = os.open(ROOT, os.O_RDONLY)  # two first starts at once take turns
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        if not _is_installed(lock):
            _install(lock)
    finally:
        os.close(folder)


def enter(*arguments):
    """Becomes .venv's Python."""
    os.environ["PYTHONPATH"] = ROOT
    sys.stdout.flush()
    os.execv(PYTHON, [PYTHON, *arguments])  # noqa: S606


def _install(lock):
    began = time.time()
    print("  Installing Python packages (once) ...", flush=True)
    uv = shutil.which("uv")
    if os.path.exists(MARK):
        os.remove(MARK)  # while packages change, .venv is nothing in particular
    wish = "import sys; sys.exit(sys.version_info < (3, 11))"
    if not _works(PYTHON, wish if uv else wish.replace("sys;", "pip, sys;")):
        _make_venv(uv)
    wanted = ["--require-hashes", "-r", os.path.join(ROOT, lock)]
    code = 1
    if uv:
        cache = [] if os.environ.get("HOME") else ["--no-cache"]
        code = subprocess.call([uv, "pip", "install", "--quiet", "--python", PYTHON, *cache, *wanted])
    if code and _works(PYTHON, "import pip"):
        code = subprocess.call([PYTHON, *PIP, *wanted], env=dict(os.environ, PIP_ROOT_USER_ACTION="ignore"))
    if code:
        sys.exit(f"The packages of {lock} could not be installed; the lines above say why.")
    _remember(lock)
    print(f"  {'Python packages':<40} {time.time() - began:5.1f} s", flush=True)


def _make_venv(uv):
    make = [uv, "venv", "--quiet", "--clear", "--seed", "--python", sys.executable, VENV]
    if uv and subprocess.call(make) == 0:
        return
    if not _works(sys.executable, "import venv, ensurepip"):
        package = "python{}.{}-venv".format(*sys.version_info)
        sys.exit(f"This Python cannot make a .venv. On Debian or Ubuntu: apt-get install -y {package}")
    if subprocess.call([sys.executable, "-m", "venv", "--clear", VENV]):
        sys.exit(f"{VENV} could not be made; the lines above say why.")


def _works(python, code):
    """Whether `code` runs there; -I keeps the user's PYTHON* variables out."""
    try:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.call([python, "-I", "-c", code], **quiet) == 0
    except OSError:
        return False


def _is_installed(lock):
    try:
        with open(MARK) as file:
            return json.load(file).get(lock) == _digest(lock) and _works(PYTHON, "")
    except (OSError, ValueError):
        return False


def _remember(lock):
    """The lock itself, and each other one whose packages are all among those of this lock."""
    here = _pins(lock)
    held = {other: _digest(other) for other in LOCKS if other == lock or _pins(other) <= here}
    with open(MARK + ".new", "w") as file:
        json.dump(held, file)
    os.replace(MARK + ".new", MARK)


def _pins(lock):
    with open(os.path.join(ROOT, lock)) as file:
        return set(re.findall(r"^([A-Za-z0-9._-]+==[^\s;]+)", file.read(), re.M))


def _digest(lock):
    with open(os.path.join(ROOT, lock), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
