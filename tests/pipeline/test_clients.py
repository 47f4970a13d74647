"""The SDKs people have, against the processes that serve: nothing of ours stands in between."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from urllib.parse import quote, unquote_to_bytes, urlsplit
from uuid import uuid4

import brotli
import orjson
import posthog
import pytest
import sentry_sdk
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind
from segment.analytics.client import Client as Segment
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware

from metrics.counting import chunks
from metrics.intake.decode import decode
from productops.bench.hub import Hub
from tests.metrics.intake.conftest import CAPTURES, captured

pytestmark = pytest.mark.live

#: The key of the captured requests.
CAPTURED_KEY = "0123456789abcdef0123456789abcdef"


class Place:
    """One product of the running hub, and questions about what arrived there."""

    def __init__(self, hub: Hub, name: str, key: str = "") -> None:
        self.hub, self.key = hub, key or uuid4().hex
        workspace = hub.value("SELECT workspace_id FROM releases_product WHERE id = %s", hub.product_id)
        self.product = hub.value(
            "WITH made AS (INSERT INTO releases_product (workspace_id, name, slug, created_at)"
            " VALUES (%s, %s, %s, now()) RETURNING id), keyed AS (INSERT INTO metrics_ingestkey"
            " (product_id, key, created_at) SELECT id, %s, now() FROM made) SELECT id FROM made",
            workspace, name, f"{name}-{self.key[:8]}", self.key,
        )  # fmt: skip
        self.dsn = hub.url.replace("://", f"://{self.key}@") + f"/{self.product}"

    def signals(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(kind, name) -> (n, bad), once everything sent is counted."""
        self.hub.wait_drained()
        rows = self.hub.rows(
            "SELECT s.kind, s.name, sum(r.n)::int, sum(r.bad)::int FROM metrics_rollup_minute r"
            " JOIN metrics_signal s ON s.id = r.signal_id WHERE r.product_id = %s AND r.slice = '' AND s.kind <> 'fault' GROUP BY 1, 2",
            self.product,
        )
        return {(kind, name): (n, bad) for kind, name, n, bad in rows}

    def outcomes(self) -> dict[tuple[str, str], int]:
        """(category, outcome) -> n."""
        self.hub.wait_drained()
        rows = self.hub.rows(
            "SELECT category, outcome, sum(n)::int FROM metrics_outcome WHERE product_id = %s GROUP BY 1, 2", self.product
        )
        return {(category, outcome): n for category, outcome, n in rows}

    def post(self, path: str, body: bytes, headers: dict[str, str], chunked: bool = False) -> tuple[int, dict, bytes]:
        return call(self.hub, "POST", path, body, headers, chunked)


def call(hub: Hub, method: str, path: str, body: bytes = b"", headers: dict | None = None, chunked: bool = False):
    """(status, headers by lower name, body)."""
    link = http.client.HTTPConnection(urlsplit(hub.url).netloc, timeout=20)
    pieces = iter([body[n : n + 700] for n in range(0, len(body), 700)]) if chunked else body
    link.request(method, path, pieces, headers or {}, encode_chunked=chunked)
    answer = link.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    link.close()
    return found


@pytest.fixture
def place(hub: Hub) -> Iterator[Callable[..., Place]]:
    made: list[Place] = []

    def make(name: str = "shop", key: str = "") -> Place:
        made.append(Place(hub, name, key))
        return made[-1]

    yield make
    for found in made:
        assert not hub.value("SELECT count(*) FROM metrics_quarantine WHERE product_id = %s", found.product)


@pytest.fixture
def sentry() -> Iterator[Callable[..., sentry_sdk.Client]]:
    def start(place: Place, **options: object) -> sentry_sdk.Client:
        sentry_sdk.init(
            place.dsn, release="shop@3.0", environment="production", default_integrations=False,
            auto_enabling_integrations=False, shutdown_timeout=5, **options,
        )  # fmt: skip
        return sentry_sdk.get_client()

    yield start
    sentry_sdk.get_client().close(2)
    sentry_sdk.init()


@pytest.mark.parametrize("wanted", [{}, {"transport_compression_algo": "gzip"}, {"transport_compression_level": 0}])
def test_sentry_errors_in_every_encoding(place, sentry, wanted):
    shop = place()
    sentry(shop, _experiments=wanted)
    sentry_sdk.set_user({"id": "u-1"})
    for number in range(3):
        try:
            {}[number]
        except KeyError:
            sentry_sdk.capture_exception()
    sentry_sdk.flush(5)
    assert shop.signals() == {("error", "errors"): (3, 3)}
    assert shop.outcomes() == {("error", "accepted"): 3}
    version = shop.hub.value("SELECT version FROM releases_release WHERE product_id = %s", shop.product)
    assert version == "shop@3.0"
    rows = shop.hub.rows("SELECT body FROM metrics_event WHERE product_id = %s", shop.product)
    found = [event for (body,) in rows for event in chunks.unpack(bytes(body))]
    assert {(event.props["type"], event.user) for event in found} == {("KeyError", "u-1")}


