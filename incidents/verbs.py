"""The verbs of triage as the browser offers them: what each asks, and what is said when it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from incidents import forms
from incidents.models import acts


@dataclass(frozen=True)
class Verb:
    """`act` for a verb that needs nothing but the click, else `form`. `said` follows "INC-7 ", `said_of_many` "12 "."""

    title: str | Promise
    said: str | Promise
    said_of_many: str | Promise
    form: type[forms.ActForm] | None = None
    act: Callable[[], acts.Act] | None = None
    is_decision: bool = False
    short: str | Promise = ""  # the title on a small button, where it is another


VERBS: dict[str, Verb] = {
    "accept": Verb(_("Accept"), _("accepted"), pgettext_lazy("many", "accepted"), act=acts.accept, is_decision=True),
    "start": Verb(_("Start work"), _("is in progress"), _("are in progress"), act=acts.start),
    "mitigate": Verb(_("Mitigate"), _("mitigated"), pgettext_lazy("many", "mitigated"), act=acts.mitigate),
    "resolve": Verb(
        _("Resolve"), _("resolved"), pgettext_lazy("many", "resolved"), forms.ResolveForm, is_decision=True
    ),
    "close": Verb(_("Close"), _("closed"), pgettext_lazy("many", "closed"), act=acts.close, is_decision=True),
    "decline": Verb(
        _("Decline"), _("declined"), pgettext_lazy("many", "declined"), forms.DeclineForm, is_decision=True
    ),
    "duplicate": Verb(
        _("Mark as duplicate"), _("is a duplicate"), _("are duplicates"), forms.DuplicateForm, is_decision=True,
        short=_("Duplicate"),
    ),
    "snooze": Verb(_("Snooze"), _("snoozed"), pgettext_lazy("many", "snoozed"), forms.SnoozeForm, is_decision=True),
    "put_back": Verb(
        _("Back to the queue"), _("is back in the queue"), _("are back in the queue"), act=acts.put_back,
        is_decision=True,
    ),
    "confirm": Verb(_("Still on it"), _("is still worked on"), _("are still worked on"), act=acts.confirm),
    "stamp": Verb(_("Put times right"), _("has its times right"), _("have their times right"), forms.StampForm),
    "wake": Verb(_("Wake"), _("is awake"), _("are awake"), act=acts.wake),
    "reopen": Verb(_("Reopen"), _("reopened"), pgettext_lazy("many", "reopened"), forms.ReopenForm),
    "assign": Verb(_("Assign"), _("assigned"), pgettext_lazy("many", "assigned"), forms.AssignForm),
    "inform": Verb(
        _("Tell agents"), _("is told to agents"), pgettext_lazy("many", "told to agents"), forms.InformForm
    ),
    "set_severity": Verb(
        _("Set severity"), _("has a new severity"), _("have a new severity"), forms.SeverityForm, short=_("Severity")
    ),
}
