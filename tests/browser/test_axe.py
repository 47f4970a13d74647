"""Every screen, light and dark, against the rules of WCAG 2.2 AA."""

from __future__ import annotations

from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone

from feedback.models import Silence
from incidents import attending
from incidents.models import Report
from metrics import confusing, watching
from tests import make

pytestmark = pytest.mark.browser

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


@pytest.fixture
def full(tienda, shop, carol, bob):
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
        f"{base}/triage/2/decline/",
        f"{base}/complaints/",
        f"{base}/complaints/{complaint.pk}/",
        f"{base}/customers/",
        f"{base}/customers/{customer.pk}/",
        f"{base}/customers/silent/",
        f"{base}/releases/{new.pk}/confusion/",
        f"{base}/releases/{new.pk}/touch/",
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
