"""A query with a name: a person's own, or shared; a shared one may be where a role begins."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership, Role, User, Workspace
from activity.models import record

#: Views of one person, and shared ones of a workspace.
MOST = 50


class Layout(models.TextChoices):
    INBOX = "inbox", _("Inbox")
    LIST = "list", _("List")
    BOARD = "board", _("Board")


class SavedViewQuerySet(models.QuerySet["SavedView"]):
    def of(self, membership: Membership) -> SavedViewQuerySet:
        """What this person sees: shared ones and their own."""
        return self.filter(workspace=membership.workspace_id).filter(Q(is_shared=True) | Q(owner=membership.user_id))


class SavedViewManager(models.Manager.from_queryset(SavedViewQuerySet)):  # type: ignore[misc]
    def save_as(
        self, workspace: Workspace, by: User, name: str, query: str, layout: str, **more: str | bool
    ) -> SavedView:
        if self.filter(workspace=workspace).filter(Q(owner=by) | Q(is_shared=True)).count() >= MOST:
            raise ValidationError({"name": _("There are %(n)s views. Remove one first.") % {"n": MOST}})
        return SavedView(workspace=workspace, owner=by).change(by, name=name, query=query, layout=layout, **more)


class SavedView(models.Model):
    Layout = Layout

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="+")
    owner = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    name = models.CharField(_("name"), max_length=60)
    query = models.CharField(max_length=1_000, blank=True)
    layout = models.CharField(max_length=5, choices=Layout, default=Layout.INBOX)
    is_shared = models.BooleanField(_("everybody sees it"), default=False)
    role = models.CharField(max_length=10, choices=Role, blank=True)  # where this role begins
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[SavedViewManager] = SavedViewManager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["workspace", "role"], name="one_view_per_role", condition=~Q(role="")),
            models.UniqueConstraint(fields=["workspace", "owner", "name"], name="saved_view_name"),
            models.CheckConstraint(condition=Q(role="") | Q(is_shared=True), name="role_views_are_shared"),
        ]

    def __str__(self) -> str:
        return self.name

    def change(self, by: User, **values: str | bool) -> SavedView:
        """Sets name, query, layout, is_shared or role. A role's view is shared; its former one is an
        ordinary shared one from then on."""
        before = {name: getattr(self, name) for name in values} if self.pk else {}
        for name, value in values.items():
            setattr(self, name, value)
        if not self.name.strip():
            raise ValidationError({"name": _("Give it a name.")})
        self.name, self.is_shared = self.name.strip(), self.is_shared or bool(self.role)
        try:
            with transaction.atomic():
                if self.role:
                    former = SavedView.objects.filter(workspace=self.workspace, role=self.role).exclude(pk=self.pk)
                    former.update(role="")
                self.save()
                verb = "view.changed" if before else "view.saved"
                record(self.workspace, verb, self, by, before=before, after=values)
        except IntegrityError:
            raise ValidationError({"name": _("You have a view of this name.")}) from None
        return self

    def remove(self, by: User) -> None:
        with transaction.atomic():
            record(self.workspace, "view.removed", self, by, name=self.name, query=self.query)
            self.delete()
