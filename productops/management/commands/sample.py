"""`manage.py sample`: the sample workspace, loaded once; `--remove` takes it away without a trace."""

from __future__ import annotations

import json
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from productops.sample import cast, load


class Command(BaseCommand):
    help = "Loads the sample workspace (thirty days of a small shop product) if it is not there."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--remove", action="store_true", help="delete the sample workspace and all its rows")
        parser.add_argument("--force", action="store_true", help="load it although this hub can be reached by others")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["remove"]:
            removed = load.remove()
            self.stdout.write(json.dumps({"removed": removed}) if options["json"] else f"Removed: {removed}")
            return
        if not settings.IS_LOOPBACK and not options["force"]:
            raise CommandError(
                f"The sample's passwords are public, and {settings.BASE_URL} can be reached by others. "
                "Start empty, or say --force."
            )
        began = time.monotonic()
        sample = load.load(timezone.now())
        self._tell(sample, time.monotonic() - began, options["json"])

    def _tell(self, sample: load.Sample, seconds: float, is_json: bool) -> None:
        found = {
            "workspace": sample.workspace.name,
            "url_path": f"/w/{sample.workspace.slug}/",
            "sign_in": [
                {"role": who.role, "email": who.email, "password": cast.PASSWORD, "name": who.full_name}
                for who in cast.TEAM
            ],
            "dsn": sample.key.dsn,
            "seconds": round(seconds, 1),
        }
        if is_json:
            self.stdout.write(json.dumps(found))
            return
        self.stdout.write(f"{found['workspace']}  {settings.BASE_URL}{found['url_path']}  {found['seconds']} s")
        for who in cast.TEAM:
            self.stdout.write(f"  {who.role:10} {who.email:28} {cast.PASSWORD}")
        self.stdout.write(f"DSN  {found['dsn']}")
        for name, value in sample.told.items():
            self.stdout.write(f"  {name:20} {value}")
