"""The incidents people worked on during the story, and what they did. Data only."""

from __future__ import annotations

from typing import NamedTuple

from productops.sample.timeline import CHECKOUT, FILTERS, SEARCH


class Step(NamedTuple):
    """One act: days before the end, who, the verb, and what it needs (a person, a version, a text, days; to
    inform: wording, workaround and the day from now on which it should work, with bars between them; to say: the kind
    and the text; to review: why, what was learned, and things to do as title@release@person)."""

    days: float
    who: str
    verb: str
    what: str = ""


class Case(NamedTuple):
    story: str
    title: str
    kind: str
    feature: str
    release: str
    days: float
    who: str
    steps: tuple[Step, ...] = ()


CASES = (
    Case(
        "payment", "Bizum and Pix payments time out", "bug", CHECKOUT, "2.1.0", 26.25, "bob",
        (
            Step(26.2, "alice", "accept"),
            Step(26.2, "alice", "assign", "carol"),
            Step(26.1, "carol", "start"),
            Step(25.6, "carol", "comment",
                 "Both providers confirm by webhook, and ours answers after their limit of **5 s**. "
                 "Until the fix: *Sales → Pending → Check payment* closes the sale by hand."),
            Step(25.5, "carol", "say", "customers|Bizum and Pix payments are sometimes confirmed late. Nothing is "
                 "lost: the sale stands under *Pending* and can be checked there."),
            Step(21.8, "carol", "resolve", "2.1.1"),
            Step(20.5, "carol", "review", "The limit of the payment webhook was 5 s and nobody had measured how long "
                 "ours takes under load.|Measure every third party that waits for us. Agents knew before we did: their "
                 "first complaint came 40 minutes before the alarm.|"
                 "Alarm when a webhook takes longer than 2 s@2.2.0@alice"
                 "|Rehearse payments with both providers before each release@2.4.0@carol"),
        ),
    ),
    Case(
        "paycopy", "Pix cobrado, pedido cancelado", "bug", CHECKOUT, "2.1.0", 25.15, "bob",
        (
            Step(24.9, "carol", "comment", "Same cause as the time-outs: the confirmation arrives too late."),
            Step(24.9, "carol", "duplicate", "payment"),
        ),
    ),
    Case(
        "accents", "Search finds nothing when accents differ", "bug", SEARCH, "2.1.0", 24.0, "bob",
        (
            Step(23.9, "carol", "accept"),
            Step(22.5, "carol", "start"),
            Step(17.2, "carol", "resolve", "2.2.0"),
            Step(15.9, "alice", "comment", "Three customers wrote to say that it works. Closing."),
            Step(15.9, "alice", "close"),
        ),
    ),
    Case(
        "vat", "Prices in the cart come without VAT", "bug", CHECKOUT, "", 20.9, "bob",
        (
            Step(20.7, "carol", "decline",
                 "Works as intended: Settings → Prices → Show prices with tax. Added to the answers "
                 "for support."),
        ),
    ),
    Case(
        "cart", "Changing the language empties the cart", "bug", CHECKOUT, "2.2.0", 19.7, "bob",
        (
            Step(19.6, "alice", "accept"),
            Step(19.6, "alice", "set_severity", "high"),
            Step(19.5, "alice", "assign", "carol"),
            Step(18.4, "carol", "start"),
            Step(13.5, "carol", "comment", "The cart was kept per language. It moves to the session "
                 "in 2.3.1."),
            Step(6.9, "carol", "resolve", "2.3.1"),
        ),
    ),
    Case(
        "pdf", "Las facturas se imprimen en blanco en Safari", "bug", "", "", 17.3, "bob",
        (
            Step(17.0, "carol", "comment", "Waiting for the next version of the PDF library; Chrome "
                 "works meanwhile."),
            Step(16.9, "carol", "inform", "Desde Safari las facturas se imprimen en blanco. Ya sabemos por qué."
                 "|Imprimirlas desde Chrome, o descargar el PDF e imprimirlo.|"),
            Step(5.0, "carol", "snooze", "5"),
        ),
    ),
    Case(
        "double", "Double tap on Pay makes two orders", "bug", CHECKOUT, "2.2.0", 14.5, "bob",
        (
            Step(14.4, "alice", "accept"),
            Step(14.4, "alice", "assign", "carol"),
            Step(14.2, "carol", "start"),
            Step(12.9, "carol", "mitigate"),
            Step(12.8, "carol", "inform", "Tapping Pay twice on a phone could make two orders. New ones are stopped, "
                 "what was paid twice is paid back.|Cancel the second order of the same minute: it is free.|4"),
            Step(12.9, "carol", "comment",
                 "The server now refuses a second order with the same cart for 10 s. The button "
                 "itself still has to "
                 "be locked in the apps; an order dated within the same minute can be cancelled "
                 "free of charge."),
            Step(1.2, "carol", "say", "internal|The button is locked in the iOS build; Android follows with 2.4.0. "
                 "@Alice Ferrer, can you look at yesterday's orders again?"),
        ),
    ),
    Case(
        "slow", "Search is slow on Android with large catalogues", "bug", SEARCH, "2.3.0", 11.8, "bob",
        (
            Step(11.5, "carol", "accept"),
            Step(11.5, "carol", "assign", "alice"),
            Step(9.8, "alice", "start"),
            Step(9.7, "alice", "inform", "On Android, searching takes several seconds in shops with more than 2,000 "
                 "products.|Choose a category first, then search.|-2"),
            Step(4.1, "alice", "comment",
                 "Reproduced with 6,000 products on a low-end tablet: the list is built whole "
                 "before it is shown."),
            Step(0.6, "alice", "say", "decided|We page the list instead of making it lighter: it helps the web "
                 "as well."),
            Step(0.5, "alice", "say", "customers|Searching on Android gets faster with the next update, planned "
                 "for the coming week."),
        ),
    ),
    Case(
        "filters", "People save a filter and never find it again", "not_understood", FILTERS,
        "2.3.0", 10.7, "carol",
        (
            Step(10.6, "carol", "accept"),
            Step(8.7, "carol", "comment",
                 "No errors at all in these sessions. After saving, most press the button again, "
                 "open the help, or "
                 "leave. Idea: say where it went, and put saved filters above the list."),
            Step(0.9, "carol", "say", "internal|Two wordings are being tried with five shops; the result "
                 "comes on Friday."),
        ),
    ),
    Case("mail", "Order confirmations arrive hours late", "bug", "", "", 2.9, "bob"),
)  # fmt: skip

#: Complaints about the planted regression that somebody has already joined to its incident.
JOINED_SO_FAR = 4
