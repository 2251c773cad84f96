"""Which nodes can take a VM, and what is said of the others."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.build import a_vmi, absent, nic, primary, vmi

from nicplug.model.attachments import Knowledge, KnownAttachments, parse_attachment_definition
from nicplug.model.keys import AttachmentKey
from nicplug.model.node import Node, parse_node
from nicplug.plan import candidates
from nicplug.plan.candidates import Candidates, NodeNeeds, find_candidates, node_needs, refuse_devices

DEVICE = "intel.com/sriov"
GPU = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


def node(
    name: str = "node02",
    *,
    labels: dict[str, str] | None = None,
    ready: str = "True",
    allocatable: dict[str, str] | None = None,
    deleting: bool = False,
    **spec: Any,
) -> Node:
    metadata: dict[str, Any] = {"name": name, "uid": name, "resourceVersion": "1", "labels": labels or {}}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    conditions = [{"type": "Ready", "status": ready}] if ready else []
    status = {"conditions": conditions, "allocatable": {"cpu": "4", **(allocatable or {})}}
    return parse_node({"metadata": metadata, "spec": spec, "status": status})


def required(*expressions: dict[str, Any], fields: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    term = {"matchExpressions": list(expressions), "matchFields": fields or []}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


@dataclass(frozen=True)
class Case:
    name: str
    node: Node
    flaw: str = ""
    needs: NodeNeeds = field(default_factory=NodeNeeds)

    def __str__(self) -> str:
        return self.name


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


SSD = NodeNeeds(node_selector={"disk": "ssd"})
DISK = NodeNeeds(affinity=required(expression("disk", "In", "ssd", "nvme")))
NOT_OLD = NodeNeeds(affinity=required(expression("age", "NotIn", "old")))
FAST = NodeNeeds(affinity=required(expression("speed", "Gt", "10")))

CASES = [
    Case("any ready node", node()),
    Case("being deleted", node(deleting=True), "1 is being deleted"),
    Case("cordoned", node(unschedulable=True), "1 is cordoned"),
    Case(
        "cordoned, and the VM tolerates it",
        node(unschedulable=True, taints=[{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]),
        needs=NodeNeeds(tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]),
    ),
    Case("not ready", node(ready="False"), "1 is not ready"),
    Case("its kubelet is silent", node(ready="Unknown"), "1 is not ready"),
    Case("no condition yet", node(ready=""), "1 is not ready"),
    Case("selector matches", node(labels={"disk": "ssd"}), needs=NodeNeeds(node_selector={"disk": "ssd"})),
    Case("lacks the label", node(), "1 lacks label disk=ssd", SSD),
    Case("another value", node(labels={"disk": "hdd"}), "1 lacks label disk=ssd", SSD),
    Case("affinity In", node(labels={"disk": "nvme"}), needs=DISK),
    Case("affinity In, without the label", node(), "1 does not match the node affinity", DISK),
    Case("affinity NotIn, without the label", node(), needs=NOT_OLD),
    Case("affinity NotIn", node(labels={"age": "old"}), "1 does not match the node affinity", NOT_OLD),
    Case("affinity Exists", node(labels={"a": ""}), needs=NodeNeeds(affinity=required(expression("a", "Exists")))),
    Case(
        "affinity DoesNotExist",
        node(labels={"a": ""}),
        "1 does not match the node affinity",
        NodeNeeds(affinity=required(expression("a", "DoesNotExist"))),
    ),
    Case("affinity Gt", node(labels={"speed": "25"}), needs=FAST),
    Case("affinity Gt, of no number", node(labels={"speed": "x"}), "1 does not match the node affinity", FAST),
    Case(
        "an operator of a later Kubernetes",
        node(),
        needs=NodeNeeds(affinity=required(expression("a", "Like", "b"))),
    ),
    Case(
        "affinity by name",
        node(),
        needs=NodeNeeds(affinity=required(fields=[expression("metadata.name", "In", "node02")])),
    ),
    Case(
        "affinity by another name",
        node(),
        "1 does not match the node affinity",
        NodeNeeds(affinity=required(fields=[expression("metadata.name", "In", "node09")])),
    ),
    Case("an affinity term without requirements", node(), "1 does not match", NodeNeeds(affinity=required())),
    Case(
        "what is preferred does not count",
        node(),
        needs=NodeNeeds(
            affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}}
        ),
    ),
    Case("a taint", node(taints=[GPU]), "1 has taint gpu=yes:NoSchedule"),
    Case("a taint NoExecute", node(taints=[{"key": "a", "effect": "NoExecute"}]), "1 has taint a:NoExecute"),
    Case("a taint that only repels a little", node(taints=[{**GPU, "effect": "PreferNoSchedule"}])),
    Case(
        "a taint tolerated by value",
        node(taints=[GPU]),
        needs=NodeNeeds(tolerations=[{"key": "gpu", "value": "yes"}]),
    ),
    Case(
        "a taint tolerated with another value",
        node(taints=[GPU]),
        "1 has taint gpu=yes:NoSchedule",
        NodeNeeds(tolerations=[{"key": "gpu", "value": "no"}]),
    ),
    Case("every taint tolerated", node(taints=[GPU]), needs=NodeNeeds(tolerations=[{"operator": "Exists"}])),
    Case(
        "a toleration of another effect",
        node(taints=[GPU]),
        "1 has taint",
        NodeNeeds(tolerations=[{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}]),
    ),
    Case("offers the device", node(allocatable={DEVICE: "4"}), needs=NodeNeeds(devices=frozenset({DEVICE}))),
    Case("lacks the device", node(), "1 lacks device intel.com/sriov", NodeNeeds(devices=frozenset({DEVICE}))),
    Case(
        "has lost its devices",
        node(allocatable={DEVICE: "0"}),
        "1 lacks device intel.com/sriov",
        NodeNeeds(devices=frozenset({DEVICE})),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_node(case: Case) -> None:
    found = find_candidates([node("node01"), case.node], source="node01", needs=case.needs)
    assert found.is_impossible is bool(case.flaw)
    assert found.nodes == (frozenset() if case.flaw else {"node02"})
    assert found.message.startswith(f"{0 if case.flaw else 1} of 2 nodes can take the VM: node01 runs it")
    assert case.flaw in found.message


def test_the_flaws_are_counted_the_commonest_first() -> None:
    nodes = [
        node("node01"),
        node("node02", unschedulable=True),
        node("node03", labels={"disk": "hdd"}),
        node("node04"),
    ]
    found = find_candidates(nodes, source="node01", needs=NodeNeeds(node_selector={"disk": "ssd"}))
    assert found.message == "0 of 4 nodes can take the VM: node01 runs it, 2 lack label disk=ssd, 1 is cordoned"


def test_a_long_list_of_flaws_is_cut() -> None:
    nodes = [node(f"n{number}", taints=[{"key": f"t{number}", "effect": "NoExecute"}]) for number in range(20)]
    found = find_candidates(nodes, source="gone", needs=NodeNeeds())
    assert found.message.endswith(", ...")
    assert len(found.message) < 300


def test_a_single_node() -> None:
    found = find_candidates([node("node01")], source="node01", needs=NodeNeeds())
    assert found.message == "0 of 1 node can take the VM: node01 runs it"


@pytest.mark.parametrize("nodes", [None, []], ids=["not readable", "none listed"])
def test_nothing_is_concluded_from_nothing(nodes: list[Node] | None) -> None:
    assert find_candidates(nodes, source="node01", needs=NodeNeeds()) == Candidates()
    assert not Candidates().is_impossible


def test_heartbeats_are_no_change() -> None:
    metadata = {"name": "n", "uid": "u", "resourceVersion": "1"}
    beat = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-02T03:04:05Z"}
    later = {**beat, "lastHeartbeatTime": "2026-01-02T03:09:05Z"}
    first = parse_node({"metadata": metadata, "status": {"conditions": [beat], "images": [{"names": ["a"]}]}})
    second = parse_node({"metadata": {**metadata, "resourceVersion": "2"}, "status": {"conditions": [later]}})
    assert first == second


@pytest.mark.parametrize("raw", [{}, {"metadata": None, "spec": [], "status": "x"}, {"spec": {"taints": [1, {}]}}])
def test_any_node_can_be_read(raw: dict[str, Any]) -> None:
    assert find_candidates([parse_node(raw)], source="", needs=NodeNeeds(tolerations=[{}])).is_known


def with_device(name: str, device: str) -> tuple[AttachmentKey, Any]:
    raw = {
        "metadata": {"namespace": "default", "name": name, "annotations": {"k8s.v1.cni.cncf.io/resourceName": device}},
        "spec": {"config": "{}"},
    }
    return AttachmentKey("default", name), parse_attachment_definition(raw, changed_at=None)


def test_demand_of_a_vmi() -> None:
    raw = vmi(primary(), nic("blue"), nic("red"), absent("gone"))
    raw["spec"] |= {"nodeSelector": {"disk": "ssd", "zone": "a"}, "tolerations": [{"operator": "Exists"}]}
    known = KnownAttachments(
        knowledge=Knowledge.COMPLETE,
        definitions=dict(map(with_device, ("blue-net", "gone-net", "red-net"), (DEVICE, "x.y/z", ""))),
    )
    needs = node_needs(a_vmi(raw), attachments=known, added_node_selector={"zone": "b", "rack": "7"})
    assert needs.node_selector == {"disk": "ssd", "zone": "a", "rack": "7"}
    assert needs.tolerations == [{"operator": "Exists"}]
    assert needs.devices == {DEVICE}


def test_a_network_that_nobody_knows_asks_for_no_device() -> None:
    assert node_needs(a_vmi(vmi(nic("blue"))), attachments=KnownAttachments()).devices == frozenset()


@pytest.mark.parametrize(
    ("offered", "refused"),
    [
        pytest.param([{DEVICE: "4", "x.y/z": "1"}], [], id="one node has both devices"),
        pytest.param([{DEVICE: "4"}, {}], ["gone"], id="no node has the second"),
        pytest.param([{DEVICE: "4"}, {"x.y/z": "1"}], ["gone"], id="no node has both: first come, first served"),
        pytest.param([{}, {}], ["blue", "gone"], id="no node has either"),
    ],
)
def test_a_nic_whose_device_no_node_has_keeps_only_itself_from_moving(
    offered: list[dict[str, str]], refused: list[str]
) -> None:
    nodes = [node(name="source"), *(node(name=f"node{i}", allocatable=item) for i, item in enumerate(offered))]
    known = KnownAttachments(
        knowledge=Knowledge.COMPLETE,
        definitions=dict(map(with_device, ("blue-net", "gone-net", "red-net"), (DEVICE, "x.y/z", ""))),
    )
    raw = a_vmi(vmi(primary(), nic("blue"), nic("red"), nic("gone"), node="source"))
    found = refuse_devices(nodes, vmi=raw, lacking=["blue", "red", "gone"], attachments=known)
    assert list(found) == refused
    assert all("lack" in item.message for item in found.values())


@pytest.mark.parametrize(
    ("offers", "nowhere"),
    [({}, (DEVICE,)), ({"node01": DEVICE}, ()), ({"node02": DEVICE}, ())],
    ids=["no node", "the VM's own", "another"],
)
def test_a_device_that_no_node_offers_is_named(offers: dict[str, str], nowhere: tuple[str, ...]) -> None:
    """Where the VM's own node has it, a restart brings the NIC; where none has, the VM would not start."""
    nodes = [node(name, allocatable={offers[name]: "1"} if name in offers else None) for name in ("node01", "node02")]
    found = find_candidates(nodes, source="node01", needs=NodeNeeds(devices=frozenset({DEVICE})))
    assert found.devices_nowhere == nowhere


