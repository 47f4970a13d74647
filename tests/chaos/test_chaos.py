"""Everything is killed, over and over, under load: nothing acknowledged is lost, nothing counts twice."""

from __future__ import annotations

import logging

import pytest

from productops.bench import chaos

pytestmark = pytest.mark.live

KILLS = 10
EVENTS = 100_000


def test_kills_lose_nothing_and_double_nothing():
    logging.getLogger("httpx").setLevel(logging.WARNING)
    found = chaos.run(EVENTS, KILLS, is_patient=False)
    print(f"{len(found.stored)} counted, {found.requests} requests, {found.kills}, {found.outcomes}, {found.seconds:.0f} s")
    assert set(found.kills) == {"web", "worker", "beat", "redis", "postgres"}
    assert sum(found.kills.values()) == KILLS
    assert len(found.acknowledged) >= EVENTS
    assert found.stored == found.acknowledged  # every batch was acknowledged in the end
    assert found.in_minutes == found.in_hours == found.kept == found.outcomes["accepted"] == len(found.stored)
    assert found.quarantined == 0
