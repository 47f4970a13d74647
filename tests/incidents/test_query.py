"""The query line: what it reads, what it asks, and where it says that something is wrong."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from incidents.models import Incident, Report
from incidents.query import completing, grammar
from incidents.query.grammar import Term, Unreadable, parse
from incidents.query.keys import KEYS
from incidents.query.search import search
from tests import make


def read(text: str) -> list[tuple[str, tuple[str, ...], str, bool]]:
    return [(t.key, t.values, t.op, t.is_not) for t in parse(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("   ", []),
        ("status:new", [("status", ("new",), "", False)]),
        ("!status:new", [("status", ("new",), "", True)]),
        ("status:[new, triaged]", [("status", ("new", "triaged"), "", False)]),
        ('customer:"Panadería Sol"', [("customer", ("Panadería Sol",), "", False)]),
        ('customer:["Panadería Sol",acme]', [("customer", ("Panadería Sol", "acme"), "", False)]),
        ("impact:>=100", [("impact", ("100",), ">=", False)]),
        ("age:<24h", [("age", ("24h",), "<", False)]),
        ("checkout fails", [("", ("checkout",), "", False), ("", ("fails",), "", False)]),
        ('"checkout fails"', [("", ("checkout fails",), "", False)]),
        ("!checkout", [("", ("checkout",), "", True)]),
        ("Status:New", [("status", ("New",), "", False)]),
        ("10:30", [("", ("10:30",), "", False)]),
    ],
)
def test_terms(text, expected) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("status:", 0, 7),
        ("a status: b", 2, 9),
        ('a "open', 2, 7),
        ('""', 0, 2),
        ("status:[new", 7, 11),
        ("status:[]", 7, 9),
        ("x\x00y", 1, 2),
        ("!", 0, 1),
        ("impact:>[1,2]", 0, 9),
    ],
)
def test_what_cannot_be_read_is_shown_at_its_place(text, start, end) -> None:
    with pytest.raises(Unreadable) as caught:
        parse(text)
    assert (caught.value.start, caught.value.end) == (start, end)
    assert caught.value.reason


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_within_itself(text: str) -> None:
    places = [(0, 0)]
    try:
        places += [(term.start, term.end) for term in parse(text)]
    except Unreadable as error:
        places.append((error.start, error.end))
    assert all(0 <= start <= end <= max(len(text), 1) for start, end in places)
    assert places == sorted(places)


@given(st.text(min_size=1, max_size=40).filter(lambda text: '"' not in text and text.strip() and text.isprintable()))
def test_a_quoted_value_is_read_as_it_was(value: str) -> None:
    value = value.strip()
    (term,) = parse(f"customer:{grammar.quoted(value)}") if value[0] not in "<>[" else (Term("customer", (value,)),)
    assert term.values == (value,)


def test_a_term_can_be_taken_out() -> None:
    text = "status:new  severity:high words"
    terms = parse(text)
    assert grammar.without(text, terms[1]).split() == ["status:new", "words"]


@pytest.fixture
def ask(tienda, carol):
    def ask(text: str, user=carol) -> set[str]:
        found = search(text, tienda, user, timezone.now())
        assert found.error is None, found.error
        return {incident.title for incident in found.in_order()}

    return ask


@pytest.fixture
def some(tienda, shop, carol, alice) -> dict[str, Incident]:
    """Five incidents that differ in everything one can ask for."""
    old = make.release(shop, "2.3.0", at=timezone.now() - timedelta(days=9))
    new = make.release(shop, "2.4.0", at=timezone.now() - timedelta(hours=2))
    feature = shop.features.create(name="checkout")
    made = {
        "one": make.incident(tienda, "one", product=shop, release=new, feature=feature, environment="production"),
        "two": make.incident(tienda, "two", product=shop, release=old, kind="outage"),
        "three": make.incident(tienda, "three"),
        "four": make.incident(tienda, "four"),
        "five": make.incident(tienda, "Año nuevo no carga"),
    }
    made["two"].set_severity(carol, "critical")
    made["one"].set_severity(carol, "low")
    made["two"].assign(alice, alice)
    made["one"].assign(carol, carol)
    made["three"].accept(carol)
    made["four"].decline(carol, "no")
    made["two"].accept(alice)
    made["two"].resolve(alice, new)
    numbers = {"one": (1, 20, 900, 30), "two": (3, 0, 100, 60), "three": (0, 4, 0, 5)}
    for name, (heard, silent, revenue, pain) in numbers.items():
        Incident.objects.filter(pk=made[name].pk).update(heard=heard, silent=silent, revenue=revenue, pain=pain)
    Incident.objects.filter(pk=made["three"].pk).update(opened_at=timezone.now() - timedelta(days=3), impact={"trend": 2})
    customer = make.customer(tienda, "Panadería Sol", external_id="sol")
    Report.objects.join(made["one"], make.complaint(tienda, customer=customer), carol)
    return made


ALL = {"one", "two", "three", "four", "Año nuevo no carga"}
FIVE = "Año nuevo no carga"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ALL),
        ("is:undecided", {"one", FIVE}),
        ("is:open", {"one", "three", FIVE}),
        ("is:done", {"two", "four"}),
        ("!is:done", {"one", "three", FIVE}),
        ("is:silent", {"one", "three"}),
        ("is:unassigned", {"three", "four", FIVE}),
        ("is:overridden", {"one", "two"}),
        ("is:rising", {"three"}),
        ("status:triaged", {"three"}),
        ("status:[triaged,declined]", {"three", "four"}),
        ("!status:[triaged,declined]", {"one", "two", FIVE}),
        ("severity:>=high", {"two"}),
        ("severity:<critical", {"one", "three", "four", FIVE}),
        ("severity:low", {"one"}),
        ("kind:outage", {"two"}),
        ("assigned:me", {"one"}),
        ("assigned:alice", {"two"}),
        ("assigned:none", {"three", "four", FIVE}),
        ("assigned:carol@example.com", {"one"}),
        ("release:2.4.0", {"one"}),
        ("release:2.*", {"one", "two"}),
        ("release:latest", {"one"}),
        ("release:none", {"three", "four", FIVE}),
        ("fix:2.4.0", {"two"}),
        ("has:fix", {"two"}),
        ("has:complaints", {"one"}),
        ("!has:assignee", {"three", "four", FIVE}),
        ("feature:CHECKOUT", {"one"}),
        ("feature:check*", {"one"}),
        ("!feature:checkout", {"two", "three", "four", FIVE}),
        ("product:shop", {"one", "two"}),
        ("environment:production", {"one"}),
        ("customer:panaderia", {"one"}),
        ("!customer:sol", {"two", "three", "four", FIVE}),
        ("customer:nobody", set()),
        ("impact:>20", {"one"}),
        ("impact:3", {"two"}),
        ("heard:>=1", {"one", "two"}),
        ("silent:>4", {"one"}),
        ("revenue:>=900", {"one"}),
        ("pain:<6", {"three", "four", FIVE}),
        ("age:>2d", {"three"}),
        ("age:<2d", {"one", "two", "four", FIVE}),
        ("age:-2d", {"one", "two", "four", FIVE}),
        ("age:+2d", {"three"}),
        ("ano NUEVO", {FIVE}),
        ("no", {FIVE}),
        ("INC-3", {"three"}),
        ("4", {"four", "one"}),
        ("checkout", {"one"}),
        ("2.4.0", {"one"}),
        ("status:new severity:low is:silent", {"one"}),
        ("(a+)+$", set()),
        ("%_%", set()),
        ("9" * 31, set()),
        ("release:(a+)+$", set()),
        ("release:*" + "a*" * 100, set()),
    ],
)
def test_what_is_found(text, expected, some, ask) -> None:
    assert ask(text) == expected


@pytest.mark.parametrize(
    ("sort", "first"), [("pain", "two"), ("oldest", "three"), ("newest", FIVE), ("severity", "two"), ("revenue", "one")]
)
def test_orders(sort, first, some, tienda, carol) -> None:
    found = search(f"sort:{sort}", tienda, carol, timezone.now()).in_order()
    assert found[0].title == first


@pytest.mark.parametrize(
    "text",
    [
        "nokey:1", "status:gone", "severity:huge", "is:gone", "has:gone", "kind:gone", "impact:many", "impact:-1",
        "impact:" + "9" * 31, "impact:1e5", "age:2", "age:24h", "age:>x", "age:>-2d", "sort:worst", "!sort:pain",
        "sort:[pain,newest]", "status:>new", "feature:>x", "status:",
    ],
)  # fmt: skip
def test_a_wrong_value_is_shown_at_its_place(text, some, tienda, carol) -> None:
    found = search(f"checkout {text}", tienda, carol, timezone.now())
    assert found.error is not None
    assert (found.error.start, found.error.end) == (9, 9 + len(text))
    assert not found.in_order().exists()


@pytest.mark.parametrize("text", ["a " * 10_000, "status:new " * 10_000, "x" * 100_000, "[" * 5_000, "(a+)+$ " * 40])
def test_garbage_is_answered_soon(text, some, tienda, carol) -> None:
    began = time.perf_counter()
    found = search(text, tienda, carol, timezone.now())
    list(found.in_order())
    assert time.perf_counter() - began < 0.3
    assert found.error is not None or text.startswith("(a+)")


def test_another_workspace_is_never_found(some, mallory, tienda, carol) -> None:
    there = mallory.memberships.get().workspace
    make.incident(there, "foreign")
    foreign = make.customer(there, "Foreign", external_id="f")
    for text in ("foreign", "customer:Foreign", f"assigned:{mallory.email}", "1"):
        assert "foreign" not in {i.title for i in search(text, tienda, carol, timezone.now()).in_order()}
    assert not [o for o in completing.complete("customer:For", 12, tienda) if foreign.name in o.shown]


def test_a_customer_who_was_hit_and_silent_is_found(tienda, shop, carol) -> None:
    """Without a complaint: by the events of the incident's signal in its release."""
    release = make.release(shop, "2.4.0", at=timezone.now())
    make.customer(tienda, "Quiet", external_id="quiet")
    make.customer(tienda, "Fine", external_id="fine")
    make.counted(
        shop,
        [
            make.event("checkout", release="2.4.0", customer="quiet", bad=1),
            make.event("checkout", release="2.4.0", customer="fine", bad=0),
        ],
    )
    Incident.objects.open_for(make.regression(release), timezone.now())
    assert search("customer:quiet", tienda, carol, timezone.now()).in_order().count() == 1
    assert search("customer:fine", tienda, carol, timezone.now()).in_order().count() == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is:"),
        ("sev", "severity:"),
        ("status:new sev", "severity:"),
        ("!sta", "!status:"),
        ("status:tri", "status:triaged "),
        ("severity:>=hi", "severity:>=high "),
        ("customer:panad", 'customer:"Panadería Sol" '),
        ("release:2.4", "release:2.4.0 "),
        ("assigned:", "assigned:me "),
        ("assigned:car", "assigned:carol@example.com "),
        ("feature:che", "feature:checkout "),
        ("sort:", "sort:pain "),
    ],
)
def test_completion(text, expected, some, tienda) -> None:
    options = completing.complete(text, len(text), tienda)
    before = text[: len(text) - len(text.split(" ")[-1])]
    assert options
    assert options[0].text == before + expected
    assert options[0].caret == len(options[0].text)


def test_completion_keeps_what_stands_behind_the_caret(tienda) -> None:
    (option,) = completing.complete("sev is:open", 3, tienda)
    assert option.text == "severity: is:open"
    assert option.caret == 9


@given(st.text(max_size=60), st.integers(0, 60))
def test_completion_of_anything(text: str, at: int) -> None:
    assert isinstance(completing._TAIL.search(text[:at]), object)


def test_every_key_can_be_asked(some, tienda, carol) -> None:
    values = {"number": ">1", "age": "<9d", "sort": "pain", "duplicate": "7"}
    for name, key in KEYS.items():
        value = next(iter(key.values)) if key.values else values.get(name) or values.get(key.kind, "x")
        found = search(f"{name}:{value}", tienda, carol, timezone.now())
        assert found.error is None, (name, found.error)
        list(found.in_order())
