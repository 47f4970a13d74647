"""`manage.py backtest`: what a look after every bucket would have flagged, and what is wrong with a file."""

import csv
import gzip
import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from metrics.detection.replay import BadCase, replay

from .test_before_after import SAMPLE

COUNTS = {"n_pre": [9], "k_pre": [1], "n_post": [9], "k_post": [1]}
AFTER = ("post", "n_post", "k_post", "nA", "kA", "nB", "kB")


def flags(case):
    return {found.mode: found.first_flag for found in replay(case)}


def cut(case, buckets):
    return {name: value[:buckets] if name in AFTER else value for name, value in case.items()}


@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: f"{case['id']} {case['label']}")
def test_unchanged_releases_are_not_flagged_and_large_changes_are(case):
    found = flags(case)
    if case["label"] == "aa":
        assert set(found.values()) == {-1}
    elif "nA" in case:
        assert found["concurrent"] >= 0
    else:
        assert found["before_after"] >= 0


@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: f"{case['id']} {case['label']}")
def test_what_comes_later_has_no_part_in_it(case):
    for mode, first in flags(case).items():
        for buckets in (3, 12, 60, 200):
            seen = flags(cut(case, buckets))[mode]
            assert seen == (first if 0 <= first < buckets else -1), (mode, buckets)


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ({}, "no id"),
        ({"id": "a"}, "bucket_s"),
        ({"id": "a", "bucket_s": 0}, "bucket_s"),
        ({"id": "a", "bucket_s": 300}, "none of"),
        ({"id": "a", "bucket_s": 300, "bad_direction": 2, "pre": [], "post": []}, "bad_direction"),
        ({"id": "a", "bucket_s": 300, "pre": 3, "post": []}, "a list"),
        ({"id": "a", "bucket_s": 300, "pre": ["x"], "post": []}, "no number"),
        ({"id": "a", "bucket_s": 300, **COUNTS, "k_post": []}, "as many buckets"),
        ({"id": "a", "bucket_s": 300, **COUNTS, "k_pre": [10]}, "more bad events"),
        ({"id": "a", "bucket_s": 300, **COUNTS, "k_pre": [-1]}, "below zero"),
        ({"id": "a", "bucket_s": 300, "nA": [1], "kA": [0], "nB": [1, 1], "kB": [0, 0]}, "as many buckets"),
    ],
)
def test_a_bad_case_says_what_is_wrong(case, why):
    with pytest.raises(BadCase, match=why):
        replay(case)


@pytest.mark.parametrize(
    "case",
    [
        {"id": "a", "bucket_s": 300, "pre": [], "post": []},
        {"id": "a", "bucket_s": 86_400, "pre": [None] * 9, "post": [None]},
        {"id": "a", "bucket_s": 1, "pre": [0] * 900, "post": [0] * 90},
        {"id": "a", "bucket_s": 300, "nA": [], "kA": [], "nB": [], "kB": []},
        {"id": "a", "bucket_s": 300, **{name: [] for name in COUNTS}},
        {"id": "a", "bucket_s": 300, "p50_pre": [], "p50_post": [1e300], "p95_pre": [2], "p95_post": []},
    ],
)
def test_nothing_to_judge_is_never_a_flag(case):
    assert set(flags(case).values()) == {-1}


def test_the_command_writes_what_can_be_scored(tmp_path):
    source, out = tmp_path / "cases.jsonl.gz", tmp_path / "flags.csv"
    source.write_bytes(gzip.compress("\n".join(map(json.dumps, SAMPLE)).encode()))
    call_command("backtest", str(source), out=out)
    rows = list(csv.DictReader(StringIO(out.read_text())))
    assert {(row["id"], row["mode"], int(row["first_flag_bucket"])) for row in rows} == {
        (case["id"], mode, first) for case in SAMPLE for mode, first in flags(case).items()
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "line 1: broken JSON"), ("[]", "line 1: it is not"), ('{"id": "a"}', "line 1: bucket_s"), (None, "not a file")],
)
def test_a_broken_file_is_told_and_nothing_is_left(tmp_path, text, why):
    source, out = tmp_path / "cases.jsonl", tmp_path / "flags.csv"
    if text is not None:
        source.write_text(text)
    with pytest.raises(CommandError, match=why):
        call_command("backtest", str(source), out=out)
    assert not list(tmp_path.glob("flags*"))
