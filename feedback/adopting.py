"""Takes the news that metrics left as rows: accounts become customers, messages become complaints."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from feedback.models import Complaint, Customer
from metrics.models import Account, Message
from releases.models import Feature, Release

AT_ONCE = 500


def adopt_accounts() -> int:
    news = Q(adopted_at=None) | Q(adopted_at__lt=F("changed_at"))
    accounts = list(Account.objects.filter(news).select_related("workspace").order_by("id")[:AT_ONCE])
    for account in accounts:
        Customer.objects.adopt(account)
    return len(accounts)


def adopt_messages(now: datetime | None = None) -> int:
    messages = list(
        Message.objects.filter(adopted_at=None).select_related("product__workspace").order_by("id")[:AT_ONCE]
    )
    for message in messages:
        _adopt(message, now or timezone.now())
    return len(messages)


def _adopt(message: Message, now: datetime) -> None:
    product = message.product
    customer = Customer.objects.filter(
        workspace=product.workspace, external_id=message.customer or None
    ).first()
    with transaction.atomic():
        if message.text.strip():
            Complaint.objects.log(
                product.workspace,
                message.text,
                customer=customer,
                at=message.at,
                product=product,
                feature=Feature.objects.filter(product=product, name=message.feature).first(),
                release=Release.objects.filter(product=product, version=message.release).first(),
                contact_name=message.contact_name,
                contact_email=message.contact_email,
                source="sdk",
                source_id=message.event_id.hex,
            )
        Message.objects.filter(pk=message.pk, adopted_at=None).update(adopted_at=now)
