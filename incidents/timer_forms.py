"""How long things may take in a workspace."""

from __future__ import annotations

from datetime import time
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.forms import zones
from accounts.models import Workspace
from incidents import clocks, timers

DAYS = [
    (0, _("Monday")), (1, _("Tuesday")), (2, _("Wednesday")), (3, _("Thursday")), (4, _("Friday")), (5, _("Saturday")),
    (6, _("Sunday")),
]  # fmt: skip


class TimersForm(forms.Form):
    """A field for each severity and kind, then working hours."""

    has_hours = forms.BooleanField(label=_("Only working hours count"), required=False)
    days = forms.TypedMultipleChoiceField(
        label=_("Working days"), choices=DAYS, coerce=int, required=False, widget=forms.CheckboxSelectMultiple
    )
    opens = forms.TimeField(label=_("From"), widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"))
    closes = forms.TimeField(label=_("Until"), widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"))
    zone = forms.ChoiceField(label=_("Time zone"))
    always = forms.MultipleChoiceField(
        label=_("Around the clock all the same"), required=False, widget=forms.CheckboxSelectMultiple
    )
    bundle_hours = forms.IntegerField(label=_("Hours between two mails of notices"), min_value=1, max_value=24)

    def __init__(self, *args: Any, workspace: Workspace, zone: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.policy = policy = timers.policy_of(workspace.timers)
        hours = policy.hours
        self.initial = {
            "has_hours": hours is not None, "days": sorted(hours.days) if hours else [0, 1, 2, 3, 4],
            "opens": hours.opens if hours else time(9), "closes": hours.closes if hours else time(18),
            "zone": hours.zone if hours else zone, "always": sorted(policy.always),
            "bundle_hours": workspace.bundle_hours,
        }  # fmt: skip
        self.fields["zone"] = forms.ChoiceField(label=_("Time zone"), choices=zones(str(self.initial["zone"])))
        always = self.fields["always"]
        assert isinstance(always, forms.MultipleChoiceField)
        always.choices = list(clocks.severities())
        for severity, _name in clocks.severities():
            for kind in timers.KINDS:
                name = f"{severity}_{kind}"
                self.fields[name] = forms.CharField(required=False, max_length=8, label=clocks.NAMES[kind])
                self.fields[name].widget.attrs |= {"class": "input", "placeholder": "–", "inputmode": "text"}
                self.initial[name] = policy.told(severity, kind)

    def rows(self) -> list[tuple[str, list[Any]]]:
        """(severity, its fields), the worst first."""
        return [
            (name, [self[f"{severity}_{kind}"] for kind in timers.KINDS]) for severity, name in clocks.severities()
        ]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        for severity, _name in clocks.severities():
            for kind in timers.KINDS:
                name = f"{severity}_{kind}"
                text = given.get(name, "").strip().lower().replace(" ", "")
                given[name] = text
                if text:
                    try:
                        timers.span(text)
                    except ValueError:
                        self.add_error(name, _("Write it like 15min, 4h or 1d."))
        if not self.errors:
            self.made = self._build(given)
            wrong = timers.problem(self.made)
            if wrong == "days":
                self.add_error("days", _("Choose at least one day."))
            elif wrong == "hours":
                self.add_error("closes", _("It ends before it begins."))
        return given

    def _build(self, given: dict[str, Any]) -> timers.Policy:
        targets = {
            severity: {kind: given[f"{severity}_{kind}"] for kind in timers.KINDS}
            for severity, _name in clocks.severities()
        }
        hours = timers.Hours(frozenset(given["days"]), given["opens"], given["closes"], given["zone"])
        return timers.Policy(
            targets, hours if given["has_hours"] else None, frozenset(given["always"]), self.policy.version + 1
        )
