from __future__ import annotations

import pytest

from incidents.impact import Ledger, pain, severity


@pytest.mark.parametrize(
    ("ledger", "expected"),
    [
        (Ledger(), "unset"),
        (Ledger(silent=1), "low"),
        (Ledger(silent=5), "medium"),
        (Ledger(heard=2), "medium"),
        (Ledger(heard=1, churn=1), "medium"),
        (Ledger(heard=5), "high"),
        (Ledger(silent=20), "high"),
        (Ledger(silent=1, share=0.1), "high"),
        (Ledger(silent=1, share=0.1, trend=2.0), "critical"),
        (Ledger(silent=50), "critical"),
    ],
)
def test_severity(ledger: Ledger, expected: str) -> None:
    assert severity(ledger)[0] == expected


def test_more_pain_never_weighs_less() -> None:
    base = Ledger(heard=2, silent=10, revenue=1000, share=0.05)
    for worse in (
        Ledger(heard=3, silent=10, revenue=1000, share=0.05),
        Ledger(heard=2, silent=11, revenue=1000, share=0.05),
        Ledger(heard=2, silent=10, revenue=2000, share=0.05),
        Ledger(heard=2, silent=10, revenue=1000, share=0.06),
        Ledger(heard=2, silent=10, revenue=1000, share=0.05, trend=1.5),
        Ledger(heard=2, silent=10, revenue=1000, share=0.05, churn=1),
    ):
        assert pain(worse) > pain(base)


def test_reasons_name_the_rule_that_was_met() -> None:
    assert severity(Ledger(silent=60))[1] == ["customers>=50"]
