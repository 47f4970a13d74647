import gzip
import random
import subprocess
import sys
import time
import zlib

import brotli
import pytest
import zstandard

from metrics.intake.decode import COMPRESSED_LIMIT, decode
from metrics.intake.event import Refused

LIMIT = 2**20


def raw_deflate(data):
    maker = zlib.compressobj(6, zlib.DEFLATED, -15)
    return maker.compress(data) + maker.flush()


ENCODERS = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("br", lambda data: brotli.compress(data, quality=4)),
    ("zstd", zstandard.compress),
]
BODIES = [b"", b"x", b'{"a":1}' * 1000, random.Random(1).randbytes(200_000) + bytes(300_000)]


@pytest.mark.parametrize(("name", "encode"), ENCODERS)
@pytest.mark.parametrize("body", BODIES, ids=len)
def test_every_encoding_is_undone(name, encode, body):
    assert decode(encode(body), name, LIMIT) == body
    assert decode(encode(encode(body)), f"{name}, {name.upper()}", LIMIT) == body


@pytest.mark.parametrize("header", ["", "identity", " Identity ,", "identity, identity, identity"])
def test_identity_is_the_body_itself(header):
    assert decode(b"abc", header, LIMIT) == b"abc"


def test_encodings_are_undone_in_reverse_order():
    assert decode(brotli.compress(gzip.compress(b"abc")), "gzip, br", LIMIT) == b"abc"


@pytest.mark.parametrize("header", ["lzma", "gzip;q=1", "gzip, compress", "gzip, gzip, gzip", "*", "gz\0ip"])
def test_unknown_or_too_many_encodings_are_415(header):
    with pytest.raises(Refused) as refused:
        decode(b"abc", header, LIMIT)
    assert (refused.value.status, refused.value.reason) == (415, "bad_encoding")


def test_several_gzip_members_and_zstd_frames_are_one_body():
    assert decode(gzip.compress(b"ab") + gzip.compress(b"cd"), "gzip", LIMIT) == b"abcd"
    assert decode(zstandard.compress(b"ab") + zstandard.compress(b"cd"), "zstd", LIMIT) == b"abcd"


@pytest.mark.parametrize(("name", "encode"), ENCODERS)
@pytest.mark.parametrize("body", BODIES[1:], ids=len)
def test_broken_bodies_are_400(name, encode, body):
    good = encode(body)
    wrong = [good[:-1], good[: len(good) // 2], good + b"x", good + b"xy" * 80_000]
    wrong += [random.Random(3).randbytes(3000), b"\0" * 50, b"{}" * 50]
    for bad in wrong:
        with pytest.raises(Refused) as refused:
            decode(bad, name, LIMIT)
        assert refused.value.status in (400, 413)
        assert refused.value.reason in ("bad_encoding", "too_large")


def test_random_brotli_ends():
    seeded = random.Random(7)
    for _ in range(300):
        with pytest.raises(Refused):
            decode(b"\x5b" + seeded.randbytes(seeded.randint(1, 3000)), "br", LIMIT)


def test_bodies_over_the_limit_are_413():
    for header, body in (("", b"x" * 101), ("gzip", gzip.compress(b"x" * 101))):
        with pytest.raises(Refused) as refused:
            decode(body, header, 100)
        assert (refused.value.status, refused.value.reason) == (413, "too_large")
    assert len(decode(gzip.compress(b"x" * 100), "gzip", 100)) == 100
    with pytest.raises(Refused):
        decode(bytes(COMPRESSED_LIMIT + 1), "gzip")


def test_a_million_empty_gzip_members_are_refused_quickly():
    body = gzip.compress(b"") * 900_000
    started = time.perf_counter()
    with pytest.raises(Refused):
        decode(body[:COMPRESSED_LIMIT], "gzip")
    assert time.perf_counter() - started < 1


BOMB = """
import resource, sys, time, zlib
import brotli, zstandard
sys.path.insert(0, ".")
from metrics.intake.decode import decode
from metrics.intake.event import Refused

def joined(maker, end):
    feed = maker.process if hasattr(maker, "process") else maker.compress
    return b"".join([feed(bytes(2**24)) for _ in range(64)] + [end(maker)])

which = sys.argv[1]
if which[:2] == "br":
    body = joined(brotli.Compressor(quality=1, lgwin=int(which[2:])), lambda maker: maker.finish())
    which = "br"
elif which == "zstd":
    body = joined(zstandard.ZstdCompressor().compressobj(), lambda maker: maker.flush())
else:
    bits = {"gzip": 31, "deflate": 15, "gzip, gzip": 31}[which]
    body = joined(zlib.compressobj(1, zlib.DEFLATED, bits), lambda maker: maker.flush())
if which == "gzip, gzip":
    body = zlib.compressobj(9, zlib.DEFLATED, 31)
    outer = zlib.compressobj(9, zlib.DEFLATED, 31)
    inner = zlib.compressobj(1, zlib.DEFLATED, 31)
    body = outer.compress(joined(inner, lambda maker: maker.flush())) + outer.flush()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
# The peak so far came from making the bomb: only what decoding adds on top of the present counts.
import os
page = os.sysconf("SC_PAGE_SIZE")
resident = int(open("/proc/self/statm").read().split()[1]) * page
open("/proc/self/clear_refs", "w").write("5")
started = time.process_time()
try:
    decode(body, which, 2**20)
    print("taken")
except Refused as refused:
    took = time.process_time() - started
    peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
    extra = int(peak.split()[1]) * 1024 - resident
    print(refused.status, round(took * 1000), extra)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_bombs_of_one_gibibyte_cost_little():
    names = ("gzip", "deflate", "br22", "br24", "zstd", "gzip, gzip")
    running = [
        subprocess.Popen([sys.executable, "-c", BOMB, name], stdout=subprocess.PIPE, text=True)
        for name in names
    ]
    for name, process in zip(names, running, strict=True):
        said, _ = process.communicate(timeout=60)
        status, milliseconds, extra = map(int, said.split())
        assert status == 413, name
        assert milliseconds <= 200, (name, milliseconds)
        # The largest window brotli may ask for is 16 MiB by itself; clients use 4.
        assert extra <= (18 if name == "br24" else 16) * 2**20, (name, extra)
