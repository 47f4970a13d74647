"""Findings said in words, in the reader's language. The numbers are the stored ones; nothing is recomputed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from metrics import measures
from metrics.detection.slices import ALL
from metrics.detection.spikes import Z
from metrics.intake.event import COMPLAINT, FAULT, REFUSAL
from productops.lib.tell import bare_percent, milliseconds, percent, whole

_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")

#: How an error group that was not there before is told of.
_FIRST = {"new": gettext_lazy("New in %(version)s: %(error)s"), "back": gettext_lazy("Back in %(version)s: %(error)s")}

#: How platforms write themselves; others are shown as they were sent.
_PLATFORMS = {
    "android": "Android", "ios": "iOS", "web": "Web", "macos": "macOS", "windows": "Windows", "linux": "Linux",
    "javascript": "JavaScript", "python": "Python", "node": "Node.js",
}  # fmt: skip

#: Customers by what they pay, see placing.py.
_TIERS = {
    "top": gettext_lazy("the customers that pay most"), "paying": gettext_lazy("the other customers that pay"),
    "free": gettext_lazy("customers that pay nothing"), "unknown": gettext_lazy("customers of unknown revenue"),
}  # fmt: skip

#: A stored trace entry, see watching.trace.
Trace = dict[str, Any]


def signal_name(trace: Trace) -> str:
    if trace["kind"] == "session":
        return _("Sessions")
    if trace["kind"] == "error":
        return _("Errors")
    if trace["kind"] == REFUSAL:
        return _("Refused requests")
    if trace["kind"] == FAULT:
        return str(trace["name"])
    if trace["kind"] == COMPLAINT:
        return _("Complaints")
    return str(trace["name"]).replace("_", " ").capitalize()


def measure_name(trace: Trace) -> str:
    """"Checkout failures", "Crash-free sessions", "Search p95"."""
    name, measure = signal_name(trace), trace["measure"]
    if is_turned(trace):
        return _("Crash-free sessions") if measure == measures.FAILURES else _("Crash-free users")
    if measure == measures.FAILURES:
        return _("%(name)s failures") % {"name": name}
    if measure == measures.CONVERSION:
        return _("%(name)s conversion") % {"name": name}
    if measure == measures.USERS:
        return _("Active users")
    if measure == measures.COMPLAINTS:
        return _("Complaints per 1,000 active users")
    if trace["kind"] == FAULT:
        return name
    if trace["kind"] == REFUSAL:
        return _("Refused per use")
    if measure == measures.ERRORS:
        return _("Errors per use")
    if measure in measures.SLOWNESS:
        return _("%(name)s %(quantile)s") % {"name": name, "quantile": measure.rpartition("_")[2]}
    return _("%(name)s volume") % {"name": name}


def value(trace: Trace, number: float) -> str:
    """A number of this measure with its unit. Crash-free turns the crash rate round."""
    if is_turned(trace):
        return percent(1 - number, 2)
    if trace["measure"] == measures.COMPLAINTS:
        return _per_thousand(number)
    if trace["measure"] in measures.SHARES:
        return percent(number)
    if trace["measure"] in measures.SLOWNESS:
        return milliseconds(number)
    return whole(number)


def interval(trace: Trace) -> str:
    """"11.2–14.8": the 95 % interval of the new value, without its unit."""
    low, high = trace["low"], trace["high"]
    if is_turned(trace):
        return f"{bare_percent(1 - high, 2)}–{bare_percent(1 - low, 2)}"
    if trace["measure"] == measures.COMPLAINTS:
        return f"{_per_thousand(low)}–{_per_thousand(high)}"
    if trace["measure"] == measures.CONVERSION:
        low, high = max(0.0, low), min(1.0, high)  # the method knows no bounds, readers do
    if trace["measure"] in measures.SHARES:
        return f"{bare_percent(low)}–{bare_percent(high)}"
    return f"{whole(low)}–{whole(high)}"


def _per_thousand(share: float) -> str:
    return formats.number_format(round(share * measures.scale(measures.COMPLAINTS), 1), 1)


def is_turned(trace: Trace) -> bool:
    return measures.is_turned(trace["kind"], trace["measure"])


def change(trace: Trace) -> str:
    """"+8.8 pts", "+22 %": how far the new value is from the old."""
    old, new = trace["old"], trace["new"]
    if trace["measure"] in measures.SHARES and trace["measure"] != measures.COMPLAINTS:
        points = (old - new if is_turned(trace) else new - old) * 100
        return _("%(points)s pts") % {"points": _signed(points, 2 if is_turned(trace) else 1)}
    return f"{_signed((trace['ratio'] - 1) * 100, 0)}\u202f%"


def status_name(trace: Trace) -> str:
    if trace["status"] == "worse" and trace["transient"]:
        return _("was worse")
    return {
        "worse": _("worse"),
        "better": _("better"),
        "same": _("as before"),
        "not_enough": _("not enough data"),
    }[trace["status"]]


def title(trace: Trace, version: str) -> str:
    """One line for a list: "Checkout failures 4.1 % → 12.9 % on plan Free", "New in 2.4.0: TypeError: …"."""
    if trace.get("state") in _FIRST:
        return str(_FIRST[trace["state"]] % {"version": version, "error": trace["name"]})
    told = _("%(measure)s %(old)s → %(new)s") % {
        "measure": measure_name(trace),
        "old": value(trace, trace["old"]),
        "new": value(trace, trace["new"]),
    }
    return f"{told} {where(trace)}".strip()


def complaints_title(cause: dict[str, Any]) -> str:
    """The line for a spike of complaints, see incidents/spiking.py."""
    facts = {"n": whole(cause["n"]), "feature": cause["feature"].replace("_", " ").capitalize(), "usual": _usual(cause)}
    if cause["feature"]:
        return _("%(feature)s: %(n)s complaints in a day, usually %(usual)s") % facts
    return _("%(n)s complaints in a day, usually %(usual)s") % facts


def complaints_why(cause: dict[str, Any]) -> str:
    facts = {
        "n": whole(cause["n"]),
        "customers": whole(cause["customers"]),
        "usual": _usual(cause),
        "days": whole(cause["windows"]),
        "version": cause["version"],
        "z": formats.number_format(cause["z"], 1),
        "least": formats.number_format(Z, 1),
    }
    if cause["is_by_weekday"]:
        before = _("The same weekday had %(usual)s (median of %(days)s weeks).")
    else:
        before = _("Other days had %(usual)s (median of %(days)s days).")
    told = _("%(n)s complaints of %(customers)s customers in 24 hours.")
    rule = _("Rule “complaints”, version %(version)s: modified z %(z)s against %(least)s.")
    return " ".join(text % facts for text in (told, before, rule))


def _usual(cause: dict[str, Any]) -> str:
    usual = cause["usual"]
    return formats.number_format(usual, 0 if usual == round(usual) else 1)


def where(trace: Trace) -> str:
    """"on plan Free, Android": the slices that explain it; "" for none."""
    names = [_place_name(place["name"]) for place in trace.get("places") or ()]
    return _("on %(places)s") % {"places": ", ".join(names)} if names else ""


def _place_name(slice: str) -> str:
    dimension, _sign, name = slice.partition("=")
    if dimension == "plan":
        return _("plan %(name)s") % {"name": name}
    if dimension == "country":
        return _("country %(name)s") % {"name": name}
    if dimension == "feature":
        return name
    if dimension == "tier":
        return str(_TIERS.get(name, name))
    return _PLATFORMS.get(name.lower(), name)


def state_name(trace: Trace) -> str:
    """Of an error group: how it stands with this release."""
    if trace["state"] == "new":
        return _("new")
    if trace["state"] == "back":
        return _("came back")
    return _("more often") if trace["status"] == "worse" else _("known")


def sentence(trace: Trace, version: str, customers: int = 0, silent: int = 0) -> str:
    """What happened, how surely, where, to whom, and against what."""
    if trace.get("state"):
        told = _fault(trace, version)
        return f"{told} {hurt(customers, silent)} {control(trace)}" if customers else f"{told} {control(trace)}"
    facts = {
        "measure": measure_name(trace),
        "old": value(trace, trace["old"]),
        "new": value(trace, trace["new"]),
        "interval": interval(trace),
        "n": whole(trace["n_new"]),
        "version": version,
    }
    told = _("%(measure)s: %(old)s before, %(new)s with %(version)s (95 %% CI %(interval)s, n = %(n)s).") % facts
    place = where(trace)
    if place and all(found["share"] >= ALL for found in trace["places"]):
        told += " " + _("All of it %(place)s.") % {"place": place}
    elif place:
        told += " " + _("Nearly all of it %(place)s.") % {"place": place}
    if customers:
        told += " " + hurt(customers, silent)
    return f"{told} {control(trace)} {doubt(trace, version)}".strip()


def doubt(trace: Trace, version: str) -> str:
    """Why it is probably not this release; "" when nothing says so."""
    reasons = {
        "began_before": _("it began in the hour before the deploy"),
        "older_versions": _("older versions got as bad, and hold most of it"),
        "other_products": _("it came at the same time in %(names)s"),
        "adoption": _("only %(share)s of the traffic is on it, too little to do that"),
        "untouched": _("it touches only %(names)s"),
    }
    told = [
        reasons[found["code"]]
        % {"names": ", ".join(found.get("names", ())), "share": percent(found.get("share", 0.0), 0)}
        for found in trace.get("doubts") or ()
    ]
    if not told:
        return ""
    return _("Probably not %(version)s: %(reasons)s.") % {"version": version, "reasons": "; ".join(told)}


def _fault(trace: Trace, version: str) -> str:
    interval = f"{bare_percent(trace['low'], 2)}–{bare_percent(trace['high'], 2)}"
    facts = {
        "error": trace["name"], "bad": whole(trace["bad_new"]), "n": whole(trace["n_new"]), "version": version,
        "new": percent(trace["new"], 2), "interval": interval,
        "old": percent(trace["old"], 2), "n_old": whole(trace["n_old"]), "bad_old": whole(trace["bad_old"]),
    }  # fmt: skip
    told = _("%(error)s: %(bad)s in %(n)s uses of %(version)s, %(new)s (95 %% CI %(interval)s).") % facts
    if trace["state"] == "new":
        before = _("Never before, in %(n_old)s uses of older versions.")
    elif trace["state"] == "back":
        before = _("It was gone: %(bad_old)s in the last %(n_old)s uses before.")
    else:
        before = _("Before, %(old)s (%(bad_old)s in %(n_old)s uses).")
    return f"{told} {before % facts}"


def hurt(customers: int, silent: int) -> str:
    """How many it hit: "31 customers, 24 of them silent."; silent ones were touched and never wrote."""
    told = ngettext("%(n)s customer", "%(n)s customers", customers) % {"n": whole(customers)}
    if not silent:
        return f"{told}."
    return _("%(customers)s, %(silent)s of them silent.") % {"customers": told, "silent": whole(silent)}


def control(trace: Trace) -> str:
    if trace["method"] == "concurrent":
        return _("Compared with the older versions in the same minutes.")
    if trace["method"] == "before_after":
        return _("Compared with the days before the deploy, at the same time of day.")
    if trace["method"] == "faults":
        return _("Compared with the older versions, over the two weeks before and since.")
    return _("Compared with the time just before the deploy, since there is little history yet.")


def verdict_name(verdict: str) -> str:
    """What a verdict is called."""
    names = {"regressed": _("Regressed"), "watch": _("Watch"), "healthy": _("Healthy"), "not_judged": _("not judged")}
    return names.get(verdict, _("Not enough data"))


def why(trace: Trace) -> str:
    """The rule that fired, for whoever wants to check it."""
    told = ""
    if trace["measure"] in measures.TROUBLE:
        told = _("%(bad)s of %(n)s failed; about %(expected)s would be expected.") % {
            "bad": whole(trace["bad_new"]),
            "n": whole(trace["n_new"]),
            "expected": whole(trace["n_new"] * trace["old"]),
        }
    rule = {
        "concurrent": _("regression, side by side"),
        "before_after": _("regression, before and after"),
        "short_history": _("regression, short history"),
        "faults": _("error groups"),
    }[trace["method"]]
    return f"{told} " + _(
        "Rule “%(rule)s”, version %(version)s: evidence %(evidence)s against a threshold of %(threshold)s,"
        " margin %(margin)s, clustering %(deff)s."
    ) % {
        "rule": rule,
        "version": trace["version"],
        "evidence": compact(trace["evidence"]),
        "threshold": compact(trace["threshold"]),
        "margin": percent(trace["margin"], 0),
        "deff": formats.number_format(round(trace["deff"], 1), 1),
    }


def footnote(trace: Trace) -> str:
    """Under a number: interval, n, what it was or what could be seen."""
    if trace["status"] == "not_enough":
        return _missing(trace)
    parts = [interval(trace)]
    if trace["measure"] == measures.VOLUME:
        parts.append(_("per 5 min"))
    if trace["measure"] == measures.USERS:
        parts.append(_("first visits of the day per 5 min"))
    if trace["n_new"]:
        parts.append(_("n %(n)s") % {"n": whole(trace["n_new"])})
    if trace["status"] == "same" and trace["mde"] < 10:
        parts.append(_("sees ≥ %(mde)s") % {"mde": percent(trace["mde"], 0)})
    else:
        parts.append(_("was %(old)s") % {"old": value(trace, trace["old"])})
    return " · ".join(parts)


def _missing(trace: Trace) -> str:
    """What is needed before it can be judged."""
    needed = trace["needed"]
    if needed < 0:
        return _("too few events to ever tell a doubling")
    if trace["method"] == "before_after" and needed > 0:
        return _("about %(minutes)s min more") % {"minutes": whole(needed * 5)}
    if trace["n_new"] and needed > 1:
        told = _("n %(n)s · needs about %(needed)s more") % {"n": whole(trace["n_new"]), "needed": whole(needed)}
        return f"{told}{_when(trace)}"
    return _("n %(n)s · waiting for more") % {"n": whole(trace["n_new"])}


def _when(trace: Trace) -> str:
    """", about 14:30": when that will be there, as far as can be said."""
    if trace.get("ready_at") == "":
        return f" · {_('not within 72 h')}"
    at = ready_at(trace)
    return f" · {_('about %(moment)s') % {'moment': moment(at)}}" if at else ""


def ready_at(trace: Trace) -> datetime | None:
    """About when it can be judged; None when that is not known, or not within the watch."""
    return datetime.fromisoformat(trace["ready_at"]) if trace.get("ready_at") else None


def moment(at: datetime) -> str:
    """A time of today, or with its date, in the reader's zone."""
    local = timezone.localtime(at)
    is_today = local.date() == timezone.localtime().date()
    return formats.date_format(local, "H:i" if is_today else "j M, H:i")


def after(minutes: float) -> str:
    """How long after a deploy."""
    if minutes < 120:
        return _("after %(n)s min") % {"n": whole(minutes)}
    hours = round(minutes / 60, 1)
    return _("after %(n)s h") % {"n": formats.number_format(hours, 0 if hours == round(hours) else 1)}


def _signed(number: float, digits: int) -> str:
    sign = "+" if number > 0 else "−" if number < 0 else "±"
    return f"{sign}{formats.number_format(abs(round(number, digits)), digits)}"


def compact(number: float) -> str:
    """1234567 -> 1.2 × 10⁶."""
    if abs(number) < 10_000:
        return formats.number_format(number, 0 if number >= 10 else 1)
    digits, _e, power = f"{number:.1e}".partition("e")
    return f"{formats.number_format(float(digits), 1)} × 10{str(int(power)).translate(_RAISED)}"
