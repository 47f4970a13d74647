from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

#: Far more than any hub counts, and well inside a 64-bit sum.
MOST = 10**12


class LimitForm(forms.Form):
    per_month = forms.IntegerField(
        label=_("Events a month"),
        help_text=_("Empty: no limit. What comes beyond is refused and counted as such."),
        min_value=1,
        max_value=MOST,
        required=False,
        widget=forms.NumberInput(attrs={"inputmode": "numeric", "autofocus": True}),
    )
    per_minute = forms.IntegerField(
        label=_("Events a minute"),
        help_text=_("Empty: no limit. Clients that send faster are asked to wait."),
        min_value=1,
        max_value=MOST,
        required=False,
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
