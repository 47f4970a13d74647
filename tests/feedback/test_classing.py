"""What kind a complaint seems to be of, and its language: pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback import classing, words
from feedback.classing import Doings, suggest
from feedback.models import Complaint
from productops.lib.language import language_of


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("The checkout fails with an error", "bug"),
        ("No puedo pagar, sale un error", "bug"),
        ("O app trava quando abro o pedido", "bug"),
        ("I don't understand where the filters went", "not_understood"),
        ("No encuentro dónde se guardan los filtros", "not_understood"),
        ("Onde ficam os filtros salvos? Não entendi", "not_understood"),
        ("It would be nice to export to PDF", "improvement"),
        ("Estaría bien poder exportar a PDF", "improvement"),
        ("Seria ótimo exportar em PDF", "improvement"),
        ("How do I add a user?", "question"),
        ("¿Se puede cambiar el IVA?", "question"),
        ("Tem como mudar o imposto?", "question"),
        ("I love the new screen", "praise"),
        ("Me encanta la nueva pantalla", "praise"),
        ("Adorei a tela nova", "praise"),
        ("zzz", "bug"),
    ],
)
def test_words_tell_the_kind(text, kind) -> None:
    assert suggest(text).kind == kind


@pytest.mark.parametrize(
    "text",
    [
        "We will cancel our subscription", "we are switching to a competitor", "voy a cancelar mi cuenta",
        "nos damos de baja: quiero darme de baja", "vamos sair se continuar assim", "quero cancelar a assinatura",
    ],
)  # fmt: skip
def test_who_may_leave_is_marked_whatever_the_kind(text) -> None:
    found = suggest(text)
    assert found.is_churn_risk
    assert found.why[-1]["code"] == "leaving"


def test_nobody_leaves_who_cancels_an_order() -> None:
    assert not suggest("I cannot cancel an order").is_churn_risk
    assert not suggest("no puedo cancelar un pedido").is_churn_risk


def test_a_failure_goes_before_words() -> None:
    found = suggest("¿Cómo hago para pagar?", Doings(30, uses=9, failed={"Checkout": 3, "search": 1}, signs={"rage": 2}))
    assert found.kind == "bug"
    assert found.why == ({"code": "failed", "n": 3, "name": "Checkout", "minutes": 30},)


def test_struggle_without_failure_is_not_understood() -> None:
    found = suggest("the filters are broken", Doings(30, uses=9, signs={"help": 1, "retries": 3}))
    assert found.kind == "not_understood"
    assert found.why == ({"code": "struggled", "signs": ["retries", "help"], "minutes": 30},)


def test_a_wish_stays_a_wish_though_something_failed() -> None:
    assert suggest("Please add a dark theme", Doings(30, failed={"Checkout": 1})).kind == "improvement"


def test_who_did_nothing_says_nothing_about_the_kind() -> None:
    assert suggest("How do I pay?", Doings(30)).kind == "question"


def test_kinds_are_those_of_the_model() -> None:
    assert set(classing.KINDS) == set(Complaint.Kind.values)


def test_evidence_in_words() -> None:
    (told,) = suggest("it fails", Doings(30, failed={"checkout_paid": 2})).why
    assert words.evidence(told) == "Checkout paid failed 2 times for them within 30 min"
    (told,) = suggest("it fails", Doings(30, failed={"": 1})).why
    assert words.evidence(told) == "1 error for them within 30 min"


@given(st.text(max_size=400))
def test_anything_can_be_said(text: str) -> None:
    assert suggest(text).kind in classing.KINDS
    assert language_of(text) in {"", "en", "es", "pt"}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How do I add a user?", "en"), ("Checkout is slow", "en"), ("please let shoppers search by barcode", "en"),
        ("El checkout no funciona", "es"), ("¿Se puede?", "es"), ("No puedo pagar desde ayer", "es"),
        ("O app não abre", "pt"), ("Continua lento mesmo depois de reiniciar", "pt"), ("vc pode ajudar a gente", "pt"),
        ("", ""), ("checkout", ""), ("404", ""),
    ],
)  # fmt: skip
def test_languages(text, language) -> None:
    assert language_of(text) == language
