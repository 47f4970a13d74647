"""PostgreSQL refuses to run as root. Here root becomes `nobody` and keeps one capability.

CAP_DAC_OVERRIDE lets it pass through folders that only root may enter, so no permission outside the data
folder is changed and no user is added to the machine. capabilities(7): the ambient set survives the start
of a program.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import struct
import sys
from collections.abc import Callable
from pathlib import Path

CAP_DAC_OVERRIDE = 1
PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 8, 47, 2
CAPABILITY_VERSION_3 = 0x20080522


def demotion() -> Callable[[], None] | None:
    """What the child calls before it becomes PostgreSQL; None for a plain user."""
    if os.geteuid() != 0:
        return None
    if not sys.platform.startswith("linux"):
        raise PermissionError(
            "PostgreSQL does not run as root here. Start as a plain user, or set DATABASE_URL."
        )
    nobody = pwd.getpwnam("nobody")
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("II", CAPABILITY_VERSION_3, 0)
    bit = 1 << CAP_DAC_OVERRIDE
    wanted = struct.pack(
        "6I", bit, bit, bit, 0, 0, 0
    )  # effective, permitted, inheritable; low word, high word

    def become_nobody() -> None:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
        # Where the machine withholds the capability, nobody may still have a way through the folders.
        libc.capset(header, wanted)
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)

    return become_nobody


def own(folder: Path) -> None:
    """Gives the folder, and what an earlier run as another user left in it, to whoever PostgreSQL runs as."""
    if os.geteuid() != 0:
        return
    nobody = pwd.getpwnam("nobody")
    if folder.stat().st_uid == nobody.pw_uid:
        return
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            os.lchown(os.path.join(parent, name), nobody.pw_uid, nobody.pw_gid)
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)  # last: an interrupted walk starts again
