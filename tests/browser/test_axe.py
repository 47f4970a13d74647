"""Every screen, light and dark, against the rules of WCAG 2.2 AA."""

from __future__ import annotations

from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone

from activity.models import record
from feedback.models import Silence
from incidents import attending, notifying
from incidents.models import ActionItem, Incident, Link, Report, Review, Suggestion, Update, UpdateKind
from metrics import confusing, watching
from productops.health import watch_room
from tests import make

pytestmark = pytest.mark.browser

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


def _work(workspace, incident, release, carol, alice) -> None:
    """What people and the hub made of it: words, links, a suggestion, a review, a call, notices."""
    now = timezone.now()
    for kind in UpdateKind.values:
        Update.objects.say(incident, carol, f"About {kind}, @Alice.", kind)
    event = Update.objects.comment(incident, carol, "Read this first.")
    record(workspace, "incident.pinned", incident, carol, entry=event.pk)
    incident.accept(carol)
    other = make.incident(workspace, "Seen before", by=carol)
    other.accept(carol)
    other.resolve(carol, None)
    review = Review.objects.begin(other, carol, "- It broke.")
    ActionItem.objects.add(review, carol, "Limit it", carol, release, now.date())
    ActionItem.objects.add(review, carol, "Tell support", carol).settle(carol, "dropped", "They know.")
    Link.objects.link(incident, other, "caused_by", carol)
    third = make.incident(workspace, "About the same", by=carol)
    why = {"rule": "likeness", "version": 1, "matched": {"text": 0.5, "time": 0.1}}
    Suggestion.objects.create(incident=incident, other=third, score=0.6, why=why)
    long_ago = now - timedelta(days=9)
    Incident.objects.filter(pk=incident.pk).update(
        severity="critical", asked_at=now, due_at=long_ago, risk_at=long_ago, due_kind="resolve"
    )
    release.call(carol, "watch", "Let us see.", watch_room.load(release, now).evidence)
    while notifying.notify(now + notifying.WEIGHING):
        pass


@pytest.fixture
def full(tienda, shop, carol, bob, alice):
    """A workspace in which every screen has something to show; its addresses."""
    now = timezone.now()
    old = make.release(shop, "1.0", at=now - timedelta(hours=3))
    new = make.release(shop, "1.1", at=now - timedelta(minutes=30), percentage=50)
    events = [
        make.event(
            release=version,
            at=(now - timedelta(seconds=30 + at * 3)).timestamp(),
            bad=int(at % every == 0),
            user=f"u{at % 97}",
            customer=f"c{at % 20}",
            plan="Free" if at % 2 else "Team",
            value=100.0 + at % 50,
            feature="Checkout",
        )
        for version, every in (("1.0", 25), ("1.1", 5))
        for at in range(550)
    ]
    make.counted(shop, events)
    watching.judge(new, "production", now)
    attending.open_incidents(now)
    incident = make.incident(tienda, "Reported by hand", by=carol)
    incident.inform(carol, "Payments fail.", "Pay by transfer.", now.date() + timedelta(days=2))
    customer = make.customer(tienda, "Panadería Sol", external_id="c1", plan="Free", revenue=20)
    complaint = make.complaint(tienda, "No puedo pagar", customer=customer, by=bob, release=new)
    Report.objects.join(incident, complaint, bob)
    angry = [
        make.event("$rageclick", at=(now - timedelta(minutes=2, seconds=at)).timestamp(), user=f"v{at}", release="1.1",
                   customer=f"c{at % 20}", feature="Filters")
        for at in range(40)
    ]  # fmt: skip
    calm = [
        make.event(name, at=(now - timedelta(minutes=3, seconds=at)).timestamp(), user=f"{who}{at}", release="1.1",
                   customer=f"c{at % 20}", feature=feature)
        for at in range(40) for name, who, feature in (("save_filter", "v", "Filters"), ("pay", "w", "Checkout"))
    ]  # fmt: skip
    make.counted(shop, [*calm, *angry])
    confusing.look(now)
    quiet = make.customer(tienda, "Librería Sol", external_id="c2", plan="Free", revenue=30)
    told = {"code": "confusion", "feature": "Filters", "confused": 2, "sessions": 3}
    Silence.objects.create(
        workspace=tienda, product=shop, release=new, customer=quiet, reasons=[told], listed_at=now, looked_at=now
    )
    _work(tienda, incident, new, carol, alice)
    base = f"/w/{tienda.slug}"
    regression = new.regressions.get()
    return [
        f"{base}/triage/",
        f"{base}/triage/?as=list",
        f"{base}/triage/?as=board",
        f"{base}/triage/?q=severity:huge",
        f"{base}/triage/?q=is:open+severity:>=low&view=open",
        f"{base}/triage/1/",
        f"{base}/triage/1/move/",
        f"{base}/triage/1/inform/",
        f"{base}/known/",
        f"{base}/triage/views/",
        f"{base}/triage/1/customers/",
        f"{base}/triage/1/history/",
        f"{base}/triage/1/review/",
        f"{base}/triage/3/",
        f"{base}/triage/3/review/",
        f"{base}/triage/1/times/",
        f"{base}/triage/1/links/",
        f"{base}/triage/times/",
        f"{base}/triage/timers/",
        f"{base}/notices/",
        f"{base}/notices/?show=all",
        f"{base}/notices/settings/",
        f"{base}/triage/2/decline/",
        f"{base}/complaints/",
        f"{base}/complaints/{complaint.pk}/",
        f"{base}/customers/",
        f"{base}/customers/{customer.pk}/",
        f"{base}/customers/silent/",
        f"{base}/releases/{new.pk}/confusion/",
        f"{base}/releases/{new.pk}/touch/",
        f"{base}/releases/{new.pk}/watch/",
        f"{base}/log/",
        f"{base}/releases/",
        f"{base}/releases/{new.pk}/",
        f"{base}/releases/{old.pk}/",
        f"{base}/releases/{new.pk}/signals/{regression.signal_id}/{regression.measure}/",
        f"{base}/data/",
        f"{base}/people/",
        "/me/",
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_screen_breaks_a_rule(theme, full, alice, browse) -> None:
    page = browse(alice, theme=theme, bypass_csp=True)  # axe brings styles of its own
    broken = {}
    for address in full:
        answer = page.goto(address)
        page.wait_for_load_state("networkidle")
        assert answer.status == 200, address
        found = Axe().run(page, options=RULES).response["violations"]
        if found:
            broken[address] = [(v["id"], v["nodes"][0]["html"][:160]) for v in found]
    assert not broken, "\n".join(f"{address}: {what}" for address, what in broken.items())


@pytest.mark.parametrize("language", ["en", "es", "pt-br"])
def test_no_screen_is_wider_than_a_phone(language, full, alice, browse) -> None:
    page = browse(alice, phone=True, language=language)
    wide = []
    for address in full:
        page.goto(address)
        page.wait_for_load_state("networkidle")
        over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if over > 0:
            wide.append((address, over))
    assert not wide, wide
