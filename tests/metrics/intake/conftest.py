"""A tiny server that keeps what clients send, and the captured requests."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from metrics.intake.decode import decode

CAPTURES = Path(__file__).parent / "captures"
#: A moment shortly after the captures were taken: 2026-11-22T04:51:40Z.
NOW = 1795323100.0


@dataclass
class Request:
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> bytes:
        return decode(self.raw, self.headers.get("content-encoding", ""))


def captured(folder: str, number: str) -> Request:
    head, *lines = (CAPTURES / folder / f"{number}.request.txt").read_text().splitlines()
    url = urlsplit(head.split(" ")[1])
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    headers = {name.lower(): value for name, value in headers.items()}
    raw = (CAPTURES / folder / f"{number}.body.bin").read_bytes()
    return Request(url.path, dict(parse_qsl(url.query)), headers, raw)


@pytest.fixture
def sink():
    """(base address, list of the requests that arrived); answers what the clients like to hear."""
    seen: list[Request] = []

    class Keep(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            url = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen.append(Request(url.path, dict(parse_qsl(url.query)), headers, raw))
            self.answer(b'{"status":1,"results":{}}')

        def do_GET(self):
            self.answer(b"{}")

        def answer(self, body):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keep)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()
    server.server_close()
