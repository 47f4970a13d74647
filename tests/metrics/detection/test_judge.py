import dataclasses

import numpy as np
import pytest

from metrics.detection.evidence import silent
from metrics.detection.judge import e_bh, verdict


def evidence(status, measure="failure_rate", method="concurrent", transient=False):
    base = silent(method, measure, threshold=20.0, margin=0.25, buckets=3, needed=0.0)
    return dataclasses.replace(base, status=status, transient=transient)


@pytest.mark.parametrize(
    ("evidences", "incidents", "wanted"),
    [
        ([], 0, ("not_enough",)),
        ([evidence("not_enough")], 0, ("not_enough", "not_enough:failure_rate:concurrent")),
        ([evidence("same")], 0, ("healthy",)),
        ([evidence("better")], 0, ("healthy", "better:failure_rate:concurrent")),
        (
            [evidence("same"), evidence("worse", "latency_p95")],
            0,
            ("regressed", "worse:latency_p95:concurrent"),
        ),
        ([evidence("worse", transient=True)], 0, ("watch", "transient:failure_rate:concurrent")),
        ([evidence("same")], 2, ("watch", "incidents:2")),
        ([], 1, ("watch", "incidents:1")),
        (
            [evidence("same"), evidence("worse", method="before_after")],
            0,
            ("watch", "shared:failure_rate:before_after"),
        ),
        ([evidence("worse", method="before_after")], 0, ("regressed", "worse:failure_rate:before_after")),
    ],
)
def test_verdict(evidences, incidents, wanted):
    assert verdict(evidences, incidents) == wanted


def test_e_bh_flags_few_without_changes_and_the_changed_ones():
    assert e_bh([]) == []
    assert e_bh([1.0, 1000.0, 0.2], alpha=0.05) == [False, True, False]
    assert e_bh([45.0, 45.0, 1.0], alpha=0.05) == [True, True, False]
    rng, z = np.random.default_rng(1), 2.0
    nulls = [any(e_bh(list(np.exp(z * rng.normal(size=30) - z * z / 2)), 0.05)) for _ in range(500)]
    assert np.mean(nulls) <= 0.05
