from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from activity.models import Event as Activity
from metrics import ledger, partitions
from metrics.intake.inbox import hour_of
from metrics.models import Inbox, IngestKey, Outcome, Quarantine, Refusal
from releases.models import Feature, Product
from tests import make


@pytest.fixture(autouse=True)
def _database(db: None) -> None:
    """Every test here reads or writes."""


def page(workspace) -> str:
    return reverse("metrics:data", args=[workspace.slug])


def outcome(
    product: Product, outcome: str, n: int, reason: str = "", protocol: str = "sentry", age: timedelta = timedelta()
):
    Outcome.objects.create(
        product_id=product.pk, hour=hour_of(timezone.now() - age), protocol=protocol, category="use",
        outcome=outcome, reason=reason, n=n,
    )  # fmt: skip


def aside(product: Product, **fields) -> Quarantine:
    body = bytes(make.batch(product, [make.event()]).body)
    Inbox.objects.all().delete()
    given = {
        "batch_id": uuid4(),
        "protocol": "sentry",
        "events": 1,
        "received_at": timezone.now(),
        "error": "DataError",
    }
    return Quarantine.objects.create(product=product, body=body, **{**given, **fields})


def theirs(mallory) -> Product:
    return Product.objects.get(workspace=mallory.memberships.get().workspace)


# Who sees it


def test_everybody_here_sees_it_and_outsiders_do_not(tienda, shop, bob, mallory, as_):
    assert as_(bob).get(page(tienda)).status_code == 200
    assert as_(mallory).get(page(tienda)).status_code == 404
    assert Client().get(page(tienda)).status_code == 302


def test_a_foreign_or_unknown_product_is_404(tienda, shop, bob, mallory, as_):
    for slug in (theirs(mallory).slug, "nonsense", "\0"):
        assert as_(bob).get(page(tienda), {"product": slug}).status_code == 404


def test_several_products_are_chosen_by_chip(tienda, shop, bob, as_):
    make.product(tienda, "App")
    text = as_(bob).get(page(tienda), {"product": shop.slug}).content.decode()
    assert "?product=app" in text
    assert IngestKey.current(shop).dsn in text


# What arrived


def test_the_rows_add_up_to_what_was_received(shop):
    outcome(shop, "accepted", 100)
    outcome(shop, "accepted", 20, protocol="posthog")
    outcome(shop, "duplicate", 7, "event")
    outcome(shop, "filtered", 5, "unknown_item:replay_event")
    outcome(shop, "invalid", 3, "bad_json", protocol="productops")
    outcome(shop, "too_large", 2, "too_large")
    outcome(shop, "client_discard", 50, "sample_rate")
    totals = ledger.totals(shop, timezone.now() - timedelta(hours=1))
    assert totals.received == 137 == sum(row.n for row in totals.rows) == sum(totals.sums)
    assert (totals.accepted, totals.duplicate, totals.left_out, totals.not_sent) == (120, 7, 10, 50)
    assert totals.protocols == ["PostHog", "Productops", "Sentry"]
    assert all(sum(row.cells) == row.n for row in totals.rows)
    assert totals.rows[0].outcome == "accepted"


def test_an_unknown_outcome_is_still_in_the_sum():
    totals = ledger.add_up([("sentry", "eaten_by_dog", "odd_reason", 3), ("sentry", "accepted", "", 1)])
    assert totals.received == 4
    assert [row.name for row in totals.rows] == ["Counted", "Eaten by dog"]


def test_nothing_adds_up_to_nothing():
    assert ledger.add_up([]).received == 0


def test_the_window_bounds_what_is_counted(tienda, shop, bob, as_):
    outcome(shop, "accepted", 11)
    outcome(shop, "accepted", 222, age=timedelta(days=3))
    outcome(shop, "accepted", 4444, age=timedelta(days=9))
    assert as_(bob).get(page(tienda)).context["totals"].received == 11
    assert as_(bob).get(page(tienda), {"window": "7d"}).context["totals"].received == 233
    assert as_(bob).get(page(tienda), {"window": "9y"}).context["window"] == "24h"


def test_other_products_are_not_in_the_sum(tienda, shop, bob, mallory, as_):
    outcome(theirs(mallory), "accepted", 9)
    assert as_(bob).get(page(tienda)).context["totals"].received == 0


def test_signals_show_their_numbers(tienda, shop, bob, as_):
    partitions.ensure(timezone.now())
    make.counted(
        shop, [make.event("checkout", n=4, bad=1), make.event("search"), make.event("boom", kind="error", bad=1)]
    )
    rows = {row["signal"].name: row for row in as_(bob).get(page(tienda)).context["signals"]}
    assert (rows["checkout"]["n"], rows["checkout"]["rate"]) == (4, 0.25)
    assert rows["search"]["rate"] == 0


