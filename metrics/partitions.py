"""Day partitions: made ahead, dropped when their time is over. Dropping a day costs nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction

#: table -> (its time column's type, days kept). The door clamps to 31 days back and one ahead.
TABLES = {
    "metrics_event": ("timestamptz", 14),
    "metrics_event_seen": ("date", 3),
    "metrics_rollup_minute": ("timestamptz", 32),
    "metrics_user_day": ("date", 32),
}
AHEAD = 3
# Any number will do; it only has to be the same in every process that makes partitions.
_LOCK = 71_003


def first_moment(table: str, now: datetime) -> float:
    """Unix seconds from which the table has partitions."""
    first = now.astimezone(UTC).date() - timedelta(days=TABLES[table][1])
    return datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp()


def ensure(now: datetime) -> None:
    """Makes the partitions of the days kept, and of the next days, that are still missing."""
    today = now.astimezone(UTC).date()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        existing = _existing()
        for table, (_kind, kept) in TABLES.items():
            for offset in range(-kept, AHEAD + 1):
                day = today + timedelta(days=offset)
                name = _name(table, day)
                if name in existing:
                    continue
                low, high = f"{day}", f"{day + timedelta(days=1)}"
                if TABLES[table][0] == "timestamptz":
                    low, high = f"{low} 00:00+00", f"{high} 00:00+00"
                cursor.execute(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('{low}') TO ('{high}')")


def drop_old(now: datetime) -> list[str]:
    """Drops partitions of days no longer kept; their names."""
    today = now.astimezone(UTC).date()
    dropped = []
    for name in sorted(_existing()):
        table, _, stamp = name.rpartition("_p")
        day = datetime.strptime(stamp, "%Y%m%d").replace(tzinfo=UTC).date()
        if table in TABLES and day < today - timedelta(days=TABLES[table][1]):
            with connection.cursor() as cursor:
                cursor.execute(f"DROP TABLE IF EXISTS {name}")
            dropped.append(name)
    return dropped


def _existing() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid"
            " JOIN pg_class parent ON parent.oid = inhparent WHERE parent.relname = ANY(%s)",
            [list(TABLES)],
        )
        return {row[0] for row in cursor.fetchall()}


def _name(table: str, day: date) -> str:
    return f"{table}_p{day:%Y%m%d}"
