"""Nonsense at the door of a real server: each refusal has its status and words, is counted once, and stores nothing."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import brotli
import httpx
import pytest
import zstandard
from django.db.models import Sum

from metrics.models import Inbox, Outcome, Refusal
from tests import make
from tests.security.conftest import Hub

pytestmark = [pytest.mark.live, pytest.mark.django_db]

WRONG = "f" * 32


def own(key: str, body: Any, **headers: str) -> tuple[str, dict[str, str], bytes]:
    return (
        "/api/v1/events",
        {"Authorization": f"Bearer {key}".strip(), "Content-Type": "application/json", **headers},
        raw(body),
    )


def sentry(key: str, body: Any, product: int = 0, **headers: str) -> tuple[str, dict[str, str], bytes]:
    return f"/api/{product}/store/?sentry_key={key}", {"Content-Type": "application/json", **headers}, raw(body)


def posthog(key: str, body: Any, **headers: str) -> tuple[str, dict[str, str], bytes]:
    return "/batch/", {"Content-Type": "application/json", **headers}, raw(body)


def raw(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def post(hub: Hub, request: tuple[str, dict[str, str], bytes]) -> httpx.Response:
    path, headers, body = request
    with hub.client() as client:
        return client.post(path, headers=headers, content=body)


def counted() -> dict[tuple[Any, ...], int]:
    fields = ("product_id", "protocol", "category", "outcome", "reason")
    return {tuple(row[:-1]): row[-1] for row in Outcome.objects.values_list(*fields).annotate(n=Sum("n"))}


def news(run: Callable[[], Any]) -> tuple[Any, dict[tuple[Any, ...], int], int]:
    """(what `run` gave, the outcomes it added, the inbox rows it added)."""
    before, inbox = counted(), Inbox.objects.count()
    found = run()
    added = {key: n - before.get(key, 0) for key, n in counted().items() if n != before.get(key, 0)}
    return found, added, Inbox.objects.count() - inbox


@pytest.fixture(autouse=True)
def _each_refusal_is_kept() -> None:
    """Of each kind one a second is kept in full."""
    time.sleep(1.0)


# Wrong keys.


@pytest.mark.parametrize("key", [WRONG, "", "x", "po_pat_nonsense", "a" * 3000])
def test_own_protocol_wrong_key(hub, key):
    response, added, stored = news(lambda: post(hub, own(key, [{"name": "a"}])))
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"].startswith("Bearer")
    told = response.json()
    assert told["status"] == 401
    reason = "unknown_key" if key else "no_key"
    assert told["reason"] == reason
    assert added == {(0, "productops", "request", "invalid", reason): 1}
    assert stored == 0


def test_sentry_wrong_key(hub):
    event = {"message": "x"}
    response, added, stored = news(lambda: post(hub, sentry(WRONG, event, hub.product.pk)))
    assert response.status_code == 403
    assert response.headers["x-sentry-error"] == "unknown_key"
    assert set(response.json()) == {"detail", "causes"}
    assert added == {(hub.product.pk, "sentry", "request", "invalid", "unknown_key"): 1}
    assert stored == 0
    kept = Refusal.objects.filter(product_id=hub.product.pk, reason="unknown_key").latest("at")
    assert (kept.protocol, kept.status) == ("sentry", 403)
    assert WRONG not in kept.detail


def test_posthog_wrong_key(hub):
    body = {"api_key": WRONG, "batch": [{"event": "a", "distinct_id": "u"}]}
    response, added, stored = news(lambda: post(hub, posthog(WRONG, body)))
    assert response.status_code == 401
    assert set(response.json()) == {"type", "code", "detail", "attr"}
    assert response.json()["code"] == "invalid_api_key"
    assert added == {(0, "posthog", "request", "invalid", "unknown_key"): 1}
    assert stored == 0


def test_unknown_product_and_wrong_key_are_told_alike(hub):
    event = {"message": "x"}
    answers = [
        post(hub, sentry(key, event, product))
        for key, product in (
            (WRONG, hub.product.pk),
            (WRONG, 999_999),
            (hub.key, 999_999),
            (hub.key, hub.other.pk),
            (hub.other_key, hub.product.pk),
        )
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.content for answer in answers}) == 1


def test_a_flood_of_made_up_products_leaves_no_rows_of_their_own(hub):
    """Who has no key cannot make the ledger grow."""
    _found, added, _stored = news(lambda: [post(hub, sentry(WRONG, {"message": "x"}, 5_000_000 + k)) for k in range(5)])
    assert added == {(0, "sentry", "request", "invalid", "unknown_key"): 5}
    assert not Refusal.objects.filter(product_id__gte=5_000_000).exists()


def test_revoked_key_dies(hub, committed):
    from metrics.models import IngestKey

    key = committed(lambda: IngestKey.objects.create(product=hub.product).key)
    assert post(hub, own(key, [{"name": "a"}])).status_code == 200
    committed(lambda: IngestKey.objects.get(key=key).rotate())
    until = time.monotonic() + 5
    while post(hub, own(key, [{"name": "a"}])).status_code == 200 and time.monotonic() < until:
        time.sleep(0.3)
    assert post(hub, own(key, [{"name": "a"}])).status_code == 401


def test_an_ingest_key_reads_nothing(hub):
    with hub.client() as client:
        for path in ("incidents", "outcomes", "rollups"):
            assert client.get(f"/api/v1/{path}", headers={"Authorization": f"Bearer {hub.key}"}).status_code == 401


@pytest.mark.parametrize("product", ["9" * 5000, "\x00", "-1", "²", "no-such", "1e9", "x" * 3000])
def test_odd_product_names(hub, product):
    """With a personal token the product stands in the query."""
    with hub.client() as client:
        for key in (hub.token, hub.key):
            response = client.post(
                "/api/v1/events",
                params={"product": product},
                headers={"Authorization": f"Bearer {key}"},
                json=[{"name": "a"}],
            )
            # An ingest key has its product already; words beside it are not asked.
            assert response.status_code in ({401} if key == hub.token else {200, 401}), response.text
            assert "content-security-policy" in response.headers


# Broken bodies.


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'[{"name": "a"},\n {"name": }]', "line 2, column 11"),
        (b'{"name": "a"', "line 1"),
        (b"", "line 1"),
        (b"\xff\xfe[\x00]\x00", "UTF-16"),
        (b'[{"name": "\xe9"}]', "column 12"),
        (b"[" * 100_000, "line 1"),
        (b'{"a":' * 5_000, "line 1"),
        (b'[{"name": NaN}]', "line 1"),
    ],
)
def test_broken_json_says_where(hub, body, place):
    response, added, stored = news(lambda: post(hub, own(hub.key, body)))
    assert response.status_code == 400
    assert response.json()["reason"] == "bad_json"
    assert place in response.json()["detail"]
    assert added == {(hub.product.pk, "productops", "request", "invalid", "bad_json"): 1}
    assert stored == 0


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"name": 1},
        {"name": "a", "n": -1},
        {"name": "a", "n": 10**30},
        {"name": "a", "duration_ms": 1e300},
        {"name": "a", "ok": "yes"},
        {"name": "a", "kind": "nonsense"},
        {"name": "a", "at": "nonsense"},
        [],
        "text",
        None,
        {"name": "a", "country": "XXX"},
        {"name": "a", "props": []},
        {"name": " "},
        {"name": "a", "ok": True, "bad": 1},
    ],
)
def test_one_wrong_event_and_nothing_is_stored(hub, bad):
    body = [{"name": "good"}, bad, {"name": "good"}]
    response, added, stored = news(lambda: post(hub, own(hub.key, body)))
    assert response.status_code == 400
    assert response.json()["detail"].startswith("Event 1:")
    assert added == {(hub.product.pk, "productops", "request", "invalid", "invalid_event"): 1}
    assert stored == 0


def test_too_many_events(hub):
    response, _added, stored = news(lambda: post(hub, own(hub.key, [{"name": "a"}] * 10_001)))
    assert response.status_code == 413
    assert stored == 0


def test_what_cannot_be_stored_is_mended(hub):
    body = (
        b'[{"name": "a\\u0000b", "user": "half \\ud83d", "environment": "\\u0000", "props": {"k\\u0000": "\\udc00"}}]'
    )
    response, _added, stored = news(lambda: post(hub, own(hub.key, body)))
    assert (response.status_code, stored) == (200, 1)
    event = json.loads(bytes(Inbox.objects.latest("seq").body))["events"][0]
    text = json.dumps(event, ensure_ascii=False)
    text.encode()  # no surrogate is left
    assert "\x00" not in text
    assert "\\u0000" not in text
    assert event[2] == "ab"
    assert event[6] == "half �"


@pytest.mark.parametrize("days", [-4000, -400, 2, 4000])
def test_times_far_away_are_clamped_and_flagged(hub, days):
    at = datetime.now(UTC) + timedelta(days=days)
    response, _added, stored = news(lambda: post(hub, own(hub.key, [{"name": "a", "at": at.isoformat()}])))
    assert (response.status_code, stored) == (200, 1)
    event = json.loads(bytes(Inbox.objects.latest("seq").body))["events"][0]
    assert abs(event[3] - time.time()) < 60
    from metrics.intake.event import CLAMPED, Event

    assert Event._make(event).flags & CLAMPED


def test_event_id_of_another_tenant_is_ones_own(hub):
    """The same id at two tenants is two facts, and neither sees the other's."""
    id_ = uuid4().hex
    for key in (hub.key, hub.other_key):
        response, _added, stored = news(lambda key=key: post(hub, own(key, [{"name": "a", "id": id_}])))
        assert (response.status_code, stored) == (200, 1)
    first, second = Inbox.objects.order_by("-seq")[:2]
    assert first.product_id != second.product_id


