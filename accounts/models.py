"""People, the workspaces they belong to, and the tokens that act for them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models, transaction
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from productops.lib import tokens

INVITATION_LIFE = timedelta(days=7)
TOKEN_LIFE = timedelta(days=365)


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    MANAGER = "manager", _("Manager")
    PM = "pm", _("Product manager")
    AGENT = "agent", _("Support agent")
    MARKETER = "marketer", _("Marketer")
    VIEWER = "viewer", _("Viewer")


class Theme(models.TextChoices):
    AUTO = "auto", _("Like the system")
    LIGHT = "light", _("Light")
    DARK = "dark", _("Dark")


class MailPace(models.TextChoices):
    ALL = "all", _("Urgent ones at once, the rest together")
    URGENT = "urgent", _("Urgent ones only")
    NONE = "none", pgettext_lazy("mails", "None")


class NewIncidents(models.TextChoices):
    """Which new incidents a member is told of; "" means as the role has it."""

    ROLE = "", _("As usual for the role")
    ALL = "all", pgettext_lazy("incidents", "All")
    SEVERE = "severe", _("High and critical")
    NONE = "none", _("None")


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save()
        return user

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username or "")


def check_zone(name: str) -> None:
    if name not in available_timezones():
        raise ValidationError(_("Not a time zone this hub knows."))


class User(AbstractBaseUser):
    email = models.EmailField(_("e-mail"), unique=True)
    name = models.CharField(_("name"), max_length=80, blank=True)
    language = models.CharField(_("language"), max_length=8, choices=settings.LANGUAGES, blank=True)
    zone = models.CharField(_("time zone"), max_length=40, default="UTC", validators=[check_zone])
    theme = models.CharField(_("theme"), max_length=5, choices=Theme, default=Theme.AUTO)
    has_shortcuts = models.BooleanField(_("single-key shortcuts"), default=True)
    mail = models.CharField(_("notices by e-mail"), max_length=6, choices=MailPace, default=MailPace.ALL)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[UserManager] = UserManager()
    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    def __str__(self) -> str:
        return self.name or self.email

    @property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.zone)


class WorkspaceManager(models.Manager["Workspace"]):
    def found(self, name: str, owner: User, currency: str = "EUR") -> Workspace:
        """A new workspace with its first owner; the slug is made from the name."""
        with transaction.atomic():
            workspace = self.create(name=name, slug=self._free_slug(name), currency=currency)
            workspace.memberships.create(user=owner, role=Role.OWNER)
        return workspace

    def _free_slug(self, name: str) -> str:
        base = slugify(name)[:40] or "workspace"
        taken = set(self.filter(slug__startswith=base).values_list("slug", flat=True))
        return next(slug for slug in (base, *(f"{base}-{n}" for n in range(2, 10_000))) if slug not in taken)


class Workspace(models.Model):
    """One company's hub. Nothing crosses its border."""

    name = models.CharField(_("name"), max_length=80)
    slug = models.SlugField(max_length=50, unique=True)
    currency = models.CharField(
        _("currency"), max_length=3, default="EUR", validators=[RegexValidator(r"^[A-Z]{3}$")]
    )
    is_sample = models.BooleanField(default=False)
    timers = models.JSONField(default=dict)  # how long things may take; incidents/timers.py reads it, {}: as usual
    bundle_hours = models.PositiveSmallIntegerField(
        _("hours between two mails of notices"), default=4, validators=[MinValueValidator(1), MaxValueValidator(24)]
    )
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[WorkspaceManager] = WorkspaceManager()

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=8, choices=Role)
    new_incidents = models.CharField(_("new incidents"), max_length=6, choices=NewIncidents, blank=True)
    unread = models.PositiveIntegerField(default=0)  # notices; notices.models counts it anew with each change
    joined_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "user"], name="membership_once"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role"),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.role}"

    @property
    def hears_of(self) -> str:
        """Which new incidents this person is told of."""
        usual = {Role.PM: NewIncidents.ALL, Role.OWNER: NewIncidents.SEVERE, Role.MANAGER: NewIncidents.SEVERE}
        return self.new_incidents or str(usual.get(Role(self.role), NewIncidents.NONE))

    def change_role(self, role: str) -> None:
        """Raises ValidationError when the workspace would be left without an owner."""
        with transaction.atomic():
            self._keep_an_owner(leaving=role != Role.OWNER)
            self.role = role
            self.save(update_fields=["role"])

    @property
    def is_last_owner(self) -> bool:
        others = Membership.objects.filter(workspace=self.workspace_id, role=Role.OWNER).exclude(pk=self.pk)
        return self.role == Role.OWNER and not others.exists()

    def remove(self) -> None:
        with transaction.atomic():
            self._keep_an_owner(leaving=True)
            self.delete()

    def _keep_an_owner(self, leaving: bool) -> None:
        # Locking all owners makes two owners who leave at once wait for each other.
        owners = list(
            Membership.objects.select_for_update()
            .filter(workspace=self.workspace_id, role=Role.OWNER)
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        if leaving and owners == [self.pk]:
            raise ValidationError(_("A workspace keeps at least one owner."), code="last_owner")


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def open(self, now: datetime) -> InvitationQuerySet:
        return self.filter(accepted_at=None, revoked_at=None, expires_at__gt=now)

    def for_text(self, text: str, now: datetime) -> Invitation | None:
        token = tokens.parse(text)
        if token is None or token.kind != "inv":
            return None
        invitation = self.open(now).filter(token_id=token.id).select_related("workspace").first()
        return invitation if invitation and token.matches(invitation.digest) else None


class InvitationManager(models.Manager.from_queryset(InvitationQuerySet)):  # type: ignore[misc]
    def send(self, workspace: Workspace, email: str, role: str, by: User) -> tuple[Invitation, str]:
        """The invitation and its link text, which is shown once and not kept."""
        token = tokens.issue("inv")
        now = timezone.now()
        with transaction.atomic():
            self.open(now).filter(workspace=workspace, email=email.lower()).update(revoked_at=now)
            invitation = self.create(
                workspace=workspace,
                email=email.lower(),
                role=role,
                invited_by=by,
                token_id=token.id,
                digest=token.digest,
                expires_at=now + INVITATION_LIFE,
            )
        return invitation, token.text


class Invitation(models.Model):
    """Single use: accepted by a conditional UPDATE, so that two clicks join once."""

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="invitations")
    email = models.EmailField(_("e-mail"))
    role = models.CharField(_("role"), max_length=8, choices=Role, default=Role.AGENT)
    token_id = models.CharField(max_length=12, unique=True)
    digest = models.BinaryField()
    invited_by = models.ForeignKey(User, models.SET_NULL, null=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    objects: ClassVar[InvitationManager] = InvitationManager()

    def accept(self, user: User) -> Membership | None:
        """The new membership, or None when the invitation is spent or meant for someone else."""
        if user.email.lower() != self.email:
            return None
        now = timezone.now()
        with transaction.atomic():
            taken = Invitation.objects.open(now).filter(pk=self.pk).update(accepted_at=now)
            if not taken:
                return None
            membership, _created = Membership.objects.get_or_create(
                workspace=self.workspace, user=user, defaults={"role": self.role}
            )
        return membership

    def revoke(self) -> None:
        Invitation.objects.open(timezone.now()).filter(pk=self.pk).update(revoked_at=timezone.now())


class ApiTokenManager(models.Manager["ApiToken"]):
    def issue(self, membership: Membership, name: str) -> tuple[ApiToken, str]:
        """The stored token and its text, which is shown once and not kept."""
        token = tokens.issue("pat")
        return self.store(membership, name, token), token.text

    def store(self, membership: Membership, name: str, token: tokens.Token) -> ApiToken:
        return self.create(
            membership=membership,
            name=name,
            token_id=token.id,
            digest=token.digest,
            last_four=token.text[-4:],
            expires_at=timezone.now() + TOKEN_LIFE,
        )

    def authenticate(self, text: str, now: datetime) -> ApiToken | None:
        token = tokens.parse(text)
        if token is None or token.kind != "pat":
            return None
        stored = (
            self.filter(token_id=token.id, revoked_at=None, expires_at__gt=now)
            .filter(membership__user__is_active=True)
            .select_related("membership__user", "membership__workspace")
            .first()
        )
        if stored is None or not token.matches(stored.digest):
            return None
        if stored.last_used_at is None or now - stored.last_used_at > timedelta(minutes=1):
            self.filter(pk=stored.pk).update(last_used_at=now)
        return stored


class ApiToken(models.Model):
    """Acts as its member: it dies with the membership and never may do more."""

    membership = models.ForeignKey(Membership, models.CASCADE, related_name="tokens")
    name = models.CharField(_("name"), max_length=60)
    token_id = models.CharField(max_length=12, unique=True)
    digest = models.BinaryField()
    last_four = models.CharField(max_length=4)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    objects: ClassVar[ApiTokenManager] = ApiTokenManager()

    def revoke(self) -> None:
        ApiToken.objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=timezone.now())
