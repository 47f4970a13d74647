"""Asks a web process whether it can serve: `python -m productops.run_ready [HOST:PORT]`, exit 0 for yes.

bin/run and the container's health check use it. It speaks to this machine but asks in the name of BASE_URL,
which is the only name the application answers to.
"""

from __future__ import annotations

import http.client
import os
import sys
from urllib.parse import urlsplit


def is_ready(address: str, base_url: str, seconds: float = 5.0) -> bool:
    """Whether `/ready` at `address` (host:port) answers 200 to a request for `base_url`."""
    base = urlsplit(base_url)
    connection = http.client.HTTPConnection(address, timeout=seconds)
    headers = {"Host": base.netloc, "X-Forwarded-Proto": base.scheme, "User-Agent": "productops-ready"}
    try:
        connection.request("GET", "/ready", headers=headers)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    to = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8000"
    sys.exit(0 if is_ready(to, os.environ.get("BASE_URL", f"http://{to}")) else 1)
