"""A network between a host and PostgreSQL that can be cut: bytes stop, and nobody is told."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit


class Network:
    """Listens on an address of its own and carries everything to the server of `url`."""

    def __init__(self, url: str, address: str) -> None:
        self.url, self._parts = url, urlsplit(url)
        self._is_cut = threading.Event()
        self._links: list[socket.socket] = []
        self._listener = socket.create_server((address, 0))
        self.address, self.port = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def address_of(self, database: str, options: str) -> str:
        """DATABASE_URL for a host behind this network."""
        return f"postgres://postgres@{self.address}:{self.port}/{database}?options={options}"

    def cut(self) -> None:
        """What is under way is lost, and no side hears of it."""
        self._is_cut.set()

    def mend(self) -> None:
        """The connections of before are found dead."""
        for link in self._links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        self._links.clear()
        self._is_cut.clear()

    def close(self) -> None:
        self._listener.close()
        self.mend()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _address = self._listener.accept()
                far = self._connect()
                self._links += (near, far)
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _connect(self) -> socket.socket:
        folder = parse_qs(self._parts.query).get("host", [""])[0]
        if not folder:
            return socket.create_connection((self._parts.hostname or "127.0.0.1", self._parts.port or 5432))
        far = socket.socket(socket.AF_UNIX)
        far.connect(f"{folder}/.s.PGSQL.{parse_qs(self._parts.query).get('port', ['5432'])[0]}")
        return far

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while (data := source.recv(65_536)) and not self._is_cut.is_set():
                target.sendall(data)
        if not self._is_cut.is_set():
            for end in (source, target):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
