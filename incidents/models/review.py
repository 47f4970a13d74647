"""What is learned from an incident, and the work that comes of it, which has to ship."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import Membership, User, Workspace
from activity.models import Event, record
from incidents.models.incident import Incident
from releases.models import Release

#: Action items of one review.
MOST_ITEMS = 50


class ReviewManager(models.Manager["Review"]):
    def begin(self, incident: Incident, by: User, story: str) -> Review:
        """The review of an incident whose work is done; asking again gives the same one."""
        if incident.resolved_at is None:
            raise ValidationError(_("A review comes after the incident is resolved."))
        with transaction.atomic():
            review, is_new = self.get_or_create(incident=incident, defaults={"story": story, "by": by})
            if is_new:
                record(incident.workspace, "incident.review_begun", incident, by, tells=True)
        return review


class Review(models.Model):
    """Of one incident. It is ineffective once the same happens again within RECURS."""

    incident = models.OneToOneField(Incident, models.CASCADE, related_name="review")
    story = models.TextField(_("what happened"), max_length=20_000, blank=True)
    cause = models.TextField(_("why it happened"), max_length=20_000, blank=True)
    learned = models.TextField(_("what we learned"), max_length=20_000, blank=True)
    by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    failed_by = models.ForeignKey(Incident, models.SET_NULL, null=True, related_name="+")  # what came again
    version = models.PositiveIntegerField(default=1)

    objects: ClassVar[ReviewManager] = ReviewManager()

    def write(
        self, by: User, story: str, cause: str, learned: str, is_finished: bool, expected: int | None
    ) -> None:
        """Raises ValidationError when somebody else wrote meanwhile, or when it is finished without a cause."""
        if is_finished and not cause.strip():
            raise ValidationError({"cause": _("Say why it happened before you finish.")})
        with transaction.atomic():
            locked = Review.objects.select_for_update().get(pk=self.pk)
            if expected is not None and locked.version != expected:
                raise ValidationError(_("Somebody else wrote meanwhile. Copy your words and look again."), code="stale")
            was_finished = locked.finished_at is not None
            locked.story, locked.cause, locked.learned = story, cause, learned
            locked.finished_at = (locked.finished_at or timezone.now()) if is_finished else None
            locked.version += 1
            locked.save()
            if is_finished and not was_finished:
                record(self.incident.workspace, "incident.review_finished", self.incident, by, tells=True)
        self.refresh_from_db()


class ActionItemQuerySet(models.QuerySet["ActionItem"]):
    def of(self, workspace: Workspace) -> ActionItemQuerySet:
        return self.filter(review__incident__workspace=workspace)

    def owed(self) -> ActionItemQuerySet:
        return self.filter(state=ActionState.OPEN)


class ActionItemManager(models.Manager.from_queryset(ActionItemQuerySet)):  # type: ignore[misc]
    def add(
        self, review: Review, by: User, title: str, owner: User | None = None, release: Release | None = None,
        due_on: date | None = None,
    ) -> ActionItem:  # fmt: skip
        workspace = review.incident.workspace
        if not title.strip():
            raise ValidationError({"title": _("Say what has to be done.")})
        if owner and not Membership.objects.filter(workspace=workspace, user=owner).exists():
            raise ValidationError({"owner": _("This person is not in the workspace.")})
        if release and release.product.workspace_id != workspace.pk:
            raise ValidationError({"release": _("This release does not exist here.")})
        with transaction.atomic():
            Review.objects.select_for_update().get(pk=review.pk)
            if review.items.count() >= MOST_ITEMS:
                raise ValidationError(_("A review has at most %(n)s action items.") % {"n": MOST_ITEMS})
            item = self.create(review=review, title=title.strip(), owner=owner, release=release, due_on=due_on)
            record(
                workspace, "incident.action_added", review.incident, by, tells=True, item=item.pk, title=item.title,
                owner=owner.pk if owner else None,
            )  # fmt: skip
        return item


class ActionState(models.TextChoices):
    OPEN = "open", _("Owed")
    DONE = "done", pgettext_lazy("action item", "Done")
    DROPPED = "dropped", _("Dropped")


class ActionItem(models.Model):
    review = models.ForeignKey(Review, models.CASCADE, related_name="items")
    title = models.CharField(_("what has to be done"), max_length=200)
    owner = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    release = models.ForeignKey(Release, models.SET_NULL, null=True, related_name="action_items")  # that must ship it
    due_on = models.DateField(null=True)
    state = models.CharField(max_length=7, choices=ActionState, default=ActionState.OPEN)
    reason = models.CharField(max_length=500, blank=True)  # why it was dropped
    done_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    done_at = models.DateTimeField(null=True)
    reminded_on = models.DateField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[ActionItemManager] = ActionItemManager()

    class Meta:
        ordering = ["created_at", "pk"]
        constraints = [models.CheckConstraint(condition=Q(state__in=ActionState.values), name="action_state")]
        indexes = [models.Index(fields=["due_on"], name="action_due", condition=Q(state="open"))]

    def settle(self, by: User, state: str, reason: str = "") -> Event:
        """Done, dropped with a reason, or owed again."""
        if state not in ActionState.values:
            raise ValidationError({"state": _("Unknown state.")})
        if state == ActionState.DROPPED and not reason.strip():
            raise ValidationError({"reason": _("Say why in a few words.")})
        incident = self.review.incident
        with transaction.atomic():
            ActionItem.objects.select_for_update().get(pk=self.pk)
            is_over = state != ActionState.OPEN
            self.state, self.reason = state, reason.strip()[:500] if state == ActionState.DROPPED else ""
            self.done_by, self.done_at = (by, timezone.now()) if is_over else (None, None)
            self.save(update_fields=["state", "reason", "done_by", "done_at"])
            verb = {"done": "action_done", "dropped": "action_dropped", "open": "action_reopened"}[state]
            said: dict[str, Any] = {"reason": self.reason} if self.reason else {}
            return record(
                incident.workspace, f"incident.{verb}", incident, by, tells=True, item=self.pk, title=self.title, **said
            )
