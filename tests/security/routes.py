"""Every address of the hub with who may do what there: the second book, kept by hand, beside accounts.access.

A route that is not here fails the matrix; so does one whose view declares another act than this table says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.security.world import World

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
Kwargs = dict[str, Any]


@dataclass(frozen=True)
class Route:
    """`methods`: G, H, P as in GET, HEAD, POST; all others are answered with 405."""

    act: str
    methods: str
    kwargs: Callable[[World], Kwargs] = lambda world: {}

    @property
    def allowed(self) -> set[str]:
        return {{"G": "GET", "H": "HEAD", "P": "POST"}[letter] for letter in self.methods}


def _incident(world: World) -> Kwargs:
    return {"number": world.incidents[0].number}


def _signal(world: World) -> Kwargs:
    return {"pk": world.releases[0].pk, "signal": world.signals[0].pk, "measure": "failure_rate"}


def _undo(world: World) -> Kwargs:
    return {"number": world.incidents[0].number, "event": world.decision(world.incidents[0]).pk}


def _link(world: World) -> Kwargs:
    return {**_incident(world), "pk": world.links[0].pk}


def _suggestion(world: World) -> Kwargs:
    return {**_incident(world), "pk": world.suggestions[0].pk}


def _action(world: World) -> Kwargs:
    return {**_incident(world), "pk": world.actions[0].pk}


def _batch(world: World) -> Kwargs:
    return {"batch": world.batches[0]}


def _saved_view(world: World) -> Kwargs:
    return {"pk": world.saved_views[0].pk}


def _release(world: World) -> Kwargs:
    return {"pk": world.releases[0].pk}


def _fault(world: World) -> Kwargs:
    return {"pk": world.faults[0].pk}


def _tuned(world: World) -> Kwargs:
    return {"pk": world.signals[0].pk}


def _judgement(world: World) -> Kwargs:
    return {"pk": world.releases[0].pk, "judgement": world.judgements[0].pk}


def _backtest(world: World) -> Kwargs:
    return {"pk": world.backtests[0].pk}


def _silence(world: World) -> Kwargs:
    return {"pk": world.silences[0].pk}


def _customer(world: World) -> Kwargs:
    return {"pk": world.customers[0].pk}


def _member(world: World) -> Kwargs:
    return {"pk": world.membership("agent").pk}


def _product(world: World) -> Kwargs:
    return {"product": world.product.pk}


VIEW, TRIAGE, PUBLIC, MINE = "workspace.view", "incident.triage", "anyone", "signed_in"

PAGES: dict[str, Route] = {
    # Whoever comes.
    "home": Route(PUBLIC, "G"),
    "live": Route(PUBLIC, "G"),
    "ready": Route(PUBLIC, "G"),
    "version": Route(PUBLIC, "G"),
    "setup:welcome": Route(PUBLIC, "GHP"),
    "accounts:invitation": Route(PUBLIC, "GHP", lambda world: {"token": world.invitation_text}),
    "account_login": Route(PUBLIC, "GHP"),
    "account_logout": Route(PUBLIC, "GHP"),
    "account_signup": Route(PUBLIC, "GHP"),
    "account_inactive": Route(PUBLIC, "GH"),
    "account_reset_password": Route(PUBLIC, "GHP"),
    "account_reset_password_done": Route(PUBLIC, "GH"),
    "account_reset_password_from_key": Route(PUBLIC, "GHP", lambda world: {"uidb36": "1", "key": "x-y"}),
    "account_reset_password_from_key_done": Route(PUBLIC, "GH"),
    # Oneself.
    "styleguide": Route(MINE, "G"),
    "accounts:me": Route(MINE, "GHP"),
    "accounts:change_password": Route(MINE, "P"),
    "accounts:issue_token": Route(MINE, "P"),
    "accounts:revoke_token": Route(MINE, "P", lambda world: {"pk": world.tokens[0].pk}),
    "account_change_password": Route(MINE, "GH"),
    "account_set_password": Route(MINE, "GH"),
    # A workspace.
    "workspace": Route(VIEW, "G"),
    "palette": Route(VIEW, "G"),
    "accounts:people": Route(VIEW, "GH"),
    "accounts:invite": Route("member.edit", "GP"),
    "accounts:member": Route("member.edit", "G", _member),
    "accounts:change_role": Route("member.edit", "P", _member),
    "accounts:remove": Route("member.edit", "P", _member),
    "accounts:revoke_invitation": Route("member.edit", "P", lambda world: {"pk": world.invitations[0].pk}),
    "setup:new_product": Route("product.edit", "GHP"),
    "setup:start": Route("product.edit", "GH", _product),
    "setup:waiting": Route("product.edit", "GH", _product),
    "setup:deploy": Route("release.edit", "P", _product),
    "incidents:index": Route(VIEW, "G"),
    "incidents:report": Route(TRIAGE, "GP"),
    "incidents:counts": Route(VIEW, "G"),
    "incidents:complete": Route(VIEW, "G"),
    "incidents:numbers": Route(VIEW, "G"),
    "incidents:export": Route(VIEW, "G"),
    "incidents:act_on_many": Route(TRIAGE, "P"),
    "incidents:undo_many": Route(TRIAGE, "P", _batch),
    "incidents:save_view": Route(VIEW, "GP"),
    "incidents:change_view": Route(VIEW, "GP", _saved_view),
    "incidents:remove_view": Route(VIEW, "P", _saved_view),
    "incidents:move": Route(TRIAGE, "GP", _incident),
    "incidents:inform": Route(TRIAGE, "GP", _incident),
    "incidents:known": Route(VIEW, "G"),
    "incidents:detail": Route(VIEW, "G", _incident),
    "incidents:customers": Route(VIEW, "G", _incident),
    "incidents:impact": Route(VIEW, "G", _incident),
    "incidents:proof": Route(VIEW, "G", _incident),
    "incidents:say": Route("incident.comment", "P", _incident),
    "incidents:pin": Route("incident.comment", "P", _undo),
    "incidents:watch": Route(VIEW, "P", _incident),
    "incidents:people": Route(VIEW, "G"),
    "incidents:link": Route(TRIAGE, "GP", _incident),
    "incidents:unlink": Route(TRIAGE, "P", _link),
    "incidents:answer": Route(TRIAGE, "P", _suggestion),
    "incidents:history": Route(VIEW, "G", _incident),
    "incidents:stamp": Route(TRIAGE, "GP", _incident),
    "incidents:review": Route(VIEW, "G", _incident),
    "incidents:write_review": Route(TRIAGE, "P", _incident),
    "incidents:add_action": Route(TRIAGE, "P", _incident),
    "incidents:settle_action": Route("incident.comment", "P", _action),
    "incidents:times": Route(VIEW, "G"),
    "incidents:times_csv": Route(VIEW, "G"),
    "incidents:timers": Route("workspace.edit", "GP"),
    "notices:index": Route(VIEW, "G"),
    "notices:read": Route(VIEW, "P"),
    "notices:settings": Route(VIEW, "GP"),
    "releases:watch": Route(VIEW, "G", _release),
    "releases:call": Route("release.edit", "P", _release),
    "releases:follow": Route(VIEW, "P", _release),
    "incidents:undo": Route(TRIAGE, "P", _undo),
    **{f"incidents:{verb}": Route(TRIAGE, "P", _incident) for verb in ("accept", "start", "mitigate", "close", "wake", "put_back", "confirm")},
    **{
        f"incidents:{verb}": Route(TRIAGE, "GP", _incident)
        for verb in ("decline", "duplicate", "snooze", "resolve", "reopen", "assign", "set_severity")
    },
    "feedback:log": Route("complaint.log", "GP"),
    "feedback:matches": Route("complaint.log", "G"),
    "feedback:who": Route("complaint.log", "G"),
    "feedback:complaints": Route(VIEW, "G"),
    "feedback:complaint": Route(VIEW, "G", lambda world: {"pk": world.complaints[0].pk}),
    "feedback:correct": Route("complaint.log", "GP", lambda world: {"pk": world.complaints[0].pk}),
    "feedback:retract": Route("complaint.log", "P", lambda world: {"pk": world.complaints[0].pk}),
    "feedback:customers": Route(VIEW, "G"),
    "feedback:create_customer": Route("customer.edit", "GP"),
    "feedback:customer": Route(VIEW, "G", _customer),
    "feedback:silent": Route(VIEW, "G"),
    "feedback:answer_silent": Route("customer.edit", "P", _silence),
    "feedback:edit_customer": Route("customer.edit", "GP", _customer),
    "releases:index": Route(VIEW, "G"),
    "releases:create": Route("release.edit", "GP"),
    "releases:backtest": Route(VIEW, "G"),
    "releases:run_backtest": Route("release.edit", "P"),
    "releases:backtest_csv": Route(VIEW, "G", _backtest),
    "releases:health": Route(VIEW, "G", _release),
    "releases:confusion": Route(VIEW, "G", _release),
    "releases:answer_confusion": Route("release.edit", "P", lambda world: {"pk": world.confusions[0].pk}),
    "releases:fault": Route(VIEW, "G", _fault),
    "releases:tune": Route("release.edit", "GP", _tuned),
    "releases:preview": Route("release.edit", "G", _tuned),
    "releases:history": Route(VIEW, "G", _release),
    "releases:questions": Route(VIEW, "G", _judgement),
    "releases:touch": Route("release.edit", "GP", _release),
    "releases:deploy": Route("release.edit", "GP", _release),
    "releases:adoption_data": Route(VIEW, "G", _release),
    "releases:signal": Route(VIEW, "G", _signal),
    "releases:signal_csv": Route(VIEW, "G", _signal),
    "releases:signal_data": Route(VIEW, "G", _signal),
    "metrics:data": Route("data.view", "GH"),
    "metrics:watch": Route("data.view", "GH"),
    "metrics:limit": Route("product.edit", "GP", lambda world: {"pk": world.product.pk}),
    "metrics:rotate": Route("product.edit", "P", lambda world: {"pk": world.key.pk}),
    "metrics:replay": Route("product.edit", "P", lambda world: {"batch": world.quarantine[0].batch_id}),
}


@dataclass(frozen=True)
class Api:
    acts: dict[str, str]
    kwargs: Callable[[World], Kwargs] = lambda world: {}


def _version(world: World) -> Kwargs:
    return {"version": world.releases[0].version}


def _cli(*names: str) -> Callable[[World], Kwargs]:
    """What sentry-cli puts into its addresses."""

    def of(world: World) -> Kwargs:
        known = {
            "org": world.workspace.slug,
            "project": world.product.slug,
            "version": world.releases[0].version,
        }
        return {name: known.get(name, "x") for name in names}

    return of


API: dict[str, Api] = {
    "api:releases": Api({"GET": VIEW, "POST": "release.edit"}),
    "api:deploys": Api({"GET": VIEW, "POST": "release.edit"}, _version),
    "api:health": Api({"GET": VIEW}, _version),
    "api:confusion": Api({"GET": VIEW}, _version),
    "api:silences": Api({"GET": VIEW}),
    "api:silence": Api({"PATCH": "customer.edit"}, _silence),
    "api:backtests": Api({"GET": VIEW, "POST": "release.edit"}),
    "api:backtest": Api({"GET": VIEW}, _backtest),
    "api:rollups": Api({"GET": VIEW}),
    "api:signals": Api({"GET": VIEW}),
    "api:signal": Api({"GET": VIEW, "PATCH": "release.edit"}, _tuned),
    "api:regressions": Api({"GET": VIEW}),
    "api:incidents": Api({"GET": VIEW}),
    "api:incident": Api({"GET": VIEW, "PATCH": TRIAGE}, _incident),
    "api:incidents_bulk": Api({"POST": TRIAGE}),
    "api:incidents_bulk_undo": Api({"POST": TRIAGE}, _batch),
    "api:updates": Api({"GET": VIEW, "POST": "incident.comment"}, _incident),
    "api:links": Api({"GET": VIEW, "POST": TRIAGE}, _incident),
    "api:link": Api({"DELETE": TRIAGE}, _link),
    "api:review": Api({"GET": VIEW}, _incident),
    "api:actions": Api({"POST": TRIAGE}, _incident),
    "api:action": Api({"PATCH": "incident.comment"}, _action),
    "api:notices": Api({"GET": VIEW}),
    "api:notices_read": Api({"POST": VIEW}),
    "api:views": Api({"GET": VIEW, "POST": VIEW}),
    "api:view": Api({"GET": VIEW, "PATCH": VIEW, "DELETE": VIEW}, _saved_view),
    "api:complaints": Api({"GET": VIEW, "POST": "complaint.log"}),
    "api:complaint": Api(
        {"GET": VIEW, "PATCH": "complaint.log"}, lambda world: {"pk": world.complaints[0].pk}
    ),
    "api:customers": Api({"GET": VIEW, "POST": "customer.edit"}),
    "api:outcomes": Api({"GET": "data.view"}),
    "api:limits": Api({"GET": "data.view", "PUT": "product.edit"}),
    # What sentry-cli asks.
    "sentry_cli:info": Api({"GET": VIEW}),
    "sentry_cli:of": Api({"GET": VIEW}, _cli("org", "project")),
    "sentry_cli:repos": Api({"GET": VIEW}, _cli("org")),
    "sentry_cli:releases": Api({"GET": VIEW, "POST": "release.edit"}, _cli("org")),
    "sentry_cli:release": Api({"GET": VIEW, "PUT": "release.edit"}, _cli("org", "version")),
    "sentry_cli:deploys": Api({"GET": VIEW, "POST": "release.edit"}, _cli("org", "version")),
    "sentry_cli:previous": Api({"GET": VIEW}, _cli("org", "version")),
}
#: Of the API, but for everybody.
DOCUMENTS = {"api:schema"}


def patterns(resolver: URLResolver | None = None, space: str = "") -> Iterator[tuple[str, URLPattern]]:
    """(full name, pattern) of every address, however deep it is included."""
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            yield from patterns(entry, f"{space}{entry.namespace}:" if entry.namespace else space)
        else:
            yield f"{space}{entry.name}", entry


def address(name: str, world: World, slug: str | None = None, **changes: Any) -> str:
    """The address of a route for the objects of `world`; `slug` and `changes` put in others."""
    route: Route | Api = PAGES[name] if name in PAGES else API[name]
    kwargs = {**route.kwargs(world), **changes}
    if has_slug(name):
        kwargs["slug"] = slug or world.workspace.slug
    return reverse(name, kwargs=kwargs)


def has_slug(name: str) -> bool:
    return name in PAGES and PAGES[name].act not in {PUBLIC, MINE}
