"""Brings in a file of history, NDJSON or CSV, in bounded memory; cut off at any moment, it goes on where it stood.

Each step stores some rows in the inbox and how far the file was read, in one transaction. The steps are counted as
they go, so that a large file never fills the inbox.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from django.db import transaction
from django.utils import timezone

from metrics.counting import drain
from metrics.intake import own, stored, table
from metrics.intake.clean import json_loads, stable_id
from metrics.intake.decode import EVENT_LIMIT
from metrics.intake.event import HISTORY_LIMIT, Event, Parsed, Refused
from metrics.models import Backfill, Inbox
from releases.models import Product

#: Rows of one step.
STEP = 5_000
#: Refused rows that are named.
NAMED = 100

#: A row as it is sent in JSON, or why there is none.
Row = dict[str, Any] | Refused


def begin(product: Product, path: Path) -> Backfill:
    """The file's record: new, half done or finished."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    found, _new = Backfill.objects.get_or_create(product=product, digest=digest, defaults={"name": path.name[:200]})
    return found


def run(backfill: Backfill, path: Path, told: Callable[[Backfill], None] = lambda _backfill: None) -> None:
    """Reads on from where it stands. Raises Refused when the file as a whole cannot be read."""
    with _opened(path) as file:
        rows = enumerate(_rows(file, path), 1)
        for _read in islice(rows, backfill.rows):
            pass
        while step := list(islice(rows, STEP)):
            _store(backfill, step)
            drain.drain_product(backfill.product_id)
            told(backfill)
    backfill.finished_at = timezone.now()
    backfill.save(update_fields=["finished_at"])


def _store(backfill: Backfill, step: list[tuple[int, Row]]) -> None:
    now = timezone.now()
    events, faults = [], []
    for number, row in step:
        try:
            events.append(_event(backfill, number, row, now))
        except Refused as refused:
            faults.append([number, str(refused)[:300]])
    parsed = Parsed(events, {("other", "invalid", "invalid_event"): len(faults)} if faults else {})
    with transaction.atomic():
        backfill.rows = step[-1][0]
        backfill.accepted += len(events)
        backfill.refused += len(faults)
        backfill.faults = (backfill.faults + faults)[:NAMED]
        backfill.save(update_fields=["rows", "accepted", "refused", "faults"])
        Inbox.objects.create(
            product_id=backfill.product_id, batch_id=uuid4(), protocol="backfill", events=len(events),
            body=stored.pack(parsed.events, parsed.outcomes), received_at=now,
        )  # fmt: skip


def _event(backfill: Backfill, number: int, row: Row, now: datetime) -> Event:
    if isinstance(row, Refused):
        raise row
    product = str(backfill.product_id)
    event = own.read(row, product, now.timestamp(), HISTORY_LIMIT)
    # A row without an id of its own is known by its place in the file.
    return event if "id" in row else event._replace(id=stable_id(product, backfill.digest, number))


def _opened(path: Path) -> gzip.GzipFile | io.BufferedReader:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    return path.open("rb")


def _rows(file: IO[bytes] | gzip.GzipFile, path: Path) -> Iterator[Row]:
    if ".csv" in path.suffixes or ".tsv" in path.suffixes:
        yield from table.read(_texts(file))
    else:
        yield from map(_json, filter(None, _lines(file)))


def _json(line: bytes) -> Row:
    try:
        found = json_loads(line)
    except Refused as refused:
        return refused
    return found if type(found) is dict else Refused(400, "invalid_event", "it must be an object.")


def _lines(file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    """Lines without their ends; a line above EVENT_LIMIT is cut, and then is no JSON."""
    while line := file.readline(EVENT_LIMIT):
        if not line.endswith(b"\n"):
            while (rest := file.readline(EVENT_LIMIT)) and not rest.endswith(b"\n"):
                pass
        yield line.strip()


def _texts(file: IO[bytes] | gzip.GzipFile) -> Iterator[str]:
    reader = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    while True:
        try:
            line = reader.readline(EVENT_LIMIT)
        except UnicodeDecodeError as wrong:
            raise Refused(400, "bad_csv", f"The table is not UTF-8: {wrong.reason}.") from None
        if not line:
            return
        if len(line) >= EVENT_LIMIT:
            raise Refused(413, "too_large", f"A line is longer than {EVENT_LIMIT} characters.")
        yield line
