"""Whatever an object says is read and written, and as `json` does it."""

import json
from typing import Any

import pytest

from nicplug.any_json import parse_json
from nicplug.model.frozen_json import freeze, thaw

TEXTS = [
    '{"b":[1,-0,2.5,1e22,1e400,123456789012345678901234567890],"a":{"c":null,"d":true}}',
    r'"\ud800 is half of a pair, \ud83d\ude00 a whole one, \u0000 nothing"',
    '{"a":1,"a":2}',
    "NaN",
    '"\x7f"',
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_means_what_python_makes_of_it(text: str) -> None:
    assert ascii(parse_json(text)) == ascii(json.loads(text)) == ascii(parse_json(text.encode()))


@pytest.mark.parametrize("text", ["", "{", '{"a":}', "[1,]", '{"a":1}x'])
def test_what_is_not_json_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


@pytest.mark.parametrize("text", ["[" * 5000 + "]" * 5000, '{"a":' * 5000 + "1" + "}" * 5000])
def test_what_is_too_deep_is_a_recursion_error(text: str) -> None:
    with pytest.raises(RecursionError):
        parse_json(text)


@pytest.mark.parametrize(
    "value", [{"b": 1, "a": ["ü", "<&>", "\u2028", 2**70, 0.1]}, "\ud800", {"\ud800": 1}, None, "", [], {}]
)
def test_a_value_is_kept_as_one_text_with_its_keys_in_order(value: Any) -> None:
    text = freeze(value)
    assert thaw(text) == value
    assert text == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
