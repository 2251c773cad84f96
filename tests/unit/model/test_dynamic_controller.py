"""Which DaemonSet is the dynamic networks controller, and what one node sees of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.build import Json, kubevirt
from tests.unit.model.controllers import CHANGED, GOING, NAME, daemon_set, node, pod

from nicplug.model.dynamic_controller import (
    ControllerFinder,
    ControllerState,
    DaemonSet,
    DaemonSetPod,
    DynamicController,
    OnNode,
    controller_on_node,
    parse_daemon_set,
    parse_daemon_set_pod,
)
from nicplug.model.kubevirt import parse_kubevirt
from nicplug.model.node import Node, parse_node

SHOWN = f"kube-system/{NAME}"
CHANGED_AT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def a_daemon_set(**members: Any) -> DaemonSet:
    return parse_daemon_set(daemon_set(**members))


def a_pod(name: str = "p", **members: Any) -> DaemonSetPod:
    return parse_daemon_set_pod(pod(name, **members))


USUAL = ControllerFinder()


@pytest.mark.parametrize(
    ("finder", "found", "is_it"),
    [
        pytest.param(USUAL, daemon_set(), True, id="by its name"),
        pytest.param(USUAL, daemon_set("multus-dynamic-networks-controller"), True, id="by its other name"),
        pytest.param(
            USUAL,
            daemon_set("any", image="ghcr.io/k8snetworkplumbingwg/multus-dynamic-networks-controller:v0.3.7"),
            True,
            id="by its image, whatever its name",
        ),
        pytest.param(USUAL, daemon_set("kube-multus-ds", image="multus-cni:v4"), False, id="Multus itself is not"),
        pytest.param(USUAL, daemon_set("my-dynamic-networks-controller"), False, id="a name that only ends so"),
        pytest.param(ControllerFinder(name="nets"), daemon_set("nets"), True, id="by the name in the policy"),
        pytest.param(ControllerFinder(name="nets"), daemon_set(), False, id="the policy's word replaces the usual"),
        pytest.param(ControllerFinder(image="corp/nets"), daemon_set(image="r.corp/nets:1"), True, id="a part of it"),
        pytest.param(ControllerFinder(image="corp/nets"), daemon_set(image="r.corp/other"), False, id="another image"),
        pytest.param(
            ControllerFinder(match_labels={"app": "nets"}),
            daemon_set("any", labels={"app": "nets", "tier": "node"}),
            True,
            id="by its labels",
        ),
        pytest.param(ControllerFinder(match_labels={"app": "nets"}), daemon_set(), False, id="without the labels"),
        pytest.param(ControllerFinder(namespace="kube-system"), daemon_set(), True, id="the usual one, in a namespace"),
        pytest.param(ControllerFinder(namespace="net"), daemon_set(), False, id="the usual one, but elsewhere"),
        pytest.param(ControllerFinder(namespace="net"), daemon_set("x", namespace="net"), False, id="something else"),
        pytest.param(ControllerFinder(namespace="net", name="nets"), daemon_set("nets"), False, id="all has to match"),
        pytest.param(
            ControllerFinder(namespace="net", name="nets"), daemon_set("nets", namespace="net"), True, id="all does"
        ),
    ],
)
def test_which_daemon_set_is_the_controller(finder: ControllerFinder, found: Json, is_it: bool) -> None:
    assert finder.matches(parse_daemon_set(found)) is is_it


def test_the_policy_says_by_what_it_is_known() -> None:
    block = {"namespace": "net", "name": "n", "image": "i", "selector": {"matchLabels": {"app": "nets"}}}
    finder = parse_kubevirt(kubevirt(hotplug={"dynamicController": block})).controller_finder
    assert finder == ControllerFinder(namespace="net", name="n", image="i", match_labels={"app": "nets"})
    assert parse_kubevirt(kubevirt()).controller_finder == USUAL


ON_OTHER_NODES = {"nodeSelector": {"net": "yes"}}
WAITING = {
    "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": CHANGED}],
    "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}}],
}


def seen(state: ControllerState, message: str = "", since: datetime | None = None) -> DynamicController:
    return DynamicController(state=state, daemon_set=SHOWN, message=message, since=since)


ONE_NODE = [
    pytest.param(a_daemon_set(), [a_pod()], seen(ControllerState.READY), id="its pod is ready"),
    pytest.param(
        a_daemon_set(),
        [a_pod(ready="False")],
        seen(ControllerState.NOT_READY, "pod p is not ready", CHANGED_AT),
        id="not ready, since its condition changed",
    ),
    pytest.param(
        a_daemon_set(),
        [a_pod(status={})],
        seen(ControllerState.NOT_READY, "pod p is not ready", datetime(2026, 1, 2, 3, 0, tzinfo=UTC)),
        id="never ready, since it was made",
    ),
    pytest.param(
        a_daemon_set(),
        [a_pod(status=WAITING)],
        seen(ControllerState.NOT_READY, "pod p waits: CrashLoopBackOff", CHANGED_AT),
        id="crashing, without the kubelet's ticking clock",
    ),
    pytest.param(
        a_daemon_set(),
        [a_pod(**GOING)],
        seen(ControllerState.NOT_READY, "pod p is being deleted", CHANGED_AT),
        id="ready but going, since the deletion was asked for",
    ),
    pytest.param(
        a_daemon_set(),
        [a_pod("a", **GOING), a_pod("b", status=WAITING)],
        seen(ControllerState.NOT_READY, "pod b waits: CrashLoopBackOff", CHANGED_AT),
        id="the one that comes is told of, not the one that goes",
    ),
    pytest.param(
        a_daemon_set(), [a_pod("a", **GOING), a_pod("b")], seen(ControllerState.READY), id="its successor is ready"
    ),
    pytest.param(
        a_daemon_set(pod=ON_OTHER_NODES),
        [a_pod(**GOING)],
        seen(ControllerState.NOT_READY, "pod p is being deleted"),
        id="going from a node that is not selected any more: not waited for",
    ),
    pytest.param(
        a_daemon_set(deletionTimestamp=CHANGED),
        [a_pod(**GOING)],
        seen(ControllerState.NOT_READY, "pod p is being deleted"),
        id="going with its DaemonSet: not waited for",
    ),
    pytest.param(a_daemon_set(), [], seen(ControllerState.NOT_ON_NODE), id="no pod on the node"),
    pytest.param(a_daemon_set(), None, seen(ControllerState.UNKNOWN), id="pods cannot be read"),
]


@pytest.mark.parametrize(("found", "pods", "wanted"), ONE_NODE)
def test_one_daemon_set_seen_from_a_node(
    found: DaemonSet, pods: list[DaemonSetPod] | None, wanted: DynamicController
) -> None:
    on_node = OnNode(daemon_set=found, pods=None if pods is None else tuple(pods))
    assert controller_on_node([on_node], node=node()) == wanted


@pytest.mark.parametrize(
    ("pod_spec", "known", "since"),
    [
        pytest.param({}, node(), CHANGED_AT, id="the node is selected: another one comes"),
        pytest.param(ON_OTHER_NODES, node(net="yes"), CHANGED_AT, id="by its label"),
        pytest.param(ON_OTHER_NODES, node(), None, id="it was taken from the node"),
        pytest.param(ON_OTHER_NODES, None, CHANGED_AT, id="the node is not known: the benefit of the doubt"),
    ],
)
def test_a_pod_that_is_gone_is_waited_for_where_another_one_comes(
    pod_spec: Json, known: Node | None, since: datetime | None
) -> None:
    on_node = OnNode(daemon_set=a_daemon_set(pod=pod_spec), pods=(), gone_at=CHANGED_AT)
    assert controller_on_node([on_node], node=known) == seen(ControllerState.NOT_ON_NODE, since=since)


def test_a_node_that_repels_other_pods_still_has_those_of_a_daemon_set() -> None:
    taints = [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]
    cordoned = parse_node({"metadata": {"name": "node01"}, "spec": {"unschedulable": True, "taints": taints}})
    assert a_daemon_set().selects(cordoned)
    dedicated = parse_node({"spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}})
    assert not a_daemon_set().selects(dedicated)
    assert a_daemon_set(pod={"tolerations": [{"operator": "Exists"}]}).selects(dedicated)


def test_without_a_daemon_set_there_is_none() -> None:
    assert controller_on_node([], node=node()) == DynamicController(state=ControllerState.NOT_DEPLOYED)


@pytest.mark.parametrize(
    ("pods", "other", "state"),
    [
        pytest.param([a_pod(ready="False")], [a_pod()], ControllerState.READY, id="one works"),
        pytest.param([], [a_pod(ready="False")], ControllerState.NOT_READY, id="one is there"),
        pytest.param([], None, ControllerState.UNKNOWN, id="of one nobody knows"),
        pytest.param([], [], ControllerState.NOT_ON_NODE, id="none is there"),
    ],
)
def test_of_two_the_better_one_counts(
    pods: list[DaemonSetPod], other: list[DaemonSetPod] | None, state: ControllerState
) -> None:
    both = [
        OnNode(daemon_set=a_daemon_set(), pods=tuple(pods)),
        OnNode(daemon_set=a_daemon_set(name="b", uid="b"), pods=None if other is None else tuple(other)),
    ]
    for order in (both, both[::-1]):
        assert controller_on_node(order, node=node()).state is state


@pytest.mark.parametrize(
    ("selector", "query"),
    [
        pytest.param({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2", id="labels"),
        pytest.param(
            {
                "matchLabels": {"a": "1"},
                "matchExpressions": [
                    {"key": "b", "operator": "In", "values": ["y", "x"]},
                    {"key": "c", "operator": "NotIn", "values": ["z"]},
                    {"key": "d", "operator": "Exists"},
                    {"key": "e", "operator": "DoesNotExist"},
                ],
            },
            "a=1,b in (x,y),c notin (z),d,!e",
            id="expressions",
        ),
    ],
)
def test_the_selector_as_a_query(selector: Json, query: str) -> None:
    assert a_daemon_set(selector=selector).selector == query


def test_a_pod_that_has_no_node_yet_counts_for_the_one_it_is_made_for() -> None:
    """As the DaemonSet controller makes it; here one that fits nowhere."""
    field = {"key": "metadata.name", "operator": "In", "values": ["node07"]}
    terms = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    spec = {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}
    unscheduled = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}
    made = a_pod(spec=spec, status=unscheduled)
    assert (made.node_name, made.message) == ("node07", "pod p has no node: Unschedulable")


def test_only_a_controlling_daemon_set_owns_a_pod() -> None:
    raw = pod()
    raw["metadata"]["ownerReferences"][0]["kind"] = "ReplicaSet"
    assert parse_daemon_set_pod(raw).owner_uid == ""
    raw["metadata"]["ownerReferences"][0] |= {"kind": "DaemonSet", "controller": False}
    assert parse_daemon_set_pod(raw).owner_uid == ""


@pytest.mark.parametrize("nonsense", [{}, {"metadata": None, "spec": [], "status": "x"}, {"spec": {"affinity": 1}}])
def test_nonsense_is_read_without_a_word(nonsense: Json) -> None:
    parse_daemon_set(nonsense)
    parse_daemon_set_pod(nonsense)


def test_a_deletion_was_asked_for_before_its_grace_period() -> None:
    assert a_pod(**GOING).deleted_at == CHANGED_AT
    assert a_pod(deletionTimestamp="2026-01-02T03:04:30Z").deleted_at == CHANGED_AT + timedelta(seconds=30)
