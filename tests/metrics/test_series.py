from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from metrics import series
from tests import make


@pytest.mark.parametrize("beyond", [0.0, 0.001, 0.5, 59.999])
@pytest.mark.parametrize("step", [60, 300])
def test_an_end_anywhere_in_a_bucket_reads_that_bucket(step, beyond, shop) -> None:
    edge = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    make.counted(shop, [make.event(at=(edge + timedelta(seconds=s)).timestamp()) for s in (0, 59, 60, 299, 300)])
    frame = series.load(shop.pk, "production", edge, edge + timedelta(seconds=step + beyond), step)
    signal = next(iter(frame.of))
    counts = frame.sum(signal, None).n.tolist()
    assert frame.since == int(edge.timestamp())
    assert len(counts) == (1 if beyond == 0.0 else 2)
    assert counts[0] == (2 if step == 60 else 4)


def test_slices_and_the_rest_add_up(shop) -> None:
    now = datetime.now(UTC)
    events = [make.event(plan=plan, user=f"u{n}") for n, plan in enumerate(["Free", "Free", "Pro", ""])]
    make.counted(shop, events)
    frame = series.load(shop.pk, "production", now - timedelta(minutes=2), now + timedelta(minutes=1), 60, dimensions=["plan"])
    signal = next(iter(frame.of))
    strata = frame.slices(signal, "plan")
    assert strata == ["plan=Free", "plan=Pro"]
    side = frame.side(signal, frame.releases(signal), strata)
    assert side.n.sum(axis=0).tolist() == [2.0, 1.0, 1.0]
