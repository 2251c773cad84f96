"""The encoding that a guard on text needs; that the API server agrees is tests/conformance/test_patches.py."""

import json

import pytest

from nicplug.kube import go_json


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", '"plain"'),
        ("ünï", '"ünï"'),
        ("a<b>&c", '"a\\u003cb\\u003e\\u0026c"'),
        ("\u2028\u2029", '"\\u2028\\u2029"'),
        ([{"name": "ü", "n": 1, "none": None}], '[{"n":1,"name":"ü","none":null}]'),
    ],
    ids=["ascii", "utf-8", "html", "line separators", "nested"],
)
def test_as_go_writes_it(value: object, text: str) -> None:
    assert go_json.encode(value) == text.encode()
    assert json.loads(go_json.encode(value)) == value


@pytest.mark.parametrize(
    ("value", "differs"), [("plain", False), ("ü", True), ("<", True), ("&", True), ("\u2028", True)]
)
def test_only_what_may_differ_is_written_again(value: str, differs: bool) -> None:
    assert go_json.needs_encoding(json.dumps(value).encode()) is differs
