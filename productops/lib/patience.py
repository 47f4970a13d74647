"""Reads a page's body before a thread is given to it: whoever sends slowly waits alone.

WSGI reads the body inside the thread that serves the page; a few clients at one byte a second would hold them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

#: Seconds a client may take to send a body.
LONGEST = 15.0


class TooSlow(Exception):
    """The body did not come in time, or its sender went away."""


async def received(receive: Receive, most: int) -> Receive:
    """A `receive` that gives the whole body at once. A body above `most` bytes is left empty: Django refuses it by
    its Content-Length. Raises TooSlow."""
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(LONGEST):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise TooSlow
                piece = message.get("body", b"")
                size += len(piece)
                if size > most:
                    pieces.clear()
                    break
                pieces.append(piece)
                if not message.get("more_body"):
                    break
    except TimeoutError:
        raise TooSlow from None
    whole: list[Message] = [{"type": "http.request", "body": b"".join(pieces), "more_body": False}]

    async def again() -> Message:
        return whole.pop() if whole else await receive()

    return again
