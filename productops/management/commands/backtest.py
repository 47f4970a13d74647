"""`manage.py backtest FILE`: what the detectors would have flagged, and when."""

from __future__ import annotations

import csv
import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from metrics.detection.replay import BadCase, replay


class Command(BaseCommand):
    help = "Replays releases of the past from a file; see docs/detection.md, Replay a file."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="one JSON object a line, also with .gz")
        parser.add_argument("--out", type=Path, help="CSV to write; without it, it is printed")

    def handle(self, *_args: Any, **options: Any) -> None:
        path, out = options["file"], options["out"]
        if not path.is_file():
            raise CommandError(f"{path} is not a file.")
        if out is None:
            self._write(path, sys.stdout)
            return
        # Beside and renamed: nobody reads half of it.
        new = out.with_name(f"{out.name}.new")
        try:
            with new.open("w", newline="") as file:
                self._write(path, file)
            new.replace(out)
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error.strerror}.") from None
        finally:
            new.unlink(missing_ok=True)

    def _write(self, path: Path, file: Any) -> None:
        write = csv.writer(file, lineterminator="\n").writerow
        write(("id", "mode", "first_flag_bucket"))
        for number, case in _cases(path):
            try:
                for found in replay(case):
                    write((found.id, found.mode, found.first_flag))
            except BadCase as error:
                raise CommandError(f"{path.name}, line {number}: {error}") from None


def _cases(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                case = orjson.loads(line)
                if type(case) is not dict:
                    raise CommandError(f"{path.name}, line {number}: it is not a JSON object.")
                yield number, case
    except orjson.JSONDecodeError as error:
        raise CommandError(f"{path.name}, line {number}: broken JSON ({error}).") from None
    except (EOFError, OSError) as error:
        raise CommandError(f"{path.name} cannot be read: {error}.") from None
