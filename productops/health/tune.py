"""How a signal is judged, set by people; with what that would have changed, before it is saved."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from accounts.access import MemberRequest, allow
from activity.models import Event
from metrics import tuning, words
from metrics.intake.event import FAULT
from metrics.models import Signal
from metrics.models.signal import WIDEST
from productops.lib import pages
from productops.lib.tell import percent, whole

#: How long a signal may be muted, in days.
_MUTES = {"1": gettext_lazy("for a day"), "7": gettext_lazy("for a week"), "30": gettext_lazy("for 30 days")}
MOST = 2**31 - 1
_VOLUMES = {-1: gettext_lazy("falls"), 1: gettext_lazy("rises"), 0: gettext_lazy("does either")}
_PARTS = {
    "": gettext_lazy("what its name says"), "none": gettext_lazy("a plain use"), "start": gettext_lazy("the beginning"),
    "finish": gettext_lazy("the end"), "help": gettext_lazy("looking for help"), "retry": gettext_lazy("trying again"),
}  # fmt: skip
_NAMES = {
    "margin": gettext_lazy("margin"), "fewest": gettext_lazy("least uses"), "volume_worse": gettext_lazy("volume"),
    "muted_until": gettext_lazy("muted until"), "part": gettext_lazy("part of its feature"),
}  # fmt: skip


class TuneForm(forms.Form):
    margin = forms.IntegerField(
        label=gettext_lazy("Margin, %"), min_value=0, max_value=round(WIDEST * 100), required=False,
        help_text=gettext_lazy("Changes up to it never count as worse. Empty: as usual, 5 to 25."),
        widget=forms.NumberInput(attrs={"inputmode": "numeric", "autofocus": True}),
    )  # fmt: skip
    fewest = forms.IntegerField(
        label=gettext_lazy("Least uses of a new release"), min_value=1, max_value=MOST, required=False,
        help_text=gettext_lazy("With fewer, nothing is said. Empty: as few as the statistics allow."),
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )  # fmt: skip
    volume_worse = forms.TypedChoiceField(
        label=gettext_lazy("Its volume is worse when it"), coerce=int,
        choices=list(_VOLUMES.items()),
    )  # fmt: skip
    mute = forms.ChoiceField(label=gettext_lazy("Mute"), required=False)
    part = forms.ChoiceField(
        label=gettext_lazy("In its feature it is"), choices=list(_PARTS.items()), required=False,
        help_text=gettext_lazy("Says what was begun and not finished, and where help was looked for."),
    )  # fmt: skip

    def __init__(self, given: Any, signal: Signal) -> None:
        initial: dict[str, Any] = {"volume_worse": signal.volume_worse, "fewest": signal.fewest, "mute": ""}
        initial["part"] = signal.part
        if signal.margin is not None:
            initial["margin"] = round(signal.margin * 100)
        self.signal = signal
        if signal.is_muted(timezone.now()):
            initial["mute"] = "keep"
        super().__init__(given, initial=initial)
        field = self.fields["mute"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", _("no")), *_MUTES.items()]
        if initial["mute"]:
            field.choices = [*field.choices, ("keep", _("as it is now"))]

    def given(self) -> dict[str, Any]:
        """Values of models.signal.TUNED."""
        data = self.cleaned_data
        margin, mute = data["margin"], data["mute"]
        until = None
        if mute == "keep":
            until = self.signal.muted_until
        elif mute:
            until = timezone.now() + timedelta(days=int(mute))
        return {
            "margin": None if margin is None else margin / 100,
            "fewest": data["fewest"],
            "volume_worse": data["volume_worse"],
            "muted_until": until,
            "part": data["part"],
        }


@require_http_methods(["GET", "POST"])
@allow("release.edit")
def tune(request: MemberRequest, pk: int) -> HttpResponse:
    signal = _find(request, pk)
    form = TuneForm(request.POST or None, signal=signal)
    if not form.is_valid():
        template = "releases/_tune.html" if pages.is_htmx(request) else "releases/tune.html"
        return render(request, template, {"form": form, "signal": signal, "name": _name(signal)})
    signal.tune(request.membership.user, **form.given())
    if not pages.is_htmx(request):
        return redirect("releases:index", request.workspace.slug)
    response = HttpResponse(status=204)
    response["HX-Refresh"] = "true"
    return response


@require_GET
@allow("release.edit")
def preview(request: MemberRequest, pk: int) -> HttpResponse:
    """What the form as it stands would have changed."""
    signal = _find(request, pk)
    form = TuneForm(request.GET, signal=signal)
    found = None
    if form.is_valid():
        given = form.given()
        found = tuning.preview(signal, given["margin"], given["fewest"], given["volume_worse"])
    return render(request, "releases/_preview.html", {"found": found})


def told(signal: Signal) -> list[dict[str, Any]]:
    """The last changes, the newest first: {by, at, changes: [(name, before, after)]}."""
    events = Event.objects.about(signal).filter(verb="signal.tuned").select_related("by").order_by("-at", "-pk")[:5]
    return [
        {"by": event.by, "at": event.at, "changes": [
            (_NAMES[name], _value(name, event.detail["before"][name]), _value(name, value))
            for name, value in event.detail["after"].items()
        ]}
        for event in events
    ]  # fmt: skip


def _value(name: str, value: Any) -> str:
    if name == "volume_worse":
        return str(_VOLUMES[value])
    if name == "part":
        return str(_PARTS[value])
    if value is None:
        return "–"
    if name == "margin":
        return percent(value, 0)
    return words.moment(datetime.fromisoformat(value)) if name == "muted_until" else whole(value)


def _find(request: MemberRequest, pk: int) -> Signal:
    found = Signal.objects.filter(product__workspace=request.workspace).exclude(kind=FAULT)
    return get_object_or_404(found.select_related("product__workspace"), pk=pk)


def _name(signal: Signal) -> str:
    return signal.name.replace("_", " ").capitalize()