def test_the_same_event_of_two_tenants_counts_for_both(world, elsewhere):
    id_ = uuid4().hex
    assert make.counted(world.product, [make.event("a", id=id_)]) == 1
    assert make.counted(elsewhere.product, [make.event("a", id=id_)]) == 1
    assert make.counted(world.product, [make.event("a", id=id_)]) == 0


def test_idempotency_key_of_another_tenant_is_ones_own(hub):
    given = {"Idempotency-Key": "same"}
    for key, expected in ((hub.key, 1), (hub.key, 0), (hub.other_key, 1)):
        response, _added, stored = news(lambda key=key: post(hub, own(key, [{"name": "a"}], **given)))
        assert (response.status_code, stored) == (200, expected)


@pytest.mark.parametrize("id_", ["../../etc/passwd", "x" * 10_000, "", "\x00", "'; DROP TABLE metrics_inbox"])
def test_odd_event_ids(hub, id_):
    response, _added, stored = news(lambda: post(hub, own(hub.key, [{"name": "a", "id": id_}])))
    assert (response.status_code, stored) == (200, 1)
    event = json.loads(bytes(Inbox.objects.latest("seq").body))["events"][0]
    assert len(event[0]) == 32
    int(event[0], 16)


# Encodings.


def zeros(mib: int) -> bytes:
    return b"\0" * (mib * 2**20)


