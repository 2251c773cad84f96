"""Parses any JSON that Python accepts; tries msgspec first, which is faster but stricter."""

import json
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode


def parse_json(text: str | bytes) -> Any:
    """Return what `json.loads` returns for the text.

    Raises:
        ValueError: the text is not JSON.
        RecursionError: it is nested too deep.
    """
    try:
        return _decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError):  # a lone surrogate, a number out of range
        return json.loads(text)
