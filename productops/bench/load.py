"""Sends requests as fast as the server takes them: by wrk where it is installed, else by processes of our own."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urlsplit

from productops.bench.bodies import SEQ

THREADS = 2

_LUA = """
local threads = {}
function setup(thread) table.insert(threads, thread); thread:set("id", #threads) end
local function number(data, at)
  local a, b, c, d = data:byte(at, at + 3)
  return a + b * 256 + c * 65536 + d * 16777216
end
function init()
  ok, bad, sent, wraps, at, pool = 0, 0, 0, 0, 0, {}
  local file = io.open("FOLDER/" .. id, "rb"); local data = file:read("*a"); file:close()
  local place = 1
  while place <= #data do
    local parts, pieces = number(data, place), {}; place = place + 4
    for part = 1, parts do
      local size = number(data, place); place = place + 4
      pieces[2 * part - 1] = data:sub(place, place + size - 1); place = place + size
      if part < parts then pieces[2 * part] = "" end
    end
    pool[#pool + 1] = pieces
  end
end
function request()
  at, sent = at + 1, sent + 1
  if at > #pool then at, wraps = 1, wraps + 1 end
  local pieces = pool[at]
  if #pieces == 1 then return pieces[1] end
  local seq = string.format("SALT%02x-%04x-%04x", id, math.floor(sent / 65536), sent % 65536)
  for place = 2, #pieces, 2 do pieces[place] = seq end
  return table.concat(pieces)
end
function response(status) if status >= 200 and status < 300 then ok = ok + 1 else bad = bad + 1 end end
function done(summary, latency)
  local taken, refused, again = 0, 0, 0
  for _, thread in ipairs(threads) do
    taken = taken + thread:get("ok"); refused = refused + thread:get("bad"); again = again + thread:get("wraps")
  end
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %.1f %.1f\\n", summary.duration, taken,
    refused + e.connect + e.read + e.write + e.timeout, again, latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Result:
    """`rate`: 2xx answers per second; p50, p99 in ms at that rate; `repeated`: bodies had to be sent again."""

    rate: float
    failed: int
    p50: float
    p99: float
    is_repeated: bool = False


def request(path: str, body: bytes, host: str, **headers: str) -> list[bytes]:
    """An HTTP/1.1 request in pieces, between which the running number goes."""
    size = len(body) + body.count(SEQ) * (18 - len(SEQ))
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {size}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines).encode() + b"\r\n\r\n" + body).split(SEQ)


def run(url: str, requests: Sequence[list[bytes]], seconds: float, connections: int) -> Result:
    if shutil.which("wrk"):
        return _wrk(url, requests, seconds, connections)
    return _own(url, requests, seconds, connections)


class Stream:
    """Sends without an end; `pause` and `resume` take effect at once, so that a rate can be held."""

    def __init__(self, url: str, requests: Sequence[list[bytes]], connections: int) -> None:
        if not shutil.which("wrk"):
            raise RuntimeError("A steady stream needs wrk: apt-get install wrk")
        self._folder = tempfile.TemporaryDirectory(prefix="productops-load-")
        argv = _argv(self._folder.name, url, requests, 86_400, connections)
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)  # noqa: S603
        self._is_paused = False

    def pause(self, is_wanted: bool = True) -> None:
        if is_wanted != self._is_paused:
            self._process.send_signal(signal.SIGSTOP if is_wanted else signal.SIGCONT)
            self._is_paused = is_wanted

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_why: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


class Paced:
    """Sends `rate` requests a second, evenly, from a process of its own."""

    def __init__(self, url: str, requests: Sequence[list[bytes]], rate: float, connections: int) -> None:
        parts = urlsplit(url)
        args = (parts.hostname, parts.port, list(requests), rate, connections, _salt())
        self._process = get_context("spawn").Process(target=_paced, args=args, daemon=True)
        self._process.start()

    def __enter__(self) -> Paced:
        return self

    def __exit__(self, *_why: object) -> None:
        self._process.kill()
        self._process.join()


