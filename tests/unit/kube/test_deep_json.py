"""Objects nested deeper than Python can parse: kube-apiserver stores them, and they must not end a watch."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicplug.kube import deep_json
from nicplug.kube.deep_json import MAXIMUM_DEPTH

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def nested(depth: int, inner: str = "1") -> str:
    return '{"a":[' * (depth // 2) + inner + "]}" * (depth // 2)


@pytest.mark.parametrize("depth", [1_500, 10_000, 200_000])
def test_what_python_cannot_parse_is_cut_and_the_rest_is_kept(depth: int) -> None:
    text = f'{{"before":"}}{{","deep":{nested(depth)},"after":["]\\"["]}}'
    with pytest.raises(RecursionError):
        json.loads(text)
    parsed = deep_json.loads(text)
    assert parsed["before"] == "}{"
    assert parsed["after"] == [']"[']
    assert deep_json.depth(parsed) == MAXIMUM_DEPTH


@given(JSON)
def test_what_is_shallow_is_left_alone(value: Any) -> None:
    text = json.dumps(value)
    assert deep_json.loads(text) == value
    assert deep_json.prune(text.encode()) == text.encode()
    assert not deep_json.may_be_deep(text.encode())


@pytest.mark.parametrize(("depth", "is_cut"), [(MAXIMUM_DEPTH, False), (MAXIMUM_DEPTH + 2, True)])
def test_only_what_lies_deeper_is_cut(depth: int, is_cut: bool) -> None:
    text = nested(depth).encode()
    assert (deep_json.prune(text) != text) is is_cut
    assert deep_json.may_be_deep(text) or not is_cut
    assert deep_json.depth(deep_json.loads(text)) == MAXIMUM_DEPTH


def test_what_python_can_parse_but_our_recursions_cannot_bear_is_cut_too() -> None:
    assert deep_json.depth(deep_json.loads(nested(900))) == MAXIMUM_DEPTH


def test_many_shallow_objects_are_not_deep() -> None:
    text = json.dumps([{"a": [1, {"b": "[[[{{{"}]}] * 1000)
    assert not deep_json.may_be_deep(text.encode())
    assert deep_json.loads(text) == json.loads(text)


def test_what_is_no_json_is_no_json() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        deep_json.loads("{")
