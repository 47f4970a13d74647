"""How the web process is started; Dockerfile says the same."""

from __future__ import annotations

#: Balancers keep a connection for about a minute. Who closes an idle one first must be them: a request that crosses
#: the closing is lost to the client. A worker too busy to answer a check is slow, not dead.
KEEP = "--timeout-keep-alive 75 --timeout-worker-healthcheck 30"
APPLICATION = "productops.asgi:application"


def words(port: int, host: str = "127.0.0.1", workers: int = 1, application: str = APPLICATION) -> list[str]:
    """The arguments of Python."""
    quiet = "--no-access-log --no-server-header --timeout-graceful-shutdown 10"
    said = f"-m uvicorn {application} --host {host} --port {port} --workers {workers} {quiet} {KEEP}"
    return said.split()