def test_sentry_sessions_of_requests(place, sentry):
    shop = place()
    sentry(shop, auto_session_tracking=True)

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/fail":
            raise ValueError("no")
        start_response("200 OK", [])
        return [b"ok"]

    wrapped = SentryWsgiMiddleware(app)
    for path in ["/", "/", "/", "/fail"]:
        environ = {"PATH_INFO": path, "REQUEST_METHOD": "GET", "SERVER_NAME": "x", "SERVER_PORT": "80", "wsgi.url_scheme": "http"}
        try:
            list(wrapped(environ, lambda *_args: None))
        except ValueError:
            continue
    sentry_sdk.flush(5)
    signals = shop.signals()
    assert signals["session", "sessions"] == (4, 1)
    assert signals["error", "errors"] == (1, 1)


def test_sentry_transactions_and_feedback(place, sentry):
    shop = place()
    sentry(shop, traces_sample_rate=1.0)
    sentry_sdk.set_user({"id": "u-9"})
    with sentry_sdk.start_transaction(op="http.server", name="/pay"):
        time.sleep(0.02)
    with sentry_sdk.start_transaction(op="http.server", name="/pay") as failed:
        failed.set_status("internal_error")
    said = {"message": "The cart is empty again", "contact_email": "ana@example.com", "name": "Ana"}
    sentry_sdk.capture_event({"type": "feedback", "contexts": {"feedback": said}})
    sentry_sdk.flush(5)
    assert shop.signals() == {("use", "/pay"): (2, 1)}
    text, email = shop.hub.rows("SELECT text, contact_email FROM metrics_message WHERE product_id = %s", shop.product)[0]
    assert (text, email) == ("The cart is empty again", "ana@example.com")
    shop.hub.manage("shell", "-c", "from feedback import adopting; adopting.adopt_messages()")
    complaint = "SELECT text FROM feedback_complaint WHERE product_id = %s"
    assert shop.hub.rows(complaint, shop.product) == [("The cart is empty again",)]


def test_sentry_says_what_it_dropped(place, sentry):
    shop = place()
    sentry(shop, before_send=lambda event, hint: None if event.get("message") == "drop" else event)
    for _number in range(4):
        sentry_sdk.capture_message("drop")
    sentry_sdk.capture_message("keep", level="error")
    sentry_sdk.flush(5)
    sentry_sdk.get_client().close(5)
    outcomes = shop.outcomes()
    assert outcomes["error", "accepted"] == 1
    assert sum(n for (_category, outcome), n in outcomes.items() if outcome == "client_discard") == 4


@pytest.mark.parametrize("gzip", [False, True])
def test_posthog_client(place, gzip):
    shop = place()
    client = posthog.Posthog(shop.key, host=shop.hub.url, gzip=gzip, super_properties={"release": "4.0"}, max_retries=1)
    for number in range(5):
        client.capture("paid", distinct_id=f"u{number}", properties={"ok": number > 0, "duration_ms": 20}, groups={"company": "acme"})
    client.group_identify("company", "acme", {"name": "Acme", "plan": "Pro", "revenue": 99})
    client.set(distinct_id="u1", properties={"email": "u1@acme.example"})
    client.capture_exception(ValueError("broken"), distinct_id="u1")
    assert client.get_all_flags("u1") == {}
    client.shutdown()
    signals = shop.signals()
    assert signals["use", "paid"] == (5, 1)
    assert signals["error", "errors"] == (1, 1)
    assert not [name for _kind, name in signals if name == "identify"]
    outcomes = shop.outcomes()
    assert outcomes["use", "accepted"] == 5
    assert outcomes["identify", "accepted"] == 2
    traits = shop.hub.value("SELECT traits FROM metrics_account WHERE external_id = 'acme'")
    assert (traits["name"], traits["plan"], traits["revenue"]) == ("Acme", "Pro", 99)
    shop.hub.manage("shell", "-c", "from feedback import adopting; adopting.adopt_accounts()")
    assert shop.hub.rows("SELECT name, plan FROM feedback_customer WHERE external_id = 'acme'") == [("Acme", "Pro")]


