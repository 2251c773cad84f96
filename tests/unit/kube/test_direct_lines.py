"""Which watch lines bring no news, and what Kopf gets in their place."""

import json
from typing import Any

import pytest

from nicplug.cache.kinds import CachedKind
from nicplug.kube.direct_lines import KINDS, DirectLines

VMIS = "virtualmachineinstances"
BOOKMARK = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "7"}}}


def knows(kind: str, *, uid: str, version: int) -> bool:
    return kind == "VirtualMachineInstance" and uid == "known" and version <= 7


def line(type_: str = "MODIFIED", *, metadata: Any = None, **members: Any) -> bytes:
    metadata = {"name": "a", "uid": "known", "resourceVersion": "7"} if metadata is None else metadata
    return json.dumps({"type": type_, "object": {"metadata": metadata, **members}}).encode()


@pytest.mark.parametrize("type_", ["ADDED", "MODIFIED"])
def test_the_answer_to_an_own_write_is_a_bookmark(type_: str) -> None:
    found = DirectLines(is_known=knows).bookmark_for(line(type_, spec={"a": 1}), resource=VMIS, read=json.loads)
    assert found is not None
    assert json.loads(found) == BOOKMARK


@pytest.mark.parametrize(
    "news",
    [
        pytest.param(line(metadata={"uid": "known", "resourceVersion": "8"}), id="newer than what is known"),
        pytest.param(line(metadata={"uid": "other", "resourceVersion": "7"}), id="another object"),
        pytest.param(line("DELETED"), id="its end"),
        pytest.param(line("BOOKMARK"), id="the API server's own bookmark"),
        pytest.param(line(metadata={"uid": "known", "resourceVersion": "seven"}), id="an opaque version"),
        pytest.param(line(metadata={"uid": "known"}), id="no version"),
        pytest.param(line(metadata={"uid": 5, "resourceVersion": "7"}), id="a uid that is none"),
        pytest.param(line(metadata=[]), id="no metadata"),
        pytest.param(b'{"type":"MODIFIED","object":"', id="not JSON"),
        pytest.param(b'{"type":"MODIFIED","object":{"spec":' + b"[" * 9000 + b"]" * 9000 + b"}}", id="too deep"),
    ],
)
def test_whatever_may_be_news_is_left_to_kopf_while_nobody_hears_it(news: bytes) -> None:
    assert DirectLines(is_known=knows).bookmark_for(news, resource=VMIS, read=json.loads) is None


NEWS = line(metadata={"uid": "known", "resourceVersion": "8"}, spec={"a": 1})


def test_a_change_goes_straight_to_whoever_keeps_the_object() -> None:
    heard: list[tuple[str, Any]] = []
    direct = DirectLines(is_known=knows, on_change=lambda kind, event: heard.append((kind, event)))
    found = direct.bookmark_for(NEWS, resource=VMIS, read=json.loads)
    assert found is not None
    assert json.loads(found)["object"] == {"metadata": {"resourceVersion": "8"}}
    assert heard == [("VirtualMachineInstance", json.loads(NEWS))]


@pytest.mark.parametrize("error", [ValueError, RecursionError])
def test_a_change_that_cannot_be_read_is_left_to_kopf(error: type[Exception]) -> None:
    def fail(_: bytes) -> Any:
        raise error

    heard: list[str] = []
    direct = DirectLines(is_known=knows, on_change=lambda kind, _: heard.append(kind))
    assert direct.bookmark_for(NEWS, resource=VMIS, read=fail) is None
    assert heard == []


@pytest.mark.parametrize("type_", ["DELETED", "BOOKMARK", "ERROR"])
def test_whatever_is_no_change_is_left_to_kopf(type_: str) -> None:
    heard: list[str] = []
    direct = DirectLines(is_known=knows, on_change=lambda kind, _: heard.append(kind))
    assert direct.bookmark_for(line(type_), resource=VMIS, read=json.loads) is None
    assert heard == []


def test_what_a_user_writes_in_a_spec_is_not_taken_for_metadata() -> None:
    forged = {"uid": "known", "resourceVersion": "7", "metadata": {"uid": "known", "resourceVersion": "7"}}
    metadata = {"annotations": forged, "labels": forged, "uid": "known", "resourceVersion": "8"}
    news = line(metadata=metadata, spec=forged)
    assert DirectLines(is_known=knows).bookmark_for(news, resource=VMIS, read=json.loads) is None


def test_the_kinds_are_those_that_are_cached() -> None:
    """One that the caches do not know would raise in the stream of a watch."""
    assert set(KINDS.values()) == {kind.value for kind in CachedKind}


def test_lines_of_other_kinds_are_left_to_kopf() -> None:
    def everything(_: str, *, uid: str, version: int) -> bool:
        return True

    for resource in ("customresourcedefinitions", "namespaces", "events"):
        assert DirectLines(is_known=everything).bookmark_for(line(), resource=resource, read=json.loads) is None


def test_nothing_is_known_before_there_are_caches() -> None:
    assert DirectLines().bookmark_for(line(), resource=VMIS, read=json.loads) is None
