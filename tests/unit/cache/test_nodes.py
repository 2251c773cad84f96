"""Nodes as the watch brings them: what a heartbeat changes is no news."""

from typing import Any

import pytest
from tests.fakes.listing import relist

from nicplug.cache.nodes import Nodes
from nicplug.cache.optional_watch import Absence


def node(name: str, *, version: int = 1, ready: str = "True", uid: str = "", **spec: Any) -> dict[str, Any]:
    heartbeat = f"2026-01-02T03:04:{version % 60:02}Z"
    conditions = [{"type": "Ready", "status": ready, "lastHeartbeatTime": heartbeat}]
    metadata = {"name": name, "uid": uid or name, "resourceVersion": str(version)}
    status = {"conditions": conditions, "images": [{"sizeBytes": version}]}
    return {"metadata": metadata, "spec": spec, "status": status}


class Heard:
    def __init__(self) -> None:
        self.times = 0
        self.nodes = Nodes(on_change=self._hear)

    def _hear(self) -> None:
        self.times += 1

    def names(self) -> list[str] | None:
        known = self.nodes.all()
        return None if known is None else [item.name for item in known]


@pytest.fixture
def heard() -> Heard:
    made = Heard()
    relist(made.nodes, [node("b"), node("a")])
    return made


def test_before_the_first_list_nodes_are_not_known() -> None:
    assert Heard().nodes.all() is None


def test_the_first_list_is_news(heard: Heard) -> None:
    assert heard.names() == ["a", "b"]
    assert heard.times == 1


def test_a_heartbeat_is_no_news(heard: Heard) -> None:
    before = heard.nodes.all()
    for version in range(2, 9):
        heard.nodes.change("MODIFIED", node("a", version=version))
    relist(heard.nodes, [node("a", version=20), node("b", version=21)])
    assert heard.times == 1
    assert heard.nodes.all() is before


@pytest.mark.parametrize(
    ("type_", "item"),
    [
        pytest.param("ADDED", node("c"), id="a node came"),
        pytest.param("DELETED", node("a", version=2), id="a node went"),
        pytest.param("MODIFIED", node("a", version=2, ready="False"), id="not ready any more"),
        pytest.param("MODIFIED", node("a", version=2, unschedulable=True), id="cordoned"),
    ],
)
def test_what_counts_is_news(heard: Heard, type_: str, item: dict[str, Any]) -> None:
    heard.nodes.change(type_, item)
    assert heard.times == 2


def test_the_deletion_of_a_predecessor_is_late(heard: Heard) -> None:
    heard.nodes.change("ADDED", node("a", version=9, uid="new"))
    heard.nodes.change("DELETED", node("a", version=5))
    assert heard.names() == ["a", "b"]


def test_a_relist_tells_of_deletions(heard: Heard) -> None:
    relist(heard.nodes, [node("b")])
    assert heard.names() == ["b"]
    assert heard.nodes.get("a") is None
    assert heard.times == 2


def test_what_must_not_be_read_is_not_known(heard: Heard) -> None:
    heard.nodes.lose(Absence.DENIED)
    heard.nodes.lose(Absence.DENIED)
    assert heard.nodes.all() is None
    assert heard.times == 2, "told once"
