"""Bodies: JSON and YAML, and what looks like them."""

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
        (b"null", {}),
        (b"# nothing\n", {}),
    ],
)
def test_bodies_that_are_read(body: bytes, value: object) -> None:
    assert decode(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'"text"',
        b"5",
        b"true",
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
    ],
)
def test_bodies_that_are_refused_with_one_line(body: bytes) -> None:
    with pytest.raises(BadBody) as caught:
        decode(body)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
