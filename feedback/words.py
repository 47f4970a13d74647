"""Why a customer is on the list of the silent, and why a complaint seems to be of a kind, in the reader's language."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

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


_SIGNS = {
    "rage": gettext_lazy("angry clicks"),
    "dead": gettext_lazy("clicks without effect"),
    "retries": gettext_lazy("tries again and again"),
    "help": gettext_lazy("a look at the help"),
    "unfinished": gettext_lazy("something begun and not finished"),
    "marked": gettext_lazy("something their app calls a struggle"),
}


def evidence(told: dict[str, Any]) -> str:
    """What speaks for a kind: one of Suggestion.why as a short sentence."""
    if told["code"] == "failed":
        name = str(told["name"]).replace("_", " ").capitalize()
        values = {"n": whole(told["n"]), "name": name, "minutes": told["minutes"]}
        if not name:
            return ngettext(
                "%(n)s error for them within %(minutes)s min", "%(n)s errors for them within %(minutes)s min", told["n"]
            ) % values
        return ngettext(
            "%(name)s failed %(n)s time for them within %(minutes)s min",
            "%(name)s failed %(n)s times for them within %(minutes)s min",
            told["n"],
        ) % values
    if told["code"] == "struggled":
        seen = ", ".join(str(_SIGNS.get(sign, sign)) for sign in told["signs"])
        return _("nothing failed for them within %(minutes)s min, but: %(signs)s") % {
            "minutes": told["minutes"], "signs": seen
        }  # fmt: skip
    if told["code"] == "leaving":
        return _("may leave: “%(words)s”") % {"words": told["words"]}
    return _("from “%(words)s”") % {"words": told["words"]}
