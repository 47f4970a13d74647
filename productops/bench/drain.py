"""The drain: how many accepted events a second are deduplicated, kept and rolled up, beside indexed COPY."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from uuid import UUID, uuid4

import orjson
import psycopg2

from metrics.intake import posthog, stored
from productops.bench import bodies
from productops.bench.figures import Figure
from productops.bench.hub import ROOT, Hub

#: Processes that drain, and connections that COPY beside them.
PROCESSES = 4
EACH = 100

_DRAIN = """
import django, sys, time
django.setup()
from django.db import connection
from metrics.counting import drain
connection.ensure_connection()
print("ready", flush=True)
sys.stdin.readline()
began = time.time()
counted = 0
while found := drain.run(600):
    counted += found
print(counted, began, time.time(), flush=True)
"""

#: One row per event with the two indexes that finding it again and reading it back would need: what another store in
#: the same server would pay.
_COPIED = """
CREATE TABLE bench_copy (
    product_id bigint NOT NULL, at timestamptz NOT NULL, event_id uuid NOT NULL, kind text NOT NULL,
    signal_id bigint NOT NULL, release_id bigint NOT NULL, environment text NOT NULL, user_name text NOT NULL,
    customer text NOT NULL, session text NOT NULL, platform text NOT NULL, plan text NOT NULL, country text NOT NULL,
    n integer NOT NULL, bad integer NOT NULL, value double precision, flags smallint NOT NULL, props jsonb NOT NULL
);
CREATE INDEX ON bench_copy (product_id, signal_id, at);
CREATE INDEX ON bench_copy (product_id, event_id);
"""


def run(server: str, events: int) -> Iterator[Figure]:
    with Hub(server, has_redis=False) as hub:
        limit = copied(hub, events)
        fill(hub, 20_000)
        drained(hub)  # makes the names: a product meets them once
        fill(hub, events)
        value, counted = drained(hub)
        alone = _alone(hub, events // 3)
        left = hub.value("SELECT count(*) FROM metrics_inbox")
        right = hub.value("SELECT sum(n) FROM metrics_rollup_hour WHERE slice = ''") == events + 20_000 + events // 3
        told = f"{counted} events by {PROCESSES} processes; limit: indexed COPY by {PROCESSES} connections"
        if left or not right or counted != events:
            value, told = 0.0, f"WRONG: {left} batches left, sums {'right' if right else 'wrong'}; {told}"
        yield Figure("drain", f"backlog, {EACH} events per request", value, "events/s", 120_000, limit=limit, note=told)
        yield Figure("drain", "share of indexed COPY", value / limit, "", 0.3)
        told = f"one process: {alone:.0f} events/s"
        yield Figure("drain", f"{PROCESSES} processes against one", value / alone, "times", 2.8, note=told)


def fill(hub: Hub, events: int, seconds: float = 0.0, until: float = 0.0) -> None:
    """Accepted requests as the door leaves them, with fresh ids; their events lie in the `seconds` before `until` (unix
    seconds, else now)."""
    rng, now = random.Random(uuid4().int), until or time.time()
    sent = [bodies.posthog(hub.key, EACH, rng).replace(bodies.SEQ, _seq(rng)) for _number in range(200)]
    parsed = [posthog.to_events(orjson.loads(body), "1", now).events for body in sent]
    out, at = io.StringIO(), datetime.now(UTC).isoformat()
    for number in range(events // EACH):
        like = parsed[number % len(parsed)]
        rows = [event._replace(id=uuid4().hex, at=event.at - seconds * rng.random()) for event in like]
        body = stored.pack(rows, {})
        out.write(f"{uuid4()}\t{hub.product_id}\tposthog\t{EACH}\t\\\\x{body.hex()}\t{at}\t0\t\n")
    out.seek(0)
    with closing(psycopg2.connect(hub.env["DATABASE_URL"])) as link, link, link.cursor() as cursor:
        cursor.copy_expert(
            "COPY metrics_inbox (batch_id, product_id, protocol, events, body, received_at, attempts, error)"
            " FROM STDIN",
            out,
        )
    hub.execute("VACUUM ANALYZE metrics_inbox")


def _alone(hub: Hub, events: int) -> float:
    fill(hub, events)
    return drained(hub, 1)[0]


def drained(hub: Hub, many: int = PROCESSES) -> tuple[float, int]:
    """(events per second, events counted) until the inbox is empty."""
    env = {**hub.env, "DJANGO_SETTINGS_MODULE": "productops.settings"}
    processes = [
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", _DRAIN], cwd=ROOT, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _number in range(many)
    ]  # fmt: skip
    for process in processes:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError("A draining process did not start.")
    told = []
    for process in processes:
        if process.stdin:
            process.stdin.write("go\n")
            process.stdin.flush()
    for process in processes:
        told.append(process.communicate(timeout=600)[0].split())
    counted = sum(int(words[0]) for words in told)
    took = max(float(words[2]) for words in told) - min(float(words[1]) for words in told)
    return counted / took, counted


def _seq(rng: random.Random) -> bytes:
    return str(UUID(int=rng.getrandbits(128)))[:18].encode()


def copied(hub: Hub, events: int) -> float:
    """Rows a second that the same server takes by COPY into one indexed table of the same columns."""
    hub.execute(_COPIED)
    each, size = max(1, events // PROCESSES // 10_000), 10_000
    # No id twice: an index keeps equal keys as one.
    chunks = [[_chunk(hub.product_id, size) for _number in range(each)] for _process in range(PROCESSES)]
    threads = [threading.Thread(target=_copy_all, args=(hub, mine)) for mine in chunks]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = PROCESSES * each * size / (time.monotonic() - began)
    hub.execute("DROP TABLE bench_copy")
    return rate


def _chunk(product: int, size: int) -> str:
    at = datetime.now(UTC).isoformat()
    props = '{""current_url"": ""https://shop.example/checkout?step=2""}'
    return "".join(
        f"{product},{at},{uuid4().hex},use,1,1,production,user-{n},customer-{n % 300},,server,Pro,,1,0,12.5,0,"
        f'"{props}"\n'
        for n in range(size)
    )


def _copy_all(hub: Hub, chunks: list[str]) -> None:
    with closing(psycopg2.connect(hub.env["DATABASE_URL"])) as link:
        for chunk in chunks:
            with link, link.cursor() as cursor:
                cursor.copy_expert(
                    "COPY bench_copy FROM STDIN WITH (FORMAT csv,"
                    " FORCE_NOT_NULL (user_name, customer, session, platform, plan, country))",
                    io.StringIO(chunk),
                )
