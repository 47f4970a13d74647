"""Takes the story's requests in as the door does: the same reading, the same INSERT, many at a time.

What differs from the door is the clock only: a request is received when it says it was sent, so that thirty
days of outcomes lie where they belong.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice

from metrics.intake import inbox, routes, stored, writer
from metrics.intake.inbox import InboxRow, Note
from productops.sample.wire import Account, Request

#: Requests that share one commit.
TOGETHER = 200


class Turned(Exception):
    """The door would have refused this; the story is wrong."""


def take(requests: Iterable[Request], to: Account) -> int:
    """Commits all requests to the inbox; how many events they held."""
    taken, waiting = 0, iter(requests)
    with closing(writer.connect()) as link:
        while notes := [_note(request, to) for request in islice(waiting, TOGETHER)]:
            with link, link.cursor() as cursor:
                inbox.write(cursor, notes)
            taken += sum(note.inbox.events for note in notes if note.inbox)
    return taken


def _note(request: Request, to: Account) -> Note:
    protocol = routes.match(request.path)
    if protocol is None:
        raise Turned(request.path)
    call = routes.Call("POST", request.path, {}, request.headers, "127.0.0.1", request.at, request.body)
    key, parse, _held = protocol.open(call)
    if key != to.key or protocol.product(call) not in {"", str(to.product)}:
        raise Turned(f"{request.path}: another key")
    parsed = parse(str(to.product))
    number = int(request.at * 1000) << 80 | (uuid.uuid4().int & ((1 << 80) - 1))
    at = datetime.fromtimestamp(request.at, UTC)
    raw = stored.pack(parsed.events, parsed.outcomes)
    return Note(InboxRow(to.product, uuid.UUID(int=number), protocol.name, len(parsed.events), raw, at))
