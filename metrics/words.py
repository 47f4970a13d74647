"""Findings said in words, in the reader's language. The numbers are the stored ones; nothing is recomputed."""

from __future__ import annotations

from typing import Any

from django.utils import formats
from django.utils.translation import gettext as _

from metrics.detection.spikes import Z
from productops.lib.tell import bare_percent, milliseconds, percent, whole

_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")

#: A stored trace entry, see watching.trace.
Trace = dict[str, Any]


def signal_name(trace: Trace) -> str:
    if trace["kind"] == "session":
        return _("Sessions")
    if trace["kind"] == "error":
        return _("Errors")
    return str(trace["name"]).replace("_", " ").capitalize()


def measure_name(trace: Trace) -> str:
    """"Checkout failures", "Crash-free sessions", "Search p95"."""
    name, measure = signal_name(trace), trace["measure"]
    if trace["kind"] == "session" and measure == "failure_rate":
        return _("Crash-free sessions")
    if measure == "failure_rate":
        return _("%(name)s failures") % {"name": name}
    if measure == "error_rate":
        return _("Errors per use")
    if measure.startswith("latency"):
        return _("%(name)s %(quantile)s") % {"name": name, "quantile": measure.rpartition("_")[2]}
    return _("%(name)s volume") % {"name": name}


def value(trace: Trace, number: float) -> str:
    """A number of this measure with its unit. Crash-free turns the crash rate round."""
    if is_turned(trace):
        return percent(1 - number, 2)
    if trace["measure"].endswith("_rate"):
        return percent(number)
    if trace["measure"].startswith("latency"):
        return milliseconds(number)
    return whole(number)


def interval(trace: Trace) -> str:
    """"11.2–14.8": the 95 % interval of the new value, without its unit."""
    low, high = trace["low"], trace["high"]
    if is_turned(trace):
        return f"{bare_percent(1 - high, 2)}–{bare_percent(1 - low, 2)}"
    if trace["measure"].endswith("_rate"):
        return f"{bare_percent(low)}–{bare_percent(high)}"
    return f"{whole(low)}–{whole(high)}"


def is_turned(trace: Trace) -> bool:
    return bool(trace["kind"] == "session" and trace["measure"] == "failure_rate")


def change(trace: Trace) -> str:
    """"+8.8 pts", "+22 %": how far the new value is from the old."""
    old, new = trace["old"], trace["new"]
    if trace["measure"].endswith("_rate"):
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
    """One line for a list: "Checkout failures 4.1 % → 12.9 % on plan Free"."""
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
    dimension, _sign, name = str(trace.get("slice") or "").partition("=")
    if not name:
        return ""
    if dimension == "plan":
        return _("on plan %(name)s") % {"name": name}
    return _("on %(name)s") % {"name": name}


def sentence(trace: Trace, version: str) -> str:
    """What happened, how surely, and against what."""
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
    if place:
        told += " " + _("Nearly all of it %(place)s.") % {"place": place}
    return f"{told} {control(trace)}"


def control(trace: Trace) -> str:
    if trace["method"] == "concurrent":
        return _("Compared with the older versions in the same minutes.")
    if trace["method"] == "before_after":
        return _("Compared with the days before the deploy, at the same time of day.")
    return _("Compared with the time just before the deploy, since there is little history yet.")


def why(trace: Trace) -> str:
    """The rule that fired, for whoever wants to check it."""
    told = ""
    if trace["measure"].endswith("_rate"):
        told = _("%(bad)s of %(n)s failed; about %(expected)s would be expected.") % {
            "bad": whole(trace["bad_new"]),
            "n": whole(trace["n_new"]),
            "expected": whole(trace["n_new"] * trace["old"]),
        }
    rule = {
        "concurrent": _("regression, side by side"),
        "before_after": _("regression, before and after"),
        "short_history": _("regression, short history"),
    }[trace["method"]]
    return f"{told} " + _(
        "Rule “%(rule)s”, version %(version)s: evidence %(evidence)s against a threshold of %(threshold)s,"
        " margin %(margin)s, clustering %(deff)s."
    ) % {
        "rule": rule,
        "version": trace["version"],
        "evidence": _compact(trace["evidence"]),
        "threshold": _compact(trace["threshold"]),
        "margin": percent(trace["margin"], 0),
        "deff": formats.number_format(trace["deff"], 1),
    }


def footnote(trace: Trace) -> str:
    """Under a number: interval, n, what it was or what could be seen."""
    if trace["status"] == "not_enough":
        return _missing(trace)
    parts = [interval(trace)]
    if trace["measure"] == "volume":
        parts.append(_("per 5 min"))
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
        return _("n %(n)s · needs about %(needed)s more") % {"n": whole(trace["n_new"]), "needed": whole(needed)}
    return _("n %(n)s · waiting for more") % {"n": whole(trace["n_new"])}


def _signed(number: float, digits: int) -> str:
    sign = "+" if number > 0 else "−" if number < 0 else "±"
    return f"{sign}{formats.number_format(abs(round(number, digits)), digits)}"


def _compact(number: float) -> str:
    if abs(number) < 10_000:
        return formats.number_format(number, 0 if number >= 10 else 1)
    digits, _e, power = f"{number:.1e}".partition("e")
    return f"{formats.number_format(float(digits), 1)} × 10{str(int(power)).translate(_RAISED)}"
