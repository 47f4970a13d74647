"""The account (plan, revenue, owner) and the people in it."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from accounts.models import User, Workspace
from activity.models import record
from metrics.models import Account
from productops.lib.text import fold, grams

#: What events may tell of a customer, and how much of it is kept.
TRAITS = {"name": 120, "domain": 120, "plan": 40, "language": 8}


class CustomerQuerySet(models.QuerySet["Customer"]):
    def of(self, workspace: Workspace) -> CustomerQuerySet:
        return self.filter(workspace=workspace)

    def matching(self, typed: str) -> CustomerQuerySet:
        """Customers whose name, domain, id or contact holds what was typed, in any case and accent."""
        word = fold(typed)
        if not word:
            return self
        by_contact = Contact.objects.filter(folded__contains=word).values("customer")
        near = Q(folded__contains=word) | Q(pk__in=by_contact)
        if len(word) >= 3:
            near &= Q(grams__contains=sorted(grams(word))) | Q(pk__in=by_contact)
        return self.filter(near)


class CustomerManager(models.Manager.from_queryset(CustomerQuerySet)):  # type: ignore[misc]
    def upsert(
        self, workspace: Workspace, external_id: str, by: User | None = None, **fields: Any
    ) -> tuple[Customer, bool]:
        """The customer of this external id with `fields` set, and whether it is new."""
        with transaction.atomic():
            customer, is_new = self.get_or_create(
                workspace=workspace,
                external_id=external_id,
                defaults={"name": fields.get("name") or external_id},
            )
            changed = {k: v for k, v in fields.items() if v not in (None, "") and getattr(customer, k) != v}
            for name, value in changed.items():
                setattr(customer, name, value)
            if changed or is_new:
                customer.save()
                verb = "customer.created" if is_new else "customer.changed"
                record(workspace, verb, customer, by, changed=sorted(changed))
        return customer, is_new

    def begin(self, workspace: Workspace, name: str, by: User) -> Customer:
        """The customer of this name, made when there is none. Your own id of it can be said later."""
        name = " ".join(name.split())[:120]
        with transaction.atomic():
            # Two agents who type the same name at once make one customer.
            Workspace.objects.select_for_update().get(pk=workspace.pk)
            if known := self.of(workspace).filter(name__iexact=name).order_by("pk").first():
                return known
            stem, n = f"hub-{slugify(name)[:100] or 'customer'}", 1
            taken = set(
                self.of(workspace).filter(external_id__startswith=stem).values_list("external_id", flat=True)
            )
            while (external_id := stem if n == 1 else f"{stem}-{n}") in taken:
                n += 1
            customer = self.create(workspace=workspace, external_id=external_id, name=name, is_edited=True)
            record(workspace, "customer.created", customer, by, changed=["name"])
        return customer

    def adopt(self, account: Account) -> Customer:
        """Takes what the events told of an account; what a person typed is never overwritten."""
        traits = account.traits
        with transaction.atomic():
            customer, is_new = self.get_or_create(
                workspace=account.workspace,
                external_id=account.external_id,
                defaults={"name": traits.get("name") or account.external_id},
            )
            if is_new or not customer.is_edited:
                customer.take_traits(traits)
                customer.save()
            Account.objects.filter(pk=account.pk).update(adopted_at=account.changed_at)
        return customer


class Customer(models.Model):
    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="customers")
    external_id = models.CharField(_("id in your systems"), max_length=120)
    name = models.CharField(_("name"), max_length=120)
    domain = models.CharField(_("domain"), max_length=120, blank=True)
    plan = models.CharField(_("plan"), max_length=40, blank=True)
    revenue = models.DecimalField(
        _("revenue per month"),
        max_digits=12,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
    )
    currency = models.CharField(
        _("currency"), max_length=3, blank=True, validators=[RegexValidator(r"^[A-Z]{3}$")]
    )
    language = models.CharField(_("language"), max_length=8, blank=True)
    owner = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    is_edited = models.BooleanField(default=False)  # by a person or by the API
    created_at = models.DateTimeField(default=timezone.now)
    folded = models.TextField(default="", editable=False)
    grams = ArrayField(models.CharField(max_length=3), default=list, editable=False)

    objects: ClassVar[CustomerManager] = CustomerManager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["workspace", "external_id"], name="customer_once")]
        indexes = [
            GinIndex(fields=["grams"], name="customer_grams"),
            models.Index(fields=["workspace", "name"], name="customer_name"),
            models.Index(fields=["workspace", "-revenue"], name="customer_revenue"),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.folded = fold(f"{self.name} {self.domain} {self.external_id}")
        self.grams = sorted(grams(self.folded))
        super().save(*args, **kwargs)

    def take_traits(self, traits: dict[str, Any]) -> None:
        for field in TRAITS:
            value = traits.get(field)
            if isinstance(value, str) and value:
                setattr(self, field, value[: TRAITS[field]])
        try:
            revenue = Decimal(str(traits.get("revenue")))
        except InvalidOperation:
            return
        if revenue.is_finite() and 0 <= revenue < Decimal("1e10"):
            self.revenue = revenue
            currency = str(traits.get("currency") or "").upper()
            self.currency = currency if len(currency) == 3 and currency.isalpha() else self.workspace.currency


class ContactManager(models.Manager["Contact"]):
    def meet(self, customer: Customer, name: str, email: str) -> Contact:
        """The contact of this address, else of this name; made when there is none."""
        found = self.filter(customer=customer)
        known = found.filter(email__iexact=email).first() if email else found.filter(name__iexact=name).first()
        if known is None:
            return self.create(customer=customer, name=name, email=email)
        if name and not known.name:
            known.name = name
            known.save()
        return known


class Contact(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="contacts")
    name = models.CharField(_("name"), max_length=120, blank=True)
    email = models.EmailField(_("e-mail"), blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    folded = models.TextField(default="", editable=False)

    objects: ClassVar[ContactManager] = ContactManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "email"], name="contact_email", condition=~models.Q(email="")
            )
        ]

    def __str__(self) -> str:
        return self.name or self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.folded = fold(f"{self.name} {self.email}")
        super().save(*args, **kwargs)
