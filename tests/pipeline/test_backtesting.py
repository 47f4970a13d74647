"""The past, judged as today: releases, days without any, and files."""

from __future__ import annotations

import gzip
import io
import json
import random
from datetime import timedelta

import orjson
import pytest
from django.urls import reverse
from django.utils import timezone

from incidents import attending
from incidents.models import Incident
from metrics import backtesting, watching
from metrics.backtesting import BadFile
from metrics.models import Backtest, Signal
from metrics.models.backtest import BACKTESTS
from tests import make
from tests.security.conftest import browser

pytestmark = pytest.mark.usefixtures("days")

NOW = timezone.now().replace(second=0, microsecond=0)
BEGAN = NOW - timedelta(hours=30)


@pytest.fixture
def release(shop):
    """Twelve days of use; the deploy of a day ago tripled the failures."""
    make.release(shop, "1.0", at=NOW - timedelta(days=20))
    release = make.release(shop, "2.0", at=BEGAN)
    rng, events, at = random.Random(2), [], NOW - timedelta(days=12)
    while at < NOW:
        version, rate = ("2.0", 0.12) if at >= BEGAN else ("1.0", 0.04)
        bad = sum(rng.random() < rate for _use in range(150))
        events.append(make.event(at=at.timestamp() + 1, release=version, user="", n=150, bad=bad))
        at += timedelta(minutes=5)
    make.counted(shop, events)
    return release


def result(shop, margin=None) -> dict:
    test = Backtest.objects.create(product=shop, margin=margin)
    backtesting.run(test.pk)
    test.refresh_from_db()
    assert test.done_at
    assert not test.error
    return test.result


def test_releases_and_quiet_days(shop, release):
    told = result(shop, margin=0.9)
    assert [row["version"] for row in told["releases"]] == ["2.0", "1.0"]
    [flag] = told["releases"][0]["flags"]
    assert (flag["name"], flag["measure"], flag["is_flag"], flag["with"]) == ("checkout", "failure_rate", True, True)
    assert 0 <= flag["after_min"] <= 30
    days = [row["began"] for row in told["quiet"]]
    assert len(days) == 7  # twelve days, less three of history before, less the deploy's and the one after it
    assert all(row["measures"] == 2 and row["flags"] == [] for row in told["quiet"])


def test_it_says_the_same_as_the_look_did(shop, release):
    looked = {trace["measure"]: trace["status"] for trace in watching.judge(release, "production", NOW).trace}
    [flag] = result(shop)["releases"][0]["flags"]
    assert [measure for measure, status in looked.items() if status == "worse"] == [flag["measure"]]


def test_what_changed_by_itself_is_a_false_flag(shop, release):
    """Six days ago all doubled for a day, and nobody had deployed anything."""
    since = NOW - timedelta(days=6)
    at = [since + timedelta(minutes=5 * n) for n in range(288)]
    make.counted(shop, [make.event(at=a.timestamp() + 2, release="1.0", user="", n=150, bad=60) for a in at])
    flags = [(row["began"][:10], f["measure"]) for row in result(shop)["quiet"] for f in row["flags"] if f["is_flag"]]
    assert (since.date().isoformat(), "failure_rate") in flags
    assert {day for day, _measure in flags} <= {(since + timedelta(days=n)).date().isoformat() for n in (0, 1)}


def test_a_margin_takes_a_flag_away(shop, release):
    Signal.objects.update(margin=0.0)
    [flag] = result(shop, margin=0.9)["releases"][0]["flags"]
    assert flag["is_flag"]
    assert flag["margin"] == 0.0


def test_nothing_to_look_at(shop):
    assert result(shop) == {"releases": [], "quiet": []}


CASE = {"id": "a", "bucket_s": 300, "bad_direction": 1, "pre": [100.0, 101.0] * 800, "post": [100.0] * 10 + [160.0] * 30}


def lines(*cases) -> bytes:
    return b"\n".join(case if isinstance(case, bytes) else orjson.dumps(case) for case in cases)


def test_file():
    [case] = backtesting.of_file(lines(CASE, b""), None)["cases"]
    assert (case["id"], case["mode"]) == ("a", "before_after")
    assert 10 <= case["first"] == case["with"] <= 13
    assert case["after_min"] == (case["first"] + 1) * 5
    [case] = backtesting.of_file(gzip.compress(lines(CASE)), 0.9)["cases"]
    assert case["first"] >= 10
    assert case["with"] == -1


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"{", "Line 1: broken JSON"),
        (b"[1]", "Line 1: it is not a JSON object"),
        (lines(CASE, {"id": "b", "bucket_s": 0}), "Line 2: bucket_s"),
        (lines({**CASE, "pre": "x"}), "pre must be a list"),
        (gzip.compress(lines(CASE))[:-9], "no whole gzip"),
        (b"\x1f\x8bnonsense", "no whole gzip"),
        (gzip.compress(b" " * (backtesting.LARGEST + 1)), "inflates to more than"),
        (b"{}\n" * 2, "Line 1: It has no id"),
    ],
    ids=range(10),
)
def test_bad_files(body, why, shop):
    with pytest.raises(BadFile, match=why):
        backtesting.of_file(body, None)
    test = Backtest.objects.create(product=shop, body=body)
    backtesting.run(test.pk)
    test.refresh_from_db()
    assert why in test.error
    assert (test.result, test.body) == ({}, None)


def test_too_many_cases(monkeypatch):
    monkeypatch.setattr(backtesting, "CASES", 2)
    with pytest.raises(BadFile, match="more than 2"):
        backtesting.of_file(lines(CASE, CASE, CASE), None)


