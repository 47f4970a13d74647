"""Keeps tokens and passwords out of the logs."""

import logging
import re

_SECRET = re.compile(
    r"(po_(?:pat|svc|inv)_[0-9A-Za-z]{4})[0-9A-Za-z_]+|(?i:(bearer |basic |password['\"=: ]+|sentry_key=))[^\s,'\"&]+"
)


class MaskSecrets(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        masked = _SECRET.sub(lambda found: f"{found[1] or found[2]}…", message)
        if masked != message:
            record.msg, record.args = masked, ()
        return True
