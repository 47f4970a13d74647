"""The doorbell: tells the workers that the inbox has something. Carries no data; a lost ring costs seconds."""

from __future__ import annotations

import logging
import threading

log = logging.getLogger(__name__)

#: Rings that come within this many seconds are one.
GATHER = 0.25


class Bell:
    def __init__(self) -> None:
        self._rung = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bell", daemon=True)
        self._thread.start()

    def ring(self) -> None:
        self._rung.set()

    def _run(self) -> None:
        from metrics.tasks import drain

        while True:
            self._rung.wait()
            self._rung.clear()
            try:
                drain.apply_async(expires=30)
            except Exception as error:  # the sweep of beat comes anyway; the door must not care
                log.warning("The doorbell is silent: %s", error)
            threading.Event().wait(GATHER)
