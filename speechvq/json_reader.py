"""JSON as others write it: the value of a text, or one error whatever is wrong with it."""

from __future__ import annotations

import json
from typing import Any

_KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "a text"}


def parse_json(text: str | bytes, kind: type = object) -> Any:
    """The value of a JSON text.

    Parameters
    ----------
    text
        Bytes are UTF-8.
    kind
        What the value must be: dict for an object, list, str; by default anything.

    Raises
    ------
    ValueError
        It is not UTF-8, not JSON, nested too deeply, or of another kind.
    """
    try:
        value = json.loads(text.decode() if isinstance(text, bytes) else text)
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg})") from error
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error
    except ValueError as error:  # an integer of thousands of digits
        raise ValueError("not JSON (a number of too many digits)") from error
    if not isinstance(value, kind):
        raise ValueError(f"not {_KINDS[kind]}")
    return value
