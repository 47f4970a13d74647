"""What people fill in about themselves and each other."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from allauth.account.forms import LoginForm, ResetPasswordForm, ResetPasswordKeyForm, default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts import access, mail
from accounts.models import ApiToken, Invitation, Membership, Role, Theme, User

if TYPE_CHECKING:
    UserModelForm = forms.ModelForm[User]
    TokenModelForm = forms.ModelForm[ApiToken]
    InvitationModelForm = forms.ModelForm[Invitation]
    MembershipChoice = forms.ModelChoiceField[Membership]
else:
    MembershipChoice = forms.ModelChoiceField
    UserModelForm = TokenModelForm = InvitationModelForm = forms.ModelForm

LENGTH = _("At least 10 characters.")
_OCEANS = {"Arctic", "Atlantic", "Indian", "Pacific"}
_AREAS = _OCEANS | {"Africa", "America", "Antarctica", "Asia", "Australia", "Europe"}


def zones(current: str = "UTC") -> list[Any]:
    """Choices of a select, grouped by part of the world; a stored zone with an old name stays choosable."""
    known = sorted(name for name in available_timezones() if _area(name) in _AREAS)
    groups = [(area, [(name, _place(name)) for name in names]) for area, names in groupby(known, _area)]
    alone = [] if current in known or current == "UTC" else [(current, current)]
    return [("UTC", "UTC"), *alone, *groups]


def _area(zone: str) -> str:
    return zone.partition("/")[0]


def _place(zone: str) -> str:
    return zone.partition("/")[2].replace("_", " ").replace("/", ", ")


def text(autocomplete: str, **attrs: str) -> forms.TextInput:
    return forms.TextInput(attrs={"autocomplete": autocomplete, **attrs})


def secret(label: Any, autocomplete: str, **more: Any) -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
    return forms.CharField(label=label, widget=widget, strip=False, max_length=256, **more)


class ProfileForm(UserModelForm):
    theme = forms.ChoiceField(label=_("Theme"), choices=Theme, widget=forms.RadioSelect)

    class Meta:
        model = User
        fields = ["name", "language", "zone", "theme", "has_shortcuts"]
        labels = {"name": _("Name"), "language": _("Language"), "has_shortcuts": _("Single-key shortcuts")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].widget.attrs["autocomplete"] = "name"
        language = self.fields["language"]
        assert isinstance(language, forms.ChoiceField)
        language.choices = [("", _("Like the browser")), *settings.LANGUAGES]
        self.fields["zone"] = forms.ChoiceField(label=_("Time zone"), choices=zones(self.instance.zone))


class CurrentPassword(forms.Form):
    """Asks for the password again before something that outlives the session."""

    prefix_of_ids = ""  # several forms stand on one page

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.auto_id = f"{self.prefix_of_ids}_%s"
        self.user = user

    def clean_current(self) -> str:
        given = str(self.cleaned_data["current"])
        if not self.user.check_password(given):
            raise ValidationError(_("This is not your current password."), code="wrong")
        return given


class PasswordForm(CurrentPassword):
    prefix_of_ids = "password"
    current = secret(_("Current password"), "current-password")
    new = secret(_("New password"), "new-password", help_text=LENGTH)

    def clean_new(self) -> str:
        given = str(self.cleaned_data["new"])
        validate_password(given, self.user)
        return given


class WorkspaceField(MembershipChoice):
    def label_from_instance(self, obj: Membership) -> str:
        return obj.workspace.name


class TokenForm(CurrentPassword):
    prefix_of_ids = "token"
    workspace = WorkspaceField(Membership.objects.none(), label=_("Workspace"), empty_label=None)
    name = forms.CharField(label=_("What for"), max_length=60, widget=text("off"))
    current = secret(_("Your password"), "current-password")

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        field = self.fields["workspace"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = user.memberships.select_related("workspace").order_by("workspace__name")


class InviteForm(InvitationModelForm):
    class Meta:
        model = Invitation
        fields = ["email", "role"]
        labels = {"email": _("E-mail"), "role": _("Role")}

    def __init__(self, by: Membership, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.by = by
        self.fields["email"].widget.attrs["autocomplete"] = "off"
        self.fields["role"] = forms.ChoiceField(label=_("Role"), choices=grantable(by), initial=Role.AGENT)

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).lower()
        if Membership.objects.filter(workspace=self.by.workspace_id, user__email=email).exists():
            raise ValidationError(_("This person is already here."), code="member")
        return email


class RoleForm(forms.Form):
    role = forms.ChoiceField(label=_("Role"))

    def __init__(self, by: Membership, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["role"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = grantable(by)


def grantable(by: Membership) -> list[tuple[str, Any]]:
    return [(role.value, role.label) for role in Role if access.may_grant(by, role)]


class NewPerson(forms.Form):
    """Who one is, for a first account. `zone` is filled by the browser when it can."""

    name = forms.CharField(label=_("Your name"), max_length=80, widget=text("name"))
    password = secret(_("Password"), "new-password", help_text=LENGTH)
    zone = forms.CharField(required=False, widget=forms.HiddenInput(attrs={"data-zone": ""}))

    def clean_zone(self) -> str:
        given = str(self.cleaned_data["zone"])
        return given if given in available_timezones() else "UTC"

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given.get("password"):
            person = User(email=given.get("email") or self.initial.get("email", ""), name=given.get("name", ""))
            try:
                validate_password(given["password"], person)
            except ValidationError as error:
                self.add_error("password", error)
        return given


class SignInForm(LoginForm):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tidy(self, {"login": _("E-mail"), "password": _("Password")})
        self.fields["login"].widget.attrs |= {"autocomplete": "username", "autofocus": True}

    def clean(self) -> Any:
        try:
            return super().clean()
        except ValidationError as error:
            if error.code != "email_password_mismatch":
                raise
            raise ValidationError(_("E-mail or password is wrong."), code=error.code) from None


class ResetForm(ResetPasswordForm):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tidy(self, {"email": _("E-mail")})

    def save(self, request: HttpRequest, **kwargs: Any) -> str:
        for user in self.users:
            mail.reset(user, user_pk_to_url_str(user), default_token_generator.make_token(user))
        if not self.users:
            mail.no_account(self.cleaned_data["email"])
        return str(self.cleaned_data["email"])


class ResetKeyForm(ResetPasswordKeyForm):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tidy(self, {"password1": _("New password"), "password2": _("New password again")})
        self.fields["password1"].help_text = LENGTH


def tidy(form: forms.Form, labels: dict[str, Any]) -> None:
    """Our labels above the fields instead of placeholders in them."""
    for name, label in labels.items():
        field = form.fields[name]
        field.label, field.help_text = label, ""
        field.widget.attrs.pop("placeholder", None)
