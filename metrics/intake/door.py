"""The door: plain ASGI, so that one small request costs tens of microseconds.

Every request ends in exactly one of: committed and 2xx; refused with the reason, counted, nothing stored.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import hmac
import logging
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson
from django.conf import settings
from django.db import DatabaseError

from metrics.intake import stored
from metrics.intake.allowance import Limited
from metrics.intake.bell import Bell
from metrics.intake.decode import COMPRESSED_LIMIT, DECODED_LIMIT, decode
from metrics.intake.event import Parsed, Refused
from metrics.intake.inbox import InboxRow, Note, hour_of
from metrics.intake.keys import BELIEVED, Keys, Owner
from metrics.intake.routes import Answer, Call, Opened, Protocol, key_of_headers
from metrics.intake.writer import StoreDown, Writer
from productops.lib.headers import headers as security_headers

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# The system's randomness would cost a turn of the interpreter's lock per request; it seeds this one.
_random = random.Random()

#: Seconds a client may take to send its body.
PATIENCE = 15.0
#: Bodies above this many bytes are parsed on a thread, so that small requests do not wait behind them.
LARGE = 256 * 1024
#: The same for bodies that hold something compressed.
PACKED = 4 * 1024
#: Bodies that inflate to more than this do so on a thread.
SMALL = 1024 * 1024
#: Seconds after which a thread with a large body lets the others run. With Python's own 5 ms every small request
#: waits so long at each of its many turns that it takes seconds.
SWITCH = 0.001
#: Of each kind of refusal, one a second is kept in full; all are counted.
_REFUSAL_EVERY = 1.0

_CORS = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "X-Sentry-Rate-Limits, X-Sentry-Error, Retry-After",
}
_PREFLIGHT = {
    **_CORS,
    "access-control-allow-methods": "POST, GET, OPTIONS",
    "access-control-allow-headers": (
        "authorization, content-type, content-encoding, x-sentry-auth, sentry-trace, baggage, x-ingest-key,"
        " idempotency-key, posthog-request-id, posthog-attempt, x-retry-count"
    ),
    "access-control-max-age": "3600",
}


class Door:
    """One per web process; started and stopped with it."""

    def __init__(self) -> None:
        self.keys, self.bell = Keys(), Bell()
        self.writer = Writer(on_return=self.bell.ring)
        # Requests leave no cycles behind, so the collector need not look at every few hundred objects.
        sys.setswitchinterval(SWITCH)
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        self._told: dict[tuple[int, str], float] = {}
        self._large = asyncio.Semaphore(2)  # large bodies that are worked on at once, each on a thread
        self._limited: dict[int, Limited] = {}  # the last refusal of each product that sends too much
        self._headers = {
            name.lower(): value
            for name, value in security_headers(False, settings.IS_HTTPS, cross_origin=True).items()
        }

    def close(self) -> None:
        self.writer.close()

    async def answer(self, scope: Scope, receive: Receive, send: Send, protocol: Protocol) -> None:
        try:
            call = _call(scope)
        except ValueError:
            await self._send(send, protocol.refuse(Refused(400, "bad_query", "The address has too many parameters.")))
            return
        try:
            answer = await self._take(call, receive, protocol)
        except Refused as refused:
            answer = await self._refuse(call, protocol, refused)
        except (StoreDown, DatabaseError):
            answer = _refusal(protocol, Refused(503, "store_down", "The hub cannot store this now. Send it again.", 2))
        except Exception:
            log.exception("The door failed at %s", call.path)
            answer = protocol.refuse(Refused(500, "internal", "The hub failed. Nothing was stored."))
        await self._send(send, answer)

    async def _take(self, call: Call, receive: Receive, protocol: Protocol) -> Answer:
        if call.method == "OPTIONS":
            return Answer(204, {}, dict(_PREFLIGHT))
        if call.method not in protocol.methods:
            refused = Refused(405, "method", f"Use {' or '.join(sorted(protocol.methods, reverse=True))}.")
            refused.methods = sorted({*protocol.methods, "OPTIONS"})
            raise refused
        call.body = await self._read(call, receive)
        if is_large := _is_large(call):
            async with self._large:
                opened = await asyncio.to_thread(protocol.open, call)
        else:
            opened = protocol.open(call)
        call.key = opened.key
        owner = await self._owner(call, protocol, call.key)
        if protocol.is_kept and owner.is_limited and not call.headers.get("idempotency-key"):
            self._recall(owner, opened, call.now)
        product = str(owner.product_id)
        if is_large:
            async with self._large:
                parsed = await asyncio.to_thread(opened.parse, product)
        else:
            parsed = opened.parse(product)
        if protocol.is_kept and (parsed.events or parsed.outcomes):
            try:
                await self._store(call, protocol, owner, parsed)
            except Refused as refused:
                refused.lost = parsed.held()
                if isinstance(refused, Limited):
                    self._limited[owner.product_id] = refused
                raise
        return protocol.accept(call, parsed)

    async def _read(self, call: Call, receive: Receive) -> bytes:
        try:
            async with asyncio.timeout(PATIENCE):
                raw = await _body(receive, call.headers)
        except TimeoutError:
            raise Refused(408, "too_slow", f"The body took longer than {PATIENCE:.0f} s.") from None
        encoding = call.headers.get("content-encoding", "")
        try:
            return decode(raw, encoding, SMALL)
        except Refused as refused:
            if refused.status != 413:
                raise
        # Large, or a bomb: either may not stop the loop.
        async with self._large:
            return await asyncio.to_thread(decode, raw, encoding, DECODED_LIMIT)

    async def _owner(self, call: Call, protocol: Protocol, key: str) -> Owner:
        if not key:
            raise Refused(401, "no_key", "This request carries no ingest key.")
        wanted = protocol.product(call)
        is_token = key.startswith("po_")
        owner = await self.keys.owner(key, wanted if is_token else "")
        # The same words for an unknown product and a wrong key: neither tells an attacker anything.
        is_other = owner and wanted.isdecimal() and not is_token and wanted.lstrip("0") != str(owner.product_id)
        if owner is None or is_other:
            raise Refused(401, "unknown_key", "This key does not belong to this product, or was revoked.")
        return owner

    async def _store(self, call: Call, protocol: Protocol, owner: Owner, parsed: Parsed) -> None:
        given = call.headers.get("idempotency-key", "")[:200]
        batch, digest = _new_id(call.now), b""
        if given:
            batch = uuid.uuid5(uuid.NAMESPACE_OID, f"{owner.product_id}:{given}")
            digest = hashlib.blake2b(call.body, digest_size=16, person=call.path.encode()[-16:]).digest()
        at, n = datetime.fromtimestamp(call.now, UTC), len(parsed.events)
        if not digest and owner.is_limited and (last := self._last(owner, n, call.now)):
            raise last
        raw = stored.pack(parsed.events, parsed.outcomes)
        row = InboxRow(owner.product_id, batch, protocol.name, n, raw, at, digest)
        await self.writer.store(Note(inbox=row, kinds=parsed.kinds, is_limited=owner.is_limited))
        self.bell.ring()

    def _recall(self, owner: Owner, opened: Opened, now: float) -> None:
        """Whoever floods us is refused before the work is done, where what is refused can be told without it."""
        if owner.product_id in self._limited and (held := opened.held()) and (last := self._last(owner, held[0], now)):
            last.lost = held[1]
            raise last

    def _last(self, owner: Owner, events: int, now: float) -> Limited | None:
        """What was too much a moment ago is too much still, and not asked about again."""
        last = self._limited.get(owner.product_id)
        if last and last.found_at <= now < min(last.ends, last.found_at + BELIEVED) and events > last.left:
            return last.again(now)
        return None

    async def _refuse(self, call: Call, protocol: Protocol, refused: Refused) -> Answer:
        """Counts the refusal; a refusal that cannot be counted is still a refusal."""
        answer = _refusal(protocol, refused)
        try:
            product = await self._named_product(call, protocol)
        except Exception:  # whatever broke in looking it up, the refusal is told
            log.warning("The product of a refusal (%s) could not be looked up", refused.reason)
            product = 0
        at = datetime.fromtimestamp(call.now, UTC)
        what = (_outcome(refused), "" if isinstance(refused, Limited) else refused.reason)
        lost = refused.lost or Counter({"request": 1})
        hour = hour_of(at)
        note = Note(outcomes=Counter({(product, hour, protocol.name, kind, *what): n for kind, n in lost.items()}))
        told = self._told.get((product, refused.reason), 0.0)
        if call.now - told >= _REFUSAL_EVERY:
            if len(self._told) > 5_000:
                self._told.clear()
            self._told[product, refused.reason] = call.now
            detail = str(refused)[:300]
            note.refusal = (product, at, protocol.name, answer.status, refused.reason, detail, client_mark(call.client))
        try:
            await self.writer.store(note)
        except StoreDown:
            log.warning("A refusal (%s) could not be counted", refused.reason)
        return answer

    async def _named_product(self, call: Call, protocol: Protocol) -> int:
        """The product a refused request meant, when it says so by address or by a key that is known; else 0."""
        wanted = protocol.product(call)
        if protocol.name == "sentry":
            return await self.keys.named(wanted) if wanted else 0
        # A body that could not be opened is not opened again to find its key.
        key = call.key or call.query.get("api_key", "") or key_of_headers(call.headers)
        owner = await self.keys.owner(key, wanted if key.startswith("po_") else "") if key else None
        return owner.product_id if owner else 0

    async def _send(self, send: Send, answer: Answer) -> None:
        raw = answer.body if isinstance(answer.body, bytes) else orjson.dumps(answer.body)
        body = b"" if answer.status == 204 else raw
        merged = {**self._headers, **_CORS, **{name.lower(): value for name, value in answer.headers.items()}}
        merged |= {"content-length": str(len(body)), "cache-control": "no-store"}
        if body or isinstance(answer.body, bytes):
            merged["content-type"] = answer.content_type
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(name.encode(), value.encode()) for name, value in merged.items()],
            }
        )
        await send({"type": "http.response.body", "body": body})


def _refusal(protocol: Protocol, refused: Refused) -> Answer:
    answer = protocol.refuse(refused)
    if refused.wait:
        answer.headers["Retry-After"] = str(refused.wait)
    if refused.methods:
        answer.headers["Allow"] = ", ".join(refused.methods)
    return answer


def _outcome(refused: Refused) -> str:
    """The ledger's word."""
    if isinstance(refused, Limited):
        return refused.reason
    return "too_large" if refused.status == 413 else "invalid"


