"""Many events field by field, each field as short as it can be told: events of one request or signal are much alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

#: Values at the beginning that tell whether a column has few different ones.
SAMPLE = 20


def squeeze(column: Sequence[Any]) -> Any:
    """{"one": value} where all are the same, {"of": values, "at": [place, ...]} for few different texts, or the column
    itself."""
    first = column[0]
    if type(first) is dict:
        return _squeeze_objects(column)
    if first == column[-1] and column.count(first) == len(column):
        # Among different kinds 1 equals True.
        return {"one": first} if type(first) is str or len(set(map(type, column))) == 1 else column
    if type(first) is not str or len(set(column[:SAMPLE])) > SAMPLE // 2 or set(map(type, column)) != {str}:
        return column
    places = {text: place for place, text in enumerate(dict.fromkeys(column))}
    if 2 * len(places) > len(column):
        return column
    return {"of": list(places), "at": list(map(places.__getitem__, column))}


def _squeeze_objects(column: Sequence[Any]) -> Any:
    """Compared by identity: what one object was then is one object again."""
    places: dict[int, int] = {}
    at = [places.setdefault(key, len(places)) for key in map(id, column)]
    if 2 * len(places) > len(column):
        return column if any(column) or set(map(type, column)) != {dict} else {"one": {}}
    known = dict(zip(map(id, column), column, strict=True))
    return {"of": [known[key] for key in places], "at": at}


def spread(told: Any, n: int) -> Iterable[Any]:
    """The n values that `squeeze` was given."""
    if type(told) is list:
        return told
    if "one" in told:
        return repeat(told["one"], n)
    return map(told["of"].__getitem__, told["at"])
