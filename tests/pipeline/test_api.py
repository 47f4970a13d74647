"""The API's verbs: the happy way, and the errors as application/problem+json."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from feedback.models import Complaint, Customer
from incidents.models import Incident
from metrics.intake.event import Parsed
from tests import make

pytestmark = pytest.mark.usefixtures("days")


class Api:
    def __init__(self, client, token: str) -> None:
        self.client, self.token = client, token

    def ask(self, method: str, path: str, code: int, body: object = None, /, **params: str):
        """The answer's body; its status, and the shape of errors, are checked."""
        extra = {"data": body, "content_type": "application/json"} if body is not None else {"data": params}
        bearer = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        answer = getattr(self.client, method)(f"/api/v1/{path}", headers=bearer, **extra)
        assert answer.status_code == code, answer.content
        found = answer.json()
        if code >= 400:
            assert answer["Content-Type"] == "application/problem+json"
            assert found["status"] == code
            assert {"type", "title", "detail"} <= set(found)
        return found

    def get(self, path: str, code: int = 200, /, **params: str):
        return self.ask("get", path, code, **params)

    def post(self, path: str, body: object, status: int = 201):
        return self.ask("post", path, status, body)

    def patch(self, number: int, code: int = 200, /, **body: object):
        return self.ask("patch", f"incidents/{number}", code, body)


@pytest.fixture
def api(client, tienda, shop, carol) -> Api:
    return Api(client, make.token(carol, tienda))


@pytest.fixture
def foreign(client, mallory) -> Api:
    return Api(client, make.token(mallory, mallory.memberships.get().workspace))


EVERY = ["releases", "releases/1.0/deploys", "rollups", "regressions", "incidents", "incidents/1", "complaints", "customers", "outcomes"]


@pytest.mark.parametrize("path", EVERY)
def test_without_a_token_nothing_is_said(client, path, shop):
    for token in ("", "po_pat_wrong", "é"):
        Api(client, token).get(path, 401)


@pytest.mark.parametrize("path", EVERY)
def test_methods_that_do_not_exist(api, path):
    api.ask("delete", path, 405)


def test_releases_are_made_once(api):
    made = api.post("releases", {"version": "2.4.1", "url": "https://example.com/2.4.1"})
    assert (made["version"], made["source"], made["shipped_at"]) == ("2.4.1", "api", None)
    assert api.post("releases", {"version": "2.4.1"}, 200)["url"] == "https://example.com/2.4.1"
    assert api.get("releases")["count"] == 1


@pytest.mark.parametrize("body", [{}, {"version": ""}, {"version": "/x"}, {"version": "1\x852"}, {"version": "\x01"}, {"version": "1", "product": "no"}, {"version": "a" * 121}, {"version": "1", "url": "nope"}])
def test_releases_refuse(api, body):
    assert api.post("releases", body, 400)["errors"]


@pytest.mark.parametrize("asked", [{"offset": "-1"}, {"offset": "x"}, {"limit": "0"}, {"limit": "1.5"}])
def test_a_page_that_does_not_exist_is_refused(asked, api):
    assert list(api.get("releases", 400, **asked)["errors"]) == list(asked)


def test_broken_json_is_refused(api):
    answer = api.client.post("/api/v1/releases", "{", content_type="application/json", headers={"Authorization": f"Bearer {api.token}"})
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")


def test_deploys(api):
    api.post("releases", {"version": "1.0"})
    at = timezone.now().replace(microsecond=0) - timedelta(hours=1)
    deploy = api.post("releases/1.0/deploys", {"percentage": 10, "at": at.isoformat()})
    assert (deploy["environment"], deploy["percentage"]) == ("production", 10)
    api.post("releases/1.0/deploys", {"environment": "staging", "at": at.isoformat()})
    api.post("releases/1.0/deploys", {"percentage": 99, "at": at.isoformat()})  # told already
    assert [d["percentage"] for d in api.get("releases/1.0/deploys")] == [10, None]
    assert api.get("releases")["results"][0]["shipped_at"] is not None
    for wrong in ({"percentage": 101}, {"percentage": -1}, {"at": "yesterday"}, {"environment": "e" * 41}):
        api.post("releases/1.0/deploys", wrong, 400)
    api.post("releases/9.9/deploys", {}, 404)


def test_versions_with_slashes(api):
    api.post("releases", {"version": "shop/2.0"})
    api.post("releases/shop/2.0/deploys", {})
    assert len(api.get("releases/shop/2.0/deploys")) == 1


