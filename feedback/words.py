"""Why a customer is on the list of the silent, in the reader's language."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from productops.lib.tell import percent, whole


def reason(told: dict[str, Any]) -> str:
    """One of Silence.reasons as a sentence without its dot."""
    if told["code"] == "errors":
        name = "" if told["signal"] == "sessions" else str(told["signal"]).replace("_", " ").capitalize()
        values = {
            "bad": whole(told["failures"]), "n": whole(told["uses"]), "usual": percent(told["usual"]), "name": name
        }  # fmt: skip
        if not name:
            return _("%(bad)s of %(n)s sessions crashed, normally %(usual)s") % values
        return _("%(name)s failed %(bad)s of %(n)s times, normally %(usual)s") % values
    if told["code"] == "confusion":
        return ngettext(
            "Struggled with %(feature)s in %(k)s of %(n)s session",
            "Struggled with %(feature)s in %(k)s of %(n)s sessions",
            told["sessions"],
        ) % {"feature": told["feature"], "k": whole(told["confused"]), "n": whole(told["sessions"])}
    values = {"uses": whole(told["uses"]), "usual": whole(told["usual"]), "days": told["days"]}
    if told["code"] == "drop":
        return _("Uses it less since: %(uses)s uses in %(days)s days, normally %(usual)s") % values
    return _("Has gone quiet: %(uses)s uses in %(days)s days, normally %(usual)s") % values
