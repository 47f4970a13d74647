"""How far behind the hub is: what operators, balancers and the Data page ask."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection, connections

from metrics import periodic, replica
from metrics.intake import spool
from metrics.intake.keys import KeyNote

#: Products whose oldest waiting request is looked at.
_MOST = 200


def read(now: datetime) -> dict[str, Any]:
    """`status`: ok; spooling (PostgreSQL is away, events are still taken); down. Times in seconds."""
    folder = Path(settings.DATA_DIR) / "spool"
    found: dict[str, Any] = {"status": "ok", "database": "ok", "spool_bytes": spool.size(folder)}
    try:
        ages = periodic.ages(now)
        found["drain_lag_s"] = _lag(now)
    except DatabaseError:
        can_take = found["spool_bytes"] < settings.SPOOL_BYTES and not KeyNote(Path(settings.DATA_DIR)).is_empty
        return {**found, "status": "spooling" if can_take else "down", "database": "down"}
    looked = ages["detect"]
    found["last_look_s"] = round(looked, 1) if looked < float("inf") else None
    found["late"] = periodic.late(ages)
    if replica.ALIAS in connections:
        behind = replica.lag.read()
        found["replica_behind_s"] = round(behind, 1) if behind < float("inf") else None
    return found


def _lag(now: datetime) -> float:
    """Seconds since the oldest request arrived that is not counted yet; one look into the index a product."""
    oldest, product = now, -1
    with connection.cursor() as cursor:
        for _turn in range(_MOST):
            cursor.execute(
                "SELECT product_id, received_at FROM metrics_inbox WHERE product_id > %s"
                " ORDER BY product_id, seq LIMIT 1",
                [product],
            )
            row = cursor.fetchone()
            if row is None:
                break
            product, oldest = row[0], min(oldest, row[1])
    return round((now - oldest).total_seconds(), 1)
