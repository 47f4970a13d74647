"""What a release's health page shows, read from stored verdicts, rollups, incidents and complaints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from feedback.models import Complaint, Silence
from incidents.models import Incident
from metrics import charts, measures, words
from metrics.models import Confusion, Verdict
from releases.models import Release

#: What people look for first.
_WEIGHT = {measure: weight for weight, measure in enumerate(measures.ALL)}
_ORDER = {"worse": 0, "better": 2, "same": 1, "not_enough": 3}


@dataclass(frozen=True)
class Tile:
    trace: words.Trace
    name: str
    value: str
    status: str
    pill: str
    footnote: str
    spark: Sequence[float | None]
    mark: int | None
    is_muted: bool = False

    @property
    def is_faint(self) -> bool:
        return is_faint(self.trace)

    @property
    def is_bad(self) -> bool:
        return self.trace["status"] == "worse"


@dataclass(frozen=True)
class Health:
    release: Release
    environment: str
    environments: list[str]
    verdict: Verdict | None
    tiles: list[Tile]
    faults: list[words.Trace]
    incidents: list[Incident]
    complaints: list[Complaint]
    complaint_count: int
    confused: list[Confusion]
    silent: int
    wrote: int
    previous: Release | None
    deploys: list[Any]
    touches: list[str]

    @property
    def judged(self) -> list[Tile]:
        return [tile for tile in self.tiles if not tile.is_faint]

    @property
    def unjudged(self) -> list[Tile]:
        return [tile for tile in self.tiles if tile.is_faint]

    @property
    def headline(self) -> str:
        return headline(self.release, self.verdict)

    @property
    def summary(self) -> str:
        return summary(self.verdict)


def is_faint(trace: words.Trace) -> bool:
    """Nothing can be said, or a trickle stayed a trickle."""
    is_trickle = trace["measure"] in measures.COUNTS and trace["old"] < 3
    return bool(trace["status"] == "not_enough" or (is_trickle and trace["status"] == "same"))


def load(release: Release, environment: str | None, now: datetime) -> Health:
    deploys = list(release.deploys.order_by("at"))
    environments = sorted({d.environment for d in deploys}, key=lambda name: (name != "production", name))
    chosen = environment if environment in environments else (environments[0] if environments else "production")
    verdict = Verdict.objects.filter(release=release, environment=chosen).first()
    complaints = Complaint.objects.filter(release=release)
    return Health(
        release=release,
        environment=chosen,
        environments=environments,
        verdict=verdict,
        tiles=_tiles(release, chosen, verdict, now),
        faults=told_faults(verdict),
        incidents=list(
            Incident.objects.filter(release=release)
            .select_related("regression__release", "regression__signal", "assignee")
            .by_pain()[:20]
        ),
        complaints=list(complaints.select_related("customer", "feature").newest_first()[:8]),
        complaint_count=complaints.count(),
        confused=list(
            Confusion.objects.filter(release=release, environment=chosen, is_active=True)
            .select_related("feature")
            .order_by("feature__name")
        ),
        silent=Silence.objects.filter(release=release).open().values("customer").count(),
        wrote=_wrote(complaints),
        previous=release.previous(),
        deploys=deploys,
        touches=list(release.features.values_list("name", flat=True)),
    )


def _wrote(complaints: QuerySet[Complaint]) -> int:
    """How many customers."""
    said = complaints.exclude(customer=None).exclude(kind=Complaint.Kind.PRAISE)
    return said.values("customer").distinct().count()


def told_faults(verdict: Verdict | None) -> list[words.Trace]:
    """Error groups worth telling: new, back, or surely more often; the sure ones first, then the most frequent."""
    told = [t for t in verdict.faults if t["state"] != "escalating" or t["status"] == "worse"] if verdict else []
    order = sorted(told, key=lambda t: (t["status"] != "worse", -t["bad_new"]))
    return [{**t, "since": datetime.fromisoformat(t["started_at"]), "errors": round(t["bad_new"])} for t in order]


def headline(release: Release, verdict: Verdict | None) -> str:
    """The verdict as one sentence."""
    if verdict is None:
        return _("%(version)s has not been judged yet") % {"version": release.version}
    if verdict.silent_since and verdict.verdict != "regressed":
        return _("Nothing has arrived since %(moment)s") % {"moment": words.moment(verdict.silent_since)}
    worse = [t for t in verdict.trace if t["status"] == "worse" and not t.get("doubts")]
    if verdict.verdict == "regressed" and worse:
        first = max(worse, key=lambda t: t["ratio"])
        told = _("%(version)s made %(what)s worse") % {
            "version": release.version,
            "what": words.signal_name(first).lower(),
        }
        return f"{told} {words.where(first)}".strip()
    sure = [t for t in verdict.faults if t["status"] == "worse"]
    if verdict.verdict == "regressed" and sure:
        return _("%(version)s breaks with %(error)s") % {"version": release.version, "error": sure[0]["name"]}
    if verdict.verdict == "healthy":
        return _("%(version)s is healthy") % {"version": release.version}
    doubted = [t for t in verdict.trace if t["status"] == "worse" and t.get("doubts")]
    if verdict.verdict == "watch" and doubted:
        first = words.signal_name(max(doubted, key=lambda t: t["ratio"])).lower()
        return _("%(what)s got worse, probably not by %(version)s") % {
            "version": release.version, "what": first[:1].upper() + first[1:],
        }  # fmt: skip
    if verdict.verdict == "watch":
        return _("Keep an eye on %(version)s") % {"version": release.version}
    return _("Not enough data to judge %(version)s") % {"version": release.version}


def summary(verdict: Verdict | None) -> str:
    """"1 of 24 measures is worse, 21 as before, 2 not enough data."""
    if verdict is None:
        return _("The hub looks at every release from its first deploy on. Send events that name it.")
    total = len(verdict.trace)
    if not total:
        return _("No event of this release has arrived yet.")
    told = [trace for trace in verdict.trace if not is_faint(trace)]
    counts = Counter(trace["status"] for trace in told)
    parts = []
    worse, same = counts["worse"], counts["same"]
    if worse:
        parts.append(
            ngettext("%(n)s of %(total)s measures is worse", "%(n)s of %(total)s measures are worse", worse)
            % {"n": worse, "total": total}
        )
    if same:
        parts.append(ngettext("%(n)s as before", "%(n)s as before", same) % {"n": same})
    if counts["better"]:
        parts.append(_("%(n)s better") % {"n": counts["better"]})
    if len(told) < total:
        parts.append(_("%(n)s with too little to say") % {"n": total - len(told)})
    sentence = ", ".join(parts)
    return f"{sentence[:1].upper()}{sentence[1:]}. {_next(verdict)}".strip()