BOMBS = {
    "gzip": lambda: gzip.compress(zeros(60), 1),
    "deflate": lambda: zlib.compress(zeros(60), 1),
    "br": lambda: brotli.compress(zeros(60), quality=1),
    "zstd": lambda: zstandard.compress(zeros(60)),
    "gzip, gzip": lambda: gzip.compress(gzip.compress(zeros(200), 1), 9),
}


@pytest.mark.parametrize("encoding", BOMBS)
def test_bombs_are_cheap_to_refuse(hub, encoding):
    body = BOMBS[encoding]()
    slowest, done = [0.0], threading.Event()

    def watch() -> None:
        with hub.client() as client:
            while not done.is_set():
                began = time.monotonic()
                assert client.get("/ready").status_code == 200
                slowest[0] = max(slowest[0], time.monotonic() - began)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        began = time.monotonic()
        request = own(hub.key, body, **{"Content-Encoding": encoding})
        response, added, stored = news(lambda: post(hub, request))
        took = time.monotonic() - began
    finally:
        done.set()
        watcher.join(15)
    assert response.status_code == 413
    assert added == {(0, "productops", "request", "too_large", "too_large"): 1} or added == {
        (hub.product.pk, "productops", "request", "too_large", "too_large"): 1
    }
    assert stored == 0
    assert took < 3
    assert slowest[0] < 2


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("snappy", b"x", 415),
        ("gzip, gzip, gzip", b"x", 415),
        ("gzip", b"not gzip", 400),
        ("gzip", gzip.compress(b"[]" * 1000, mtime=0)[:-9], 400),
        ("br", bytes(range(200)), 400),
        ("zstd", b"\x28\xb5\x2f\xfdxxxxxxx", 400),
        ("deflate", b"\xff" * 100, 400),
        ("gzip", gzip.compress(b'[{"name": "a"}]', mtime=0) + b"trailing", 400),
        ("gzip", gzip.compress(b'[{"name": "a"}]', mtime=0), 200),
        ("identity", b'[{"name": "a"}]', 200),
    ],
)
def test_encodings(hub, encoding, body, status):
    response, _added, stored = news(lambda: post(hub, own(hub.key, body, **{"Content-Encoding": encoding})))
    assert response.status_code == status
    assert stored == (1 if status == 200 else 0)


# Bodies that do not behave.


