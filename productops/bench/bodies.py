"""Request bodies as the real SDKs send them. None is ever the same twice: `SEQ` marks where the generator
writes a running number into an id."""

from __future__ import annotations

import gzip
import json
import random
from datetime import UTC, datetime
from uuid import uuid4

#: Where a number of the form 01234567-89ab-cdef goes: the first half of a UUID.
SEQ = b"@seq@"

_NAMES = ("checkout", "cart.add", "search", "login", "page.view", "export", "invite", "plan", "api", "upload")
_PLANS = ("Free", "Starter", "Pro", "Enterprise")
_FRAMES = (
    ("django/core/handlers/base.py", "_get_response", False), ("shop/views.py", "checkout", True),
    ("shop/orders.py", "place", True), ("shop/orders.py", "price_of", True), ("shop/stock.py", "reserve", True),
    ("psycopg/cursor.py", "execute", False), ("shop/money.py", "in_cents", True),
)  # fmt: skip


def posthog(key: str, events: int, rng: random.Random) -> bytes:
    """The body of `POST /batch/`."""
    rows = [_posthog_event(place, rng) for place in range(events)]
    body = {"batch": rows, "historical_migration": False, "sent_at": _now(), "api_key": key}
    return json.dumps(body).encode()


def _posthog_event(place: int, rng: random.Random) -> dict[str, object]:
    return {
        "event": rng.choice(_NAMES),
        "uuid": f"{SEQ.decode()}-8{place:03x}-{rng.getrandbits(48):012x}",
        "distinct_id": f"user-{rng.randrange(10_000)}",
        "timestamp": _now(),
        "properties": {
            "release": "shop@2.4.1" if rng.random() < 0.8 else "shop@2.5.0",
            "customer": f"customer-{rng.randrange(300)}",
            "plan": rng.choice(_PLANS),
            "duration_ms": rng.randrange(1, 3000),
            "ok": rng.random() < 0.97,
            "$current_url": "https://shop.example/checkout?step=2",
            "$lib": "posthog-python",
            "$lib_version": "7.91.1",
            "$python_runtime": "CPython",
            "$python_version": "3.11.7",
            "$os": "Linux",
            "$os_version": "12",
            "$is_server": True,
            "$geoip_disable": True,
        },
    }


def sentry(rng: random.Random) -> bytes:
    """One gzipped envelope with one error, about 7 kB before and 2.5 kB after."""
    event_id, now = uuid4().hex, _now()
    event = {
        "level": "error", "event_id": event_id, "timestamp": now, "platform": "python",
        "release": "shop@2.4.1", "environment": "production", "transaction": "/checkout/",
        "server_name": f"web-{rng.randrange(9)}", "user": {"id": f"user-{rng.randrange(10_000)}"},
        "exception": {"values": [_exception(rng)]},
        "breadcrumbs": {"values": [_crumb(rng, now) for _number in range(12)]},
        "modules": {f"package{number}": f"{rng.randrange(9)}.{rng.randrange(30)}" for number in range(40)},
        "sdk": {"name": "sentry.python.django", "version": "2.75.0", "integrations": ["django", "logging", "redis"]},
    }  # fmt: skip
    payload = json.dumps(event).encode()
    head = json.dumps({"event_id": event_id, "sent_at": now, "sdk": {"name": "sentry.python.django"}}).encode()
    item = json.dumps({"type": "event", "content_type": "application/json", "length": len(payload)}).encode()
    return gzip.compress(b"\n".join((head, item, payload, b"")), 6, mtime=0)


def _exception(rng: random.Random) -> dict[str, object]:
    frames = [
        {
            "filename": file, "abs_path": f"/srv/app/{file}", "function": function, "in_app": is_own,
            "lineno": rng.randrange(20, 900), "context_line": "    total += price_of(item) * item.amount",
            "pre_context": ["    for item in basket:", "        if item.amount < 1:", "            continue"],
            "post_context": ["    return total", "", ""], "vars": {"item": f"<Item {rng.randrange(9999)}>"},
        }
        for file, function, is_own in _FRAMES
    ]  # fmt: skip
    number = rng.randrange(200)
    return {
        "type": f"StockError{number}", "value": f"item {number} is missing", "stacktrace": {"frames": frames},
        "mechanism": {"type": "django", "handled": False},
    }  # fmt: skip


def _crumb(rng: random.Random, now: str) -> dict[str, object]:
    sql = "SELECT id, name, price FROM shop_item WHERE id = %s"
    return {"type": "query", "category": "query", "message": sql, "timestamp": now, "data": {"row": rng.randrange(99)}}


def _now() -> str:
    return datetime.now(UTC).isoformat()
