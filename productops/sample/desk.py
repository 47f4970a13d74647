"""The people of the story at work: they log complaints and work incidents down, with the hub's own verbs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from accounts.models import User, Workspace
from feedback.models import Complaint, Contact, Customer, Silence
from incidents import ledger, notifying, reviewing, suggesting, timing
from incidents.models import ActionItem, ActionState, Incident, Report, Review, SavedView, Update
from metrics.models import Confusion, CustomerDay, Signal
from notices.models import Notice, Watch, Watching
from productops.sample import past
from productops.sample.cases import CASES, JOINED_SO_FAR, Case, Step
from productops.sample.cast import SEED, Client, Person
from productops.sample.timeline import BROKEN, BROKEN_PLAN, CHECKOUT, FILTERS, NEW_FEATURE, SEARCH
from releases.models import Feature, Product, Release

_FEATURES = {"C": CHECKOUT, "S": SEARCH, "F": FILTERS}
_KINDS = {"b": "bug", "n": "not_understood", "i": "improvement", "q": "question", "p": "praise"}
#: Customers looked after by an agent by name: the biggest.
_LOOKED_AFTER = 24
#: Silent customers that were asked.
ASKED = 14

#: How they were heard, spread over the voices.
_CHANNELS = ("chat", "chat", "email", "phone", "meeting")


@dataclass(frozen=True)
class Voice:
    days: float
    language: str
    story: str
    feature: str
    kind: str
    is_churn_risk: bool
    text: str


def voices() -> list[Voice]:
    found = []
    for line in (Path(__file__).parent / "voices.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            days, language, story, feature, kind, text = line.split("|", 5)
            risk = kind.endswith("!")
            found.append(Voice(float(days), language, story, _FEATURES.get(feature, ""), _KINDS[kind[0]], risk, text))
    return sorted(found, key=lambda voice: -voice.days)


@dataclass
class Desk:
    workspace: Workspace
    product: Product
    team: dict[str, User]
    clients: list[Client]
    now: datetime
    rng: Random = field(default_factory=lambda: Random(SEED + 1))
    incidents: dict[str, Incident] = field(default_factory=dict)
    _used: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._customers = {c.external_id: c for c in Customer.objects.of(self.workspace)}
        self._features = {f.name: f for f in Feature.objects.filter(product=self.product)}
        self._releases = {r.version: r for r in Release.objects.filter(product=self.product)}
        self._versions = {r.pk: r for r in self._releases.values()}
        self._signals: dict[str, list[int]] = {}
        for pk, feature in Signal.objects.filter(product=self.product).values_list("pk", "feature__name"):
            self._signals.setdefault(feature or "", []).append(pk)

    def look_after(self) -> None:
        """The biggest customers get somebody of their own."""
        biggest = sorted(self._customers.values(), key=lambda c: -(c.revenue or 0))[:_LOOKED_AFTER]
        for place, customer in enumerate(biggest):
            customer.owner = self.team["bob" if place % 3 else "alice"]
            customer.save(update_fields=["owner"])

    def work(self) -> int:
        """Everything people did, in the order of time; how many complaints were logged."""
        logged = 0
        cases = sorted(CASES, key=lambda case: -case.days)
        with past.at(self.now):
            for case in cases:
                if not case.release or case.release in self._releases:
                    self.incidents[case.story] = self._open(case)
        for voice in voices():
            logged += self._hear(voice)
        for case in cases:
            if incident := self.incidents.get(case.story):
                self._work(incident, case)
        return logged

    def keep_views(self) -> None:
        """The team's shared view, and one of Carol's own."""
        pm = self.team["carol"]
        silent = ("Most silent", "is:open is:silent sort:revenue", "list")
        SavedView.objects.save_as(self.workspace, pm, *silent, is_shared=True)
        SavedView.objects.save_as(self.workspace, pm, "Checkout", "is:open feature:checkout", "board")

    def join_newest(self, incident: Incident) -> None:
        """The agents' "same problem" on the planted regression; most of what was written still waits."""
        waiting = Complaint.objects.filter(
            workspace=self.workspace,
            report=None,
            release=incident.release,
            feature=incident.feature,
            kind="bug",
        ).order_by("created_at")
        for complaint in waiting[:JOINED_SO_FAR]:
            self._join(incident, complaint)
        ledger.weigh(incident, self.now)

    def ask_silent(self) -> None:
        """Bob has asked the first of those who were hit and did not write; Carol looked at what is not understood."""
        asked: set[int] = set()
        for row in Silence.objects.of(self.workspace).open().by_revenue():
            if len(asked) >= ASKED or row.customer_id in asked:
                continue
            asked.add(row.customer_id)
            confused = max(reason.get("confused", 0) for reason in row.reasons)
            silent = len(asked) % 5 == 4
            row.answer(self.team["bob"], "no_answer" if silent else "problem" if confused > 1 else "fine")
        for noted in Confusion.objects.filter(release__product=self.product, release__version=NEW_FEATURE):
            noted.answer(self.team["carol"], True)

    def _ago(self, days: float) -> datetime:
        return self.now - timedelta(days=days)

    def _open(self, case: Case) -> Incident:
        with past.at(self._ago(case.days)):
            return Incident.objects.report(
                self.workspace,
                case.title,
                self.team[case.who],
                kind=case.kind,
                product=self.product,
                feature=self._features.get(case.feature),
                release=self._releases.get(case.release),
                environment="production",
            )

    def _hear(self, voice: Voice) -> int:
        """Logs one complaint of a customer it fits; nobody is made to complain who was not hit."""
        at = self._ago(voice.days)
        person = self._who(voice, at)
        if person is None:
            return 0
        customer = self._customers[person.client.id]
        email = f"{person.id.rsplit('_', 1)[1]}@{person.client.domain}"
        Contact.objects.get_or_create(customer=customer, email=email, defaults={"name": person.name})
        complaint = Complaint.objects.log(
            self.workspace,
            voice.text,
            by=self.team["alice" if voice.language == "en" and self.rng.random() < 0.5 else "bob"],
            customer=customer,
            at=at,
            product=self.product,
            kind=voice.kind,
            is_churn_risk=voice.is_churn_risk,
            feature=self._features.get(voice.feature),
            release=self._last_seen(customer, at),
            channel=_CHANNELS[len(voice.text) % len(_CHANNELS)],
            importance=3 if voice.is_churn_risk else 2 if voice.kind == "bug" else 1,
            contact_name=person.name,
            contact_email=email,
        )
        if incident := self.incidents.get(voice.story):
            self._join(incident, complaint)
        return 1

    def _join(self, incident: Incident, complaint: Complaint) -> None:
        moment = max(complaint.created_at + timedelta(minutes=4), incident.opened_at)
        with past.at(min(moment, self.now)):
            report = Report.objects.join(incident, complaint, self.team["bob"])
        Report.objects.filter(pk=report.pk).update(joined_at=min(moment, self.now))

    def _who(self, voice: Voice, at: datetime) -> Person | None:
        fits = [c for c in self.clients if c.language == voice.language and not c.is_silent and c.id in self._customers]
        hit = self._hit(voice, at)
        if hit is not None:
            fits = [c for c in fits if c.id in hit]
        used = self._used.setdefault(voice.story, set())
        fresh = [c for c in fits if c.id not in used]
        if not fresh:
            return None
        client = self.rng.choice(fresh)
        used.add(client.id)
        return self.rng.choice(client.users)

    def _hit(self, voice: Voice, at: datetime) -> set[str] | None:
        """Customers whom it really happened to, by their events; None when it is not about such a thing."""
        days = CustomerDay.objects.filter(product_id=self.product.pk, day__lte=at.date(), environment="production")
        days = days.filter(signal_id__in=self._signals.get(voice.feature, []))
        if voice.story == "discount":
            free = {c.id for c in self.clients if c.plan == BROKEN_PLAN}
            failed = days.filter(release_id=self._releases[BROKEN].pk, failures__gt=0)
            return free & set(failed.values_list("customer", flat=True))
        if voice.kind == "not_understood":
            return set(days.filter(struggles__gt=0).values_list("customer", flat=True))
        if voice.kind == "bug" and voice.feature == CHECKOUT:
            near = days.filter(day__gte=at.date() - timedelta(days=2), failures__gt=0)
            return set(near.values_list("customer", flat=True))
        return None

    def _last_seen(self, customer: Customer, at: datetime) -> Release | None:
        seen = CustomerDay.objects.filter(
            product_id=self.product.pk, customer=customer.external_id, day__lte=at.date(), release_id__gt=0
        )
        last = seen.order_by("-day", "-last_at").values_list("release_id", flat=True).first()
        return self._versions.get(last) if last else None

    def _work(self, incident: Incident, case: Case) -> None:
        heard = incident.reports.order_by("-complaint__created_at").first()
        if heard:
            moment = min(max(heard.complaint.created_at + timedelta(minutes=5), incident.opened_at), self.now)
            with past.at(moment):
                ledger.weigh(incident, moment)
        for step in case.steps:
            with past.at(self._ago(step.days)):
                self._act(incident, step)

    def tell(self) -> None:
        """What people were told in these days; they have read all but the newest."""
        with past.at(self.now):
            while suggesting.compare_new(self.now):
                pass
            timing.watch(self.now)
            for release in self._releases.values():
                Watch.objects.set(self.workspace, self.team["carol"], release, Watching.WATCHING)
            while notifying.notify(self.now):
                pass
        mine = Notice.objects.filter(workspace=self.workspace)
        mine.filter(at__lt=self.now - timedelta(days=1)).update(read_at=self.now - timedelta(days=1))
        Notice.objects.recount({(self.workspace.pk, user.pk) for user in self.team.values()})

    def _review(self, incident: Incident, by: User, what: str) -> None:
        cause, learned, *items = what.split("|")
        review = Review.objects.begin(incident, by, reviewing.story(incident))
        review.write(by, review.story, cause, learned, True, None)
        for title, version, person in (item.split("@") for item in items):
            item = ActionItem.objects.add(review, by, title, self.team[person], self._releases[version])
            if version != BROKEN:
                item.settle(self.team[person], ActionState.DONE)

    def _act(self, incident: Incident, step: Step) -> None:
        by, what = self.team[step.who], step.what
        if step.verb == "comment":
            said = Update.objects.comment(incident, by, what)
            Update.objects.filter(pk=said.detail["update"]).update(created_at=self._ago(step.days))
        elif step.verb == "say":
            kind, text = what.split("|", 1)
            said = Update.objects.say(incident, by, text, kind)
            Update.objects.filter(pk=said.detail["update"]).update(created_at=self._ago(step.days))
        elif step.verb == "review":
            self._review(incident, by, what)
        elif step.verb == "assign":
            incident.assign(by, self.team[what])
        elif step.verb == "resolve":
            incident.resolve(by, self._releases[what])
        elif step.verb == "duplicate":
            incident.duplicate(by, self.incidents[what])
        elif step.verb == "inform":
            wording, workaround, days = what.split("|")
            day = (self.now + timedelta(days=float(days))).date() if days else None
            incident.inform(by, wording, workaround, day)
        elif step.verb == "decline":
            incident.decline(by, what)
        elif step.verb == "snooze":
            incident.snooze(by, self.now + timedelta(days=float(what)))
        elif step.verb == "set_severity":
            incident.set_severity(by, what, "Shops with tourists lose sales every day.")
        else:
            getattr(incident, step.verb)(by)
