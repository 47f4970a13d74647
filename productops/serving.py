"""The web process: `python -m productops.serving --port 8000`. Told to end (SIGTERM), it loses no request."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from types import FrameType

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import multiprocess

from productops.listening import last_of, let_nobody_in

APPLICATION = "productops.asgi:application"
#: Seconds for which an idle connection is kept. Balancers keep theirs for about a minute, and who closes first must be
#: they: a request that crosses the closing is lost to the client.
KEPT = 75
#: Seconds for the head of a request from its first byte on, and its bytes.
PATIENCE, HEAD = 15, 64 * 1024
#: Seconds after which a worker that does not answer its parent is dead. One that is only busy is slow.
DEAF = 30
#: Seconds for requests under way when the process is told to end; at most for the first request of a connection that
#: was just made; for handshakes under way.
GRACE, BEGIN, SETTLE = 10, 5, 0.01
#: Seconds by which the other workers are told to end before the last: they look every 0.1.
LEAD = 0.3


class Patient(HttpToolsProtocol):
    """Hangs up on who takes too long, or too much, for the head of a request: such connections cost nothing to hold
    open, and a process may have only so many."""

    _heard = 0  # bytes of a head that is not complete
    _is_in_head = True
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._waiting = self.loop.call_later(KEPT, self._hang_up)

    def on_message_begin(self) -> None:
        self._is_in_head, self._heard = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        is_first = self._heard == 0
        super().data_received(data)
        if self._is_in_head:
            self._heard += len(data)
            if self._heard > HEAD:
                self._hang_up(b"431 Request Header Fields Too Large")
            elif is_first:
                self._stop_waiting()
                self._waiting = self.loop.call_later(PATIENCE, self._hang_up)
        elif self._waiting:
            self._heard = 0
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        if self._waiting:
            self._waiting.cancel()
            self._waiting = None

    def _hang_up(self, why: bytes = b"408 Request Timeout") -> None:
        if not self.transport.is_closing():
            if self._heard and (self.cycle is None or self.cycle.response_complete):
                self.transport.write(b"HTTP/1.1 " + why + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()


class Listener(Server):
    """Before it closes its socket, it takes what waits there: the kernel would reset those connections. One of a family
    leaves that to the last, who is told by SIGINT: the socket is of all."""

    _is_last = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._is_last = sig == signal.SIGINT or self.config.workers == 1
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        for listening in [one for server in self.servers for one in server.sockets] if self._is_last else ():
            let_nobody_in(listening.fileno())
            await asyncio.sleep(SETTLE)
            for connection in last_of(listening.fileno()):
                with suppress(OSError):
                    await loop.connect_accepted_socket(self._protocol, connection)
        for server in self.servers:
            server.close()
        over = loop.time() + BEGIN
        await asyncio.sleep(SETTLE)  # connections that were just taken become known
        while loop.time() < over and any(_is_new(one) for one in self.server_state.connections):
            await asyncio.sleep(SETTLE)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        kind = self.config.http_protocol_class
        return kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)  # type: ignore[call-arg]


def _is_new(connection: asyncio.Protocol) -> bool:
    """Nothing was asked on it yet: uvicorn would close it without a word, and the client just sent its request."""
    return isinstance(connection, Patient) and connection.cycle is None


class Worker(multiprocess.Process):
    @property
    def server(self) -> Server:
        if self._server is None:
            self._server = Listener(self.config)
        return self._server


class Family(multiprocess.Multiprocess):
    """SIGHUP replaces the workers one by one; the socket stays with this process."""

    def terminate_all(self) -> None:
        *others, last = self.processes
        for process in others:
            process.terminate()
        if last.pid is not None and last.exitcode is None:
            time.sleep(LEAD if others else 0)
            os.kill(last.pid, signal.SIGINT)


# Nothing else lets its workers be servers of our own.
multiprocess.Process = Worker  # type: ignore[misc]


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
        server_header=False, http=Patient, timeout_keep_alive=KEPT, timeout_graceful_shutdown=GRACE,
        timeout_worker_healthcheck=DEAF,
    )  # fmt: skip
    if given.workers == 1:
        server = Listener(config)
        with suppress(KeyboardInterrupt):
            server.run()
        if not server.started:
            sys.exit(3)
    else:
        Family(config, sockets=[config.bind_socket()]).run()


if __name__ == "__main__":
    main()
