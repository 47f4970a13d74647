"""`manage.py distribute`: spreads the intake and measure tables over a Citus cluster. Again changes nothing."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from metrics import distributing


class Command(BaseCommand):
    help = "Distributes the intake and measure tables by product over the nodes of a Citus cluster."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only print the statements")
        parser.add_argument("--shards", type=int, default=distributing.SHARDS, help="pieces of each table")

    def handle(self, *_args: Any, **options: Any) -> None:
        if not 1 <= options["shards"] <= 1024:
            raise CommandError("--shards must be from 1 to 1024.")
        try:
            for statement in distributing.distribute(options["shards"], options["dry_run"]):
                self.stdout.write(f"{statement};")
        except distributing.Impossible as reason:
            raise CommandError(str(reason)) from None