def test_a_placement_that_no_person_would_write_is_left_to_the_scheduler() -> None:
    """Each node is compared with it: with a thousand nodes that would take seconds."""
    raw = vmi(primary())
    raw["spec"]["nodeSelector"] = {f"label-{index}": "yes" for index in range(2_000)}
    needs = node_needs(a_vmi(raw), attachments=KnownAttachments())
    assert find_candidates([node("node01"), node()], source="node01", needs=needs).nodes == {"node02"}


def test_of_many_labels_that_a_node_lacks_the_first_are_named() -> None:
    needs = NodeNeeds(node_selector={f"label-{index:02}": "yes" for index in range(30)})
    found = find_candidates([node("node01"), node()], source="node01", needs=needs)
    assert "label-09=yes, ..." in found.message
    assert "label-10" not in found.message


def test_nodes_are_looked_at_once_for_all_nics(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []

    def flaw(found: Node, needs: NodeNeeds) -> None:
        looked_at.append(found.name)

    monkeypatch.setattr(candidates, "_flaw", flaw)
    names = [f"n{index}" for index in range(20)]
    devices = {name: f"example.com/{name}" for name in names}
    nodes = [node("source"), *(node(f"node{index}", allocatable={devices["n0"]: "1"}) for index in range(20))]
    known = KnownAttachments(
        knowledge=Knowledge.COMPLETE,
        definitions=dict(with_device(f"{name}-net", device) for name, device in devices.items()),
    )
    raw = a_vmi(vmi(primary(), *map(nic, names), node="source"))
    found = refuse_devices(nodes, vmi=raw, lacking=names, attachments=known)
    assert list(found) == names[1:]
    assert len(looked_at) == 21, "the source too: it may take the VM after a restart"
    assert found["n1"].message == ("0 of 21 nodes can take the VM: source runs it, 20 lack device example.com/n1")


@pytest.mark.parametrize(
    ("nodes", "restarts_nowhere"),
    [
        ([node("node01"), node("node02", unschedulable=True)], False),
        ([node("node01", unschedulable=True), node("node02", unschedulable=True)], True),
        ([node("node01", unschedulable=True), node("node02")], False),
        ([node("node02", unschedulable=True)], True),
        ([node("node01", ready="Unknown"), node("node02", unschedulable=True)], True),
        (None, False),
    ],
    ids=["its own node", "all cordoned", "another node", "its node is gone", "its node is not ready", "unknown"],
)
def test_a_restart_was_advised_though_no_node_could_take_the_vm(
    nodes: list[Node] | None, restarts_nowhere: bool
) -> None:
    assert find_candidates(nodes, source="node01", needs=NodeNeeds()).restarts_nowhere is restarts_nowhere


def test_a_restart_needs_the_device_on_the_node_that_runs_the_vm() -> None:
    offers = [node("node01", allocatable={"example.com/fast": "1"}), node("node02")]
    assert not find_candidates(
        offers, source="node01", needs=NodeNeeds(devices=frozenset({"example.com/fast"}))
    ).restarts_nowhere
    assert find_candidates(offers[1:], source="node01", needs=NodeNeeds(devices=frozenset({"x"}))).restarts_nowhere
