"""Asks a web process whether it can serve: `python -m productops.run_ready [HOST:PORT]`, exit 0 for yes.

bin/run and the container's health check use it. It speaks to this machine but asks in the name of BASE_URL,
which is the only name the application answers to.
"""

from __future__ import annotations

import http.client
import os
import sys
from urllib.parse import urlsplit


def obstacle(address: str, base_url: str, path: str = "/ready", seconds: float = 5.0) -> str:
    """What `path` at `address` (host:port) says to a request for `base_url`; empty when it says 200."""
    base = urlsplit(base_url)
    connection = http.client.HTTPConnection(address, timeout=seconds)
    headers = {"Host": base.netloc, "X-Forwarded-Proto": base.scheme, "User-Agent": "productops-ready"}
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        said = answer.read(200).decode(errors="replace").splitlines()
        return "" if answer.status == 200 else " ".join([str(answer.status), *said[:1]])
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()


if __name__ == "__main__":
    to = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8000"
    sys.exit(obstacle(to, os.environ.get("BASE_URL", f"http://{to}")) or 0)
