"""Kept events as one binary COPY. Pure: events in, bytes out. A jsonb field is the version byte 1 and then text."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

import orjson

from metrics.counting.grouping import Known
from metrics.intake.event import Event
from productops.lib import copying

#: The columns in the order in which `rows` packs them: first those that many events share.
COLUMNS = (
    "product_id, signal_id, release_id, kind, environment, platform, plan, country, at, event_id, user_name,"
    " customer, session, n, bad, flags, value, props"
)

_SHARED = Struct("!hiqiqiq")
_WHEN = Struct("!iqi")
_COUNTS = Struct("!iiiiih")
_VALUE = Struct("!id")
_PROPS = Struct("!iB")
_NO_PROPS = _PROPS.pack(3, 1) + b"{}"


def rows(product: int, events: Iterable[Event], known: Known) -> bytes:
    """A whole COPY of the events; a signal or release that is not known has the id 0."""
    out = [copying.HEADER]
    # What most events share with others is packed once.
    shared: dict[tuple[object, ...], bytes] = {}
    texts: dict[str, bytes] = {}
    for event in events:
        looks = (event.kind, event.name, event.release, event.environment, event.platform, event.plan, event.country)
        head = shared.get(looks)
        if head is None:
            head = shared[looks] = _head(product, event, known)
        out += (
            head,
            _WHEN.pack(8, copying.microseconds(event.at), 16),
            bytes.fromhex(event.id),
            texts.get(event.user) or texts.setdefault(event.user, copying.text(event.user)),
            texts.get(event.customer) or texts.setdefault(event.customer, copying.text(event.customer)),
            texts.get(event.session) or texts.setdefault(event.session, copying.text(event.session)),
            _COUNTS.pack(4, event.n, 4, event.bad, 2, event.flags),
            copying.NULL if event.value is None else _VALUE.pack(8, event.value),
            _props(event) if event.props else _NO_PROPS,
        )
    out.append(copying.TRAILER)
    return b"".join(out)


def _head(product: int, event: Event, known: Known) -> bytes:
    signal, release = known.signals.get((event.kind, event.name), 0), known.releases.get(event.release, 0)
    return _SHARED.pack(18, 8, product, 8, signal, 8, release) + b"".join(
        map(copying.text, (event.kind, event.environment, event.platform, event.plan, event.country))
    )


def _props(event: Event) -> bytes:
    raw = orjson.dumps(event.props)
    return _PROPS.pack(len(raw) + 1, 1) + raw
