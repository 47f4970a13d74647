"""A workspace in which everything there is exists, `n` times over, with every text from outside as one likes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from django.utils import timezone

from accounts.models import ApiToken, Invitation, Membership, Role, User, Workspace
from activity.models import Event as Activity
from feedback.models import Complaint, Contact, Customer, Silence
from incidents import attending, bulk, ledger, notifying
from incidents.models import (
    ActionItem,
    Incident,
    Link,
    Report,
    Review,
    SavedView,
    Suggestion,
    Update,
    acts,
)  # fmt: skip
from metrics import replaying
from metrics.detection.asking import Question
from metrics.detection.evidence import Side
from metrics.intake.event import Event
from metrics.intake.inbox import hour_of
from metrics.models import (
    Backtest,
    Confusion,
    FeatureDay,
    IngestKey,
    Judgement,
    Outcome,
    Quarantine,
    Refusal,
    Regression,
    SessionDay,
    Signal,
    Verdict,
)
from notices.models import Watch, Watching
from productops.health import watch_room
from releases.models import Feature, Product, Release
from tests import make

#: (what it is, which one, how long it may be) -> the text.
Say = Callable[[str, int, int], str]


def plainly(what: str, i: int, limit: int) -> str:
    return f"canary {what} {i}"[:limit]


@dataclass
class World:
    workspace: Workspace
    product: Product
    key: IngestKey
    people: dict[str, User]
    removed: User
    invitation_text: str = ""
    invitations: list[Invitation] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    features: list[Feature] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    faults: list[Signal] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    backtests: list[Backtest] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    batches: list[UUID] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    suggestions: list[Suggestion] = field(default_factory=list)
    actions: list[ActionItem] = field(default_factory=list)
    saved_views: list[SavedView] = field(default_factory=list)
    customers: list[Customer] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)
    quarantine: list[Quarantine] = field(default_factory=list)
    tokens: list[ApiToken] = field(default_factory=list)

    @property
    def owner(self) -> User:
        return self.people["owner"]

    def membership(self, role: str) -> Membership:
        return Membership.objects.get(workspace=self.workspace, user=self.people[role])

    def decision(self, incident: Incident) -> Activity:
        """The newest event of an incident that can be undone."""
        return Activity.objects.about(incident).exclude(by=None).filter(detail__has_key="before").order_by("-id")[0]


def build(n: int = 1, say: Say = plainly, name: str = "Tienda") -> World:
    owner = make.user(f"owner-{uuid4().hex[:8]}@example.com", name=say("owner", 0, 80))
    workspace = Workspace.objects.found(name, owner)
    workspace.name = say("workspace", 0, 80)
    workspace.save()
    product = Product.objects.found(workspace, name)
    product.name = say("product", 0, 80)
    product.save()
    people = {"owner": owner}
    for role in Role.values[1:]:
        people[role] = make.member(workspace, role, f"{role}-{uuid4().hex[:8]}@example.com", name=say(role, 0, 80))
    removed = make.member(workspace, "manager", f"removed-{uuid4().hex[:8]}@example.com")
    Membership.objects.get(user=removed).remove()
    world = World(workspace, product, IngestKey.current(product), people, removed)
    grow(world, n, say)
    return world


def grow(world: World, n: int, say: Say = plainly) -> None:
    """`n` more of everything."""
    start = len(world.releases)
    for i in range(start, start + n):
        _ship(world, i, say)
    _use(world, start, n, say)
    for i in range(start, start + n):
        _say(world, i, say)
        _work(world, i, say)
        _receive(world, i, say)
        _people(world, i, say)


def _ship(world: World, i: int, say: Say) -> None:
    now = timezone.now()
    world.features.append(Feature.objects.create(product=world.product, name=say("feature", i, 80)))
    release = make.release(
        world.product,
        say("version", i, 120),
        now - timedelta(minutes=90 - i % 60),
        environment="production",
        percentage=50,
    )
    release.deploy(say("environment", i, 40), 10, at=now - timedelta(minutes=20))
    world.releases.append(release)
    name = say("signal", i, 100)
    world.signals.append(
        Signal.objects.create(product=world.product, kind="use", name=name, feature=world.features[-1])
    )


def _use(world: World, start: int, n: int, say: Say) -> None:
    """Events of everything, counted."""
    now = timezone.now().timestamp()
    events = []
    for i in range(start, start + n):
        for k in range(12):
            events.append(
                make.event(
                    world.signals[i].name,
                    release=world.releases[i].version,
                    at=now - 600 - k * 300,
                    customer=say("external", i, 120),
                    user=say("user", i, 120),
                    plan=say("plan", i, 40),
                    platform=say("platform", i, 40),
                    feature=world.features[i].name,
                    bad=k % 2,
                    value=120.0 + k,
                )
            )
        events.append(_error(world, i, now - 600, say))
    make.counted(world.product, events)
    world.faults = list(Signal.objects.filter(product=world.product, kind="fault").order_by("pk"))


def _error(world: World, i: int, at: float, say: Say) -> Event:
    place = {"filename": say("file", i, 200), "function": say("function", i, 120), "lineno": 7}
    props = {
        "group": f"{i:032x}", "group_version": 1, "type": say("type", i, 200), "value": say("value", i, 2000),
        "culprit": say("culprit", i, 400), "frames": [place],
    }  # fmt: skip
    return make.event(
        "errors", kind="error", release=world.releases[i].version, at=at, customer=say("external", i, 120), bad=1,
        platform=say("platform", i, 40), feature=world.features[i].name, props=props,
    )  # fmt: skip


def _say(world: World, i: int, say: Say) -> None:
    customer = Customer.objects.create(
        workspace=world.workspace,
        external_id=say("external", i, 120),
        name=say("customer", i, 120),
        domain=say("domain", i, 120),
        plan=say("plan", i, 40),
        revenue=100 + i,
        currency="EUR",
        owner=world.owner,
    )
    Contact.objects.create(customer=customer, name=say("contact", i, 120), email=f"contact{i}@example.com")
    world.customers.append(customer)
    world.complaints.append(
        Complaint.objects.log(
            world.workspace,
            say("complaint", i, 10_000),
            world.people["agent"],
            customer,
            product=world.product,
            feature=world.features[i],
            release=world.releases[i],
            is_churn_risk=True,
            contact_name=say("contact", i, 120),
            contact_email=f"contact{i}@example.com",
        )
    )


def _work(world: World, i: int, say: Say) -> None:
    now, release, signal = timezone.now(), world.releases[i], world.signals[i]
    trace = make.evidence(signal=signal.pk, name=signal.name, feature=say("feature", i, 80))
    trace["slice"] = f"plan={say('plan', i, 40)}"
    trace["places"] = [{"name": trace["slice"], "share": 0.9, "traffic": 0.2}]
    regression = Regression.objects.create(
        release=release,
        environment="production",
        signal=signal,
        measure="failure_rate",
        evidence=trace,
        slice=trace["slice"][:60],
        data_up_to=now,
        started_at=now - timedelta(hours=1),
    )
    quiet = {**trace, "measure": "volume", "status": "not_enough", "n_new": 3.0, "needed": 10.0}
    fault = {
        **trace, "signal": world.faults[i].pk, "name": say("fault", i, 160), "kind": "fault", "state": "new",
        "measure": "error_rate", "method": "faults", "started_at": now.isoformat(),
    }  # fmt: skip
    Verdict.objects.create(
        release=release,
        environment="production",
        verdict="regressed",
        reasons={"worse": 1, "not_enough": 1},
        trace=[trace, quiet],
        faults=[fault],
        share=0.5,
        data_up_to=now,
    )
    asked = Question("concurrent_rate", {"old": _side(5), "new": _side(9), "signals": 1})
    answer = asdict(asked.answer())
    verdict = Verdict.objects.get(release=release)
    verdict.trace = [{**answer, "signal": signal.pk, "name": signal.name, "kind": "use", "state": "", "places": []}]
    verdict.faults = []
    replaying.keep(verdict, None, [asked, Question("faults", {"seen": []})], now)
    world.judgements.append(Judgement.objects.get(release=release))
    flag = {**trace, "after_min": 30.0, "is_flag": True, "with": False}
    told_of = {"began": now.isoformat(), "measures": 9, "flags": [flag]}
    result = {"releases": [{"pk": release.pk, "version": release.version, **told_of}], "quiet": [told_of]}
    name = say("backtest", i, 200)
    backtest = Backtest.objects.create(product=world.product, by=world.owner, name=name, done_at=now, margin=0.3, result=result)
    world.backtests.append(backtest)
    _miss(world, i, say)
    attending.open_incidents(now)
    found = Incident.objects.get(regression=regression)
    told = Incident.objects.report(
        world.workspace,
        say("incident", i, 200),
        world.owner,
        product=world.product,
        feature=world.features[i],
        release=release,
    )
    told.assign(world.owner, world.people["pm"])
    told.inform(world.owner, say("wording", i, 600), say("workaround", i, 600))
    Update.objects.comment(told, world.people["pm"], say("comment", i, 20_000))
    Report.objects.join(told, world.complaints[i], world.people["agent"])
    for incident in (found, told):
        ledger.weigh(incident, now)
        incident.refresh_from_db()
    outcome = bulk.act(world.workspace, world.owner, acts.set_severity("high", say("reason", i, 200)), [told.number])
    assert outcome.batch
    world.batches.append(outcome.batch)
    world.incidents += [told, found]
    _learn(world, i, say)
    view = SavedView.objects.save_as(
        world.workspace, world.owner, say("view", i, 60), "is:open", "inbox", is_shared=True
    )
    world.saved_views.append(view)


def _learn(world: World, i: int, say: Say) -> None:
    """What comes of an incident: what was said, its links, its review, and who was told."""
    told, found, pm, now = world.incidents[-2], world.incidents[-1], world.people["pm"], timezone.now()
    for kind in ("internal", "customers", "seen"):
        Update.objects.say(told, pm, say(kind, i, 20_000), kind)
    world.links.append(Link.objects.link(told, found, "caused_by", pm)[0])
    why = {"rule": "likeness", "version": 1, "matched": {"text": 0.5}}
    world.suggestions.append(Suggestion.objects.create(incident=told, other=found, score=0.5, why=why))
    Incident.objects.filter(pk=told.pk).update(resolved_at=now, asked_at=now)
    told.refresh_from_db()
    review = Review.objects.begin(told, pm, say("story", i, 20_000))
    review.write(pm, say("story", i, 20_000), say("cause", i, 20_000), say("learned", i, 20_000), False, None)
    world.actions.append(ActionItem.objects.add(review, pm, say("action", i, 200), world.owner, world.releases[i]))
    world.releases[i].call(pm, "watch", say("call", i, 500), watch_room.load(world.releases[i], now).evidence)
    for release in world.releases:
        Watch.objects.set(world.workspace, world.owner, release, Watching.WATCHING)
    while notifying.notify(now + notifying.WEIGHING):
        pass


def _miss(world: World, i: int, say: Say) -> None:
    """A feature that is not understood, and a customer who says nothing."""
    now, release, feature = timezone.now(), world.releases[i], world.features[i]
    share = {"value": 0.5, "low": 0.4, "high": 0.6}
    numbers = {"feature": feature.name, "share": share, "others": share, "sessions": 40}
    world.confusions.append(
        Confusion.objects.create(release=release, environment="production", feature=feature, numbers=numbers)
    )
    place = {"product_id": world.product.pk, "day": now.date(), "feature_id": feature.pk, "release_id": release.pk}
    FeatureDay.objects.create(
        **place, environment="production", customer=say("external", i, 120), sessions=40, users=3, confused=20, rage=20
    )
    SessionDay.objects.get_or_create(product=world.product, day=now.date(), defaults={"read_at": now, "every": 2})
    reasons = [
        {"code": "errors", "signal": say("signal", i, 100), "failures": 5, "uses": 9, "usual": 0.1},
        {"code": "confusion", "feature": say("feature", i, 80), "confused": 2, "sessions": 3},
        {"code": "drop", "uses": 3, "usual": 12.5, "days": 4},
    ]
    world.silences.append(
        Silence.objects.create(
            workspace=world.workspace, product=world.product, release=release, customer=world.customers[i],
            reasons=reasons, listed_at=now, looked_at=now,
        )
    )  # fmt: skip


def _side(bad: int) -> Side:
    return Side(np.full(20, 100.0), np.full(20, float(bad)))


def _receive(world: World, i: int, say: Say) -> None:
    now = timezone.now()
    world.quarantine.append(
        Quarantine.objects.create(
            batch_id=uuid4(),
            product=world.product,
            protocol="sentry",
            events=1,
            body=b'{"events":[],"outcomes":[]}',
            received_at=now,
            error=say("error", i, 200),
        )
    )
    Refusal.objects.create(
        product_id=world.product.pk,
        at=now,
        protocol="sentry",
        status=400,
        reason=say("reason", i, 60),
        detail=say("detail", i, 300),
        client="0" * 16,
    )
    Outcome.objects.get_or_create(
        product_id=world.product.pk,
        hour=hour_of(now),
        protocol="sentry",
        category="use",
        outcome="invalid",
        reason=say("reason", i, 60),
        defaults={"n": 1},
    )


def _people(world: World, i: int, say: Say) -> None:
    invitation, text = Invitation.objects.send(
        world.workspace, f"invited{i}-{uuid4().hex[:6]}@example.com", "agent", world.owner
    )
    world.invitations.append(invitation)
    world.invitation_text = text
    for role in world.people:
        token, _text = ApiToken.objects.issue(world.membership(role), say("token", i, 60))
        world.tokens.append(token)
    if i:
        make.member(world.workspace, "agent", name=say("agent", i, 80))


def token_of(user: User, workspace: Workspace, **fields: Any) -> str:
    """A working token's text; `fields` change the stored one."""
    token, text = ApiToken.objects.issue(Membership.objects.get(user=user, workspace=workspace), "test")
    if fields:
        ApiToken.objects.filter(pk=token.pk).update(**fields)
    return text
