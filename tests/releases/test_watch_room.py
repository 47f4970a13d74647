"""The watch room: 72 hours, what is new since the first deploy, and who called what on which evidence."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from incidents import notifying
from notices.models import Notice, Watch
from productops.health import watch_room
from releases.models import Call
from tests import make


@pytest.fixture
def release(shop):
    return make.release(shop, "2.0", at=timezone.now() - timedelta(hours=5))


def page(release, name="watch"):
    return reverse(f"releases:{name}", args=[release.product.workspace.slug, release.pk])


def test_what_is_new_since_the_first_deploy(tienda, shop, release, carol, bob, as_):
    from incidents.models import Incident

    before = make.incident(tienda, "Before", by=carol, product=shop, release=release)
    Incident.objects.filter(pk=before.pk).update(opened_at=timezone.now() - timedelta(hours=6))
    new = make.incident(tienda, "New", by=carol, product=shop, release=release)
    new.set_severity(carol, "high")
    make.incident(tienda, "Elsewhere", by=carol, product=shop, release=make.release(shop, "1.0"))
    make.complaint(tienda, by=bob, product=shop, release=release)
    room = as_(carol).get(page(release)).context["room"]
    assert room.incidents == [new]
    assert (room.severe, room.is_open, room.complaints) == (1, 1, 1)


@pytest.mark.parametrize(("hours", "left"), [(0, 72), (71, 1), (73, 0)])
def test_three_days_from_the_first_deploy(shop, hours, left):
    now = timezone.now()
    release = make.release(shop, "2.0", at=now - timedelta(hours=hours))
    assert watch_room.load(release, now).left == timedelta(hours=left)


def test_before_the_first_deploy_there_is_nothing_to_call(shop, carol, as_):
    release = make.release(shop, "3.0")
    text = as_(carol).get(page(release)).content.decode()
    assert "not deployed yet" in text
    assert "Your call" not in text


def test_a_call_keeps_the_evidence_as_it_was(tienda, shop, release, carol, as_):
    assert as_(carol).post(page(release, "call"), {"decision": "go", "reason": ""}).status_code == 302
    make.incident(tienda, "New", by=carol, product=shop, release=release).set_severity(carol, "critical")
    as_(carol).post(page(release, "call"), {"decision": "roll_back", "reason": "Payments fail."})
    calls = list(Call.objects.all())
    assert [(call.decision, call.evidence["severe"], call.by) for call in calls] == [
        ("roll_back", 1, carol), ("go", 0, carol)
    ]  # fmt: skip
    text = as_(carol).get(page(release)).content.decode()
    assert "not judged · 1 open incident, 1 severe" in text
    assert "not judged · 0 open incidents, 0 severe" in text
    assert "Payments fail." in text


@pytest.mark.parametrize("wrong", [{}, {"decision": "maybe"}, {"decision": "roll_back"}, {"decision": "go", "reason": "x" * 501}])
def test_what_is_no_call_is_not_kept(release, carol, as_, wrong):
    answer = as_(carol).post(page(release, "call"), wrong, headers={"HX-Request": "true"})
    assert answer.status_code == 400
    assert not Call.objects.exists()


def test_an_agent_looks_and_does_not_call(release, bob, as_):
    assert as_(bob).get(page(release)).status_code == 200
    assert as_(bob).post(page(release, "call"), {"decision": "go"}).status_code == 403


def test_whoever_follows_the_release_hears_of_the_call(release, carol, bob, as_):
    as_(bob).post(page(release, "follow"))
    as_(carol).post(page(release, "call"), {"decision": "roll_back", "reason": "Payments fail."})
    while notifying.notify(timezone.now()):
        pass
    notice = Notice.objects.get(user=bob)
    assert (notice.reason, notice.text, notice.is_urgent) == ("release", "Carol called: Roll back: Payments fail.", True)
    assert as_(bob).get(notice.path).status_code == 200
    as_(bob).post(page(release, "follow"))
    assert Watch.objects.get(user=bob).state == "muted"


def test_it_stays_the_same_until_something_happens(tienda, shop, release, carol, as_):
    stamp = as_(carol).get(page(release)).headers["X-Stamp"]
    assert as_(carol).get(f"{page(release)}?stamp={stamp}", headers={"HX-Request": "true"}).status_code == 204
    make.incident(tienda, "New", by=carol, product=shop, release=release)
    assert as_(carol).get(f"{page(release)}?stamp={stamp}", headers={"HX-Request": "true"}).status_code == 200
