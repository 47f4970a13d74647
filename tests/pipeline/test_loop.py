"""From the first bad event to an incident that can be seen, through the real processes with default settings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from productops.bench import loop

pytestmark = pytest.mark.live

#: A hundred a second is the bench's; twenty times more history and events fit into a test this way.
RATE = 300.0


def test_a_regression_is_an_incident_in_time(empty_hub, capsys):
    """Both at once: half of the users on the new release, and a switch of everybody after a short time."""
    with ThreadPoolExecutor(2) as pool:
        split = pool.submit(loop.measure, empty_hub.server, loop.SPLIT, RATE, empty_hub)
        switch = pool.submit(loop.measure, empty_hub.server, loop.Variant("switch", 40.0, 1.0), RATE, empty_hub)
    with capsys.disabled():
        print(f"\nincident after {split.result():.1f} s (half the traffic), {switch.result():.1f} s (instant switch)")
    assert split.result() <= 60
    assert switch.result() <= 75
