"""Customers who were hurt and said nothing: whom to ask, and whether asking was worth it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User, Workspace
from activity.models import record
from feedback.models.customer import Customer
from releases.models import Product, Release

#: How long after being listed a complaint, or leaving, shows that the list was right; and that nothing came, that it
#: was not.
PROVEN = timedelta(days=30)


class Result(models.TextChoices):
    PROBLEM = "problem", _("Had a problem")
    FINE = "fine", _("All is well")
    NO_ANSWER = "no_answer", _("No answer")


class SilenceQuerySet(models.QuerySet["Silence"]):
    def of(self, workspace: Workspace) -> SilenceQuerySet:
        return self.filter(workspace=workspace)

    def open(self) -> SilenceQuerySet:
        """Still hurt, still silent, and nobody has asked yet; after a month it is too late to ask."""
        young = self.filter(listed_at__gt=timezone.now() - PROVEN)
        return young.filter(is_listed=True, heard_at=None, left_at=None, result="")

    def by_revenue(self) -> SilenceQuerySet:
        return self.order_by(F("customer__revenue").desc(nulls_last=True), "customer__name", "pk")

    def proven(self, now: datetime) -> tuple[int, int]:
        """Of how many customers it is known whether they had a problem, and how many of them had: they said so when
        asked, complained, or left."""
        had = Q(result=Result.PROBLEM) | Q(heard_at__isnull=False) | Q(left_at__isnull=False)
        over = Q(result=Result.FINE) | Q(listed_at__lt=now - PROVEN)
        told = self.filter(had | over)
        return told.values("customer").distinct().count(), told.filter(had).values("customer").distinct().count()


class SilenceManager(models.Manager.from_queryset(SilenceQuerySet)):  # type: ignore[misc]
    pass


class Silence(models.Model):
    """A customer whom a release touched (`release` None: nobody knows what), and who did not write.

    reasons: [{code, and its numbers}], see feedback/silences.py. is_listed: so at the last look. heard_at: the first
    complaint after it was listed; left_at: since when it uses the product no more.
    """

    Result = Result

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="silences")
    product = models.ForeignKey(Product, models.CASCADE, related_name="+")
    release = models.ForeignKey(Release, models.CASCADE, null=True, related_name="silences")
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="silences")
    reasons = models.JSONField(default=list)
    is_listed = models.BooleanField(default=True)
    listed_at = models.DateTimeField()
    looked_at = models.DateTimeField()
    heard_at = models.DateTimeField(null=True)
    left_at = models.DateTimeField(null=True)
    result = models.CharField(max_length=10, choices=Result, blank=True)
    result_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    result_at = models.DateTimeField(null=True)

    objects: ClassVar[SilenceManager] = SilenceManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["product", "release", "customer"], name="silence_once", nulls_distinct=False
            ),
            models.CheckConstraint(condition=models.Q(result__in=["", *Result.values]), name="silence_result"),
        ]
        indexes = [models.Index(fields=["workspace", "-listed_at"], name="silence_recent")]

    def __str__(self) -> str:
        return str(self.customer)

    def answer(self, by: User, result: str) -> bool:
        """What came of asking the customer, for every release of which it is listed; "" takes the last answer back.
        Whether that is new."""
        assert result in ("", *Result.values), result
        with transaction.atomic():
            Customer.objects.select_for_update().get(pk=self.customer_id)
            locked = Silence.objects.get(pk=self.pk)
            if locked.result == result:
                return False
            same = Silence.objects.of(self.workspace).filter(customer=self.customer_id)
            together = Q(result_at=locked.result_at) if locked.result else Q(result="", is_listed=True)
            rows = same.filter(Q(pk=self.pk) | together)
            at = timezone.now() if result else None
            rows.update(result=result, result_by=by, result_at=at)
            self.refresh_from_db()
            record(self.workspace, "silence.answered", self.customer, by, before=locked.result, after=result)
        return True