def talk(hub: Hub, head: str, pieces: list[bytes], pause: float = 0.0, most: float = 8.0) -> tuple[bytes, float]:
    """What a raw connection answers, and after how long."""
    began = time.monotonic()
    with socket.create_connection(hub.place, timeout=most) as link:
        link.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        try:
            for piece in pieces:
                link.sendall(piece)
                if pause:
                    time.sleep(pause)
                    if time.monotonic() - began > most:
                        break
        except OSError:
            pass  # it hung up on us: that is an answer too
        answer = b""
        try:
            while time.monotonic() - began < most:
                piece = link.recv(65536)
                if not piece:
                    break
                answer += piece
                if b"\r\n\r\n" in answer and answer.count(b"{"):
                    break
        except OSError:
            pass
    return answer, time.monotonic() - began


def head(hub: Hub, *more: str) -> str:
    lines = ["POST /api/v1/events HTTP/1.1", f"Host: {hub.place[0]}:{hub.place[1]}", f"Authorization: Bearer {hub.key}"]
    return "\n".join([*lines, *more])


@pytest.mark.parametrize(
    ("first", "pieces", "told"),
    [
        ("GET /", [b"x"] * 12, b" 408 "),
        ("GET /live HTTP/1.1\nHost: {host}\n\nGET /live", [b" "] * 12, b" 408 "),
        ("GET /live HTTP/1.1\nHost: {host}\nX: ", [b"a" * 10_000] * 5, b" 431 "),
    ],
)
def test_a_head_without_end_is_hung_up_on(hub, first, pieces, told):
    """Also the second on a connection."""
    host = f"{hub.place[0]}:{hub.place[1]}"
    began, answer = time.monotonic(), b""
    with socket.create_connection(hub.place, timeout=8) as link:
        link.sendall(first.format(host=host).replace("\n", "\r\n").encode())
        with suppress(OSError):
            for piece in pieces:
                link.sendall(piece)
                time.sleep(0.25)
        with suppress(OSError):
            while piece := link.recv(65536):
                answer += piece
    assert told in answer.rsplit(b"HTTP/1.1", 1)[1].split(b"\r\n")[0]
    assert time.monotonic() - began < 7


def test_a_head_in_pieces_is_waited_for(hub):
    host = f"{hub.place[0]}:{hub.place[1]}"
    with socket.create_connection(hub.place, timeout=8) as link:
        for _request in range(3):
            for piece in (b"GET /live HTT", b"P/1.1\r\nHo", f"st: {host}\r\n".encode(), b"\r\n"):
                link.sendall(piece)
                time.sleep(0.2)
            assert link.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_slow_body_is_hung_up_on(hub):
    before = Inbox.objects.count()
    answer, took = talk(hub, head(hub, "Content-Length: 10000"), [b"[", *[b" "] * 12], pause=0.25)
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert b"too_slow" in answer
    assert took < 7
    assert Inbox.objects.count() == before


def test_a_body_without_end_is_hung_up_on(hub):
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    before = Inbox.objects.count()
    answer, took = talk(hub, head(hub, "Transfer-Encoding: chunked"), [piece] * 1200)
    assert not answer or b" 413 " in answer.split(b"\r\n")[0]
    assert took < 8
    assert Inbox.objects.count() == before
    assert httpx.get(f"{hub.url}/ready", timeout=5, trust_env=False).status_code == 200


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        (["Content-Length: 999999999999"], b"[]", b" 413 "),
        (["Content-Length: -5"], b"[]", b" 400 "),
        (["Content-Length: x"], b"[]", b" 400 "),
        (["Content-Length: 2", "Content-Length: 3"], b"[]", b" 400 "),
        (["Content-Length: 2", "Transfer-Encoding: chunked"], b"2\r\n[]\r\n0\r\n\r\n", b" 400 "),
        (["Transfer-Encoding: chunked"], b"nonsense\r\n", b" 400 "),
        ([" obs-fold: x"], b"", b" 400 "),
    ],
)
def test_false_lengths(hub, headers, body, expected):
    before = Inbox.objects.count()
    answer, took = talk(hub, head(hub, *headers), [body], most=5)
    assert expected in answer.split(b"\r\n")[0], answer
    assert took < 5
    assert Inbox.objects.count() == before


def test_a_body_cut_off_stores_nothing(hub):
    before = Inbox.objects.count()
    with socket.create_connection(hub.place, timeout=5) as link:
        link.sendall(head(hub, "Content-Length: 100").replace("\n", "\r\n").encode() + b'\r\n\r\n[{"name": "a"}]')
    time.sleep(0.3)
    assert Inbox.objects.count() == before
    assert post(hub, own(hub.key, [{"name": "a"}])).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "GET", "HEAD", "TRACE"])
