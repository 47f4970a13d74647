"""Packed histograms hold exactly what was put in, in few bytes."""

from __future__ import annotations

import random

import numpy as np
import pytest

from metrics.counting import sketch
from metrics.detection.histogram import BINS, bin_of


def some(rng: random.Random) -> dict[int, int]:
    places = rng.sample(range(BINS), rng.choice([0, 1, 2, 7, 50, BINS]))
    return {place: rng.randint(1, rng.choice([1, 255, 256, 65_536, 2**32 - 1])) for place in places}


@pytest.mark.parametrize("seed", range(50))
def test_what_goes_in_comes_out_and_is_merged_exactly(seed):
    rng = random.Random(seed)
    many = [some(rng) for _histogram in range(5)]
    wanted = np.zeros(BINS)
    for bins in many:
        assert dict(sketch.unpack(sketch.pack(bins))) == bins
        for place, count in bins.items():
            wanted[place] += count
    assert (sketch.dense([None, b"", *map(sketch.pack, many)]) == wanted).all()


@pytest.mark.parametrize("bins", [{0: 1}, {704: 2**32 - 1}, {0: 1, 704: 1}, {5: 255, 6: 256}, {1: 65_535, 300: 65_536}])
def test_edges(bins):
    assert dict(sketch.unpack(memoryview(sketch.pack(bins)))) == bins


def test_a_count_beyond_32_bits_stays_the_largest():
    assert sketch.unpack(sketch.pack({3: 2**40})) == {3: 2**32 - 1}


def test_nothing():
    assert sketch.pack({}) == b""
    assert sketch.unpack(None) == {}


def test_a_minute_of_a_hundred_durations_is_small():
    rng = np.random.default_rng(1)
    bins, counts = np.unique(bin_of(rng.lognormal(5.4, 0.55, 100)), return_counts=True)
    assert len(sketch.pack(dict(zip(bins.tolist(), counts.tolist(), strict=True)))) <= 3 + 2 * len(bins)