def test_rollups_and_pages(api, shop):
    at = timezone.now().replace(minute=30, second=0, microsecond=0) - timedelta(hours=2)
    events = [make.event("pay", at=(at + timedelta(minutes=n)).timestamp(), bad=n % 2, value=100.0, plan="Pro") for n in range(10)]
    make.counted(shop, events)
    [hour] = api.get("rollups")["results"]
    assert (hour["signal"], hour["n"], hour["bad"], hour["users"], hour["slice"]) == ("pay", 10, 5, 1, "")
    assert hour["p95_ms"] == pytest.approx(100, rel=0.02)
    since = {"since": at.isoformat(), "resolution": "minute"}
    pages = [api.get("rollups", limit="4", offset=str(n), until=timezone.now().isoformat(), **since) for n in (0, 4, 8)]
    assert [len(page["results"]) for page in pages] == [4, 4, 2]
    buckets = [row["bucket"] for page in pages for row in page["results"]]
    assert buckets == sorted(set(buckets))
    assert (pages[0]["count"], pages[0]["previous"], pages[2]["next"]) == (10, None, None)
    assert api.get("rollups", slice="*")["count"] == 2
    assert api.get("rollups", slice="plan=Pro")["count"] == 1
    assert api.get("rollups", signal="pay", release="1.0", environment="production")["count"] == 1
    assert api.get("rollups", signal="other")["count"] == 0


@pytest.mark.parametrize(
    "params", [{"since": "x"}, {"since": "2020-01-01T00:00:00Z", "resolution": "minute"}, {"product": "nope"}, {"since": "2026-02-31T00:00:00Z"}]
)
def test_rollups_refuse(api, params):
    assert api.get("rollups", 400, **params)["errors"]


def test_regressions(api, shop):
    found = make.regression(make.release(shop, "2.0", at=timezone.now()))
    [row] = api.get("regressions", release="2.0", active="true")["results"]
    assert (row["id"], row["signal"], row["measure"], row["evidence"]["method"]) == (found.pk, "checkout", "failure_rate", "concurrent")
    assert api.get("regressions", active="false")["count"] == api.get("regressions", release="1")["count"] == 0
    api.get("regressions", 400, product="nope")


def test_outcomes(api, shop):
    make.batch(shop, [make.event()] * 2, Parsed([], {("use", "filtered", "not_used"): 3}))
    from metrics.counting import drain

    drain.run()
    rows = {(row["outcome"], row["reason"]): row["n"] for row in api.get("outcomes", product="shop")["results"]}
    assert rows == {("accepted", ""): 1, ("duplicate", "event"): 1, ("filtered", "not_used"): 3}


def test_incidents_are_found(api, tienda, carol):
    make.incident(tienda, by=carol)
    make.incident(tienda, "Search fails", by=carol, severity="high")
    assert api.get("incidents")["count"] == api.get("incidents", status="open")["count"] == 2
    assert api.get("incidents", severity="high")["results"][0]["title"] == "Search fails"
    assert api.get("incidents", assignee="me")["count"] == 0
    assert api.get("incidents", assignee="none")["count"] == 2
    api.get("incidents", 400, status="nonsense")
    api.get("incidents/99", 404)


def test_an_incident_moves(api, tienda, shop, carol):
    number = make.incident(tienda, by=carol).number
    seen = api.get(f"incidents/{number}")
    assert "accept" in seen["legal"]
    moved = api.patch(number, status="triaged", assignee=carol.email, severity="high", version=seen["version"])
    assert (moved["status"], moved["assignee"], moved["severity"]) == ("triaged", carol.email, "high")
    make.release(shop, "2.0.1")
    assert api.patch(number, status="resolved", fix_release="2.0.1")["fix_release"] == "2.0.1"
    assert api.patch(number, status="triaged", reason="It is back")["status"] == "triaged"


def test_illegal_moves_name_the_legal_ones(api, tienda, carol):
    number = make.incident(tienda, by=carol).number
    said = api.patch(number, 409, status="verified")
    assert set(said["legal"]) == set(api.get(f"incidents/{number}")["legal"])
    assert api.get(f"incidents/{number}")["status"] == "new"


def test_a_stale_change_shows_how_it_stands(api, tienda, carol):
    number = make.incident(tienda, by=carol).number
    version = api.get(f"incidents/{number}")["version"]
    api.patch(number, status="triaged", version=version)
    said = api.patch(number, 409, severity="low", version=version)
    assert (said["current"]["status"], said["current"]["version"]) == ("triaged", version + 1)
    assert api.get(f"incidents/{number}")["severity"] != "low"