@pytest.mark.parametrize("gzip", [False, True])
def test_segment_client(place, gzip):
    shop = place()
    errors: list[object] = []
    client = Segment(shop.key, host=shop.hub.url, gzip=gzip, on_error=lambda error, _items: errors.append(error), max_retries=1)
    name = f"segment-{gzip}"
    client.group("u1", name, {"name": "Acme", "plan": "Pro"})
    client.identify("u1", {"email": "u1@acme.example"})
    for number in range(5):
        client.track(f"u{number}", "paid", {"ok": number > 0, "customer": name}, context={"app": {"version": "4.0"}})
    client.page("u1", "shop", "Home")
    client.screen("u1", "shop", "Basket")
    client.alias("u1", "u9")
    client.shutdown()
    assert errors == []
    assert shop.signals() == {("use", "paid"): (5, 1), ("use", "pageview"): (1, 0), ("use", "screen"): (1, 0)}
    assert shop.outcomes() == {("use", "accepted"): 7, ("identify", "accepted"): 2, ("identify", "filtered"): 1}
    known = shop.hub.rows("SELECT traits FROM metrics_account WHERE external_id = %s", name)
    assert known == [({"name": "Acme", "plan": "Pro"},)]


def test_segment_client_is_told_of_a_wrong_key(place):
    shop = place()
    errors: list[object] = []
    client = Segment("wrong", host=shop.hub.url, on_error=lambda error, _items: errors.append(error), max_retries=1)
    client.track("u1", "paid")
    client.shutdown()
    assert [getattr(error, "code", None) for error in errors] == ["unknown_key"]
    assert shop.signals() == {}


def test_posthog_client_of_the_v1_protocol(place):
    shop = place()
    client = posthog.Posthog(shop.key, host=shop.hub.url, capture_mode=posthog.CaptureMode.V1, max_retries=1)
    for number in range(5):
        client.capture("paid", distinct_id=f"u{number}", properties={"release": "4.0", "ok": number > 0})
    client.shutdown()
    assert shop.signals() == {("use", "paid"): (5, 1)}


def test_opentelemetry_client(place):
    """The Python exporters, protobuf and gzip, with running totals as is their default."""
    shop = place()
    resource = Resource.create({"service.version": "4.0", "deployment.environment.name": "staging"})
    there = {"headers": {"Authorization": f"Bearer {shop.key}"}, "compression": Compression.Gzip}
    tracing = TracerProvider(resource=resource)
    tracing.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{shop.hub.url}/v1/traces", **there)))
    tracer = tracing.get_tracer("shop")
    for number in range(3):
        with contextlib.suppress(ValueError), tracer.start_as_current_span("GET /pay/7", kind=SpanKind.SERVER):
            with tracer.start_as_current_span("query"):
                pass
            if number == 0:
                raise ValueError("no stock")
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{shop.hub.url}/v1/metrics", **there), 3_600_000)
    meters = MeterProvider([reader], resource=resource)
    meter = meters.get_meter("shop")
    orders, took = meter.create_counter("orders"), meter.create_histogram("pay.duration", unit="s")
    for _minute in range(3):
        orders.add(5, {"plan": "Pro"})
        took.record(0.2, {"error.type": "timeout"})
        assert reader.force_flush()
    logging_ = LoggerProvider(resource=resource)
    logging_.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{shop.hub.url}/v1/logs", **there)))
    log = logging_.get_logger("shop")
    for severity in (SeverityNumber.INFO, SeverityNumber.ERROR):
        log.emit(LogRecord(timestamp=time.time_ns(), severity_number=severity, body="The card was declined"))
    for each in (meters, tracing, logging_):
        each.shutdown()
    assert shop.signals() == {
        ("use", "/pay/*"): (3, 1), ("error", "errors"): (2, 2), ("use", "orders"): (15, 0), ("use", "pay.duration"): (3, 3),
    }  # fmt: skip
    timed = "SELECT sum(timed)::int FROM metrics_rollup_hour WHERE product_id = %s AND slice = '' AND environment = 'staging'"
    assert shop.hub.rows(timed, shop.product) == [(6,)]
    assert shop.outcomes()["use", "filtered"] == 3  # the spans inside
    assert shop.outcomes()["error", "filtered"] == 1  # the record of severity INFO


def test_what_browsers_ask_before_they_send(place):
    shop = place()
    status, _headers, said = call(shop.hub, "GET", f"/v1/projects/{shop.key}/settings")
    target = json.loads(said)["integrations"]["Segment.io"]
    assert (status, target["apiKey"], target["apiHost"].rpartition("/")[2]) == (200, shop.key, "v1")
    status, _headers, said = call(shop.hub, "GET", f"/array/{shop.key}/config")
    assert (status, json.loads(said)["token"]) == (200, shop.key)
    for path in ("/v1/projects/wrong/settings", "/array/wrong/config"):
        assert call(shop.hub, "GET", path)[0] == 401
        assert call(shop.hub, "POST", path)[0] == 405


CAPTURED = sorted((path.parent.name, path.name[:3]) for path in CAPTURES.glob("*/*.body.bin"))


