"""The sample workspace: loads through the door, tells its story truly, and leaves nothing behind."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from itertools import pairwise

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from accounts.models import User, Workspace
from feedback.models import Complaint, Customer
from incidents.models import Incident
from metrics.models import Regression, Verdict
from productops.sample import cast, desk, live, load, story, timeline, wire
from releases.models import Release

SMALL = 0.03


def rows(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return cursor.fetchone()[0]


@pytest.fixture
def clean(transactional_db):
    load.remove()
    yield
    load.remove()


def test_the_same_now_tells_the_same_story():
    now = datetime(2026, 3, 4, 15, 20, tzinfo=UTC)

    def told() -> list[bytes]:
        narrator = story.Narrator(cast.clients(), now, SMALL)
        hours = narrator.hours(timeline.versions(now))
        return [r.body for hour in hours for r in wire.requests(hour, wire.Account(1, "a" * 32))]

    assert told() == told()


def test_cast_has_200_customers_and_free_pays_nothing():
    clients = cast.clients()
    assert len({client.id for client in clients}) == len({client.name for client in clients}) == 200
    assert all((client.revenue == 0) == (client.plan == "Free") for client in clients)
    assert len({person.id for client in clients for person in client.users}) > 800


def test_nothing_ships_from_friday_to_sunday_but_the_newest():
    for day in range(7):
        released = timeline.versions(datetime(2026, 5, 4 + day, 9, tzinfo=UTC))
        assert [v.version for v in released] == ["2.1.0", "2.1.1", "2.2.0", "2.3.0", "2.3.1", "2.4.0"]
        assert all(v.began.weekday() < 4 for v in released[:-1])
        assert all(a.stages[-1].at < b.began for a, b in pairwise(released))


def test_voices_are_many_and_of_three_languages():
    heard = desk.voices()
    assert len(heard) >= 85
    assert {voice.language for voice in heard} == {"en", "es", "pt-br"}
    assert len({voice.text for voice in heard}) == len(heard)


def test_a_slice_loads_once_and_is_removed_without_a_trace(clean):
    before = {table: rows(table) for table in load._LOOSE}
    sample = load.load(timezone.now(), SMALL)
    assert sample.told["events"] > 3_000
    assert Customer.objects.of(sample.workspace).count() == cast.CUSTOMERS
    assert rows("metrics_inbox") == before["metrics_inbox"]
    assert rows("metrics_event") > before["metrics_event"]

    again = load.load(timezone.now(), SMALL)
    assert again.workspace == sample.workspace
    assert not again.told

    assert load.remove() == 1
    assert {table: rows(table) for table in load._LOOSE} == before
    assert not User.objects.filter(email__endswith=cast.MAIL).exists()


def test_a_loading_that_was_cut_off_is_done_again(clean):
    sample = load.load(timezone.now(), SMALL)
    from activity.models import Event

    Event.objects.filter(verb=load.LOADED).delete()
    assert load.find() is None
    again = load.load(timezone.now(), SMALL)
    assert again.workspace.pk != sample.workspace.pk
    assert Workspace.objects.filter(is_sample=True).count() == 1


def test_the_whole_story_is_told_by_the_hub_itself(clean):
    sample = load.load(timezone.now())
    found = dict(Verdict.objects.filter(environment="production").values_list("release__version", "verdict"))
    assert found.pop("2.4.0") == "regressed"
    assert set(found.values()) == {"healthy"}
    assert len(found) == 5

    regression = Regression.objects.get(is_active=True, signal__kind="use")
    assert (regression.signal.name, regression.slice) == ("checkout", "plan=Free")
    incident = Incident.objects.get(regression=regression)
    assert incident.status == "new"
    assert 0 < incident.impact["heard"] < incident.impact["silent"]
    fault = Regression.objects.get(is_active=True, signal__kind="fault")
    assert (fault.release.version, fault.evidence["state"]) == ("2.4.0", "new")
    assert "discountLimit" in str(fault.signal.fault)
    assert not Incident.objects.filter(regression=fault).exists()  # the release is worse anyway
    statuses = set(Incident.objects.of(sample.workspace).values_list("status", flat=True))
    assert statuses >= {
        "new",
        "triaged",
        "in_progress",
        "mitigated",
        "resolved",
        "closed",
        "declined",
        "duplicate",
    }
    assert Complaint.objects.of(sample.workspace).count() > 75


def test_command_prints_one_json_object_and_refuses_a_public_hub(clean, settings, monkeypatch):
    settings.IS_LOOPBACK = False
    with pytest.raises(CommandError):
        call_command("sample")
    settings.IS_LOOPBACK = True
    whole = load.load
    monkeypatch.setattr(load, "load", lambda now: whole(now, SMALL))
    said = StringIO()
    call_command("sample", "--json", stdout=said)
    found = json.loads(said.getvalue())
    assert found["url_path"] == "/w/tienda/"
    assert {who["role"] for who in found["sign_in"]} == {
        "owner",
        "manager",
        "pm",
        "agent",
        "marketer",
        "viewer",
    }
    assert "@" in found["dsn"]


class Web(BaseHTTPRequestHandler):
    """Takes everything, but is away for the first requests."""

    away, seen = 2, list[str]()

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        if Web.away > 0:
            Web.away -= 1
            self.send_response(503)
        else:
            Web.seen.append(self.path)
            self.send_response(201 if "releases" in self.path else 200)
        self.end_headers()

    def log_message(self, *_args):
        pass


def test_live_goes_on_and_ships_a_release(clean, monkeypatch):
    sample = load.load(timezone.now(), SMALL)
    monkeypatch.setattr(live, "FIRST", 1.0)
    monkeypatch.setattr(live, "MEND", 1.0)
    monkeypatch.setattr(live, "VISITS_EVERY", 0.5)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stop = threading.Event()
    threading.Timer(9, stop.set).start()
    live.Live(f"http://127.0.0.1:{server.server_port}", 40, stop).run()
    server.shutdown()
    paths = set(Web.seen)
    assert {"/api/v1/events", "/batch/", f"/api/{sample.product.pk}/envelope/"} <= paths
    assert {"/api/v1/releases/2.5.0/deploys", "/api/v1/releases/2.5.1/deploys"} <= paths


def test_live_continues_from_the_newest_version(clean):
    sample = load.load(timezone.now(), SMALL)
    release, _new = Release.objects.create_version(sample.product, "2.5.1", "api")
    release.deploy("production", 50, timezone.now() + timedelta(seconds=1))
    assert live._running(sample)[0][0] == "2.5.1"
    assert live._next("2.5.1", is_fix=False) == "2.6.0"