def _next(verdict: Verdict) -> str:
    """Where nothing can be said yet: when the first measure probably can."""
    moments = [at for trace in verdict.trace if (at := words.ready_at(trace)) and at > verdict.looked_at]
    if verdict.verdict != "not_enough" or not moments:
        return ""
    return _("The first can probably be told at about %(moment)s.") % {"moment": words.moment(min(moments))}


def _tiles(release: Release, environment: str, verdict: Verdict | None, now: datetime) -> list[Tile]:
    if verdict is None:
        return []
    at = charts.window(release, environment, now)
    lines = charts.sparks(release, environment, at, verdict.trace)
    hours = max(3600, at.step)
    mark = int((at.began - at.since).total_seconds() // hours)
    traces = sorted(verdict.trace, key=lambda t: (_ORDER[t["status"]], _WEIGHT.get(t["measure"], 3), -t["n_new"]))
    return [_tile(trace, lines.get((trace["signal"], trace["measure"]), []), mark) for trace in traces]


def _tile(trace: words.Trace, line: Sequence[float | None], mark: int) -> Tile:
    pills = {"worse": "bad", "better": "good", "same": "", "not_enough": ""}
    is_known = trace["status"] != "not_enough"
    turned = [None if v is None else 1 - v for v in line] if words.is_turned(trace) else line
    return Tile(
        trace=trace,
        name=words.measure_name(trace),
        value=words.value(trace, trace["new"]) if is_known or trace["new"] else "–",
        status=words.change(trace) if trace["status"] in {"worse", "better"} else words.status_name(trace),
        pill="warn" if trace["transient"] and trace["status"] == "worse" else pills[trace["status"]],
        footnote=words.footnote(trace),
        spark=turned,
        mark=mark if 0 < mark < len(line) else None,
        is_muted=bool(trace.get("muted_until") and datetime.fromisoformat(trace["muted_until"]) > timezone.now()),
    )


def releases(workspace: Any, product: Any) -> list[dict[str, Any]]:
    """The list of releases with verdict, incidents and complaints. Constant queries."""
    rows = list(
        Release.objects.of(workspace)
        .filter(**({"product": product} if product else {}))
        .select_related("product")
        .in_order()[:200]
    )
    ids = [row.pk for row in rows]
    verdicts: dict[int, Verdict] = {}
    for verdict in Verdict.objects.filter(release__in=ids).defer("trace").order_by("-environment"):
        if verdict.environment == "production" or verdict.release_id not in verdicts:
            verdicts[verdict.release_id] = verdict
    open_incidents = dict(
        Incident.objects.open().filter(release__in=ids).values_list("release").annotate(Count("pk"))
    )
    complaints = dict(Complaint.objects.filter(release__in=ids).values_list("release").annotate(Count("pk")))
    return [
        {
            "release": row,
            "verdict": verdicts.get(row.pk),
            "incidents": open_incidents.get(row.pk, 0),
            "complaints": complaints.get(row.pk, 0),
        }
        for row in rows
    ]
