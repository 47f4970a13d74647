"""A signal is judged as people set it; what that would have changed is told first; each change has a name on it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from activity.models import Event
from incidents import attending
from metrics import replaying, tuning, watching
from metrics.models import Judgement, Regression, Signal
from tests import make

from .conftest import traffic

pytestmark = pytest.mark.usefixtures("days")

NOW = timezone.now().replace(second=0, microsecond=0)
BEGAN = NOW - timedelta(minutes=20)


@pytest.fixture
def release(shop):
    """Half as many failures again, beside the old release."""
    make.release(shop, "1.0", at=BEGAN - timedelta(days=9))
    release = make.release(shop, "2.0", at=BEGAN, percentage=50)
    traffic(shop, "1.0", BEGAN, 20, 0.10, per_minute=600)
    traffic(shop, "2.0", BEGAN, 20, 0.19, per_minute=600)
    return release


@pytest.fixture
def signal(release):
    return Signal.objects.get(kind="use")


def verdict(release):
    found = watching.judge(release, "production", NOW)
    assert found
    return found.verdict


def test_a_wider_margin_tolerates_more(release, signal, alice):
    assert verdict(release) == "regressed"
    signal.tune(alice, margin=0.9)
    assert verdict(release) != "regressed"
    assert not Regression.objects.filter(is_active=True).exists()
    (trace,) = [t for t in release.verdicts.get().trace if t["measure"] == "failure_rate"]
    assert trace["margin"] == 0.9


def test_with_fewer_uses_than_wanted_nothing_is_said(release, signal, alice):
    signal.tune(alice, fewest=50_000)
    assert verdict(release) == "not_enough"
    (trace,) = [t for t in release.verdicts.get().trace if t["measure"] == "failure_rate"]
    assert (trace["status"], trace["needed"]) == ("not_enough", 50_000 - trace["n_new"])
    assert [each.wrong for each in replaying.replay(Judgement.objects.get())] == [{}] * len(release.verdicts.get().trace)


def test_muted_it_is_shown_but_makes_no_release_bad(release, signal, alice):
    signal.tune(alice, muted_until=NOW + timedelta(days=1))
    assert verdict(release) != "regressed"
    assert attending.open_incidents(NOW) == 0
    (trace,) = [t for t in release.verdicts.get().trace if t["measure"] == "failure_rate"]
    assert trace["status"] == "worse"
    signal.tune(alice, muted_until=NOW - timedelta(minutes=1))
    assert verdict(release) == "regressed"
    assert attending.open_incidents(NOW) == 1


def test_each_change_has_a_name_and_no_change_has_none(signal, alice):
    assert signal.tune(alice, margin=0.3, fewest=None) is not None
    assert signal.tune(alice, margin=0.3) is None
    event = Event.objects.get(verb="signal.tuned")
    assert (event.by, event.detail) == (alice, {"before": {"margin": None}, "after": {"margin": 0.3}})


@pytest.mark.parametrize("given", [{"margin": -0.1}, {"margin": 0.91}, {"volume_worse": 2}, {"fewest": -1}])
def test_what_cannot_be_is_refused_and_nothing_is_kept(given, signal, alice):
    with pytest.raises(ValidationError):
        signal.tune(alice, **given)
    again = Signal.objects.get(pk=signal.pk)
    assert (again.margin, again.fewest, again.volume_worse) == (None, None, -1)
    assert not Event.objects.filter(verb="signal.tuned").exists()


def test_the_preview_asks_earlier_verdicts(release, signal):
    verdict(release)
    found = tuning.preview(signal, 0.9, None, -1)
    assert (found.asked, [(c.trace["measure"], c.is_worse) for c in found.changes]) == (1, [("failure_rate", False)])
    assert tuning.preview(signal, None, None, -1).changes == []
    assert tuning.preview(signal, None, 50_000, -1).changes
    other = Signal.objects.create(product=signal.product, kind="use", name="never")
    assert tuning.preview(other, 0.5, None, 1).asked == 0


def test_the_same_over_the_api(release, signal, client, alice):
    token = make.token(alice, release.product.workspace)

    def ask(method, path, wanted, body=None):
        answer = client.generic(
            method, f"/api/v1/{path}", json.dumps(body) if body is not None else "",
            content_type="application/json", headers={"Authorization": f"Bearer {token}"},
        )  # fmt: skip
        assert answer.status_code == wanted, answer.content
        return answer.json()

    listed = ask("GET", "signals", 200)["results"]
    assert [(row["kind"], row["name"]) for row in listed] == [("use", "checkout")]
    path = f"signals/{signal.pk}"
    assert ask("PATCH", path, 200, {"margin": 0.25, "volume_worse": 1})["margin"] == 0.25
    assert ask("GET", path, 200)["volume_worse"] == 1
    assert ask("PATCH", path, 200, {"margin": None})["margin"] is None
    for bad in ({"margin": 1}, {"margin": -1}, {"fewest": 0}, {"volume_worse": 7}, {"name": "x"}, {"muted_until": "soon"}):
        assert ask("PATCH", path, 400, bad)["errors"]
    assert Event.objects.filter(verb="signal.tuned").count() == 2


def test_the_form_saves_and_the_preview_tells(release, signal, client, alice):
    verdict(release)
    client.force_login(alice)
    base = f"/w/{release.product.workspace.slug}/releases/signals/{signal.pk}"
    assert "not told" in client.get(f"{base}/preview/?margin=90&volume_worse=-1").content.decode()
    assert "nothing would be told otherwise" in client.get(f"{base}/preview/?volume_worse=-1").content.decode()
    assert client.get(f"{base}/preview/?margin=x").status_code == 200
    answer = client.post(f"{base}/tune/", {"margin": "30", "volume_worse": "1", "mute": "7", "fewest": ""})
    assert answer.status_code == 302
    signal.refresh_from_db()
    assert (signal.margin, signal.volume_worse, signal.fewest) == (0.3, 1, None)
    assert timedelta(days=6) < signal.muted_until - NOW < timedelta(days=8)
    page = client.get(f"/w/{release.product.workspace.slug}/releases/{release.pk}/signals/{signal.pk}/failure_rate/")
    assert "Muted until" in page.content.decode()
    assert "margin – → 30" in page.content.decode()
    for bad in ({"margin": "91"}, {"margin": "-1"}, {"fewest": "0"}, {"volume_worse": "5"}, {"mute": "2"}):
        told = client.post(f"{base}/tune/", {"volume_worse": "-1", "mute": "", **bad})
        assert (told.status_code, b"error-text" in told.content) == (200, True), bad