def test_other_methods(hub, method):
    with hub.client() as client:
        for path in ("/api/v1/events", f"/api/{hub.product.pk}/envelope/"):
            response = client.request(method, path, headers={"Authorization": f"Bearer {hub.key}"})
            assert response.status_code == 405
            assert response.headers["allow"] == "OPTIONS, POST"
            assert response.headers["x-content-type-options"] == "nosniff"


def test_nothing_secret_was_written_to_the_log(hub):
    post(hub, own(hub.token, [{"name": "a"}]))
    text = hub.log.read_text(errors="replace")
    assert hub.key not in text
    assert hub.token not in text
    assert "Traceback" not in text, text[-3000:]


@pytest.mark.parametrize(
    "charset", ["hex", "zlib", "rot13", "idna", "undefined", "nonsense", "utf-16", "unicode_escape"]
)
def test_odd_charsets_of_pages(hub, charset):
    """Django reads the query in the charset of the body; some of them are no text encodings at all."""
    given = {"Content-Type": f"text/plain; charset={charset}"}
    with hub.client() as client:
        assert client.get("/sign-in/?next=%E9", headers=given).status_code == 200
        assert client.get("/?q=%E9", headers=given).status_code == 302
        if charset != "utf-16":  # in which the query is one long word
            assert client.get("/sign-in/?" + "a=1&" * 600, headers=given).status_code == 400
        form = {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}
        assert client.post("/sign-in/", content=b"login=x", headers=form).status_code in {400, 403}
        bearer = {"Authorization": f"Bearer {hub.token}", "Content-Type": f"application/json; charset={charset}"}
        answer = client.post("/api/v1/complaints", content=b'{"text": 1', headers=bearer)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/e/", "/v1/t", "/api/v1/events"])
def test_half_characters_in_a_large_body_stop_nobody(hub, path):
    """Mending them costs a callback each; a small gzip must not buy seconds of everybody's time."""
    body = gzip.compress(b'["\\ud800' + b"\\n" * 9_000_000 + b'"]', 9)
    said: list[float] = []

    def ask() -> None:
        with hub.client() as client:
            for _time in range(20):
                began = time.monotonic()
                assert client.get("/live").status_code == 200
                said.append(time.monotonic() - began)
                time.sleep(0.1)

    asking = threading.Thread(target=ask)
    asking.start()
    answer = post(hub, (path, {"Content-Encoding": "gzip", "Authorization": f"Bearer {hub.key}"}, body))
    asking.join()
    assert answer.status_code in {400, 401}
    assert max(said) < 2, max(said)


def test_what_is_packed_inside_stops_nobody(hub):
    rows = [{"event": "a", "properties": {"x": "token=a;" * 500}}] * 2_000
    body = gzip.compress(json.dumps({"api_key": hub.key, "batch": rows}).encode(), 9)
    said: list[float] = []

    def send() -> None:
        answer = httpx.post(f"{hub.url}/e/", content=body, headers={"Content-Type": "text/plain"}, timeout=60)
        said.append(answer.status_code)

    sending = threading.Thread(target=send)
    sending.start()
    slowest = 0.0
    with hub.client() as client:
        while sending.is_alive():
            began = time.monotonic()
            assert client.get("/live").status_code == 200
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.05)
    assert said == [200]
    assert slowest < 2, slowest


def test_too_many_parameters(hub):
    query = "&".join(["a=1"] * 51)
    answer = post(hub, (f"/api/v1/events?{query}", {"Authorization": f"Bearer {hub.key}"}, b"[]"))
    assert (answer.status_code, answer.json()["reason"]) == (400, "bad_query")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("encoding", ["deflate, gzip", "deflate"])
def test_nothing_in_many_wrappings(hub, encoding):
    body = gzip.compress(b"") if "gzip" in encoding else b""
    answer = post(hub, own(hub.key, body, **{"Content-Encoding": encoding}))
    assert answer.status_code == 400


def test_slow_bodies_do_not_hold_the_pages(hub):
    """More of them than there are threads, each a byte at a time."""
    slow = []
    for _number in range(12):
        link = socket.create_connection(hub.place)
        link.sendall(b"POST /sign-in/ HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\nx" % hub.url[7:].encode())
        slow.append(link)
    try:
        with hub.client() as client:
            began = time.monotonic()
            assert client.get("/sign-in/").status_code == 200
            assert time.monotonic() - began < 3
        slow[0].settimeout(20)
        assert b" 408 " in slow[0].recv(100)
    finally:
        for link in slow:
            link.close()
