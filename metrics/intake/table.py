"""CSV as the hub's own events: the first line names fields, empty cells say nothing, other columns become props."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from .decode import BATCH_EVENTS, EVENT_LIMIT
from .event import Refused

CSV = "text/csv"
#: Columns of one table.
COLUMNS = 200
_WHOLE, _NUMBER = ("n", "bad"), ("duration_ms",)
_YES, _NO = ("true", "1", "yes", "t"), ("false", "0", "no", "f")


def rows(body: bytes) -> list[dict[str, Any]]:
    """All rows of a request. Raises Refused 400 `bad_csv`, 413 `too_many_events`."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise Refused(400, "bad_csv", f"The table is not UTF-8 at byte {wrong.start}.") from None
    found: list[dict[str, Any]] = []
    for row in read(io.StringIO(text, newline="")):
        if isinstance(row, Refused):
            raise row  # a request can be mended and sent again as a whole
        if len(found) >= BATCH_EVENTS:
            raise Refused(413, "too_many_events", f"More than {BATCH_EVENTS} events in one request.")
        found.append(row)
    return found


def read(lines: Iterable[str]) -> Iterator[dict[str, Any] | Refused]:
    """The rows as events are sent in JSON; for a line that is none of a table, why. Raises Refused 400 `bad_csv` when
    the first line does not name the columns."""
    lines = iter(lines)
    head = next(lines, "")
    delimiter = max(",;\t", key=head.count)
    csv.field_size_limit(EVENT_LIMIT)
    names = [name.strip() for name in next(csv.reader([head], delimiter=delimiter), [])]
    if "name" not in names:
        raise Refused(400, "bad_csv", "The first line must name the columns; one of them is `name`.")
    if len(names) > COLUMNS or len(set(names)) < len(names):
        raise Refused(400, "bad_csv", f"The columns must have different names, {COLUMNS} at most.")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Refused(400, "bad_csv", f"Line {reader.line_num + 1}: {error}.")
            continue
        if len(cells) > len(names):
            yield Refused(400, "bad_csv", f"Line {reader.line_num + 1} has more cells than the first line.")
        elif cells:
            yield {name: _value(name, cell) for name, cell in zip(names, cells, strict=False) if name and cell != ""}


def _value(name: str, cell: str) -> Any:
    """As JSON has it; what is none of it stays a text, and the event says what it should have been."""
    low = cell.strip().lower()
    try:
        if name in _WHOLE:
            return int(low)
        if name in _NUMBER:
            return float(low)
    except ValueError:
        return cell
    if name == "ok" and low in (*_YES, *_NO):
        return low in _YES
    return cell
