"""What the query line offers while one types: keys, then their values, also those of this workspace."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from accounts.models import User, Workspace
from feedback.models import Customer
from incidents.query.grammar import MOST_CHARS, quoted
from incidents.query.keys import KEYS, Said
from metrics.models import Signal
from releases.models import Deploy, Feature, Product, Release

MOST = 8

_TAIL = re.compile(r'(?:^|\s)(!?)(?:([A-Za-z_]{1,30}):(>=|<=|[<>])?)?(?:"([^"]*)|([^\s"\[\]]*))$')


@dataclass(frozen=True)
class Option:
    """`text` is the whole query with this taken, `caret` where one goes on typing."""

    shown: str
    about: Said
    text: str
    caret: int


def complete(text: str, at: int, workspace: Workspace) -> list[Option]:
    """Options for what is typed at the caret."""
    text = text[:MOST_CHARS]
    tail = _TAIL.search(text[:at])
    if tail is None:
        return []
    sign, key, op, in_quotes, plain = tail[1], (tail[2] or "").lower(), tail[3] or "", tail[4], tail[5]
    typed = in_quotes if in_quotes is not None else plain
    start = tail.start(1)

    def option(shown: str, about: Said, whole: str) -> Option:
        before, after = text[:start] + whole, text[at:]
        return Option(shown, about, before + (after if after.startswith(" ") else after and f" {after}"), len(before))

    if not tail[2]:
        return [
            option(f"{name}:", known.about, f"{sign}{name}:")
            for name, known in KEYS.items()
            if in_quotes is None and name.startswith(typed.lower())
        ][: MOST if typed else len(KEYS)]
    return [
        option(value, about, f"{sign}{key}:{op}{quoted(value)} ") for value, about in _values(key, typed, workspace)
    ][:MOST]


def _values(key: str, typed: str, workspace: Workspace) -> Iterable[tuple[str, Said]]:
    known = KEYS.get(key)
    if known is None:
        return
    low = typed.lower()
    for value, about in (known.values or {}).items():
        if value.startswith(low) and typed != value:
            yield value, about
    yield from ((value, about) for value, about in _own(key, typed, workspace) if value != typed)


def _own(key: str, typed: str, workspace: Workspace) -> Iterable[tuple[str, Said]]:
    """Values that only this workspace has."""
    if key == "assigned":
        people = User.objects.filter(memberships__workspace=workspace, is_active=True)
        named = people.filter(name__icontains=typed) | people.filter(email__istartswith=typed)
        return [(user.email, user.name) for user in named.order_by("name", "email")[:MOST]]
    if key in ("release", "fix"):
        releases = Release.objects.of(workspace).filter(version__istartswith=typed).select_related("product")
        return [(release.version, release.product.name) for release in releases.in_order()[:MOST]]
    if key == "customer":
        customers = Customer.objects.of(workspace).matching(typed).order_by("-revenue", "name")[:MOST]
        return [(customer.name, customer.plan) for customer in customers]
    if key == "feature":
        features = Feature.objects.filter(product__workspace=workspace, name__istartswith=typed)
        features = features.select_related("product").order_by("name")
        return [(found.name, found.product.name) for found in features[:MOST]]
    if key == "signal":
        signals = Signal.objects.filter(product__workspace=workspace, name__istartswith=typed)
        return [(name, "") for name in signals.order_by("name").values_list("name", flat=True).distinct()[:MOST]]
    if key == "product":
        products = Product.objects.filter(workspace=workspace, slug__istartswith=typed)
        return [(product.slug, product.name) for product in products.order_by("slug")[:MOST]]
    if key == "environment":
        deploys = Deploy.objects.filter(release__product__workspace=workspace, environment__istartswith=typed)
        names = deploys.order_by("environment").values_list("environment", flat=True)
        return [(name, "") for name in names.distinct()[:MOST]]
    return []
