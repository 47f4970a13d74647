"""Spreads the intake and measure tables over the nodes of a Citus cluster, each product on one of them.

The SQL of the hub is the same before and after; tests/house/test_distributable.py keeps the tables so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connection

#: In this order: what counting needs to count once comes with the counts, the inbox last.
TABLES = (
    "metrics_event", "metrics_event_seen", "metrics_rollup_minute", "metrics_rollup_hour", "metrics_customer_day",
    "metrics_user_day", "metrics_counter", "metrics_arrival", "metrics_refusal", "metrics_outcome",
    "metrics_processed_batch", "metrics_inbox",
)  # fmt: skip
#: Stays on the coordinator, but known to Citus: a transaction that writes it and a distributed table commits in two
#: phases. Of a table that Citus does not know, the nodes commit first, and a crash may lose ours.
KNOWN = ("metrics_quarantine",)
SHARDS = 32
# Any number will do; it only has to be the same in every process that distributes.
_LOCK = 71_031


class Impossible(Exception):
    """The database cannot be distributed; says why."""


def distribute(shards: int = SHARDS, is_dry: bool = False) -> Iterator[str]:
    """The statements that were run (`is_dry`: that would be), one for each table that is not distributed yet. Each is
    a transaction of its own; when it is cut off, it is run again."""
    with connection.cursor() as cursor:
        _check(cursor)
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        try:
            for statement in _missing(cursor, shards):
                if not is_dry:
                    cursor.execute(statement)
                yield statement
            for table in () if is_dry else TABLES:
                cursor.execute("SELECT truncate_local_data_after_distributing_table(%s::regclass)", [table])
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _check(cursor: Any) -> None:
    cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'citus'")
    if cursor.fetchone() is None:
        raise Impossible("This database has no extension `citus`.")
    cursor.execute("SELECT count(*) FROM pg_dist_node WHERE isactive AND shouldhaveshards AND noderole = 'primary'")
    if cursor.fetchone()[0] == 0:
        raise Impossible("This cluster has no node that takes shards: see citus_add_node.")


def _missing(cursor: Any, shards: int) -> list[str]:
    cursor.execute("SELECT logicalrelid::text, partmethod FROM pg_dist_partition")
    known = dict(cursor.fetchall())
    first, found = TABLES[0], []
    for table in TABLES:
        how = f"'none', shard_count => {shards:d}" if table == first else f"'{first}'"
        if known.get(table) != "h":
            found.append(f"SELECT create_distributed_table('{table}', 'product_id', colocate_with => {how})")
    return found + [f"SELECT citus_add_local_table_to_metadata('{table}')" for table in KNOWN if table not in known]
