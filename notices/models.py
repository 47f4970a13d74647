"""Who is told of what: who watches, what each person was told, and the mails that go out."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db import models, transaction
from django.db.models import Count, Max, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership, User, Workspace

#: How long notices and mails are kept.
KEPT = timedelta(days=180)


class Watching(models.TextChoices):
    WATCHING = "watching", _("Watching")
    MUTED = "muted", _("Muted")


class WatchManager(models.Manager["Watch"]):
    def set(self, workspace: Workspace, user: User, subject: models.Model, state: str) -> Watch:
        """What a person says themselves."""
        watch, _new = self.update_or_create(
            user=user, subject_type=subject._meta.label_lower, subject_id=subject.pk,
            defaults={"state": state, "workspace": workspace},
        )  # fmt: skip
        return watch

    def join(self, workspace: Workspace, subject_type: str, pairs: Iterable[tuple[int, int]]) -> None:
        """(subject, user): who takes part watches from then on; who muted it stays away."""
        rows = [
            Watch(workspace=workspace, subject_type=subject_type, subject_id=subject, user_id=user)
            for subject, user in sorted(set(pairs))
        ]
        self.bulk_create(rows, ignore_conflicts=True)

    def move(self, subject_type: str, froms: Sequence[int], to: int) -> dict[int, list[int]]:
        """Watches of `froms` go to `to`, but for people who have one there: subject -> the watches that went."""
        there = self.filter(subject_type=subject_type, subject_id=to).values("user")
        going = self.filter(subject_type=subject_type, subject_id__in=froms).exclude(user__in=there)
        moved: dict[int, list[int]] = {}
        seen: set[int] = set()
        for pk, subject, user in going.order_by("pk").values_list("pk", "subject_id", "user"):
            if user not in seen:
                seen.add(user)
                moved.setdefault(subject, []).append(pk)
        self.filter(pk__in=[pk for pks in moved.values() for pk in pks]).update(subject_id=to)
        return moved

    def give_back(self, pks: Sequence[int], to: int) -> None:
        self.filter(pk__in=pks).update(subject_id=to)


class Watch(models.Model):
    """A person and a thing: whether they hear of it."""

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="+")
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    subject_type = models.CharField(max_length=60)
    subject_id = models.BigIntegerField()
    state = models.CharField(max_length=8, choices=Watching, default=Watching.WATCHING)
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[WatchManager] = WatchManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subject_type", "subject_id", "user"], name="watch_once"),
            models.CheckConstraint(condition=Q(state__in=Watching.values), name="watch_state"),
        ]


class Reason(models.TextChoices):
    """Why a person is told, the strongest first."""

    MENTIONED = "mentioned", _("mentioned you")
    ASSIGNED = "assigned", _("yours")
    ASKED = "asked", _("waits for you")
    CUSTOMER = "customer", _("your customer")
    RELEASE = "release", _("your release")
    WATCHING = "watching", _("you watch it")
    TRIAGE = "triage", _("new in triage")


@dataclass(frozen=True)
class Group:
    """All that one person was told of one thing."""

    subject_type: str
    subject_id: int
    count: int
    unread: int
    latest: Notice


class NoticeQuerySet(models.QuerySet["Notice"]):
    def of(self, membership: Membership) -> NoticeQuerySet:
        return self.filter(user=membership.user_id, workspace=membership.workspace_id)

    def unread(self) -> NoticeQuerySet:
        return self.filter(read_at=None)

    def about(self, subject_type: str, subject_id: int) -> NoticeQuerySet:
        return self.filter(subject_type=subject_type, subject_id=subject_id)

    def grouped(self, start: int, most: int) -> list[Group]:
        """By thing, the one with the newest notice first. Two queries."""
        things = self.order_by().values("subject_type", "subject_id")
        rows = things.annotate(last=Max("pk"), n=Count("pk"), new=Count("pk", filter=Q(read_at=None)))
        page = list(rows.order_by("-last")[start : start + most])
        newest = {notice.pk: notice for notice in Notice.objects.filter(pk__in=[row["last"] for row in page])}
        return [
            Group(row["subject_type"], row["subject_id"], row["n"], row["new"], newest[row["last"]])
            for row in page
            if row["last"] in newest
        ]


class NoticeManager(models.Manager.from_queryset(NoticeQuerySet)):  # type: ignore[misc]
    def give(self, notices: Sequence[Notice]) -> None:
        """Saying the same again (by its key) changes nothing."""
        self.bulk_create(notices, ignore_conflicts=True)
        self.recount({(notice.workspace_id, notice.user_id) for notice in notices})

    def read(self, membership: Membership, now: datetime, **which: Any) -> int:
        """How many became read."""
        with transaction.atomic():
            n: int = self.of(membership).unread().filter(**which).update(read_at=now)
            if n:
                self.recount({(membership.workspace_id, membership.user_id)})
                membership.refresh_from_db(fields=["unread"])
        return n

    def unread_again(self, membership: Membership, **which: Any) -> None:
        newest = self.of(membership).filter(**which).order_by("-pk").values("pk")[:1]
        with transaction.atomic():
            self.filter(pk__in=newest).update(read_at=None)
            self.recount({(membership.workspace_id, membership.user_id)})
            membership.refresh_from_db(fields=["unread"])

    def forget(self, now: datetime) -> int:
        """What is too old to be of use goes; how many."""
        old = self.filter(at__lt=now - KEPT)
        pairs = set(old.order_by().values_list("workspace", "user").distinct())
        n: int = old.delete()[0]
        Mail.objects.filter(created_at__lt=now - KEPT).delete()
        self.recount(pairs)
        return n

    def recount(self, pairs: Iterable[tuple[int, int]]) -> None:
        """(workspace, user): the number beside the bell, always counted anew and never added up."""
        unread = self.filter(workspace=OuterRef("workspace"), user=OuterRef("user"), read_at=None).order_by()
        number = Coalesce(Subquery(unread.values("user").annotate(n=Count("pk")).values("n")), 0)
        for workspace, user in sorted(pairs):
            Membership.objects.filter(workspace=workspace, user=user).update(unread=number)


class Notice(models.Model):
    """One thing one person is told, in their language. `key` makes the decision to tell it happen once."""

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="+")
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    key = models.CharField(max_length=60)
    subject_type = models.CharField(max_length=60)
    subject_id = models.BigIntegerField()
    reason = models.CharField(max_length=9, choices=Reason)
    is_urgent = models.BooleanField(default=False)
    title = models.CharField(max_length=240)
    text = models.CharField(max_length=600)
    path = models.CharField(max_length=200)  # where it is read, below BASE_URL
    at = models.DateTimeField()
    read_at = models.DateTimeField(null=True)
    mail = models.ForeignKey("Mail", models.SET_NULL, null=True, related_name="notices")

    objects: ClassVar[NoticeManager] = NoticeManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "key"], name="notice_once"),
            models.CheckConstraint(condition=Q(reason__in=Reason.values), name="notice_reason"),
        ]
        indexes = [
            models.Index(fields=["user", "workspace", "subject_type", "subject_id"], name="notice_thing"),
            models.Index(fields=["workspace", "user", "at"], name="notice_unread", condition=Q(read_at=None)),
            models.Index(fields=["at"], name="notice_unmailed", condition=Q(read_at=None, mail=None)),
        ]


class MailStatus(models.TextChoices):
    QUEUED = "queued", _("Queued")
    SENT = "sent", _("Sent")
    FAILED = "failed", _("Failed")


class MailQuerySet(models.QuerySet["Mail"]):
    def due(self, now: datetime) -> MailQuerySet:
        free = Q(claimed_until=None) | Q(claimed_until__lt=now)
        return self.filter(free, status=MailStatus.QUEUED, due_at__lte=now)


class Mail(models.Model):
    """The outbox: written with what it tells of, sent afterwards. Its id is the Message-ID, so that a mail that went
    out twice is seen as one."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="+")
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    key = models.CharField(max_length=60, unique=True)
    subject = models.CharField(max_length=240)
    body = models.TextField()
    html = models.TextField(blank=True)
    status = models.CharField(max_length=6, choices=MailStatus, default=MailStatus.QUEUED)
    tries = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Mail]] = models.Manager.from_queryset(MailQuerySet)()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(status__in=MailStatus.values), name="mail_status")]
        indexes = [models.Index(fields=["due_at"], name="mail_due", condition=Q(status="queued"))]
