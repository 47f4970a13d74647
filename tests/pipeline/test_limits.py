"""Limits and idempotency keys at the door of real web processes: exact, whoever comes at once, without Redis."""

from __future__ import annotations

import asyncio
from collections import Counter
from uuid import uuid4

import httpx
import pytest

from productops.bench.hub import Hub

pytestmark = pytest.mark.live


@pytest.fixture
def hub(empty_hub):
    with Hub(empty_hub.server, like=empty_hub, has_redis=False) as made:
        yield made


def limit(hub: Hub, per_minute: int | None = None, per_month: int | None = None) -> None:
    hub.manage(
        "shell", "-c",
        "from django.utils import timezone; from metrics.models import Limit; from releases.models import Product\n"
        f"Limit.put(Product.objects.get(pk={hub.product_id}), {per_minute}, {per_month}, timezone.now())",
    )  # fmt: skip


def outcomes(hub: Hub) -> Counter[str]:
    return Counter(dict(hub.rows("SELECT outcome, sum(n)::int FROM metrics_outcome GROUP BY 1")))


async def _post_all(hub: Hub, bodies: list[object], together: int, **headers: str) -> list[httpx.Response]:
    gate = asyncio.Semaphore(together)
    async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=together)) as http:

        async def post(body: object) -> httpx.Response:
            async with gate:
                given = {"Authorization": f"Bearer {hub.key}", **headers}
                return await http.post(f"{hub.url}/api/v1/events", json=body, headers=given)

        return list(await asyncio.gather(*map(post, bodies)))


def post_all(hub: Hub, bodies: list[object], together: int = 200, **headers: str) -> list[httpx.Response]:
    return asyncio.run(_post_all(hub, bodies, together, **headers))


def drain(hub: Hub) -> None:
    hub.manage("shell", "-c", "from metrics.counting import drain; drain.run()")


def test_two_hundred_clients_and_a_limit_of_a_thousand(hub):
    limit(hub, per_month=1_000)
    hub.start_web(2)
    answers = Counter(a.status_code for a in post_all(hub, [[{"name": "pay"}]] * 2_500))
    assert answers == {200: 1_000, 429: 1_500}
    drain(hub)
    assert outcomes(hub) == {"accepted": 1_000, "over_quota": 1_500}
    assert hub.rows("SELECT in_month FROM metrics_limit") == [(1_000,)]


def test_ten_times_the_limit_in_batches_adds_up(hub):
    limit(hub, per_month=1_000)
    hub.start_web(2)
    bodies = [[{"name": "pay"}] * (1 + number % 13) for number in range(1_430)]
    answers = post_all(hub, bodies)
    taken = sum(len(body) for body, answer in zip(bodies, answers, strict=True) if answer.status_code == 200)
    drain(hub)
    told = outcomes(hub)
    assert told["accepted"] == taken == 1_000
    assert told["accepted"] + told["over_quota"] == sum(map(len, bodies)) == 10_010


def test_a_minute_is_over_by_itself(hub):
    limit(hub, per_minute=5)
    hub.start_web()
    answers = post_all(hub, [[{"name": "pay"}]] * 20, 1)
    # The minute may end between two of them.
    assert Counter(a.status_code for a in answers)[429] >= 10
    refused = next(a for a in answers if a.status_code == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["reason"] == "rate_limited"
    hub.execute("UPDATE metrics_limit SET minute = minute - interval '1 minute'")
    hub.wait(lambda: post_all(hub, [[{"name": "pay"}]])[0].status_code == 200, "a new minute", 65)


def test_a_sentry_client_is_told_to_wait(hub):
    limit(hub, per_month=1)
    hub.start_web()
    address = f"{hub.url}/api/{hub.product_id}/store/?sentry_key={hub.key}"
    with httpx.Client() as http:
        event = {"message": "x", "level": "error"}
        assert http.post(address, json=event).status_code == 200
        refused = http.post(address, json=event)
    assert refused.status_code == 429
    assert refused.headers["x-sentry-rate-limits"] == "300::project:over_quota"
    assert refused.headers["retry-after"] == "300"


def test_another_product_does_not_notice(hub):
    limit(hub, per_month=1)
    hub.start_web()
    given = ["--workspace", "Other", "--product", "Other", "--email", "other@example.com", "--password", "correct horse"]
    other = __import__("json").loads(hub.manage("provision", "--json", *given))["ingest_key"]
    assert Counter(a.status_code for a in post_all(hub, [[{"name": "pay"}]] * 20)) == {200: 1, 429: 19}
    told = post_all(hub, [[{"name": "pay"}]] * 20, Authorization=f"Bearer {other}")
    assert {a.status_code for a in told} == {200}


def test_a_raised_limit_is_noticed_within_seconds(hub):
    limit(hub, per_month=1)
    hub.start_web()
    assert [a.status_code for a in post_all(hub, [[{"name": "pay"}]] * 2, 1)] == [200, 429]
    limit(hub, per_month=2)  # whoever goes on asking meanwhile must hear of it too
    hub.wait(lambda: post_all(hub, [[{"name": "pay"}]])[0].status_code == 200, "room for one more", 10)
    limit(hub)
    hub.wait(lambda: post_all(hub, [[{"name": "pay"}]])[0].status_code == 200, "no limit", 10)


def test_one_key_a_hundred_times_at_once(hub):
    hub.start_web(2)
    body = [{"name": "pay"}] * 3
    answers = post_all(hub, [body] * 100, **{"Idempotency-Key": "order-17"})
    assert {(a.status_code, a.text) for a in answers} == {(200, answers[0].text)}
    drain(hub)
    assert outcomes(hub) == {"accepted": 3, "duplicate": 297}
    again = post_all(hub, [body], **{"Idempotency-Key": "order-17"})  # after it was counted
    assert again[0].status_code == 200
    drain(hub)
    assert outcomes(hub) == {"accepted": 3, "duplicate": 300}


def test_one_key_with_another_body(hub):
    hub.start_web()
    key = {"Idempotency-Key": uuid4().hex}
    assert post_all(hub, [[{"name": "pay"}]], **key)[0].status_code == 200
    refused = post_all(hub, [[{"name": "play"}] * 2], **key)[0]
    assert (refused.status_code, refused.json()["reason"]) == (409, "key_reused")
    drain(hub)
    assert post_all(hub, [[{"name": "play"}] * 2], **key)[0].status_code == 409
    assert outcomes(hub) == {"accepted": 1, "invalid": 4}


def test_a_repeated_key_costs_nothing_of_the_limit(hub):
    limit(hub, per_month=3)
    hub.start_web()
    key = {"Idempotency-Key": "a"}
    assert [post_all(hub, [[{"name": "pay"}] * 2], **key)[0].status_code for _time in range(3)] == [200] * 3
    assert post_all(hub, [[{"name": "pay"}]])[0].status_code == 200
    assert post_all(hub, [[{"name": "pay"}]])[0].status_code == 429
    assert post_all(hub, [[{"name": "pay"}] * 2], **key)[0].status_code == 200  # it was stored; that stays true
