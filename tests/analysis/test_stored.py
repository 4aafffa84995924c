"""Numbers of a scores.json and their intervals, wherever they stand; and what is none."""

import math

import pytest

from speechvq.analysis.stored import stored


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({"WER": 0.5}, (0.5, None)),
        ({"WER": {"value": 0.5, "low": 0.4, "high": 0.7}}, (0.5, (0.4, 0.7))),
        ({"WER": 0.5, "WER_interval": [0.4, 0.7]}, (0.5, (0.4, 0.7))),
        ({"WER": 0.5, "low": 0.4, "high": 0.7}, (0.5, (0.4, 0.7))),
        ({"words": 9, "WER": 0.5, "low": 8, "high": 10}, (0.5, None)),
        ({"WER": {"value": 0.5, "low": None, "high": None}}, (0.5, None)),
        ({"WER": 0.5, "WER_interval": {"low": 0.4}}, (0.5, None)),
        ({"WER": 0.5, "WER_interval": [0.4, "0.7"]}, (0.5, None)),
        ({"WER": 0.5, "WER_interval": 3}, (0.5, None)),
        ({"WER": "0.5"}, None),
        ({"WER": True}, None),
        ({"WER": 10**400}, None),
        ({"WER": [0.5]}, None),
        ({"low": 0.4}, None),
        ([], None),
    ],
)
def test_a_number_and_its_interval(scores, expected):
    found = stored({"trials": {"new": scores}}, "trials", "new", "WER")
    if expected is None:
        assert found is None
    else:
        value, interval = expected
        assert found.value == value
        if interval is None:
            assert math.isnan(found.low) and math.isnan(found.high)
        else:
            assert (found.low, found.high) == interval


@pytest.mark.parametrize("scores", [{}, {"trials": 3}, [], None])
def test_a_path_that_leads_nowhere(scores):
    assert stored(scores, "trials", "new", "WER") is None
