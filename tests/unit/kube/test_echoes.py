"""Which watch lines bring no news, and what Kopf gets in their place."""

import json
from typing import Any

import pytest

from nicplug.cache.caches import CachedKind
from nicplug.kube.echoes import KINDS, Echoes

VMIS = "virtualmachineinstances"
BOOKMARK = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "7"}}}


def knows(kind: str, *, uid: str, version: int) -> bool:
    return kind == "VirtualMachineInstance" and uid == "known" and version <= 7


def line(type_: str = "MODIFIED", *, metadata: Any = None, **members: Any) -> bytes:
    metadata = {"name": "a", "uid": "known", "resourceVersion": "7"} if metadata is None else metadata
    return json.dumps({"type": type_, "object": {"metadata": metadata, **members}}).encode()


@pytest.mark.parametrize("type_", ["ADDED", "MODIFIED"])
def test_the_answer_to_an_own_write_is_a_bookmark(type_: str) -> None:
    found = Echoes(is_known=knows).bookmark_for(line(type_, spec={"a": 1}), resource=VMIS)
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
def test_whatever_may_be_news_stays_as_it_is(news: bytes) -> None:
    assert Echoes(is_known=knows).bookmark_for(news, resource=VMIS) is None


def test_what_a_user_writes_in_a_spec_is_not_taken_for_metadata() -> None:
    forged = {"uid": "known", "resourceVersion": "7", "metadata": {"uid": "known", "resourceVersion": "7"}}
    metadata = {"annotations": forged, "labels": forged, "uid": "known", "resourceVersion": "8"}
    assert Echoes(is_known=knows).bookmark_for(line(metadata=metadata, spec=forged), resource=VMIS) is None


def test_every_kind_that_is_cached_has_echoes() -> None:
    """One that the caches do not know would raise in the stream of a watch."""
    assert set(KINDS.values()) == {kind.value for kind in CachedKind}


def test_kinds_that_are_not_cached_have_no_echoes() -> None:
    def everything(_: str, *, uid: str, version: int) -> bool:
        return True

    for resource in ("customresourcedefinitions", "namespaces", "events"):
        assert Echoes(is_known=everything).bookmark_for(line(), resource=resource) is None


def test_nothing_is_known_before_there_are_caches() -> None:
    assert Echoes().bookmark_for(line(), resource=VMIS) is None
