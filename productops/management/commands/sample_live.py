"""`manage.py sample_live`: keeps the sample workspace alive over HTTP until it is stopped."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from productops.sample import live


class Command(BaseCommand):
    help = "Sends the sample's traffic to the running web; soon a new release breaks something."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", default=settings.BASE_URL, help="address of the web (BASE_URL)")
        parser.add_argument("--rate", type=float, default=60.0, help="events a second at most (60)")

    def handle(self, *_args: Any, **options: Any) -> None:
        if not 0 < options["rate"] <= 1000:
            raise CommandError("--rate lies between 0 and 1000 events a second.")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        try:
            live.Live(options["url"], options["rate"], stop).run()
        except live.NoSample:
            raise CommandError("There is no sample workspace. Load it with: manage.py sample") from None