def replayed(shop: Place, folder: str, number: str) -> tuple[str, bytes, dict[str, str]]:
    """A captured request as it was sent, but for the product's number and PostHog's key, which are ours."""
    request = captured(folder, number)
    head = (CAPTURES / folder / f"{number}.request.txt").read_text().split(" ")[1]
    path, body = head.replace("/api/42/", f"/api/{shop.product}/"), request.raw
    headers = {name: value for name, value in request.headers.items() if name not in {"host", "content-length"}}
    if folder.startswith("posthog"):
        plain = zlib.decompress(body, 31) if body[:2] == b"\x1f\x8b" else body
        if b"data=" in plain[:5]:
            inner = b64decode(unquote_to_bytes(plain[5:])).replace(b"phc_testtoken", shop.key.encode())
            return path, b"data=" + quote(b64encode(inner)).encode(), headers
        plain = plain.replace(b"phc_testtoken", shop.key.encode())
        packer = zlib.compressobj(wbits=31)
        body = packer.compress(plain) + packer.flush() if body[:2] == b"\x1f\x8b" else plain
    if folder.startswith("otlp"):
        headers["authorization"] = f"Bearer {shop.key}"
    if folder.startswith("segment"):
        body = body.replace(b"wk_test", shop.key.encode())
        headers["authorization"] = "Basic " + b64encode(f"{shop.key}:".encode()).decode()
    return path, body, headers


def test_captured_requests_replayed(place):
    shop = place(key=CAPTURED_KEY)
    for folder, number in CAPTURED:
        path, body, headers = replayed(shop, folder, number)
        chunked = headers.pop("transfer-encoding", "") == "chunked"
        status, _headers, said = shop.post(path, body, headers, chunked)
        assert status == 200, (folder, number, said)
        orjson.loads(said)
    assert shop.signals() == {
        ("session", "sessions"): (2, 1), ("error", "errors"): (2, 2), ("use", "Pageload"): (1, 1), ("use", "/"): (1, 0),
        ("use", "pageview"): (2, 0), ("use", "checkout_failed"): (1, 0), ("use", "pageleave"): (1, 0),
        ("use", "Checkout Failed"): (1, 0), ("use", "op"): (1, 0), ("use", "c"): (2, 0),
    }  # fmt: skip
    outcomes = shop.outcomes()
    assert outcomes["feedback", "accepted"] == 2
    assert not [key for key in outcomes if key[1] == "invalid"]


def test_node_sends_chunked():
    assert "transfer-encoding" in captured("sentry-node", "001").headers


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, br"])
def test_encodings_over_http(place, coding):
    shop = place()
    body = orjson.dumps([{"name": "pay", "id": uuid4().hex} for _number in range(3)])
    for name in coding.split(", "):
        body = {"gzip": lambda b: zlib.compress(b, wbits=31), "deflate": zlib.compress, "br": brotli.compress}[name](body)
    assert len(decode(body, coding)) > 10
    headers = {"Authorization": f"Bearer {shop.key}", "Content-Encoding": coding}
    status, _headers, said = shop.post("/api/v1/events", body, headers, chunked=True)
    assert (status, json.loads(said)) == (200, {"accepted": 3})
    assert shop.signals() == {("use", "pay"): (3, 0)}


@pytest.mark.parametrize("path", ["/batch/", "/e/", "/flags/?v=2", "/api/7/envelope/", "/api/v1/events"])
def test_preflight(hub, path):
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    status, headers, said = call(hub, "OPTIONS", path, headers={**asked, "Access-Control-Request-Headers": "content-type"})
    assert (status, said) == (204, b"")
    assert headers["access-control-allow-origin"] == "*"
    assert "POST" in headers["access-control-allow-methods"]
    assert {"content-type", "authorization", "x-sentry-auth"} <= set(headers["access-control-allow-headers"].split(", "))
    assert "access-control-allow-credentials" not in headers


def test_a_wrong_key_is_refused_and_counted(place):
    shop = place()
    path = f"/api/{shop.product}/envelope/?sentry_key={'f' * 32}"
    status, headers, _said = shop.post(path, b"{}\n", {})
    assert (status, headers["x-sentry-error"]) == (403, "unknown_key")
    assert shop.outcomes() == {("request", "invalid"): 1}


def test_the_same_request_twice_counts_once(place):
    shop = place()
    body = orjson.dumps([{"name": "pay"}])
    headers = {"Authorization": f"Bearer {shop.key}", "Idempotency-Key": "order-1"}
    for _number in range(3):
        assert shop.post("/api/v1/events", body, headers)[0] == 200
        shop.hub.wait_drained()
    assert shop.signals() == {("use", "pay"): (1, 0)}
    assert shop.outcomes() == {("use", "accepted"): 1, ("use", "duplicate"): 2}
