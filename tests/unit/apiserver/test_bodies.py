"""Bodies: the value that they hold, be it JSON or YAML, and what is neither."""

import pytest

from nicplug.apiserver.bodies import BadBody, decode


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"name":"a"}', {"name": "a"}),
        (b' \n{"name":"a"}\n', {"name": "a"}),
        (b"name: a\n", {"name": "a"}),
        (b"{name: a}", {"name": "a"}),
        (b"", {}),
        (b" \n", {}),
        (b"null", None),
        (b"# nothing\n", None),
        (b"[1]", [1]),
        (b'"text"', "text"),
        (b"true", True),
        (b"5", 5),
        (b"a: 1.5", {"a": 1.5}),
    ],
)
def test_bodies_that_are_read(body: bytes, value: object) -> None:
    assert decode(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b"a: 2020-01-01",
        b"a: .nan",
        b'{"a": 1e999}',
        b"a: !!set {b}",
        b"{",
        b'{"a": }}',
        b'{"a": NaN}',
        b"1: 2",
        b"\xff\xfe\x00",
        b'{"a":"\xff"}',
        b"a: *b",
        b"a: &b [1]\nc: *b",
        b"!!python/object/apply:os.system [ls]",
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"a: [" * 1,
        b"--- a\n--- b\n",
        b"a: " + b"b" * 70_000,
    ],
)
def test_bodies_that_are_refused_with_one_line(body: bytes) -> None:
    with pytest.raises(BadBody) as caught:
        decode(body)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
