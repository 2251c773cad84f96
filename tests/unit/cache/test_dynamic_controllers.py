"""The DaemonSets that are a controller, and the pods that are theirs."""

from typing import Any

import pytest
from tests.fakes.listing import relist
from tests.unit.model.controllers import GOING, NAME, UID, daemon_set, pod

from nicplug.cache.dynamic_controllers import MOST_FOLLOWED, DynamicControllers
from nicplug.cache.optional_watch import Absence
from nicplug.model.dynamic_controller import ControllerFinder, ControllerState
from nicplug.model.trusted_namespaces import DEFAULT_TRUSTED_NAMESPACES


class Heard:
    """A store, and what it told."""

    def __init__(self) -> None:
        self.nodes: list[frozenset[str] | None] = []
        self.found = 0
        self.store = DynamicControllers(on_change=self.nodes.append, on_found=self._find)
        for namespace in self.store.namespaces().values():
            relist(namespace, [])
        self.nodes.clear()
        self.found = 0
        self.daemon_sets = self.store.namespaces()["kube-system"]

    def _find(self) -> None:
        self.found += 1

    def state(self, node: str = "node01") -> ControllerState:
        return self.store.on_node(node, node=None).state

    def list_pods(self, *pods: dict[str, Any]) -> None:
        known = self.store.pods_of(UID)
        assert known is not None
        relist(known, pods)

    def line(self, type_: str, item: dict[str, Any]) -> None:
        known = self.store.pods_of(UID)
        assert known is not None
        known.change(type_, item)


def uids(store: DynamicControllers) -> list[str]:
    """Of the controllers, the oldest first."""
    return [item.uid for item in store.controllers()]


@pytest.fixture
def heard() -> Heard:
    """One controller with a ready pod on node01; nothing of that is news any more."""
    made = Heard()
    relist(made.daemon_sets, [daemon_set(), daemon_set("kube-proxy", uid="other")])
    made.list_pods(pod())
    made.nodes.clear()
    made.found = 0
    return made


def test_the_nodes_with_a_ready_controller_agree_with_the_look_at_each(heard: Heard) -> None:
    assert heard.store.ready_nodes() == frozenset({"node01"})
    heard.list_pods(pod(), pod("q", ready="False", node="node02"))
    assert heard.store.ready_nodes() == frozenset({"node01"})
    assert heard.state("node02") is ControllerState.NOT_READY
    heard.list_pods()
    assert heard.store.ready_nodes() == frozenset()
    pods = heard.store.pods_of(UID)
    assert pods is not None
    pods.lose(Absence.DENIED)
    assert heard.store.ready_nodes() is None
    relist(heard.daemon_sets, [])
    assert heard.store.ready_nodes() == frozenset(), "there is no controller"
    heard.daemon_sets.lose(Absence.DENIED)
    assert heard.store.ready_nodes() is None


def test_before_the_lists_nothing_is_known() -> None:
    heard = Heard()
    heard.daemon_sets.by_uid = None
    assert heard.state() is ControllerState.UNKNOWN
    relist(heard.daemon_sets, [daemon_set()])
    assert heard.state() is ControllerState.UNKNOWN, "its pods are still to come"
    heard.list_pods()
    assert heard.state() is ControllerState.NOT_ON_NODE
    assert heard.nodes == [None, None]
    assert heard.found == 1


def test_that_there_is_none_is_news_too() -> None:
    heard = Heard()
    heard.daemon_sets.by_uid = None
    relist(heard.daemon_sets, [daemon_set("kube-proxy")])
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
def test_a_change_on_one_node_is_reported_for_that_node(
    heard: Heard, type_: str, item: dict[str, Any], state: ControllerState
) -> None:
    heard.line(type_, item)
    assert heard.state() is state
    assert heard.nodes == [frozenset({"node01"})]


def test_what_changes_nothing_is_no_news(heard: Heard) -> None:
    heard.line("MODIFIED", pod(resourceVersion="9"))
    heard.list_pods(pod(resourceVersion="10"))
    heard.daemon_sets.change("MODIFIED", daemon_set(resourceVersion="11"))
    heard.daemon_sets.change("ADDED", daemon_set("another", uid="another"))
    assert (heard.nodes, heard.found) == ([], 0)


def test_a_stranger_s_pod_is_not_the_controller_s(heard: Heard) -> None:
    heard.line("ADDED", pod("fake", owner="stranger", node="node02"))
    heard.list_pods(pod(), pod("fake", owner="stranger", node="node02"))
    assert heard.state("node02") is ControllerState.NOT_ON_NODE
    assert heard.nodes == []


def test_that_a_pod_went_is_remembered_from_its_own_deletion(heard: Heard) -> None:
    heard.line("MODIFIED", pod(**GOING))
    since = heard.store.on_node("node01", node=None).since
    heard.line("DELETED", pod(**GOING))
    gone = heard.store.on_node("node01", node=None)
    assert (gone.state, gone.since) == (ControllerState.NOT_ON_NODE, since)
    assert since is not None