def _argv(folder: str, url: str, requests: Sequence[list[bytes]], seconds: float, connections: int) -> list[str]:
    for thread in range(THREADS):
        mine = requests[thread::THREADS] or requests
        Path(folder, str(thread + 1)).write_bytes(b"".join(map(_packed, mine)))
    script = Path(folder, "load.lua")
    script.write_text(_LUA.replace("FOLDER", folder).replace("SALT", _salt()))
    argv = ["wrk", "-t", str(THREADS), "-c", str(connections), "-d", f"{seconds:.0f}s", "--timeout", "20s"]
    return [*argv, "-s", str(script), url]


def _wrk(url: str, requests: Sequence[list[bytes]], seconds: float, connections: int) -> Result:
    with tempfile.TemporaryDirectory(prefix="productops-load-") as folder:
        argv = _argv(folder, url, requests, seconds, connections)
        said = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60, check=False)  # noqa: S603
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+)", said.stdout)
    if not found:
        raise RuntimeError(f"wrk failed: {said.stdout[-500:]}{said.stderr[-500:]}")
    took = int(found[1]) / 1e6
    is_repeated = found[4] != "0" and len(requests[0]) == 1
    return Result(int(found[2]) / took, int(found[3]), float(found[5]) / 1e3, float(found[6]) / 1e3, is_repeated)


def _packed(pieces: list[bytes]) -> bytes:
    return struct.pack("<I", len(pieces)) + b"".join(struct.pack("<I", len(piece)) + piece for piece in pieces)


def _salt() -> str:
    return f"{random.getrandbits(24):06x}"


def _own(url: str, requests: Sequence[list[bytes]], seconds: float, connections: int) -> Result:
    """The same without wrk: slower at its limit, so the figure is a lower bound."""
    parts = urlsplit(url)
    with get_context("spawn").Pool(THREADS) as pool:
        each = max(1, connections // THREADS)
        jobs = [
            (parts.hostname, parts.port, requests[n::THREADS] or requests, seconds, each, f"{_salt()}{n:02x}")
            for n in range(THREADS)
        ]
        found = pool.starmap(_client, jobs)
    times = sorted(t for lasted, _failed in found for t in lasted)
    place = {q: times[min(len(times) - 1, int(len(times) * q))] * 1e3 if times else 0.0 for q in (0.5, 0.99)}
    repeated = len(times) > len(requests) and len(requests[0]) == 1
    return Result(len(times) / seconds, sum(f for _l, f in found), place[0.5], place[0.99], repeated)


def _client(
    host: str, port: int, requests: list[list[bytes]], seconds: float, connections: int, salt: str
) -> tuple[list[float], int]:
    return asyncio.run(_clients(host, port, requests, seconds, connections, salt))


async def _clients(
    host: str, port: int, requests: list[list[bytes]], seconds: float, connections: int, salt: str
) -> tuple[list[float], int]:
    lasted: list[float] = []
    failed = 0
    until = time.perf_counter() + seconds
    source = enumerate(cycle(requests))

    async def one() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(host, port)
        while time.perf_counter() < until:
            sent, pieces = next(source)
            began = time.perf_counter()
            writer.write(f"{salt}-{sent >> 16:04x}-{sent & 0xFFFF:04x}".encode().join(pieces))
            head = await _answer(reader)
            if head[9:10] == b"2":
                lasted.append(time.perf_counter() - began)
            else:
                failed += 1
        writer.close()

    await asyncio.gather(*(one() for _number in range(connections)))
    return lasted, failed


def _paced(host: str, port: int, requests: list[list[bytes]], rate: float, connections: int, salt: str) -> None:
    asyncio.run(_at_pace(host, port, requests, rate, connections, f"{salt}ff"))


async def _at_pace(
    host: str, port: int, requests: list[list[bytes]], rate: float, connections: int, salt: str
) -> None:
    source, began = enumerate(cycle(requests)), time.perf_counter()

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        for sent, pieces in source:
            await asyncio.sleep(max(0.0, began + sent / rate - time.perf_counter()))
            writer.write(f"{salt}-{sent >> 16:04x}-{sent & 0xFFFF:04x}".encode().join(pieces))
            await _answer(reader)

    await asyncio.gather(*(one() for _number in range(connections)))


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """The head; the body is read too."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = re.search(rb"(?i)content-length: *(\d+)", head)
    await reader.readexactly(int(size[1]) if size else 0)
    return head
