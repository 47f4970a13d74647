"""A customer as the events name it. The people side of it (owner, revenue) is feedback.Customer."""

from __future__ import annotations

from django.db import models

from accounts.models import Workspace
from releases.models import Product


class Account(models.Model):
    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="accounts")
    external_id = models.CharField(max_length=120)
    traits = models.JSONField(default=dict)  # as last told: name, plan, revenue, currency, domain
    first_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    adopted_at = models.DateTimeField(null=True)  # when feedback took its news

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "external_id"], name="account_once")]
        indexes = [
            models.Index(
                fields=["id"],
                name="account_news",
                condition=models.Q(adopted_at=None) | models.Q(adopted_at__lt=models.F("changed_at")),
            )
        ]


class Message(models.Model):
    """What a user wrote through an SDK. A row for feedback to take; `adopted_at` says when it did."""

    product = models.ForeignKey(Product, models.CASCADE, related_name="+")
    event_id = models.UUIDField()
    at = models.DateTimeField()
    text = models.TextField()
    customer = models.CharField(max_length=120)
    contact_name = models.CharField(max_length=120)
    contact_email = models.CharField(max_length=254)
    feature = models.CharField(max_length=80)
    release = models.CharField(max_length=120)
    adopted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["product", "event_id"], name="message_once")]
        indexes = [models.Index(fields=["id"], name="message_news", condition=models.Q(adopted_at=None))]
