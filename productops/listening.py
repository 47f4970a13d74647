"""How a listening socket ends so that nobody who was let in is turned out: the kernel resets what still waits at one
that closes."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from contextlib import suppress

_ATTACH_FILTER = 26  # SO_ATTACH_FILTER, which Python does not name
#: Classic BPF over the TCP header: drop what carries SYN, pass the rest.
_NO_SYN = b"".join(
    struct.pack("=HBBI", *step) for step in ((0x30, 0, 0, 13), (0x45, 0, 1, 2), (6, 0, 0, 0), (6, 0, 0, 0xFFFFFFFF))
)


def let_nobody_in(number: int) -> None:
    """No handshake begins any more at this listening socket; those under way end. Who tries meanwhile tries again after
    a second, by TCP itself, and is refused by then. Linux alone can; elsewhere a handshake may still be cut off."""
    if sys.platform != "linux":
        return
    steps = ctypes.create_string_buffer(_NO_SYN)
    program = struct.pack("HL", len(_NO_SYN) // 8, ctypes.addressof(steps))
    with socket.socket(fileno=os.dup(number)) as listening, suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)


def last_of(number: int) -> list[socket.socket]:
    """Connections that wait at a listening socket, which takes no more from then on, in no process."""
    found = []
    with socket.socket(fileno=os.dup(number)) as listening:
        listening.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                found.append(listening.accept()[0])
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)  # closing alone would wait for the event loop
    for connection in found:
        connection.setblocking(False)
    return found
