"""The SQL of one drain transaction. Every statement takes its rows in key order, so that two workers never
wait for each other in a circle, and every key starts with the product (see docs/architecture.md, growing)."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from struct import Struct
from typing import Any

import numpy as np
import orjson
from django.db.backends.utils import CursorWrapper
from numpy.typing import NDArray
from psycopg2.extras import execute_values

from metrics.counting import chunks, sketch
from metrics.counting.grouping import Cohort, Key, Known, Sum, Usage
from metrics.intake.event import MIXER, Event
from productops.lib import copying

_ROLLUP = (
    "product_id, signal_id, environment, release_id, slice, bucket, n, bad, bad_sq, users, bad_users, timed,"
    " total, hist"
)
_ADD_UP = """ON CONFLICT (product_id, signal_id, environment, release_id, slice, bucket) DO UPDATE SET
 n = r.n + excluded.n, bad = r.bad + excluded.bad, bad_sq = r.bad_sq + excluded.bad_sq,
 users = r.users + excluded.users, bad_users = r.bad_users + excluded.bad_users,
 timed = r.timed + excluded.timed, total = r.total + excluded.total, hist = coalesce(r.hist, excluded.hist)"""
# In UTC, because what the nodes of a cluster return may not depend on a setting.
_STANDING = (
    "signal_id, environment, release_id, slice, extract(epoch FROM bucket AT TIME ZONE 'UTC')::bigint, r.timed, r.hist"
)
_CHUNK = Struct("!hiqiqiqiqiiii")
_STANDS = "(SELECT true FROM metrics_event_seen old WHERE old.product_id = %s AND old.event = mark AND old.day = %s)"
_SEEN = np.dtype(
    [("fields", ">i2"), ("product_size", ">i4"), ("product", ">i8"), ("event_size", ">i4"), ("event", ">i8"),
     ("day_size", ">i4"), ("day", ">i4")]
)  # fmt: skip
#: Rollup rows of one drain from which COPY is worth its temporary table.
MANY = 1_000


def marks(ids: Sequence[str]) -> NDArray[np.int64]:
    """intake.event.mark of each."""
    raw = bytes.fromhex("".join(ids))
    if len(raw) != 16 * len(ids):
        raise ValueError("An id has 32 hex digits")
    halves = np.frombuffer(raw, dtype=">u8").astype(np.uint64).reshape(-1, 2)
    return (halves[:, 0] * np.uint64(MIXER) + halves[:, 1]).view(np.int64)


def unseen(
    cursor: CursorWrapper, product: int, ids: Sequence[str], today: date, is_asked: bool = True
) -> NDArray[np.bool_]:
    """Which of the events were never counted; they are marked as counted now. Of two with one id, the first.

    is_asked: whether one may have been counted today. If not, and one was, this fails: its key is there.
    """
    wanted, first = np.unique(marks(ids), return_index=True)
    days = [today - timedelta(days=1), *([today] if is_asked else [])]
    # A plan that reads the whole day would be right for few events and ruin for many; this one always asks the index.
    cursor.execute(
        "SELECT array_agg(mark) FROM unnest(%s::bigint[]) AS mark"
        f" WHERE {' OR '.join([f'{_STANDS} IS NOT NULL'] * len(days))}",
        [_numbers(wanted.tolist()), *[value for day in days for value in (product, day)]],
    )
    if standing := cursor.fetchone()[0]:
        is_new = ~np.isin(wanted, standing)
        wanted, first = wanted[is_new], first[is_new]
    # ON CONFLICT would cost as much again. One that was counted, or that another drain counts at this moment, makes
    # this fail, and then the whole is tried again.
    rows = np.zeros(len(wanted), dtype=_SEEN)
    rows["fields"], rows["product_size"], rows["event_size"], rows["day_size"] = 3, 8, 8, 4
    rows["product"], rows["event"], rows["day"] = product, wanted, copying.days(today)
    cursor.copy_expert(
        "COPY metrics_event_seen (product_id, event, day) FROM STDIN WITH (FORMAT binary)",
        io.BytesIO(copying.HEADER + rows.tobytes() + copying.TRAILER),
    )
    found = np.zeros(len(ids), dtype=bool)
    found[first] = True
    return found


def keep(cursor: CursorWrapper, product: int, events: Sequence[Event], known: Known) -> None:
    """COPY of the raw events, many to a row."""
    out = [copying.HEADER]
    for chunk in chunks.chunked(events):
        moments = [event.at for event in chunk]
        first, last = copying.microseconds(min(moments)), copying.microseconds(max(moments))
        signal = known.signals.get((chunk[0].kind, chunk[0].name), 0)
        bad = sum([event.bad > 0 for event in chunk])
        out += (_CHUNK.pack(7, 8, product, 8, signal, 8, first, 8, last, 4, len(chunk), 4, bad),
                copying.field(chunks.pack(chunk)))
    out.append(copying.TRAILER)
    cursor.copy_expert(
        "COPY metrics_event (product_id, signal_id, first_at, last_at, n, bad, body) FROM STDIN WITH (FORMAT binary)",
        io.BytesIO(b"".join(out)),
    )


def count_people(
    cursor: CursorWrapper, product: int, people: dict[Cohort, dict[int, int]]
) -> Iterable[tuple[Cohort, int, bool, int]]:
    """people: cohort -> user -> bad events now. For each user whose day changed: cohort, user, whether the day
    is new for them, and their bad events before."""
    # A mark of our own tells our inserts from updates; partitioned tables do not give out xmax.
    mark = random.getrandbits(62)
    cohorts = sorted(people)
    rows = [(place, user, bad) for place, at in enumerate(cohorts) for user, bad in people[at].items()]
    places, users, bads = zip(*rows, strict=True)
    days, signals, releases, environments = zip(*cohorts, strict=True)
    # Who is known today and did nothing bad is left alone: even an update that changes nothing would lock the
    # row, and make every other worker wait.
    cursor.execute(
        "WITH cohort AS (SELECT * FROM unnest(%s::date[], %s::bigint[], %s::bigint[], %s::text[])"
        "  WITH ORDINALITY AS c (day, signal_id, release_id, environment, place))"
        " INSERT INTO metrics_user_day AS u"
        " (product_id, day, signal_id, release_id, environment, user_hash, bad, mark)"
        " SELECT %s, c.day, c.signal_id, c.release_id, c.environment, v.user_hash, v.bad, %s"
        " FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS v (place, user_hash, bad) JOIN cohort c USING (place)"
        " WHERE v.bad > 0 OR NOT EXISTS (SELECT 1 FROM metrics_user_day old WHERE old.product_id = %s"
        "  AND old.day = c.day AND old.signal_id = c.signal_id AND old.release_id = c.release_id"
        "  AND old.environment = c.environment AND old.user_hash = v.user_hash)"
        " ORDER BY place, v.user_hash"
        " ON CONFLICT (product_id, day, signal_id, release_id, environment, user_hash)"
        " DO UPDATE SET bad = u.bad + excluded.bad WHERE excluded.bad > 0"
        " RETURNING day, signal_id, release_id, environment, user_hash, bad, mark",
        [list(days), list(signals), list(releases), list(environments), product, mark,
         _numbers(p + 1 for p in places), _numbers(users), _numbers(bads), product],
    )  # fmt: skip
    for day, signal, release, environment, user, bad, made in cursor.fetchall():
        cohort = Cohort(day, signal, release, environment)
        yield cohort, user, made == mark, bad - people[cohort][user]


def add_rollups(cursor: CursorWrapper, table: str, product: int, sums: dict[Key, Sum]) -> None:
    """Adds to existing rows. Counts add in SQL; a histogram that was there is merged under the row's lock."""
    rows = [
        (
            product, key.signal, key.environment, key.release, key.slice, datetime.fromtimestamp(key.bucket, UTC),
            row.n, row.bad, row.bad_sq, row.users, row.bad_users, row.timed, row.total,
            sketch.pack(row.bins) if row.bins else None,
        )
        for key, row in sorted(sums.items())
    ]  # fmt: skip
    merged = []
    for *parts, timed, hist in _upsert_many(cursor, table, rows) if len(rows) > MANY else _upsert(cursor, table, rows):
        key = Key(*parts)
        # Durations beyond ours mean that a histogram was there before, which the insert left as it was.
        if sums[key].bins and timed > sums[key].timed:
            at = datetime.fromtimestamp(key.bucket, UTC)
            merged.append((*key[:4], at, _with(hist, sums[key].bins)))
    if merged:
        execute_values(
            cursor.cursor,
            f"UPDATE {table} r SET hist = v.hist FROM (VALUES %s)"
            " AS v (signal_id, environment, release_id, slice, bucket, hist)"
            f" WHERE r.product_id = {product:d} AND r.signal_id = v.signal_id AND r.environment = v.environment"
            " AND r.release_id = v.release_id AND r.slice = v.slice AND r.bucket = v.bucket",
            merged,
            page_size=1000,
        )


