"""Features that people do not get on with: what their sessions showed, and what was found in it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models, transaction
from django.db.models import CompositePrimaryKey
from django.utils import timezone

from accounts.models import User
from activity.models import record
from releases.models import Feature, Product, Release


class FeatureDay(models.Model):
    """Sessions of a day without errors in which one customer used a feature; `customer` is the events' own id, "" for
    those of nobody known. users: how many of them. release_id 0: none named.

    confused: sessions with any of the signs (detection/sessions.py), each of which is counted beside it.
    """

    pk = CompositePrimaryKey("product_id", "day", "feature_id", "release_id", "environment", "customer")
    product_id = models.BigIntegerField()
    day = models.DateField()
    feature_id = models.BigIntegerField()
    release_id = models.BigIntegerField()
    environment = models.CharField(max_length=40)
    customer = models.CharField(max_length=120)
    sessions = models.IntegerField()
    users = models.IntegerField()
    confused = models.IntegerField()
    rage = models.IntegerField(default=0)
    dead = models.IntegerField(default=0)
    retries = models.IntegerField(default=0)
    help = models.IntegerField(default=0)
    unfinished = models.IntegerField(default=0)
    marked = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[FeatureDay]] = models.Manager()


class SessionDay(models.Model):
    """How far a day's events were read for sessions. every: of its hours only each second, third, … was read, where
    there were too many; sessions, failed: all of them, and those left out because something failed in them."""

    product = models.ForeignKey(Product, models.CASCADE, related_name="+")
    day = models.DateField()
    events = models.BigIntegerField(default=0)  # that there were
    every = models.IntegerField(default=1)
    sessions = models.IntegerField(default=0)
    failed = models.IntegerField(default=0)
    read_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[SessionDay]] = models.Manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["product", "day"], name="session_day")]


class Trial(models.Model):
    """Accounts that used a feature for the first time between two days, and those of them that never came back to it
    within 14 days."""

    feature = models.OneToOneField(Feature, models.CASCADE, related_name="trial")
    since = models.DateField()
    until = models.DateField()
    accounts = models.IntegerField()
    once = models.IntegerField()
    counted_at = models.DateTimeField()

    objects: ClassVar[models.Manager[Trial]] = models.Manager()


class Confusion(models.Model):
    """With this release, sessions with this feature surely showed more confusion than those with the others: one row,
    however often it is looked at. numbers: as metrics/confusing.py gives them, at the last look."""

    release = models.ForeignKey(Release, models.CASCADE, related_name="confusions")
    environment = models.CharField(max_length=40)
    feature = models.ForeignKey(Feature, models.CASCADE, related_name="confusions")
    numbers = models.JSONField()
    is_active = models.BooleanField(default=True)  # still so at the last look
    found_at = models.DateTimeField(default=timezone.now)
    looked_at = models.DateTimeField(default=timezone.now)
    is_right = models.BooleanField(null=True)  # what a person said of it
    answered_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    answered_at = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Confusion]] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["release", "environment", "feature"], name="one_confusion")
        ]

    def answer(self, by: User, is_right: bool | None) -> bool:
        """A person says whether people do not understand it; None takes the answer back. Whether that is new."""
        with transaction.atomic():
            locked = Confusion.objects.select_for_update().get(pk=self.pk)
            if locked.is_right == is_right:
                return False
            self.is_right, self.answered_by, self.answered_at = is_right, by, timezone.now()
            self.save(update_fields=["is_right", "answered_by", "answered_at"])
            workspace = self.release.product.workspace
            before, name = locked.is_right, self.feature.name
            record(workspace, "confusion.answered", self.release, by, feature=name, before=before, after=is_right)
        return True
