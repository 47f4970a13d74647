"""What an act needs to be told."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User, Workspace
from incidents.models import Incident, IncidentKind, Severity
from productops.lib.text import fold
from productops.lib.widgets import Typeahead
from releases.models import Release

SNOOZES = {
    "3h": (_("3 hours"), timedelta(hours=3)),
    "1d": (_("Tomorrow"), timedelta(days=1)),
    "3d": (_("3 days"), timedelta(days=3)),
    "7d": (_("A week"), timedelta(days=7)),
}


class IncidentField(forms.Field):
    """An incident by number or title, chosen while typing."""

    widget = Typeahead(attrs={"placeholder": _("Number or words of its title")})
    #: Offered while typing; every other one is found by its number.
    OFFERED = 200

    def offer(self, found: QuerySet[Incident]) -> None:
        self.found = found.select_related("regression__release", "regression__signal").by_pain()  # type: ignore[attr-defined]
        assert isinstance(self.widget, Typeahead)
        self.widget.options = lambda: map(incident_label, self.found[: self.OFFERED])

    def clean(self, value: Any) -> Incident | None:
        typed = str(value or "").strip()
        self.validate(typed)
        if not typed:
            return None
        number = re.fullmatch(r"(?:INC-)?([0-9]{1,9})(?: ·.*)?", typed, re.IGNORECASE | re.DOTALL)
        if number:
            found = list(self.found.filter(number=number[1]))
        else:
            words = fold(typed)
            found = [i for i in self.found[: self.OFFERED] if words and words in fold(i.headline)]
        if len(found) != 1:
            raise forms.ValidationError(
                _("Several incidents are called like this. Choose one from the list.")
                if found
                else _("There is no such incident. Choose one from the list.")
            )
        return found[0]


def incident_label(incident: Incident) -> str:
    return f"INC-{incident.number} · {incident.headline}"


class ActForm(forms.Form):
    """`version` is the incident as the person saw it."""

    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, incident: Incident, **kwargs: Any) -> None:
        self.incident = incident
        kwargs.setdefault("initial", {}).setdefault("version", incident.version)
        super().__init__(*args, **kwargs)

    @property
    def workspace(self) -> Workspace:
        return self.incident.workspace


class ReasonForm(ActForm):
    reason = forms.CharField(
        label=_("Why?"), max_length=500, widget=forms.Textarea(attrs={"rows": 2, "autofocus": True})
    )


class SnoozeForm(ActForm):
    until = forms.ChoiceField(
        label=_("Until"), choices=[(key, name) for key, (name, _d) in SNOOZES.items()], initial="1d"
    )

    def moment(self) -> datetime:
        return timezone.now() + SNOOZES[self.cleaned_data["until"]][1]


class DuplicateForm(ActForm):
    original = IncidentField(label=_("Of which incident?"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = Incident.objects.of(self.workspace).open().filter(original=None).exclude(pk=self.incident.pk)
        field = self.fields["original"]
        assert isinstance(field, IncidentField)
        field.offer(others)
        field.widget.attrs["autofocus"] = True


class AssignForm(ActForm):
    assignee = forms.ModelChoiceField(
        label=_("To whom?"), queryset=User.objects.none(), required=False, empty_label=_("Nobody")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        members = User.objects.filter(memberships__workspace=self.workspace, is_active=True)
        field = self.fields["assignee"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = members.order_by("name", "email")
        self.initial.setdefault("assignee", self.incident.assignee_id)


class SeverityForm(ActForm):
    severity = forms.ChoiceField(
        label=_("Severity"), choices=[c for c in Severity.choices if c[0] != "unset"], widget=forms.RadioSelect
    )
    reason = forms.CharField(label=_("Why? (optional)"), max_length=500, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("severity", self.incident.severity)


class ResolveForm(ActForm):
    release = forms.ModelChoiceField(
        label=_("Which release carries the fix?"),
        queryset=Release.objects.none(),
        required=False,
        empty_label=_("No code change"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["release"]
        assert isinstance(field, forms.ModelChoiceField)
        releases = Release.objects.of(self.workspace)
        if self.incident.product_id:
            releases = releases.filter(product=self.incident.product_id)
        field.queryset = releases.in_order()
        newest = field.queryset.first()
        # A fix usually ships in the newest release; "no code change" is the exception one chooses.
        self.initial.setdefault("release", newest.pk if newest else None)


class CommentForm(forms.Form):
    text = forms.CharField(label=_("Comment"), max_length=20_000, widget=forms.Textarea(attrs={"rows": 3}))


class ReportForm(forms.Form):
    title = forms.CharField(label=_("What is wrong?"), max_length=200)
    kind = forms.ChoiceField(label=_("Kind"), choices=IncidentKind.choices, initial=IncidentKind.BUG)
