"""The DaemonSets that are a controller, and the pods that are theirs."""

from typing import Any

import pytest
from tests.unit.model.test_dynamic_controller import GOING, NAME, UID, daemon_set, pod

from nicplug.cache.dynamic_controllers import DynamicControllers
from nicplug.cache.optional_watch import Absence
from nicplug.model.dynamic_controller import ControllerFinder, ControllerState


class Heard:
    """A store, and what it told."""

    def __init__(self) -> None:
        self.nodes: list[frozenset[str] | None] = []
        self.found = 0
        self.store = DynamicControllers(on_change=self.nodes.append, on_found=self._find)

    def _find(self) -> None:
        self.found += 1

    def state(self, node: str = "node01") -> ControllerState:
        return self.store.on_node(node, node=None).state

    def list_pods(self, *pods: dict[str, Any]) -> None:
        known = self.store.pods_of(UID)
        assert known is not None
        known.replace(pods)

    def line(self, type_: str, item: dict[str, Any]) -> None:
        known = self.store.pods_of(UID)
        assert known is not None
        known.change(type_, item)


@pytest.fixture
def heard() -> Heard:
    """One controller with a ready pod on node01; nothing of that is news any more."""
    made = Heard()
    made.store.replace([daemon_set(), daemon_set("kube-proxy", uid="other")])
    made.list_pods(pod())
    made.nodes.clear()
    made.found = 0
    return made


def test_before_the_lists_nothing_is_known() -> None:
    heard = Heard()
    assert heard.state() is ControllerState.UNKNOWN
    heard.store.replace([daemon_set()])
    assert heard.state() is ControllerState.UNKNOWN, "its pods are still to come"
    heard.list_pods()
    assert heard.state() is ControllerState.NOT_ON_NODE
    assert heard.nodes == [None, None]
    assert heard.found == 1


def test_that_there_is_none_is_news_too() -> None:
    heard = Heard()
    heard.store.replace([daemon_set("kube-proxy")])
    assert heard.state() is ControllerState.NOT_DEPLOYED
    assert heard.nodes == [None]


@pytest.mark.parametrize(
    ("type_", "item", "state"),
    [
        pytest.param("MODIFIED", pod(ready="False"), ControllerState.NOT_READY, id="not ready"),
        pytest.param("MODIFIED", pod(**GOING), ControllerState.NOT_READY, id="going"),
        pytest.param("DELETED", pod(**GOING), ControllerState.NOT_ON_NODE, id="gone"),
        pytest.param("MODIFIED", pod(owner="stranger"), ControllerState.NOT_ON_NODE, id="orphaned, and adopted"),
    ],
)
def test_a_change_on_one_node_is_told_for_that_node(
    heard: Heard, type_: str, item: dict[str, Any], state: ControllerState
) -> None:
    heard.line(type_, item)
    assert heard.state() is state
    assert heard.nodes == [frozenset({"node01"})]


def test_what_changes_nothing_is_no_news(heard: Heard) -> None:
    heard.line("MODIFIED", pod(resourceVersion="9"))
    heard.list_pods(pod(resourceVersion="10"))
    heard.store.change("MODIFIED", daemon_set(resourceVersion="11"))
    heard.store.change("ADDED", daemon_set("another", uid="another"))
    assert (heard.nodes, heard.found) == ([], 0)


def test_a_stranger_s_pod_is_not_the_controller_s(heard: Heard) -> None:
    heard.line("ADDED", pod("fake", owner="stranger", node="node02"))
    assert heard.state("node02") is ControllerState.NOT_ON_NODE
    assert heard.nodes == []


def test_that_a_pod_went_is_remembered_from_its_own_deletion(heard: Heard) -> None:
    heard.line("MODIFIED", pod(**GOING))
    since = heard.store.on_node("node01", node=None).since
    heard.line("DELETED", pod(**GOING))
    gone = heard.store.on_node("node01", node=None)
    assert (gone.state, gone.since) == (ControllerState.NOT_ON_NODE, since)
    assert since is not None


def test_a_relist_tells_of_pods_that_went_meanwhile(heard: Heard) -> None:
    heard.list_pods(pod("q", node="node02"))
    assert heard.state("node01") is ControllerState.NOT_ON_NODE
    assert heard.state("node02") is ControllerState.READY
    assert heard.nodes == [frozenset({"node01", "node02"})]


@pytest.mark.parametrize("absence", Absence)
def test_what_must_not_be_read_is_not_known(heard: Heard, absence: Absence) -> None:
    known = heard.store.pods_of(UID)
    assert known is not None
    known.lose(absence)
    known.lose(absence)
    assert heard.state() is ControllerState.UNKNOWN
    heard.store.lose(absence)
    heard.store.lose(absence)
    assert heard.state() is ControllerState.UNKNOWN
    assert heard.nodes == [None, None], "each told once"
    assert heard.store.controllers() == {}


def test_another_finder_finds_another(heard: Heard) -> None:
    heard.store.look_for(ControllerFinder(name="kube-proxy"))
    heard.store.look_for(ControllerFinder(name="kube-proxy"))
    assert set(heard.store.controllers()) == {"other"}
    assert heard.store.pods_of(UID) is None
    assert heard.found == 1


def test_a_controller_that_is_taken_away(heard: Heard) -> None:
    heard.store.change("DELETED", daemon_set())
    assert heard.state() is ControllerState.NOT_DEPLOYED
    assert heard.nodes == [None]
    assert heard.found == 1


def test_its_name_is_told(heard: Heard) -> None:
    assert heard.store.on_node("node01", node=None).daemon_set == f"kube-system/{NAME}"