def test_twice_is_once(shop):
    test = Backtest.objects.create(product=shop)
    backtesting.run(test.pk)
    done = Backtest.objects.get().done_at
    backtesting.run(test.pk)
    backtesting.run(test.pk + 1)
    assert Backtest.objects.get().done_at == done


@pytest.fixture
def pm(shop):
    return make.member(shop.workspace, "pm", "pm@tienda.example")


@pytest.fixture
def asked(monkeypatch):
    """The worker's tasks, done at once."""
    from metrics.tasks import backtest

    monkeypatch.setattr(backtest, "delay", backtesting.run)


def page(shop, name="backtest", *args) -> str:
    return reverse(f"releases:{name}", args=[shop.workspace.slug, *args])


def test_page(shop, release, pm, asked, django_capture_on_commit_callbacks):
    watching.judge(release, "production", NOW)
    attending.open_incidents(NOW)
    client = browser(pm)
    assert "What would have been flagged?" in client.get(page(shop)).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        sent = client.post(page(shop, "run_backtest"), {"product": shop.slug, "margin": "90"})
    assert sent.status_code == 302
    told = client.get(sent["Location"]).content.decode()
    assert "Checkout failures" in told
    assert f"INC-{Incident.objects.get().number}" in told
    assert "On 7 days without a deploy 0 of 14 measures" in told
    assert "data-poll" not in told
    table = client.get(page(shop, "backtest_csv", Backtest.objects.get().pk)).content.decode().splitlines()
    assert table[1].startswith("2.0,")
    assert ",failure_rate," in table[1]


def test_a_page_that_waits_asks_again(shop, pm):
    Backtest.objects.create(product=shop)
    client = browser(pm)
    assert "data-poll" in client.get(page(shop)).content.decode()
    part = client.get(page(shop), headers={"X-Background": "1"})
    assert "X-Done" not in part
    Backtest.objects.update(made_at=NOW - timedelta(hours=1))
    part = client.get(page(shop), headers={"X-Background": "1"})
    assert part["X-Done"]
    assert "cut off" in part.content.decode()


def test_a_file_is_sent(shop, pm, asked, django_capture_on_commit_callbacks):
    client, file = browser(pm), io.BytesIO(lines(CASE, {**CASE, "id": "=cmd|x"}))
    file.name = "<b>cases.jsonl"
    with django_capture_on_commit_callbacks(execute=True):
        client.post(page(shop, "run_backtest"), {"product": shop.slug, "file": file})
    told = client.get(page(shop)).content.decode()
    assert "2 of 2 answers are flags" in told
    assert "<b>" not in told
    assert "'=cmd|x" in client.get(page(shop, "backtest_csv", Backtest.objects.get().pk)).content.decode()


def test_what_is_wrong_with_the_form(shop, pm, monkeypatch):
    monkeypatch.setattr("productops.health.backtest.LARGEST", 10)
    client, file = browser(pm), io.BytesIO(b"x" * 11)
    file.name = "cases.jsonl"
    answer = client.post(page(shop, "run_backtest"), {"product": "other", "margin": "400", "file": file})
    assert answer.status_code == 200
    assert not Backtest.objects.exists()
    assert {"product", "margin", "file"} == set(answer.context["form"].errors)


def test_the_newest_are_kept(shop, asked, django_capture_on_commit_callbacks):
    for number in range(BACKTESTS + 3):
        with django_capture_on_commit_callbacks(execute=True):
            backtesting.ask(Backtest(product=shop, name=str(number), body=b"{"))
    assert Backtest.objects.count() == BACKTESTS
    assert not Backtest.objects.filter(name="2").exists()


@pytest.mark.django_db(transaction=True)
def test_a_worker_does_it(hub):
    """With the real queue."""
    hub.manage(
        "shell", "-c",
        "from metrics import backtesting; from metrics.models import Backtest; from releases.models import Product;"
        f"backtesting.ask(Backtest(product=Product.objects.get(pk={hub.product_id}), body={lines(CASE)!r}))",
    )  # fmt: skip
    deadline = timezone.now() + timedelta(seconds=60)
    while timezone.now() < deadline:
        said = hub.manage("shell", "-c", "from metrics.models import Backtest; print(Backtest.objects.get().result)")
        if "cases" in said:
            break
    assert "'first': 1" in said, json.dumps(said)


def test_over_the_api(shop, asked, carol, bob, client, django_capture_on_commit_callbacks):
    bearer = {"Authorization": f"Bearer {make.token(carol, shop.workspace)}"}
    ask = {"content_type": "application/json", "headers": bearer}
    with django_capture_on_commit_callbacks(execute=True):
        told = client.post("/api/v1/backtests", {"margin": 0.3}, **ask)
    assert told.status_code == 202
    one = told.json()
    assert (one["product"], one["margin"], one["done_at"]) == (shop.slug, 0.3, None)
    backtesting.run(one["id"])
    done = client.get(f"/api/v1/backtests/{one['id']}", headers=bearer).json()
    assert done["done_at"]
    assert done["error"] == ""
    assert set(done["result"]) == {"releases", "quiet"}
    listed = client.get("/api/v1/backtests", headers=bearer).json()["results"]
    assert [row["id"] for row in listed] == [one["id"]]
    assert "result" not in listed[0]
    for wrong in ({"margin": 3}, {"margin": "x"}, {"product": "other"}):
        assert client.post("/api/v1/backtests", wrong, **ask).status_code == 400
    agent = {"Authorization": f"Bearer {make.token(bob, shop.workspace)}"}
    assert client.post("/api/v1/backtests", {}, content_type="application/json", headers=agent).status_code == 403
    assert Backtest.objects.count() == 1
