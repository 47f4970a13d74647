"""`manage.py backfill FILE --product shop`: history from NDJSON or CSV. Cut off, it is simply started again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from metrics import backfilling, partitions
from metrics.intake.event import Refused
from metrics.models import Backfill
from releases.models import Product


class Command(BaseCommand):
    help = "Brings in events of up to two years ago; see docs/signals.md, History."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help=".ndjson, .jsonl or .csv, also with .gz")
        parser.add_argument("--product", required=True, help="slug of the product")
        parser.add_argument("--workspace", help="slug of its workspace, where several have such a product")

    def handle(self, *_args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(f"{path} is not a file.")
        product = self._product(options["product"], options["workspace"])
        partitions.ensure(timezone.now())
        found = backfilling.begin(product, path)
        if found.finished_at:
            self.stdout.write(f"This file was read already, on {found.finished_at:%Y-%m-%d %H:%M} UTC.")
        else:
            if found.rows:
                self.stdout.write(f"Goes on after row {found.rows}.")
            try:
                backfilling.run(found, path, self._tell)
            except (Refused, EOFError, OSError) as error:
                rest = f"The first {found.rows} rows are stored: bring in the others as a file of their own."
                raise CommandError(f"After row {found.rows}: {error} {rest}") from None
        self._tell(found, "\n")
        for row, why in found.faults:
            self.stdout.write(f"row {row}: {why}")

    def _product(self, slug: str, workspace: str | None) -> Product:
        products = Product.objects.filter(slug=slug, **({"workspace__slug": workspace} if workspace else {}))
        pair = list(products.select_related("workspace")[:2])
        if len(pair) == 1:
            return pair[0]
        raise CommandError(f"There is {'no' if not pair else 'more than one'} product {slug}. Say --workspace too.")

    def _tell(self, found: Backfill, end: str = "") -> None:
        told = f"{found.rows} rows read, {found.accepted} events stored, {found.refused} refused"
        self.stdout.write(f"\r{told}" if self.stdout.isatty() else told if end else "", ending=end)
