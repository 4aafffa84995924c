import re

import pytest

from speechvq.json_reader import parse_json


@pytest.mark.parametrize("text", ['{"ä": [1, null]}', '{"ä": [1, null]}'.encode()])
def test_the_value_of_a_text(text):
    assert parse_json(text) == parse_json(text, dict) == {"ä": [1, None]}


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (b"\xff", object, "not UTF-8 text"),
        ("", object, "not JSON (Expecting value)"),
        ("[" * 100_000, object, "JSON that is nested too deeply"),
        ("1" * 5000, object, "not JSON (a number of too many digits)"),
        ("[]", dict, "not an object"),
        ("{}", list, "not a list"),
        ("null", str, "not a text"),
    ],
)
def test_whatever_is_wrong_is_one_error(text, kind, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_json(text, kind)
