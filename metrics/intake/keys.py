"""Who a key belongs to, remembered for a few seconds so that the door does not ask the database each time."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson
from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from accounts import access
from accounts.models import ApiToken
from metrics.models import IngestKey
from releases.models import Product

#: Seconds for which an answer is believed; a revoked key dies within them.
BELIEVED = 3.0
#: The same while the database is away, so that events can be spooled.
BELIEVED_AWAY = 3600.0
_MOST = 10_000
#: Seconds between two writes of the keys that were met.
NOTED_EVERY = 1.0
_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Owner:
    product_id: int
    workspace_id: int
    is_limited: bool = False  # it has a limit that the writer must ask about


@dataclass(frozen=True)
class _Known:
    owner: Owner | None
    learned: float  # when the database said so
    ask_at: float  # when it is asked again


class Keys:
    def __init__(self) -> None:
        self._known: dict[tuple[str, str], _Known] = {}
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="keys")
        self._note = KeyNote(Path(settings.DATA_DIR))

    async def owner(self, key: str, product: str = "") -> Owner | None:
        """The product a key may write to. With a personal token, `product` names it (slug or id)."""
        return await self._ask(key, product, _look_up)

    async def named(self, product: str) -> int:
        """The id of a product that exists, else 0: made-up ones may not fill the ledger."""
        found = await self._ask("", product, _exists)
        return found.product_id if found else 0

    async def _ask(self, key: str, product: str, look: Callable[[str, str], Owner | None]) -> Owner | None:
        now = time.monotonic()
        known = self._known.get((key, product))
        if known and known.ask_at > now:
            return known.owner
        if known:  # one asks; the others that come meanwhile believe what was true a moment ago
            self._known[key, product] = _Known(known.owner, known.learned, now + BELIEVED)
        try:
            owner = await asyncio.get_running_loop().run_in_executor(self._threads, self._look, look, key, product)
            found = _Known(owner, now, now + BELIEVED)
        except DatabaseError:
            # What was true a while ago is the best guess while the database is away.
            if known is None and (noted := self._note.owner(key)):
                known = _Known(noted, now, now)
            if known is None or known.owner is None or now - known.learned > BELIEVED_AWAY:
                raise
            found = _Known(known.owner, known.learned, now + 1.0)
        if len(self._known) >= _MOST:  # a flood of made-up keys must not fill the memory
            self._known.clear()
        self._known[key, product] = found
        return found.owner

    def _look(self, look: Callable[[str, str], Owner | None], key: str, product: str) -> Owner | None:
        owner = look(key, product)
        if _KEY.fullmatch(key):
            self._note.put(key, owner)
        return owner


class KeyNote:
    """The ingest keys this machine has met, in a file: a process that starts while the database is away knows them.
    They are public and write-only; tokens are not noted."""

    def __init__(self, folder: Path) -> None:
        self._path, self._lock = folder / "keys.json", threading.Lock()
        self._noted = self._read()
        self._news: dict[str, list[int] | None] = {}
        self._written = 0.0

    @property
    def is_empty(self) -> bool:
        return not self._noted

    def owner(self, key: str) -> Owner | None:
        found = self._noted.get(key) or self._read().get(key)  # another process may have met it
        return Owner(found[0], found[1]) if found else None

    def put(self, key: str, owner: Owner | None) -> None:
        """Called from threads, at every look-up. Writes once in a while; a note that cannot be written is no fault."""
        wanted = [owner.product_id, owner.workspace_id] if owner else None
        with self._lock:
            if self._noted.get(key) != wanted:
                self._news[key] = wanted
                self._noted = _changed(self._noted, {key: wanted})
            if self._news and time.monotonic() - self._written > NOTED_EVERY:
                self._written = time.monotonic()
                with suppress(OSError):
                    self._write()

    def _write(self) -> None:
        self._noted = _changed(self._read(), self._news)
        new = self._path.with_suffix(f".{os.getpid()}")
        new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.write_bytes(orjson.dumps(self._noted))
        new.replace(self._path)
        self._news = {}

    def _read(self) -> dict[str, list[int]]:
        try:
            found: dict[str, list[int]] = orjson.loads(self._path.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return {}
        return found


def _changed(noted: dict[str, list[int]], news: dict[str, list[int] | None]) -> dict[str, list[int]]:
    both = {**noted, **news}
    return {key: owner for key, owner in list(both.items())[-_MOST:] if owner}


def _exists(_key: str, product: str) -> Owner | None:
    close_old_connections()
    found = Product.objects.filter(pk=int(product)).first()
    return Owner(found.pk, found.workspace_id) if found else None


def _look_up(key: str, product: str) -> Owner | None:
    close_old_connections()
    if _KEY.fullmatch(key):
        found = IngestKey.objects.filter(key=key, revoked_at=None).select_related("product__limit").first()
        return _owner(found.product) if found else None
    token = ApiToken.objects.authenticate(key, timezone.now())
    if token is None or not access.can(token.membership, "complaint.log"):
        return None
    products = Product.objects.filter(workspace=token.membership.workspace_id)
    if product:
        is_id = product.isdecimal() and len(product) < 16
        products = products.filter(pk=int(product)) if is_id else products.filter(slug=product.replace("\0", ""))
    pair = list(products.select_related("limit")[:2])
    return _owner(pair[0]) if len(pair) == 1 else None


def _owner(product: Product) -> Owner:
    limit = getattr(product, "limit", None)
    return Owner(product.pk, product.workspace_id, bool(limit and limit.is_set))
