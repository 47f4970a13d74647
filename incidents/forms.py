"""What an act needs to be told."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django import forms
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Role, User, Workspace
from incidents.models import ActionState, Incident, IncidentKind, LinkKind, SavedView, Severity, UpdateKind, acts
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
    """What one act needs to be told, about one incident or about many; `act` is it once the form is valid.

    `version` is the incident as the person saw it.
    """

    version = forms.IntegerField(required=False, widget=forms.HiddenInput, max_value=2**31 - 1)
    act: acts.Act

    def __init__(self, *args: Any, workspace: Workspace, incident: Incident | None = None, **kwargs: Any) -> None:
        self.workspace, self.incident = workspace, incident
        if incident:
            kwargs.setdefault("initial", {}).setdefault("version", incident.version)
        super().__init__(*args, **kwargs)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if not self.errors:
            self.act = self.build(given)
        return given

    def build(self, given: dict[str, Any]) -> acts.Act:
        """The act; raises ValidationError."""
        raise NotImplementedError


class ReasonForm(ActForm):
    reason = forms.CharField(
        label=_("Why?"), max_length=500, widget=forms.Textarea(attrs={"rows": 2, "autofocus": True})
    )


class DeclineForm(ReasonForm):
    def build(self, given: dict[str, Any]) -> acts.Act:
        return acts.decline(given["reason"])


class ReopenForm(ReasonForm):
    def build(self, given: dict[str, Any]) -> acts.Act:
        return acts.reopen(given["reason"])


class SnoozeForm(ActForm):
    until = forms.ChoiceField(
        label=_("Until"),
        choices=[
            *((key, name) for key, (name, _d) in SNOOZES.items()),
            ("release", _("The next release")),
            ("customers", _("More customers are hit")),
        ],
        initial="1d",
    )
    customers = forms.IntegerField(
        label=_("How many more customers"), required=False, min_value=1, max_value=acts.MOST_CUSTOMERS, initial=5
    )

    def build(self, given: dict[str, Any]) -> acts.Act:
        until = given["until"]
        if until == "release":
            return acts.snooze(next_release=True)
        if until == "customers":
            return acts.snooze(customers=given["customers"] or 5)
        return acts.snooze(timezone.now() + SNOOZES[until][1])


class DuplicateForm(ActForm):
    original = IncidentField(label=_("Of which incident?"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = Incident.objects.of(self.workspace).open().filter(original=None)
        field = self.fields["original"]
        assert isinstance(field, IncidentField)
        field.offer(others.exclude(pk=self.incident.pk) if self.incident else others)
        field.widget.attrs["autofocus"] = True

    def build(self, given: dict[str, Any]) -> acts.Act:
        return acts.duplicate(given["original"])


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
        if self.incident:
            self.initial.setdefault("assignee", self.incident.assignee_id)

    def build(self, given: dict[str, Any]) -> acts.Act:
        return acts.assign(given["assignee"], self.workspace.pk)


class SeverityForm(ActForm):
    severity = forms.ChoiceField(label=_("Severity"), widget=forms.RadioSelect)
    reason = forms.CharField(label=_("Why?"), max_length=500, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["severity"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [choice for choice in Severity.choices if choice[0] != "unset"]
        if self.incident is None:
            return
        suggested = Severity(acts.suggested(self.incident))
        if self.incident.is_severity_forced:
            name = _("As the hub suggests: %(severity)s") % {"severity": suggested.label}
            field.choices = [*field.choices, (acts.AUTO, name)]
        if suggested != Severity.UNSET:
            told = _("The hub suggests %(severity)s. Another one needs a reason.")
            self.fields["reason"].help_text = told % {"severity": str(suggested.label).lower()}
        self.initial.setdefault("severity", self.incident.severity)

    def build(self, given: dict[str, Any]) -> acts.Act:
        return acts.set_severity(given["severity"], given["reason"])


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
        if self.incident and self.incident.product_id:
            releases = releases.filter(product=self.incident.product_id)
        field.queryset = releases.in_order()
        newest = field.queryset.first()
        # A fix usually ships in the newest release; "no code change" is the exception one chooses.
        self.initial.setdefault("release", newest.pk if newest else None)

    def build(self, given: dict[str, Any]) -> acts.Act:
        return acts.resolve(given["release"])


class InformForm(ActForm):
    wording = forms.CharField(
        label=_("What may agents tell customers?"), max_length=acts.MOST_WORDS, required=False,
        widget=forms.Textarea(attrs={"rows": 3, "autofocus": True}),
        help_text=_("In the customers' words. Empty takes it off the list of known problems."),
    )  # fmt: skip
    workaround = forms.CharField(
        label=_("What helps until then?"), max_length=acts.MOST_WORDS, required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
    )  # fmt: skip
    expected_on = forms.DateField(
        label=_("When may they expect it to work?"), required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.incident:
            for name in ("wording", "workaround", "expected_on"):
                self.initial.setdefault(name, getattr(self.incident, name))

    def build(self, given: dict[str, Any]) -> acts.Act:
        return acts.inform(given["wording"], given["workaround"], given["expected_on"])


class SaveViewForm(forms.ModelForm):  # type: ignore[type-arg]
    query = forms.CharField(label=_("Query"), max_length=1_000, required=False)

    class Meta:
        model = SavedView
        fields = ("name", "query", "layout", "is_shared", "role")
        labels: ClassVar = {"layout": _("Shown as"), "role": _("Where this role begins")}

    def __init__(self, *args: Any, may_share: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].widget.attrs["autofocus"] = True
        role = self.fields["role"]
        assert isinstance(role, forms.ChoiceField)
        role.choices = [("", _("No role")), *Role.choices]
        if not may_share:
            del self.fields["is_shared"], self.fields["role"]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if given.get("role"):  # a role's view is one that all of the role see
            given["is_shared"] = True
        return given


class MomentField(forms.DateTimeField):
    """A moment in the reader's zone."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")


