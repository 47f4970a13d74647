"""What was found about a claimed fix, in words. The numbers are the stored ones; nothing is recomputed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from incidents import proving
from incidents.models import Incident, Status
from metrics import measures
from metrics.detection.fixed import ALPHA
from productops.lib.tell import bare_percent, percent, whole


def proof(incident: Incident) -> dict[str, Any] | None:
    """{head, body, why, is_good, is_bad} for the page; None when there is no claim."""
    if incident.status not in (Status.RESOLVED, Status.VERIFIED) or incident.resolved_at is None:
        return None
    found = incident.proof
    if not found or datetime.fromisoformat(found["at"]) < incident.resolved_at:
        if incident.signal_id and incident.regression_id:
            return {"head": _("The numbers are looked at within a minute.")}
        return {"head": _("Nothing measured tells whether this is fixed. Close it when those who reported it agree.")}
    answer = found["answer"]
    return {
        "head": head(found),
        "body": body(found),
        "why": why(found),
        "is_good": answer == proving.FIXED,
        "is_bad": answer in (proving.BROKEN, proving.COMPLAINED),
    }


def head(found: dict[str, Any]) -> str:
    answer = found["answer"]
    if answer == proving.NOT_SHIPPED:
        return _("%(release)s has not reached %(environment)s yet.") % found
    if answer == proving.SMALL_SHARE:
        return _("%(share)s of the uses are on %(release)s; from %(least)s on they are judged.") % {
            "release": _fix(found), "share": percent(found["share"]), "least": percent(proving.SHARE, 0)
        }  # fmt: skip
    if answer == proving.NOT_ENOUGH:
        return _("Not enough data yet: about %(n)s more uses, if it is fixed.") % {"n": whole(found["needed"])}
    if answer == proving.QUIET:
        return _("The numbers are back. It is verified if nobody complains until %(moment)s.") % {
            "moment": _moment(found["quiet_until"])
        }
    if answer == proving.COMPLAINED:
        n = found["complained"]
        return ngettext(
            "%(n)s customer reports it again, with the fix.", "%(n)s customers report it again, with the fix.", n
        ) % {"n": whole(n)}
    return _("The numbers are back.") if answer == proving.FIXED else _("It is still worse than before.")


def body(found: dict[str, Any]) -> str:
    """The numbers, with n and interval. Empty before the fix has shipped."""
    if "rate" not in found:
        return ""
    facts = {
        "rate": percent(found["rate"]),
        "interval": f"{bare_percent(found['low'])}–{bare_percent(found['high'])}",
        "n": whole(found["n"]),
        "release": _fix(found),
        "baseline": percent(found["baseline"]),
        "broken": percent(found["broken"]),
    }
    if found["measure"] == measures.P95:
        return (
            _("%(rate)s of %(n)s uses are slow (95 %% CI %(interval)s, %(release)s); %(baseline)s before it broke,"
              " %(broken)s while it was broken.")
            % facts
        )  # fmt: skip
    return (
        _("%(rate)s of %(n)s fail (95 %% CI %(interval)s, %(release)s); %(baseline)s before it broke, %(broken)s while"
          " it was broken.")
        % facts
    )  # fmt: skip


def why(found: dict[str, Any]) -> str:
    """The rule, for whoever wants to check it."""
    if "rate" not in found:
        return ""
    return _(
        "Rule “fixed”, version %(version)s: back up to %(limit)s, broken from %(halfway)s on; evidence %(fixed)s for"
        " the one, %(broken)s for the other, %(needed)s needed."
    ) % {
        "version": found["version"],
        "limit": percent(found["limit"]),
        "halfway": percent(found["halfway"]),
        "fixed": _evidence(found["evidence_fixed"]),
        "broken": _evidence(found["evidence_broken"]),
        "needed": whole(1 / ALPHA),
    }


def _evidence(value: float) -> str:
    return f"> {whole(10_000)}" if value > 10_000 else whole(value)


def _moment(stamp: str) -> str:
    return formats.date_format(timezone.localtime(datetime.fromisoformat(stamp)), "SHORT_DATETIME_FORMAT")


def _fix(found: dict[str, Any]) -> str:
    release: str = found["release"]
    return _("%(version)s and later") % {"version": release} if release else _("all releases")
