"""Objects nested deeper than Python can parse: kube-apiserver stores them, and they must not end a watch."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.large import depth

from nicplug.kube import deep_json
from nicplug.kube.deep_json import MAXIMUM_DEPTH

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def loads(text: str | bytes) -> Any:
    return json.loads(deep_json.prune(text.encode() if isinstance(text, str) else text))


def nested(levels: int, inner: str = "1") -> str:
    return '{"a":[' * (levels // 2) + inner + "]}" * (levels // 2)


@pytest.mark.parametrize("levels", [1_500, 10_000, 200_000])
def test_what_python_cannot_parse_is_cut_and_the_rest_is_kept(levels: int) -> None:
    text = f'{{"before":"}}{{","deep":{nested(levels)},"after":["]\\"["]}}'
    with pytest.raises(RecursionError):
        json.loads(text)
    parsed = loads(text)
    assert parsed["before"] == "}{"
    assert parsed["after"] == [']"[']
    assert depth(parsed) == MAXIMUM_DEPTH


@given(JSON)
def test_what_is_shallow_is_left_alone(value: Any) -> None:
    text = json.dumps(value)
    assert loads(text) == value
    assert deep_json.prune(text.encode()) == text.encode()


@pytest.mark.parametrize(("levels", "is_cut"), [(MAXIMUM_DEPTH, False), (MAXIMUM_DEPTH + 2, True)])
def test_only_what_lies_deeper_is_cut(levels: int, is_cut: bool) -> None:
    text = nested(levels).encode()
    assert (deep_json.prune(text) != text) is is_cut
    assert depth(loads(text)) == MAXIMUM_DEPTH


def test_what_python_can_parse_but_our_recursions_cannot_bear_is_cut_too() -> None:
    assert depth(loads(nested(900))) == MAXIMUM_DEPTH


def test_many_shallow_objects_are_not_deep() -> None:
    text = json.dumps([{"a": [1, {"b": "[[[{{{"}]}] * 1000)
    assert deep_json.prune(text.encode()) == text.encode()


def test_what_is_no_json_is_no_json() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        loads("{")


def cut(value: Any, level: int = 1) -> Any:
    """The same, value by value."""
    if not isinstance(value, (dict, list)):
        return value
    if level > deep_json.MAXIMUM_DEPTH:
        return None
    if isinstance(value, list):
        return [cut(item, level + 1) for item in value]
    return {name: cut(item, level + 1) for name, item in value.items()}


@given(JSON)
def test_cut_is_exactly_what_lies_deeper_wherever_blocks_begin(value: Any) -> None:
    text = json.dumps(value).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deep_json, "MAXIMUM_DEPTH", 2)
        patch.setattr(deep_json, "_BLOCK", 8)
        assert json.loads(deep_json.prune(text)) == cut(value)


def test_where_many_lie_deeper_the_smallest_value_of_each_part_that_holds_them_all_goes() -> None:
    """The deep managed fields of an object with a deep spec took its whole metadata with them."""
    tower, many = nested(MAXIMUM_DEPTH), ",".join([nested(MAXIMUM_DEPTH)] * 50)
    text = f'{{"metadata":{{"name":"a","x":{tower}}},"spec":{{"good":1,"bad":[{many}]}},"status":{{"one":{tower}}}}}'
    assert json.loads(deep_json.prune(text.encode())) == {
        "metadata": {"name": "a", "x": cut(json.loads(tower), 3)},
        "spec": {"good": 1, "bad": None},
        "status": {"one": cut(json.loads(tower), 3)},
    }
    scattered = f'{{"metadata":{{"name":"a"}},"spec":{{"good":1,"bad":{tower},"worse":[{many}]}}}}'
    assert json.loads(deep_json.prune(scattered.encode())) == {"metadata": {"name": "a"}, "spec": None}


def test_an_outline_has_numbers_for_what_cannot_be_parsed() -> None:
    text = f'{{"items":[{{"a":"}}"}},{nested(5_000)}],"metadata":{{"continue":"x"}}}}'
    outline, inner = deep_json.outline(text.encode(), level=2)
    assert json.loads(outline) == {"items": [0, 1], "metadata": {"continue": "x"}}
    assert inner == [b'{"a":"}"}', nested(5_000).encode()]


HUGE = {
    "flat": b'{"a":[' + b"[]," * 400_000 + b"1]}",
    "flat and deep": b'{"a":' + nested(9_000).encode() + b',"b":[' + b"[]," * 400_000 + b"1]}",
    "small objects": b'{"a":[' + b'{"a":1},' * 150_000 + b"1]}",
    "at the edge": b'{"a":' + b"[" * 198 + b"[]," * 400_000 + b"1" + b"]" * 198 + b"}",
    "to and fro": b'{"a":' + b"[" * 150 + (b"[" * 100 + b"]" * 100 + b",") * 6_000 + b"1" + b"]" * 150 + b"}",
    "brackets in strings": b'{"a":[' + b'["]"],' * 200_000 + b"1]}",
}


@pytest.mark.parametrize("text", HUGE.values(), ids=list(HUGE))
def test_a_million_brackets_are_not_read_one_by_one(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It took 1.1 s for 400,000 of them, in which nobody was served."""
    steps = 0
    read = deep_json._Blocks._moves

    def counted(blocks: deep_json._Blocks, number: int) -> Iterator[tuple[int, int, int]]:
        nonlocal steps
        for move in read(blocks, number):
            steps += 1
            yield move

    monkeypatch.setattr(deep_json._Blocks, "_moves", counted)
    assert depth(json.loads(deep_json.prune(text))) <= MAXIMUM_DEPTH
    assert steps < 50_000