def test_refusals_are_told_with_reason_and_detail(tienda, shop, bob, as_):
    Refusal.objects.create(
        product_id=shop.pk, at=timezone.now(), protocol="sentry", status=403, reason="unknown_key",
        detail="<b>wrong</b>", client="x",
    )  # fmt: skip
    text = as_(bob).get(page(tienda)).content.decode()
    assert "&lt;b&gt;wrong&lt;/b&gt;" in text
    assert "403" in text


# Empty


def test_empty_product_leads_to_its_snippets(tienda, shop, bob, carol, as_):
    start = reverse("setup:start", args=[tienda.slug, shop.pk])
    assert start in as_(carol).get(page(tienda)).content.decode()
    text = as_(bob).get(page(tienda)).content.decode()
    assert start not in text
    assert "can connect it" in text


def test_workspace_without_products_says_what_to_do(tienda, bob, carol, as_):
    assert "Add a product" in as_(carol).get(page(tienda)).content.decode()
    assert "No product yet" in as_(bob).get(page(tienda)).content.decode()


# Quarantine


def test_replay_puts_it_back_and_it_is_counted(tienda, shop, carol, as_):
    partitions.ensure(timezone.now())
    found = aside(shop)
    assert as_(carol).post(reverse("metrics:replay", args=[tienda.slug, found.batch_id])).status_code == 302
    assert not Quarantine.objects.exists()
    row = Inbox.objects.get()
    assert (row.batch_id, row.attempts, row.lease) == (found.batch_id, 0, None)
    assert make.drain.run() == 1
    assert Activity.objects.get(verb="quarantine.replayed").by == carol


def test_replaying_twice_counts_once(tienda, shop, carol, as_):
    url = reverse("metrics:replay", args=[tienda.slug, aside(shop).batch_id])
    assert [as_(carol).post(url).status_code for _ in range(2)] == [302, 404]
    assert Inbox.objects.count() == 1


def test_replay_of_a_batch_that_came_again_keeps_one(tienda, shop, carol, as_):
    found = aside(shop)
    make.batch(shop, [make.event()], batch_id=found.batch_id)
    as_(carol).post(reverse("metrics:replay", args=[tienda.slug, found.batch_id]))
    assert Inbox.objects.count() == 1


def test_foreign_quarantine_is_404_and_stays(tienda, shop, carol, mallory, as_):
    found = aside(theirs(mallory))
    assert as_(carol).post(reverse("metrics:replay", args=[tienda.slug, found.batch_id])).status_code == 404
    assert Quarantine.objects.count() == 1


def test_agent_sees_it_and_may_not_replay(tienda, shop, bob, as_):
    outcome(shop, "accepted", 1)
    url = reverse("metrics:replay", args=[tienda.slug, aside(shop).batch_id])
    text = as_(bob).get(page(tienda)).content.decode()
    assert "Set aside" in text
    assert url not in text
    assert as_(bob).post(url).status_code == 403
    assert Quarantine.objects.count() == 1


# Keys


def test_rotating_ends_the_old_key(tienda, shop, carol, as_):
    old = IngestKey.current(shop)
    as_(carol).post(reverse("metrics:rotate", args=[tienda.slug, old.pk]))
    old.refresh_from_db()
    assert old.revoked_at
    new = IngestKey.current(shop)
    assert new.key != old.key
    assert Activity.objects.get(verb="key.rotated").by == carol
    text = as_(carol).get(page(tienda)).content.decode()
    assert new.key in text
    assert old.key not in text


def test_a_second_click_does_not_rotate_again(tienda, shop, carol, as_):
    url = reverse("metrics:rotate", args=[tienda.slug, IngestKey.current(shop).pk])
    for _n in range(2):
        assert as_(carol).post(url).status_code == 302
    assert IngestKey.objects.filter(product=shop, revoked_at=None).count() == 1


def test_foreign_key_is_404_and_agent_gets_403(tienda, shop, bob, carol, mallory, as_):
    foreign, own = IngestKey.current(theirs(mallory)), IngestKey.current(shop)
    assert as_(carol).post(reverse("metrics:rotate", args=[tienda.slug, foreign.pk])).status_code == 404
    assert as_(bob).post(reverse("metrics:rotate", args=[tienda.slug, own.pk])).status_code == 403
    assert not IngestKey.objects.exclude(revoked_at=None).exists()


# Cost


def test_the_page_costs_the_same_for_many(tienda, shop, carol, as_, django_assert_max_num_queries):
    partitions.ensure(timezone.now())
    for n in range(20):
        outcome(shop, "invalid", 1, f"reason_{n}")
        aside(shop)
        feature = Feature.objects.create(product=shop, name=f"f{n}")
        shop.signals.create(kind="use", name=f"s{n}", feature=feature)
    make.counted(shop, [make.event(f"e{n}") for n in range(20)])
    client = as_(carol)
    client.get(page(tienda))
    with django_assert_max_num_queries(15):
        client.get(page(tienda))