def _upsert(cursor: CursorWrapper, table: str, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows as they stand afterwards: key without product, durations, histogram."""
    found: list[tuple[Any, ...]] = execute_values(
        cursor.cursor,
        f"INSERT INTO {table} AS r ({_ROLLUP}) VALUES %s {_ADD_UP} RETURNING {_STANDING}",
        rows,
        page_size=1000,
        fetch=True,
    )
    return found


def _upsert_many(cursor: CursorWrapper, table: str, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The same by COPY, several times faster from some thousand rows on. Only rows whose durations grew come back."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    for place, row in enumerate(rows):
        write((place, *row[:5], row[5].isoformat(), *row[6:13], "" if row[13] is None else "\\x" + row[13].hex()))
    out.seek(0)
    cursor.execute(
        f"CREATE TEMP TABLE adding ON COMMIT DROP AS SELECT 0 AS place, {_ROLLUP} FROM {table} WITH NO DATA"
    )
    cursor.copy_expert(
        f"COPY adding (place, {_ROLLUP}) FROM STDIN WITH (FORMAT csv, FORCE_NOT_NULL (environment, slice))", out
    )
    cursor.execute(
        f"WITH r AS (INSERT INTO {table} AS r ({_ROLLUP}) SELECT {_ROLLUP} FROM adding ORDER BY place"
        f" {_ADD_UP} RETURNING r.*)"
        f" SELECT {_STANDING} FROM r JOIN adding USING (product_id, signal_id, environment, release_id, slice, bucket)"
        " WHERE adding.hist IS NOT NULL AND r.timed > adding.timed"
    )
    found: list[tuple[Any, ...]] = cursor.fetchall()
    cursor.execute("DROP TABLE adding")
    return found


def add_usage(cursor: CursorWrapper, product: int, usage: dict[tuple[str, Cohort], Usage]) -> None:
    if not usage:
        return
    keys = sorted(usage)
    rows = [usage[key] for key in keys]
    customers = {name: place for place, name in enumerate(sorted({name for name, _cohort in keys}), 1)}
    cohorts = {cohort: place for place, cohort in enumerate(sorted({cohort for _name, cohort in keys}), 1)}
    days, signals, releases, environments = zip(*cohorts, strict=True)
    cursor.execute(
        "WITH customer AS (SELECT * FROM unnest(%s::text[]) WITH ORDINALITY AS c (customer, place)),"
        " cohort AS (SELECT * FROM unnest(%s::date[], %s::bigint[], %s::bigint[], %s::text[])"
        "  WITH ORDINALITY AS c (day, signal_id, release_id, environment, place))"
        " INSERT INTO metrics_customer_day AS c (product_id, customer, day, signal_id, release_id, environment,"
        " uses, failures, struggles, last_at) SELECT %s, who.customer, day, signal_id, release_id, environment,"
        " uses, failures, struggles, to_timestamp(last)"
        " FROM unnest(%s::int[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::float8[])"
        "  AS v (who, what, uses, failures, struggles, last)"
        " JOIN customer who ON who.place = v.who JOIN cohort ON cohort.place = v.what ORDER BY v.who, v.what"
        " ON CONFLICT (product_id, customer, day, signal_id, release_id, environment) DO UPDATE SET"
        " uses = c.uses + excluded.uses, failures = c.failures + excluded.failures,"
        " struggles = c.struggles + excluded.struggles, last_at = greatest(c.last_at, excluded.last_at)",
        [list(customers), list(days), list(signals), list(releases), list(environments), product,
         _numbers(customers[name] for name, _cohort in keys), _numbers(cohorts[cohort] for _name, cohort in keys),
         _numbers(row.uses for row in rows), _numbers(row.failures for row in rows),
         _numbers(row.struggles for row in rows), _numbers(row.last for row in rows)],
    )  # fmt: skip


def add_accounts(cursor: CursorWrapper, workspace: int, seen: dict[str, tuple[float, dict[str, Any]]]) -> None:
    """Customers named by events: id -> (latest moment, traits told). News only when there is any."""
    rows = [
        (workspace, name, orjson.dumps(traits).decode(), datetime.fromtimestamp(at, UTC))
        for name, (at, traits) in sorted(seen.items())
    ]
    if rows:
        execute_values(
            cursor.cursor,
            "INSERT INTO metrics_account AS a (workspace_id, external_id, traits, first_at, changed_at)"
            " SELECT w, e, t, at, at FROM (VALUES %s) AS v (w, e, t, at)"
            " ON CONFLICT (workspace_id, external_id) DO UPDATE SET traits = a.traits || excluded.traits,"
            " changed_at = greatest(a.changed_at, excluded.changed_at) WHERE NOT a.traits @> excluded.traits",
            rows,
            template="(%s, %s, %s::jsonb, %s)",
            page_size=1000,
        )


def _numbers(values: Iterable[object]) -> str:
    """An array as PostgreSQL reads it, for values that need no quotes; several times faster than the driver's."""
    return "{" + ",".join(map(str, values)) + "}"


def _with(hist: bytes, bins: Any) -> bytes:
    total = sketch.unpack(hist)
    total.update(bins)
    return sketch.pack(total)
