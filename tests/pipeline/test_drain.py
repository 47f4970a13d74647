"""What was accepted is counted exactly once, whatever comes twice, late, together or broken."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import orjson
import pytest
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from metrics.counting import drain, names, sketch
from metrics.detection.histogram import BINS, bin_of
from metrics.intake.event import Event, Parsed
from metrics.models import (
    Account,
    CustomerDay,
    EventChunk,
    Inbox,
    Limit,
    Message,
    Outcome,
    Quarantine,
    RollupHour,
    RollupMinute,
    Signal,
    SliceValue,
    UserDay,
)
from metrics.models.signal import OTHER, SIGNALS_PER_PRODUCT
from releases.models import DISCOVERED_PER_DAY, Release
from tests import make

from .conftest import kept, seen, sums, together

pytestmark = pytest.mark.usefixtures("days")


def crowd(size: int, seed: int = 1, spread: float = 7200.0) -> list[Event]:
    """Events of few users and customers over some hours of one day, a tenth of them bad."""
    rng = random.Random(seed)
    noon = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp() - 43_200
    return [
        make.event(
            rng.choice(["checkout", "search"]),
            at=noon + rng.random() * spread,
            user=f"u{rng.randrange(40)}" if rng.random() < 0.9 else "",
            customer=f"c{rng.randrange(7)}" if rng.random() < 0.8 else "",
            release=rng.choice(["1.0", "1.1"]),
            plan=rng.choice(["", "Free", "Pro"]),
            platform=rng.choice(["", "web"]),
            n=(n := rng.choice([1, 1, 1, 3])),
            bad=rng.randrange(n + 1) if rng.random() < 0.1 else 0,
            value=rng.choice([None, rng.random() * 2000]),
            props=rng.choice([{}, {"struggle": True}]),
        )
        for _number in range(size)
    ]


def outcomes(**where: object) -> int:
    return Outcome.objects.filter(**where).aggregate(n=Sum("n"))["n"] or 0


def test_same_batch_twice_counts_once(shop):
    events = [make.event() for _number in range(5)]
    first = make.batch(shop, events, digest=b"d")
    assert drain.run() == 5
    make.batch(shop, events, batch_id=first.batch_id, digest=b"d")
    assert drain.run() == 0
    assert sums(RollupMinute)["n"] == sums(RollupHour)["n"] == 5
    assert outcomes(outcome="accepted") == 5
    assert outcomes(outcome="duplicate", reason="batch") == 5
    assert not Inbox.objects.exists()


def test_same_event_in_two_batches_counts_once(shop):
    event = make.event()
    make.batch(shop, [event, event, make.event()])
    make.batch(shop, [event])
    assert drain.run() == 2
    make.batch(shop, [event])
    assert drain.run() == 0
    assert sums(RollupMinute)["n"] == 2
    assert outcomes(outcome="duplicate", reason="event") == 3
    assert len(kept()) == 2


def test_same_event_of_yesterday_counts_once(shop):
    event = make.event()
    assert make.counted(shop, [event]) == 1
    with connection.cursor() as cursor:
        cursor.execute("UPDATE metrics_event_seen SET day = day - 1")
    assert make.counted(shop, [event]) == 0


def test_two_products_may_use_the_same_id(tienda, shop):
    other = make.product(tienda, "Other")
    event = make.event()
    assert make.counted(shop, [event]) + make.counted(other, [event]) == 2
    assert sums(RollupMinute, product_id=shop.pk)["n"] == sums(RollupMinute, product_id=other.pk)["n"] == 1


def recount(events: list[Event]) -> dict[str, dict]:
    """The same numbers the slow way, per (signal, release): whole days by user, then added up."""
    found: dict[tuple[str, str], dict] = defaultdict(lambda: {"n": 0, "bad": 0, "timed": 0, "total": 0.0})
    by_user: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for e in events:
        row = found[e.name, e.release]
        row["n"] += e.n
        row["bad"] += e.bad
        if e.value is not None:
            row["timed"] += 1
            row["total"] += e.value
        if e.user:
            by_user[e.name, e.release][e.user] += e.bad
    for key, users in by_user.items():
        found[key]["users"] = len(users)
        found[key]["bad_users"] = sum(bad > 0 for bad in users.values())
        found[key]["bad_sq"] = float(sum(bad * bad for bad in users.values()))
    return found


def test_rollups_equal_a_recount(shop):
    events = crowd(1500)
    for start in range(0, 1500, 250):  # several drains, each adding to the rows of the ones before
        make.counted(shop, events[start : start + 250])
    wanted = recount(events)
    for (name, version), numbers in wanted.items():
        where = {
            "signal_id": Signal.objects.get(name=name, kind="use").pk,
            "release_id": Release.objects.get(version=version).pk,
        }
        for model in (RollupMinute, RollupHour):
            assert sums(model, **where) == pytest.approx(numbers), (model, name, version)


def test_histograms_merge_exactly(shop):
    events = crowd(900, seed=2)
    for start in range(0, 900, 300):
        make.counted(shop, events[start : start + 300])
    wanted = np.zeros(BINS)
    for event in events:
        if event.value is not None:
            wanted[int(bin_of(event.value))] += 1
    for model in (RollupMinute, RollupHour):
        packs = model.objects.filter(slice="").values_list("hist", flat=True)
        assert np.array_equal(sketch.dense(list(packs)), wanted)


def test_many_rows_at_once_are_the_same_as_few(shop):
    """Large drains take the way of COPY."""
    events = [make.event(f"s{n % 30}", at=timezone.now().timestamp() - 60 * (n % 60), value=9.0) for n in range(4000)]
    make.counted(shop, events[:2000])
    make.counted(shop, events[2000:])
    assert sums(RollupMinute)["n"] == sums(RollupMinute)["timed"] == 4000
    packs = RollupMinute.objects.filter(slice="").values_list("hist", flat=True)
    assert sketch.dense(list(packs)).sum() == 4000


def test_slices_add_up(shop):
    events = crowd(600, seed=3)
    make.counted(shop, events)
    for plan in ("Free", "Pro"):
        n = sum(e.n for e in events if e.plan == plan)
        assert sums(RollupMinute, slice=f"plan={plan}")["n"] == n
        assert sums(RollupHour, slice=f"plan={plan}")["n"] == n


def test_customer_days_equal_a_recount(shop):
    events = crowd(800, seed=4)
    for start in (0, 400):
        make.counted(shop, events[start : start + 400])
    for customer in {e.customer for e in events} - {""}:
        mine = [e for e in events if e.customer == customer]
        rows = CustomerDay.objects.filter(customer=customer)
        got = rows.aggregate(u=Sum("uses"), f=Sum("failures"), s=Sum("struggles"))
        struggles = sum("struggle" in e.props for e in mine)
        assert got == {"u": sum(e.n for e in mine), "f": sum(e.bad for e in mine), "s": struggles}
        last = max(row.last_at.timestamp() for row in rows)
        assert last == pytest.approx(max(e.at for e in mine), abs=1e-3)
    assert set(Account.objects.values_list("external_id", flat=True)) == {f"c{n}" for n in range(7)}


def test_kept_events_carry_everything(shop):
    wild = 'a,"b\n\\N\\.;é\t☂'
    event = make.event("weird", user=wild, customer=wild, session=wild, plan=wild[:40], platform="x", country="ES",
                       value=12.5, n=3, bad=1, flags=5, props={"text": wild, "deep": {"list": [1, None]}})  # fmt: skip
    make.counted(shop, [event])
    [found] = kept()
    assert found == event._replace(at=pytest.approx(event.at, abs=1e-6))
    row = EventChunk.objects.get()
    assert (row.n, row.bad, row.signal_id) == (1, 1, Signal.objects.get(name="weird").pk)


def test_values_of_a_slice_are_bounded(shop):
    make.counted(shop, [make.event(plan=f"p{n}") for n in range(30)])
    make.counted(shop, [make.event(plan="one more")])
    names = set(RollupMinute.objects.exclude(slice="").values_list("slice", flat=True))
    assert len(names) == 21
    assert sums(RollupMinute, slice="plan=other")["n"] == 11
    assert SliceValue.objects.filter(dimension="plan").count() == 20


def test_environments_are_bounded(shop):
    make.counted(shop, [make.event(environment=f"e{n:02}") for n in range(30)])
    make.counted(shop, [make.event(environment="one more"), make.event(environment="e05")])
    found = RollupMinute.objects.filter(slice="").values_list("environment", flat=True).distinct()
    assert len(found) == 21
    assert sums(RollupMinute, environment="other")["n"] == 11
    assert sums(RollupMinute, environment="e05")["n"] == 2


def test_signals_are_bounded(shop):
    make.counted(shop, [make.event(f"signal {n}") for n in range(SIGNALS_PER_PRODUCT + 50)])
    assert Signal.objects.filter(product=shop).count() <= SIGNALS_PER_PRODUCT
    assert sums(RollupMinute)["n"] == SIGNALS_PER_PRODUCT + 50
    make.counted(shop, [make.event("and more")])
    other = Signal.objects.get(product=shop, kind="use", name=OTHER)
    assert sums(RollupMinute, signal_id=other.pk)["n"] >= 51


def test_releases_seen_in_events_are_bounded(shop):
    make.counted(shop, [make.event(release=f"9.{n}") for n in range(DISCOVERED_PER_DAY + 20)])
    assert Release.objects.count() == DISCOVERED_PER_DAY
    assert sums(RollupMinute, release_id=0)["n"] == 20


def test_late_events_go_to_their_own_bucket(shop):
    now = timezone.now()
    late = now - timedelta(days=20)
    make.counted(shop, [make.event(), make.event(at=late.timestamp())])
    days = RollupHour.objects.order_by("bucket").values_list("bucket", flat=True)
    assert [day.date() for day in days] == [late.date(), now.date()]
    assert RollupMinute.objects.count() == 2
    assert len(kept()) == 1  # raw events are kept 14 days


def test_an_undeclared_release_arrives_with_its_first_event(shop):
    early = timezone.now() - timedelta(hours=3)
    make.counted(shop, [make.event(release="5.0")])
    make.counted(shop, [make.event(release="5.0", at=early.timestamp())])
    release = Release.objects.get(version="5.0")
    assert abs((release.shipped_at - early).total_seconds()) <= 1
    assert release.deploys.count() == 1


def test_feedback_becomes_one_message(shop):
    event = make.event("feedback", kind="feedback", props={"text": "It fails", "contact_email": "a@example.com"})
    make.counted(shop, [event])
    make.counted(shop, [event])
    assert Message.objects.get().text == "It fails"
    assert not RollupMinute.objects.exists()


def test_the_ledger_adds_up(shop):
    """received = accepted + duplicate + what the door left out, to the last event."""
    events = crowd(300, seed=5)
    make.batch(shop, events, Parsed([], {("use", "filtered", "not_used"): 7, ("error", "invalid", "no_object"): 2}))
    again = make.batch(shop, events[:50], digest=b"d")
    drain.run()
    make.batch(shop, events[:50], batch_id=again.batch_id, digest=b"d")
    drain.run()
    assert outcomes() == 300 + 9 + 50 + 50
    assert outcomes(outcome="accepted") == 300 == seen()
    assert outcomes(outcome="duplicate") == 100
    assert outcomes(outcome__in=["filtered", "invalid"]) == 9
    assert sums(RollupMinute)["n"] == sum(e.n for e in events)


def test_events_of_a_deleted_product_go_nowhere(tienda):
    product = make.product(tienda, "Gone")
    make.batch(product, [make.event()])
    product.delete()
    assert drain.run() == 0
    assert not Inbox.objects.exists()
    assert not RollupMinute.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "broken",
    [
        {"name": "a\x00b"},
        {"user": "\x00"},
        {"props": {"text": "\x00"}},
        {"n": "many"},
        {"at": 4e9},
        {"id": "not an id"},
    ],
)
def test_poison_goes_to_quarantine_and_neighbours_are_counted(shop, broken):
    make.batch(shop, [make.event()])
    poison = make.batch(shop, [make.event(**broken)])
    make.batch(shop, [make.event()])
    assert drain.run() == 2
    for tries in range(2, drain.TRIES + 1):
        Inbox.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        assert drain.run() == 0
        assert Inbox.objects.get().attempts == tries
    assert drain.set_aside() == 0  # its last try may still be running
    Inbox.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert drain.run() == 0
    assert drain.set_aside() == 1
    kept = Quarantine.objects.get()
    assert (kept.batch_id, bytes(kept.body)) == (poison.batch_id, bytes(poison.body))
    assert kept.error
    assert not Inbox.objects.exists()
    assert sums(RollupMinute)["n"] == 2


@pytest.mark.parametrize("at", [0.0, 0.123456, 59.9999999])
def test_kept_moments_are_exact_to_the_microsecond(shop, at):
    at += 60 * (timezone.now().timestamp() // 60 - 60)
    make.counted(shop, [make.event(at=at)])
    assert abs(kept()[0].at - at) < 1e-6


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("event", [{"id": "abc"}, {"id": "zz" * 16}, {"id": "ab"}, {"customer": "a\0b"}])
def test_an_event_no_column_holds_is_poison(shop, event):
    make.batch(shop, [make.event()])
    make.batch(shop, [make.event(**event)])
    assert drain.run() == 1
    assert Inbox.objects.get().error
    assert sums(RollupMinute)["n"] == len(kept()) == 1


@pytest.mark.django_db(transaction=True)
def test_whatever_error_a_batch_raises_stays_alone(shop, monkeypatch):
    """Also one that nobody thought of."""
    real = drain.settle

    def broken(cursor, product, events):
        if any(event.name == "odd" for event in events):
            raise AttributeError("odd")
        return real(cursor, product, events)

    monkeypatch.setattr(drain, "settle", broken)
    for name in ("pay", "odd", "pay"):
        make.batch(shop, [make.event(name)])
    assert drain.run() == 2
    assert Inbox.objects.get().error == "AttributeError: odd"


def test_a_users_bad_events_beyond_32_bits(shop):
    make.counted(shop, [make.event(user="u", n=10**6, bad=10**6) for _number in range(2_200)])
    make.counted(shop, [make.event(user="u", bad=1)])
    assert UserDay.objects.get().bad == 2_200 * 10**6 + 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("body", [b"", b"{", b'{"events": 3, "outcomes": []}', b'{"events": [[1]], "outcomes": []}', b"{}"])
def test_a_body_that_cannot_be_read_is_poison_too(shop, body):
    make.batch(shop, [make.event()])
    make.batch(shop, [], body=body)
    assert drain.run() == 1
    assert Inbox.objects.get().error


def test_a_dead_workers_lease_runs_out(shop):
    make.batch(shop, [make.event()])
    assert len(drain._claim(shop.pk, uuid4())) == 1
    assert drain.run() == 0  # leased by somebody who is dead
    Inbox.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert drain.run() == 1


def test_a_worker_that_lost_its_lease_counts_nothing(shop):
    make.batch(shop, [make.event()])
    lease = uuid4()
    [part] = drain._parts(shop.pk, drain._claim(shop.pk, lease))
    Inbox.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert drain.run() == 1
    assert drain.count(lease, part) == 0
    assert sums(RollupMinute)["n"] == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_drains_count_each_event_once(shop):
    events = crowd(2000, seed=6)
    for start in range(0, 2000, 10):
        # Each batch repeats some events of the one before.
        make.batch(shop, events[max(0, start - 3) : start + 10])
    drained = together(*[drain.run] * 4)
    assert sum(drained) == 2000
    assert seen() == len(kept()) == 2000
    assert outcomes(outcome="accepted") == 2000
    assert outcomes(outcome="duplicate") == 199 * 3
    wanted = recount(events)
    totals = {name: sum(row[name] for row in wanted.values()) for name in next(iter(wanted.values()))}
    assert sums(RollupMinute) == pytest.approx(totals)
    assert sums(RollupHour) == pytest.approx(totals)
    assert sum(UserDay.objects.values_list("bad", flat=True)) == sum(e.bad for e in events if e.user)


@pytest.mark.django_db(transaction=True)
def test_concurrent_drains_of_the_same_event_count_it_once(shop):
    event = make.event()
    for _number in range(8):
        make.batch(shop, [event], body=orjson.dumps({"events": [event[:]], "outcomes": []}))
    assert sum(together(*[drain.run] * 4)) == 1
    assert sums(RollupMinute)["n"] == 1


def test_in_a_spike_everything_is_counted_and_nothing_kept(shop):
    make.counted(shop, [make.event()])
    Limit.objects.create(product=shop, spike_since=timezone.now())
    make.batch(shop, [make.event() for _number in range(9)])
    assert drain.run() == 9
    assert sums(RollupMinute)["n"] == 10
    assert len(kept()) == 1
    told = dict(Outcome.objects.filter(product_id=shop.pk).values_list("reason", "n"))
    assert told == {"": 1, "spike": 9}
    Limit.objects.update(spike_since=None)
    make.counted(shop, [make.event()])
    assert len(kept()) == 2


def test_made_up_customers_fill_no_table(shop, monkeypatch):
    monkeypatch.setattr(names, "CUSTOMERS", 3)
    monkeypatch.setattr(names, "_room", {})
    for number in range(4):
        make.counted(shop, [make.event("pay", customer=f"c{number}-{n}") for n in range(2)])
    make.counted(shop, [make.event("pay", customer="c0-1")])
    assert sorted(Account.objects.values_list("external_id", flat=True)) == ["c0-0", "c0-1", "c1-0"]
    assert sums(RollupHour)["n"] == 9
    assert CustomerDay.objects.filter(customer="c0-1").aggregate(n=Sum("uses"))["n"] == 2


def test_the_little_that_waits_is_left_to_the_drain_at_work(shop):
    """Two that count little add to the same rows, and wait for each other."""
    make.batch(shop, [make.event("pay")])
    assert len(drain._claim(shop.pk, uuid4())) == 1
    make.batch(shop, [make.event("pay")])
    assert drain.run(1) == 0
    Inbox.objects.filter(lease=None).update(received_at=timezone.now() - timedelta(seconds=2))
    assert drain.run(1) == 1, "it waited long enough: the other one may be dead"


def test_much_that_waits_is_not_left_to_it(shop, monkeypatch):
    monkeypatch.setattr(drain, "LITTLE", 3)
    make.batch(shop, [make.event("pay")])
    assert len(drain._claim(shop.pk, uuid4())) == 1
    make.batch(shop, [make.event("pay") for _number in range(3)])
    assert drain.run(1) == 3