class SayForm(forms.Form):
    kind = forms.ChoiceField(label=_("What is it?"), choices=UpdateKind.choices, initial=UpdateKind.COMMENT)
    text = forms.CharField(label=_("Text"), max_length=20_000, widget=forms.Textarea(attrs={"rows": 2}))
    at = MomentField(label=_("When did it happen?"), required=False)


class StampForm(ActForm):
    impact_started_at = MomentField(label=_("First customer hit"), required=False)
    acknowledged_at = MomentField(label=_("Acknowledged"), required=False)
    mitigated_at = MomentField(label=_("Mitigated"), required=False)
    resolved_at = MomentField(label=_("Resolved"), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.incident:
            for name in acts.STAMPS:
                self.initial.setdefault(name, getattr(self.incident, name))
                if name != "impact_started_at" and getattr(self.incident, name) is None:
                    del self.fields[name]  # that has not happened: there is an act for it

    def build(self, given: dict[str, Any]) -> acts.Act:
        said = {name: given[name] for name in acts.STAMPS if name in self.fields}
        # The field tells minutes: what was left alone keeps its seconds.
        before = {name: getattr(self.incident, name) for name in said}
        kept = {n: v if _minute(v) != _minute(before[n]) else before[n] for n, v in said.items()}
        return acts.stamp(kept)


def _minute(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(second=0, microsecond=0)


class LinkForm(forms.Form):
    other = IncidentField(label=_("Which incident?"))
    kind = forms.ChoiceField(label=_("This one is, to that one"), choices=LinkKind.choices[:2])

    def __init__(self, *args: Any, workspace: Workspace, incident: Incident, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["other"]
        assert isinstance(field, IncidentField)
        field.offer(Incident.objects.of(workspace).exclude(pk=incident.pk))
        field.widget.attrs["autofocus"] = True


class SettleForm(forms.Form):
    state = forms.ChoiceField(choices=ActionState.choices)
    reason = forms.CharField(max_length=500, required=False)


class ReviewForm(forms.Form):
    story = forms.CharField(
        label=_("What happened"), max_length=20_000, required=False, widget=forms.Textarea(attrs={"rows": 10})
    )
    cause = forms.CharField(
        label=_("Why it happened"), max_length=20_000, required=False, widget=forms.Textarea(attrs={"rows": 5})
    )
    learned = forms.CharField(
        label=_("What we learned"), max_length=20_000, required=False, widget=forms.Textarea(attrs={"rows": 4})
    )
    version = forms.IntegerField(required=False, widget=forms.HiddenInput, max_value=2**31 - 1)


class ActionForm(forms.Form):
    title = forms.CharField(label=_("What has to be done?"), max_length=200)
    owner = forms.ModelChoiceField(
        label=_("Who?"), queryset=User.objects.none(), required=False, empty_label=_("Nobody")
    )
    release = forms.ModelChoiceField(
        label=_("Which release must ship it?"), queryset=Release.objects.none(), required=False,
        empty_label=_("None"),
    )  # fmt: skip
    due_on = forms.DateField(
        label=_("By when?"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )

    def __init__(self, *args: Any, incident: Incident, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        owner, release = self.fields["owner"], self.fields["release"]
        assert isinstance(owner, forms.ModelChoiceField)
        assert isinstance(release, forms.ModelChoiceField)
        members = User.objects.filter(memberships__workspace=incident.workspace_id, is_active=True)
        owner.queryset = members.order_by("name", "email")
        releases = Release.objects.of(incident.workspace).select_related("product")
        release.queryset = (
            releases.filter(product=incident.product_id) if incident.product_id else releases
        ).in_order()


class ReportForm(forms.Form):
    title = forms.CharField(label=_("What is wrong?"), max_length=200)
    kind = forms.ChoiceField(label=_("Kind"), choices=IncidentKind.choices, initial=IncidentKind.BUG)
