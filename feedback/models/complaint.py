"""One piece of feedback in the customer's own words."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import User, Workspace
from activity.models import record
from feedback import similar
from feedback.models.customer import Customer
from metrics.counting import replacing
from metrics.counting.replacing import Counted
from metrics.intake.event import COMPLAINT
from productops.lib.language import language_of
from releases.models import Feature, Product, Release


class Kind(models.TextChoices):
    BUG = "bug", _("Bug")
    NOT_UNDERSTOOD = "not_understood", _("Not understood")
    IMPROVEMENT = "improvement", _("Improvement")
    QUESTION = "question", _("Question")
    PRAISE = "praise", _("Praise")


class Channel(models.TextChoices):
    EMAIL = "email", _("E-mail")
    CHAT = "chat", _("Chat")
    PHONE = "phone", _("Phone")
    MEETING = "meeting", _("Meeting")
    PUBLIC = "public", _("Review or social media")
    PRODUCT = "product", _("In the product")


class Language(models.TextChoices):
    EN = "en", _("English")
    ES = "es", _("Spanish")
    PT = "pt", _("Portuguese")


class Importance(models.IntegerChoices):
    """To the customer, as they say it. Three: without it they leave, or do not sign."""

    NONE = 0, _("Not important")
    NICE = 1, _("Nice to have")
    IMPORTANT = 2, pgettext_lazy("importance", "Important")
    CRITICAL = 3, pgettext_lazy("importance", "Critical")


class ComplaintQuerySet(models.QuerySet["Complaint"]):
    def of(self, workspace: Workspace) -> ComplaintQuerySet:
        return self.filter(workspace=workspace)

    def newest_first(self) -> ComplaintQuerySet:
        return self.order_by("-created_at", "-id")


class ComplaintManager(models.Manager.from_queryset(ComplaintQuerySet)):  # type: ignore[misc]
    def log(
        self,
        workspace: Workspace,
        text: str,
        by: User | None = None,
        customer: Customer | None = None,
        at: datetime | None = None,
        **fields: Any,
    ) -> Complaint:
        """A new complaint; plan and revenue are kept as they were at this moment.

        With `source` and `source_id` the same complaint is logged once, however often it is sent.
        """
        source_id = fields.get("source_id") or None
        with transaction.atomic():
            if source_id:
                known = self.filter(
                    workspace=workspace, source=fields.get("source", ""), source_id=source_id
                ).first()
                if known:
                    return known
            complaint = self.create(
                workspace=workspace,
                text=text,
                customer=customer,
                plan=customer.plan if customer else "",
                revenue=customer.revenue if customer else None,
                logged_by=by,
                created_at=at or timezone.now(),
                **{**fields, "source_id": source_id},
            )
            record(workspace, "complaint.logged", complaint, by, at=at)
            _count_later(complaint.product, complaint.created_at)
        return complaint

    def count_day(self, product: Product, day: date) -> None:
        """Complaints of a day (UTC) by release, as a signal beside those that clients send. Praise is none."""
        first = datetime(day.year, day.month, day.day, tzinfo=UTC)
        of_day = self.filter(product=product, created_at__gte=first, created_at__lt=first + timedelta(days=1))
        told = of_day.exclude(kind=Kind.PRAISE).values_list("created_at", "release", "customer")
        found = [Counted(at, release or 0, str(customer or "")) for at, release, customer in told]
        replacing.replace(product, COMPLAINT, "complaints", day, found)


def _count_later(product: Product | None, at: datetime) -> None:
    if product is not None:
        day = at.astimezone(UTC).date()
        transaction.on_commit(lambda: Complaint.objects.count_day(product, day))


class Complaint(models.Model):
    Kind, Channel, Importance = Kind, Channel, Importance

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="complaints")
    text = models.TextField(_("what they said"), max_length=10_000)
    kind = models.CharField(_("kind"), max_length=14, choices=Kind, default=Kind.BUG)
    # What the hub offered while it was typed (classing.py); with `kind` it tells how often that is right.
    suggested_kind = models.CharField(max_length=14, choices=Kind, blank=True, default="", db_default="")
    is_churn_risk = models.BooleanField(_("may leave"), default=False)
    importance = models.PositiveSmallIntegerField(
        _("importance"), choices=Importance, default=Importance.NICE, db_default=Importance.NICE
    )
    channel = models.CharField(_("channel"), max_length=8, choices=Channel, blank=True, default="", db_default="")
    # Of the text; "" when it says too little.
    language = models.CharField(
        _("language"), max_length=2, choices=Language, blank=True, default="", db_default=""
    )
    customer = models.ForeignKey(Customer, models.SET_NULL, null=True, blank=True, related_name="complaints")
    product = models.ForeignKey(Product, models.SET_NULL, null=True, blank=True, related_name="+")
    feature = models.ForeignKey(Feature, models.SET_NULL, null=True, blank=True, related_name="complaints")
    release = models.ForeignKey(Release, models.SET_NULL, null=True, blank=True, related_name="complaints")
    contact_name = models.CharField(max_length=120, blank=True)
    contact_email = models.EmailField(blank=True)
    plan = models.CharField(max_length=40, blank=True)
    revenue = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    source = models.CharField(max_length=20, default="hub")  # hub, api, sdk
    source_id = models.CharField(max_length=120, null=True)
    logged_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField()
    grams = ArrayField(models.CharField(max_length=3), default=list, editable=False)

    objects: ClassVar[ComplaintManager] = ComplaintManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "source", "source_id"], name="complaint_source"),
            models.CheckConstraint(condition=models.Q(kind__in=Kind.values), name="complaint_kind"),
            models.CheckConstraint(condition=models.Q(importance__lte=3), name="complaint_importance"),
        ]
        indexes = [
            GinIndex(fields=["grams"], name="complaint_grams"),
            models.Index(fields=["workspace", "-created_at"], name="complaint_recent"),
        ]

    def __str__(self) -> str:
        return self.text[:80]

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.grams = similar.key(self.text)
        if not self.language:
            self.language = language_of(self.text)
        super().save(*args, **kwargs)

    def correct(self, by: User, **fields: Any) -> bool:
        """Sets `fields`; whether that changed anything. What was there stays readable in the activity.

        Another customer brings its plan and revenue of now; nobody knows those of then.
        """
        changed = {name: value for name, value in fields.items() if getattr(self, name) != value}
        if not changed:
            return False
        earlier = self.product
        before = {name: str(getattr(self, name) or "")[:500] for name in changed}
        for name, value in changed.items():
            setattr(self, name, value)
        if "text" in changed:
            self.language = ""
        if "customer" in changed:
            self.plan = self.customer.plan if self.customer else ""
            self.revenue = self.customer.revenue if self.customer else None
        with transaction.atomic():
            self.save(update_fields=[*changed, "plan", "revenue", "grams", "language"])
            record(self.workspace, "complaint.corrected", self, by, changed=sorted(changed), before=before)
            for product in {self.product, earlier}:
                _count_later(product, self.created_at)
        return True
