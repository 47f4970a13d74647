"""Errors of a release by their group, from rows: counted once more under their fault, judged by the order of releases,
told on pages, opened as incidents when they are sure and nothing else tells of them."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import attending
from incidents.models import Incident
from metrics import watching, words
from metrics.models import Fault, Regression, Signal
from metrics.models.fault import FAULTS_PER_PRODUCT
from metrics.models.rollup import RollupMinute
from releases.models import Product, Release
from tests import make

from .conftest import traffic

pytestmark = pytest.mark.usefixtures("days")

NOW = timezone.now().replace(second=0, microsecond=0)
BEGAN = NOW - timedelta(minutes=20)


def errors(product: Product, version: str, many: int, group: str = "a", users: int = 500, **fields: object) -> None:
    """So many errors of one group over the last twenty minutes."""
    rng = random.Random(f"{version}{group}")
    props = {
        "group": group * 32, "group_version": 1, "type": "TypeError", "value": f"{group} is undefined",
        "culprit": "cart.js in pay", "frames": [{"filename": "cart.js", "function": "pay", "lineno": 7}],
    }  # fmt: skip
    make.counted(product, [
        make.event(
            "errors", kind="error", release=version, bad=1, props=props,
            **{
                "at": BEGAN.timestamp() + 1190 * rng.random(), "user": f"u{rng.randrange(users)}",
                "customer": f"c{rng.randrange(40)}", **fields,
            },
        )
        for _number in range(many)
    ])  # fmt: skip


@pytest.fixture
def new(shop: Product) -> Release:
    """A release that took over twenty minutes ago; as good as the one before."""
    make.release(shop, "1.0", at=BEGAN - timedelta(days=9))
    release = make.release(shop, "2.0", at=BEGAN, percentage=50)
    traffic(shop, "1.0", BEGAN, 20, 0.02)
    traffic(shop, "2.0", BEGAN, 20, 0.02)
    return release


def judged(release: Release):
    verdict = watching.judge(release, "production", NOW)
    assert verdict
    return verdict


def test_a_fault_is_made_of_its_first_error(shop, new):
    errors(shop, "2.0", 3)
    errors(shop, "2.0", 4)
    fault = Fault.objects.get()
    assert (str(fault), fault.culprit, fault.group_version) == ("TypeError: a is undefined", "cart.js in pay", 1)
    assert fault.frames == [{"filename": "cart.js", "function": "pay", "lineno": 7}]
    assert (fault.signal.kind, fault.signal.name) == ("fault", "a" * 32)
    assert sum(RollupMinute.objects.filter(signal_id=fault.pk, slice="").values_list("bad", flat=True)) == 7
    whole = Signal.objects.get(kind="error", name="errors")
    assert sum(RollupMinute.objects.filter(signal_id=whole.pk, slice="").values_list("n", flat=True)) == 7


def test_a_new_fault_is_found_and_opens_an_incident(shop, new):
    errors(shop, "2.0", 25)
    verdict = judged(new)
    assert verdict.verdict == "watch"
    (told,) = verdict.faults
    assert (told["state"], told["status"], told["name"]) == ("new", "worse", "TypeError: a is undefined")
    assert told["n_old"] > 7_000
    assert attending.open_incidents(NOW) == 1
    incident = Incident.objects.get()
    assert incident.headline == "New in 2.0: TypeError: a is undefined"
    assert incident.ledger.silent > 5
    assert (incident.ledger.share or 0) < 0.01  # of the uses, not of the errors
    assert incident.severity != "critical"
    assert "Never before" in words.sentence(told, "2.0")


def test_one_that_hits_many_uses_makes_the_release_bad(shop, new):
    errors(shop, "1.0", 2, "b")
    errors(shop, "2.0", 300, "b")
    verdict = judged(new)
    assert verdict.verdict == "regressed"
    assert verdict.faults[0]["state"] == "escalating"


def test_a_known_fault_as_frequent_as_before_is_not_told(shop, new):
    errors(shop, "1.0", 30)
    errors(shop, "2.0", 30)
    verdict = judged(new)
    assert [told["status"] for told in verdict.faults] == ["same"]
    assert not Regression.objects.exists()


def test_an_old_clients_error_is_nobodys_but_its_own(shop, new):
    errors(shop, "1.0", 200)
    assert judged(new).faults == []


def test_another_environment_does_not_count(shop, new):
    errors(shop, "2.0", 200, environment="staging")
    assert judged(new).faults == []


def test_one_user_who_meets_it_all_the_time_opens_nothing(shop, new):
    errors(shop, "2.0", 60, users=1)
    assert judged(new).faults[0]["status"] == "not_enough"
    assert attending.open_incidents(NOW) == 0


def test_a_fault_that_was_gone_comes_back(shop, new):
    first = make.release(shop, "0.9", at=BEGAN - timedelta(days=30))
    errors(shop, first.version, 20, at=(BEGAN - timedelta(days=20)).timestamp())
    errors(shop, "2.0", 25)
    (told,) = judged(new).faults
    assert (told["state"], told["status"]) == ("back", "worse")
    assert words.title(told, "2.0") == "Back in 2.0: TypeError: a is undefined"


def test_a_release_that_is_worse_anyway_opens_no_second_incident(shop):
    make.release(shop, "1.0", at=BEGAN - timedelta(days=9))
    release = make.release(shop, "2.0", at=BEGAN, percentage=50)
    traffic(shop, "1.0", BEGAN, 20, 0.03)
    traffic(shop, "2.0", BEGAN, 20, 0.20)
    errors(shop, "2.0", 40)
    judged(release)
    kinds = set(Regression.objects.values_list("signal__kind", flat=True))
    assert "fault" in kinds
    attending.open_incidents(NOW)
    assert not Incident.objects.filter(signal__kind="fault").exists()
    assert Incident.objects.filter(signal__kind="use").count() == 1


def test_beyond_the_bound_errors_count_for_no_fault(shop, new, monkeypatch):
    assert FAULTS_PER_PRODUCT == 1_000
    monkeypatch.setattr("metrics.counting.names.FAULTS_PER_PRODUCT", 2)
    for group in "abcd":
        errors(shop, "2.0", 2, group)
    assert Fault.objects.count() == 2
    whole = Signal.objects.get(kind="error", name="errors")
    assert sum(RollupMinute.objects.filter(signal_id=whole.pk, slice="").values_list("n", flat=True)) == 8


@pytest.mark.parametrize("props", [{"group": "x" * 500}, {"group": 7}, {"group": "A" * 32}, {}, {"group": ["a" * 32]}])
def test_what_is_no_group_makes_no_fault(shop, new, props):
    make.counted(shop, [make.event("errors", kind="error", release="2.0", bad=1, props=props)])
    assert not Fault.objects.exists()
    assert Signal.objects.filter(kind="error").count() == 1


def test_the_health_page_and_the_faults_page_tell_of_it(shop, new, client, alice):
    errors(shop, "2.0", 25)
    judged(new)
    client.force_login(alice)
    page = client.get(f"/w/{shop.workspace.slug}/releases/{new.pk}/")
    fault = Fault.objects.get()
    assert f"/releases/errors/{fault.pk}/" in page.content.decode()
    told = client.get(f"/w/{shop.workspace.slug}/releases/errors/{fault.pk}/").content.decode()
    assert all(text in told for text in ("TypeError: a is undefined", "cart.js in pay", "cart.js:7", "25 errors", "2.0"))
    assert client.get(f"/w/{shop.workspace.slug}/releases/errors/{fault.pk + 999}/").status_code == 404
    use = Signal.objects.get(kind="use")
    assert client.get(f"/w/{shop.workspace.slug}/releases/errors/{use.pk}/").status_code == 404