def client_mark(address: str) -> str:
    """A keyed hash of a client's address: enough to recognise oneself, useless to anybody else."""
    return hmac.new(settings.SECRET_KEY.encode(), address.encode(), hashlib.sha256).hexdigest()[:16]


def _call(scope: Scope) -> Call:
    names = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True, max_num_fields=50))
    address = (scope.get("client") or ("", 0))[0]
    hops = [hop.strip() for hop in names.get("x-forwarded-for", "").split(",") if hop.strip()]
    if settings.TRUSTED_PROXY_COUNT and len(hops) >= settings.TRUSTED_PROXY_COUNT:
        address = hops[-settings.TRUSTED_PROXY_COUNT]
    return Call(scope["method"], scope["path"], query, names, address, time.time())


def _is_large(call: Call) -> bool:
    """Worth a thread. What is packed inside the body is larger than it looks."""
    is_packed = call.body[:2] == b"\x1f\x8b" or call.body[:5] == b"data=" or "data" in call.query
    return len(call.body) > LARGE or (is_packed and len(call.body) + len(call.query.get("data", "")) > PACKED)


async def _body(receive: Receive, names: Any) -> bytes:
    declared = names.get("content-length", "")
    if declared.isdecimal() and int(declared) > COMPRESSED_LIMIT:
        raise Refused(413, "too_large", f"A body may have {COMPRESSED_LIMIT} bytes at most.")
    pieces, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "cut_off", "The body ended before it was complete.")
        piece = message.get("body", b"")
        size += len(piece)
        if size > COMPRESSED_LIMIT:
            raise Refused(413, "too_large", f"A body may have {COMPRESSED_LIMIT} bytes at most.")
        pieces.append(piece)
        if not message.get("more_body"):
            return b"".join(pieces)


def _new_id(now: float) -> uuid.UUID:
    """A time-ordered UUID, so that the inbox index grows at its end. It is unique, not secret."""
    return uuid.UUID(int=(int(now * 1000) << 80) | _random.getrandbits(80))
