"""The web process: `python -m productops.serving --port 8000`. Told to end (SIGTERM), it loses no request."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from contextlib import suppress

from uvicorn import Config, Server
from uvicorn.supervisors import Multiprocess

APPLICATION = "productops.asgi:application"
#: Seconds for which an idle connection is kept. Balancers keep theirs for about a minute, and who closes first must be
#: they: a request that crosses the closing is lost to the client.
KEPT = 75
#: Seconds after which a worker that does not answer its parent is dead. One that is only busy is slow.
DEAF = 30
#: Seconds for requests under way when the process is told to end, and for those whose connection was just made.
GRACE, BEGIN = 10, 0.3


class Listener(Server):
    """Before it closes its socket, it takes what waits there: the kernel would reset those connections."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        loop, waiting = asyncio.get_running_loop(), []
        for server in self.servers:
            for listening in server.sockets:
                waiting += _last_of(listening.fileno())
        for connection in waiting:
            with suppress(OSError):
                await loop.connect_accepted_socket(self._protocol, connection)
        if self.servers:
            await asyncio.sleep(BEGIN)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        kind = self.config.http_protocol_class
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)  # type: ignore[call-arg]


def _last_of(number: int) -> list[socket.socket]:
    """Connections that wait at a listening socket, which takes no more from then on."""
    found = []
    with socket.socket(fileno=os.dup(number)) as listening:
        listening.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                found.append(listening.accept()[0])
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)  # closing alone would wait for the event loop
    for connection in found:
        connection.setblocking(False)
    return found


def words(
    port: int, host: str = "127.0.0.1", workers: int = 1, application: str = APPLICATION
) -> list[str]:
    """The arguments of Python."""
    said = f"-m productops.serving --host {host} --port {port} --workers {workers} --application {application}"
    return said.split()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m productops.serving")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--application", default=APPLICATION, help=argparse.SUPPRESS)
    given = parser.parse_args()
    config = Config(
        given.application, host=given.host, port=given.port, workers=given.workers, access_log=False,
        server_header=False, timeout_keep_alive=KEPT, timeout_graceful_shutdown=GRACE, timeout_worker_healthcheck=DEAF,
    )  # fmt: skip
    if given.workers == 1:
        server = Listener(config)
        with suppress(KeyboardInterrupt):
            server.run()
        if not server.started:
            sys.exit(3)
    else:
        # SIGHUP replaces the workers one by one; the socket stays with this process.
        Multiprocess(config, sockets=[config.bind_socket()]).run()


if __name__ == "__main__":
    main()
