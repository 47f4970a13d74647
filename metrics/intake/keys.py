"""Who a key belongs to, remembered for a few seconds so that the door does not ask the database each time."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.db import close_old_connections
from django.utils import timezone

from accounts import access
from accounts.models import ApiToken
from metrics.models import IngestKey
from releases.models import Product

#: Seconds for which an answer is believed; a revoked key dies within them.
BELIEVED = 3.0
_MOST = 10_000
_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Owner:
    product_id: int
    workspace_id: int


class Keys:
    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[float, Owner | None]] = {}
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="keys")

    async def owner(self, key: str, product: str = "") -> Owner | None:
        """The product a key may write to. With a personal token, `product` names it (slug or id)."""
        return await self._ask(key, product, _look_up)

    async def named(self, product: str) -> int:
        """The id of a product that exists, else 0: made-up ones may not fill the ledger."""
        found = await self._ask("", product, _exists)
        return found.product_id if found else 0

    async def _ask(self, key: str, product: str, look: Callable[[str, str], Owner | None]) -> Owner | None:
        now = time.monotonic()
        found = self._known.get((key, product))
        if found and found[0] > now:
            return found[1]
        loop = asyncio.get_running_loop()
        owner = await loop.run_in_executor(self._threads, look, key, product)
        if len(self._known) >= _MOST:  # a flood of made-up keys must not fill the memory
            self._known.clear()
        self._known[key, product] = (now + BELIEVED, owner)
        return owner


def _exists(_key: str, product: str) -> Owner | None:
    close_old_connections()
    found = Product.objects.filter(pk=int(product)).first()
    return Owner(found.pk, found.workspace_id) if found else None


def _look_up(key: str, product: str) -> Owner | None:
    close_old_connections()
    if _KEY.fullmatch(key):
        found = IngestKey.objects.filter(key=key, revoked_at=None).select_related("product").first()
        return Owner(found.product_id, found.product.workspace_id) if found else None
    token = ApiToken.objects.authenticate(key, timezone.now())
    if token is None or not access.can(token.membership, "complaint.log"):
        return None
    products = Product.objects.filter(workspace=token.membership.workspace_id)
    if product:
        is_id = product.isdecimal() and len(product) < 16
        products = products.filter(pk=int(product)) if is_id else products.filter(slug=product.replace("\0", ""))
    pair = list(products[:2])
    return Owner(pair[0].pk, pair[0].workspace_id) if len(pair) == 1 else None