def test_that_a_pod_went_while_nobody_watched_is_remembered_too(heard: Heard) -> None:
    heard.line("MODIFIED", pod(**GOING))
    since = heard.store.on_node("node01", node=None).since
    heard.list_pods()
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
    heard.daemon_sets.lose(absence)
    heard.daemon_sets.lose(absence)
    assert heard.state() is ControllerState.UNKNOWN
    assert heard.nodes == [None, None], "each told once"
    assert heard.store.controllers() == ()


def test_another_finder_finds_another(heard: Heard) -> None:
    heard.store.look_for(ControllerFinder(name="kube-proxy"), namespaces=DEFAULT_TRUSTED_NAMESPACES)
    heard.store.look_for(ControllerFinder(name="kube-proxy"), namespaces=DEFAULT_TRUSTED_NAMESPACES)
    assert uids(heard.store) == ["other"]
    assert heard.store.pods_of(UID) is None
    assert heard.found == 1


def test_a_controller_that_is_taken_away(heard: Heard) -> None:
    heard.daemon_sets.change("DELETED", daemon_set())
    assert heard.state() is ControllerState.NOT_DEPLOYED
    assert heard.nodes == [None]
    assert heard.found == 1


def test_its_name_is_reported(heard: Heard) -> None:
    assert heard.store.on_node("node01", node=None).daemon_set == f"kube-system/{NAME}"


@pytest.mark.parametrize(
    "finder",
    [
        ControllerFinder(),
        ControllerFinder(name=NAME),
        ControllerFinder(namespace="tenant"),
        ControllerFinder(match_labels={"app": "nets"}),
    ],
    ids=["by its usual name", "by the name in the policy", "by the namespace in the policy", "by labels"],
)
def test_a_tenant_s_daemon_set_is_never_the_controller(finder: ControllerFinder) -> None:
    """One ready pod of it passed for the controller of the whole node: other tenants' NICs waited for nobody."""
    heard = Heard()
    heard.store.look_for(finder, namespaces=["kube-system"])
    forged = daemon_set(namespace="tenant", uid="forged", labels={"app": "nets"})
    relist(heard.daemon_sets, [forged])
    heard.daemon_sets.change("ADDED", forged)
    assert heard.store.controllers() == ()
    assert heard.store.pods_of("forged") is None
    assert heard.state() is ControllerState.NOT_DEPLOYED
    assert set(heard.store.namespaces()) == {"kube-system"}, "nobody else's are watched"


def test_a_namespace_that_becomes_trusted_is_looked_into(heard: Heard) -> None:
    heard.store.look_for(ControllerFinder(), namespaces=["kube-system", "nets"])
    assert heard.found == 1
    assert heard.state() is ControllerState.READY, "what is known to work needs no other"
    heard.list_pods()
    assert heard.state() is ControllerState.UNKNOWN, "there may be one in the other namespace"
    relist(heard.store.namespaces()["nets"], [daemon_set(namespace="nets", uid="another")])
    assert uids(heard.store) == [UID, "another"]


def test_a_namespace_that_is_no_longer_trusted_is_forgotten(heard: Heard) -> None:
    heard.store.look_for(ControllerFinder(), namespaces=["nets"])
    relist(heard.store.namespaces()["nets"], [])
    assert heard.state() is ControllerState.NOT_DEPLOYED
    assert heard.store.pods_of(UID) is None


def test_where_no_namespace_is_trusted_there_is_no_controller(heard: Heard) -> None:
    heard.store.look_for(ControllerFinder(), namespaces=[])
    assert heard.state() is ControllerState.NOT_DEPLOYED


def test_each_node_pool_may_have_a_controller_of_its_own(heard: Heard) -> None:
    heard.daemon_sets.change("ADDED", daemon_set("dynamic-networks-controller-arm", uid="arm"))
    pods = heard.store.pods_of("arm")
    assert pods is not None
    relist(pods, [pod("q", owner="arm", node="node02")])
    assert (heard.state("node01"), heard.state("node02")) == (ControllerState.READY, ControllerState.READY)
    assert heard.state("node03") is ControllerState.NOT_ON_NODE


def test_the_pods_of_so_many_controllers_and_no_more_are_followed(heard: Heard) -> None:
    """The oldest, so that a new one takes no other's place; nothing is concluded from one that nobody looks at."""
    for number in range(MOST_FOLLOWED + 5):
        made = f"2026-01-02T03:00:{number + 1:02}Z"
        item = daemon_set(f"dynamic-networks-controller-{number}", uid=f"u{number}", creationTimestamp=made)
        heard.daemon_sets.change("ADDED", item)
    assert len(heard.store.followed()) == MOST_FOLLOWED
    assert set(heard.store.followed()) == {f"u{number}" for number in range(MOST_FOLLOWED)}
    assert heard.store.pods_of(f"u{MOST_FOLLOWED}") is None
    for uid in heard.store.followed():
        pods = heard.store.pods_of(uid)
        assert pods is not None
        relist(pods, [])
    assert heard.state("node09") is ControllerState.UNKNOWN
    heard.daemon_sets.change("DELETED", daemon_set("dynamic-networks-controller-0", uid="u0"))
    assert f"u{MOST_FOLLOWED}" in heard.store.followed(), "the next oldest takes its place"