def test_all_of_a_change_or_nothing(api, tienda, carol):
    number = make.incident(tienda, by=carol).number
    api.patch(number, 400, severity="low", status="declined")  # declining needs a reason
    assert api.get(f"incidents/{number}")["severity"] != "low"


@pytest.mark.parametrize(
    "body",
    [{"status": "x"}, {"severity": "x"}, {"assignee": "x"}, {"assignee": "stranger@example.com"}, {"number": 7},
     {"status": "snoozed"}, {"status": "duplicate", "duplicate_of": 99}, {"status": "snoozed", "snoozed_until": "2020-01-01T00:00:00Z"}],
)  # fmt: skip
def test_wrong_changes_are_refused(api, tienda, carol, body):
    assert api.patch(make.incident(tienda, by=carol).number, 400, **body)["errors"]


def test_complaints_join_and_repeat(api, tienda, carol):
    incident = make.incident(tienda, by=carol)
    body = {"text": "I cannot pay", "customer": "acme", "incident": incident.number, "source_id": "ticket-7"}
    made = api.post("complaints", body)
    assert (made["customer"], made["incident"], made["source"]) == ("acme", incident.number, "api")
    assert api.post("complaints", body)["id"] == made["id"]
    assert Complaint.objects.count() == Customer.objects.count() == 1
    assert Incident.objects.get().reports.count() == 1
    assert api.get("complaints", customer="acme")["count"] == 1
    assert api.get("complaints", since=(timezone.now() + timedelta(days=1)).isoformat().replace("+00:00", "Z"))["count"] == 0
    api.get("complaints", 400, since="x")


def test_complaints_are_put_right(api, tienda, carol):
    first, second = make.incident(tienda, by=carol), make.incident(tienda, by=carol)
    made = api.post("complaints", {"text": "I cannot pay", "customer": "acme", "incident": first.number})
    path = f"complaints/{made['id']}"
    changed = api.ask("patch", path, 200, {"kind": "question", "incident": second.number, "customer": "other"})
    assert (changed["kind"], changed["incident"], changed["customer"]) == ("question", second.number, "other")
    assert changed["text"] == "I cannot pay"  # what is not said stays
    assert api.ask("patch", path, 200, {"incident": None})["incident"] is None
    assert api.get(path)["customer"] == "other"
    for wrong in ({"incident": 99}, {"kind": "x"}, {"text": ""}, {"release": "9"}, {"source_id": "7"}, {"product": "x"}):
        assert api.ask("patch", path, 400, wrong)["errors"]
    assert api.get(path)["incident"] is None


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": "x", "incident": 99}, {"text": "x", "release": "9"}, {"text": "x", "feature": "no"},
                                  {"text": "x", "kind": "no"}, {"text": "x", "customer": "c" * 121}, {"text": "a\x00"}])  # fmt: skip
def test_complaints_refuse(api, body):
    assert api.post("complaints", body, 400)["errors"]
    assert not Customer.objects.exists()


def test_customers_are_known_by_your_id(api, tienda):
    made = api.post("customers", {"external_id": "acme", "name": "Acme", "plan": "Pro", "revenue": "99.50"})
    assert (made["name"], made["plan"]) == ("Acme", "Pro")
    changed = api.post("customers", {"external_id": "acme", "plan": "Team"}, 200)
    assert (changed["id"], changed["name"], changed["plan"]) == (made["id"], "Acme", "Team")
    assert api.get("customers", q="acm")["count"] == 1
    for wrong in ({}, {"external_id": "x", "revenue": "much"}, {"external_id": "x", "currency": "euro"}):
        api.post("customers", wrong, 400)


def test_another_workspace_sees_nothing(api, foreign, tienda, shop, carol):
    incident = make.incident(tienda, by=carol)
    make.release(shop, "7.7", at=timezone.now())
    make.complaint(tienda)
    foreign.get(f"incidents/{incident.number}", 404)
    foreign.patch(incident.number, 404, status="triaged")
    foreign.get("releases/7.7/deploys", 404)
    foreign.get("rollups", 400, product=str(shop.pk))
    for path in ("incidents", "complaints", "customers", "regressions", "releases"):
        assert foreign.get(path)["count"] == 0


def test_an_agent_may_listen_but_not_decide(client, tienda, bob, shop):
    agent = Api(client, make.token(bob, tienda))
    incident = make.incident(tienda, by=bob)
    agent.get("incidents")
    agent.post("complaints", {"text": "It fails"})
    agent.patch(incident.number, 403, status="triaged")
    agent.post("releases", {"version": "1"}, 403)
