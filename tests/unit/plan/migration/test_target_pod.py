"""The pod that a VMI moves to (reference: `createTargetPod` of KubeVirt's migration controller)."""

import json
from typing import Any

import pytest
from tests.build import (
    MIGRATION_UID,
    NODE,
    NOW,
    TARGET_NODE,
    VMI_UID,
    Json,
    absent,
    element,
    kubevirt,
    migration,
    migration_view,
    nad,
    nic,
    node,
    operation,
    pod,
    primary,
    primary_row,
    row,
    vmi,
)
from tests.unit.plan.migration.outcome import progressing

from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import Create
from nicplug.plan.migration.plan_migration import plan_migration

NETWORKS = "k8s.v1.cni.cncf.io/networks"
ANTI_AFFINITY = {
    "labelSelector": {"matchLabels": {"kubevirt.io/created-by": VMI_UID}},
    "topologyKey": "kubernetes.io/hostname",
}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def made(of: Json | None = None, *pods: Json, meta: Json | None = None, **members: Any) -> Json:
    """The body of the POST."""
    raw = migration("Pending", **(meta or {}))
    plan = plan_migration(migration_view(raw, of or vmi(), *(pods or (pod(),)), **members), now=NOW)
    (create,) = [action for action in plan.actions if isinstance(action, Create)]
    body: Json = thaw(create.body)
    return body


def asking(**spec: Any) -> Json:
    """A VMI with more in its spec."""
    raw = vmi()
    raw["spec"] |= spec
    return raw


def networks(body: Json) -> list[Json]:
    """The elements of the networks annotation; [] without one."""
    found: list[Json] = json.loads(body["metadata"]["annotations"].get(NETWORKS, "[]"))
    return found


def test_labels_and_annotations_that_name_the_migration() -> None:
    metadata = made()["metadata"]
    assert metadata["labels"]["kubevirt.io/migrationJobUID"] == MIGRATION_UID
    assert metadata["labels"]["kubevirt.io/created-by"] == VMI_UID
    assert metadata["labels"]["kubevirt.io"] == "virt-launcher"
    assert metadata["annotations"]["kubevirt.io/migrationJobName"] == "migration-job"
    assert metadata["annotations"]["kubevirt.io/domain"] == "vmi-fedora"
    (owner,) = metadata["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (VMI_UID, True)


def test_one_name_per_migration_so_that_a_repeated_post_meets_its_own_pod() -> None:
    names = [made(meta={"uid": uid})["metadata"]["name"] for uid in ("a", "a", "b")]
    assert names[0] == names[1] != names[2]
    assert all(name.startswith("virt-launcher-vmi-fedora-") for name in names)


def test_every_nic_that_is_asked_for_and_none_that_is_to_go() -> None:
    of = vmi(primary(), nic("blue", mac="02:00:00:00:00:01"), absent("red"), nic("green"))
    assert networks(made(of)) == [element("blue", mac="02:00:00:00:00:01"), element("green")]


def test_sr_iov_comes_by_migration_with_its_device() -> None:
    nads = [nad("fast-net")]
    nads[0]["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/resourceName": "intel.com/sriov"}
    body = made(vmi(primary(), nic("fast", binding="sriov")), nads=nads)
    assert [item["name"] for item in networks(body)] == ["fast-net"]
    resources = body["spec"]["containers"][0]["resources"]
    assert (resources["requests"]["intel.com/sriov"], resources["limits"]["intel.com/sriov"]) == ("1", "1")


def test_own_a_nic_that_the_guest_still_holds_moves_with_it() -> None:
    """KubeVirt leaves it out; a guest cannot be loaded where one of its devices is missing."""
    of = vmi(primary(), absent("red"), rows=[row("red", "domain", "multus-status")])
    assert networks(made(of)) == [element("red")]


def test_own_a_network_that_can_attach_nothing_is_left_out() -> None:
    """With it, no pod would ever start; its NIC comes later."""
    of = vmi(primary(), nic("blue"), nic("green"))
    assert networks(made(of, nads=[nad("green-net")])) == [element("green")]


def test_the_changed_network_of_a_nic_is_the_new_one() -> None:
    of = vmi(primary(), nic("blue", attachment="other"), rows=[row("blue", "domain", "multus-status")])
    assert networks(made(of, pod(networks=[element("blue")], attached=["blue"]))) == [
        element("blue", attachment="other")
    ]


class TestAntiAffinity:
    """Never on the source's node."""

    def test_a_required_term_of_its_own(self) -> None:
        assert made()["spec"]["affinity"] == {"podAntiAffinity": {REQUIRED: [ANTI_AFFINITY]}}

    def test_appended_to_what_the_vm_asks_for(self) -> None:
        own = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "zone"}
        node_affinity: Json = {REQUIRED: {"nodeSelectorTerms": [{"matchFields": []}]}}
        affinity = {
            "nodeAffinity": node_affinity,
            "podAntiAffinity": {REQUIRED: [own], "preferredDuringSchedulingIgnoredDuringExecution": []},
        }
        assert made(asking(affinity=affinity))["spec"]["affinity"] == {
            "nodeAffinity": node_affinity,
            "podAntiAffinity": {
                REQUIRED: [own, ANTI_AFFINITY],
                "preferredDuringSchedulingIgnoredDuringExecution": [],
            },
        }


CPU = "node.kubevirt.io"
INTEL = {f"cpu-vendor.{CPU}/Intel": "true"}
HOST = {
    **INTEL,
    f"host-model-cpu.{CPU}/Skylake": "true",
    f"host-model-required-features.{CPU}/vmx": "true",
    f"cpu-model.{CPU}/Penryn": "true",
}
HOST_MODEL = {"cpu": {"model": "host-model"}}
FOUND_THERE = {f"cpu-model-migration.{CPU}/Skylake": "true", f"cpu-feature.{CPU}/vmx": "true"}
EARLIER = {f"cpu-model-migration.{CPU}/Haswell": "true", "zone": "a"}


def with_cpu(**cpu: Any) -> Json:
    """A VMI with a CPU model."""
    raw = vmi()
    raw["spec"]["domain"] |= cpu
    return raw


def moved_before(selector: Json) -> Json:
    """A source pod that was a target once."""
    raw = pod()
    raw["spec"]["nodeSelector"] = selector
    return raw


SELECTORS = [
    pytest.param(vmi(), {}, {}, pod(), None, id="nothing asked for"),
    pytest.param(asking(nodeSelector={"a": "1"}), {}, {}, pod(), {"a": "1"}, id="the VM's"),
    pytest.param(vmi(), {"b": "2"}, {}, pod(), {"b": "2"}, id="addedNodeSelector"),
    pytest.param(
        asking(nodeSelector={"a": "1"}),
        {"a": "9", "b": "2"},
        {},
        pod(),
        {"a": "1", "b": "2"},
        id="the VM's word counts",
    ),
    pytest.param(vmi(), {}, INTEL, pod(), INTEL, id="CPU vendor of the source node"),
    pytest.param(vmi(), {}, HOST, pod(), INTEL, id="the host's model only where it is asked for"),
    pytest.param(with_cpu(**HOST_MODEL), {}, HOST, pod(), {**INTEL, **FOUND_THERE}, id="host-model"),
    pytest.param(
        with_cpu(**HOST_MODEL),
        {},
        HOST,
        moved_before(EARLIER),
        {**INTEL, f"cpu-model-migration.{CPU}/Haswell": "true"},
        id="host-model of the node that it was started on",
    ),
]


@pytest.mark.parametrize(("of", "added", "labels", "source", "expected"), SELECTORS)
def test_node_selector(of: Json, added: Json, labels: Json, source: Json, expected: Json | None) -> None:
    meta = {"spec": {"addedNodeSelector": added}} if added else {}
    able = {**added, **labels, **(expected or {})}
    nodes = [node(NODE, labels=labels), node(TARGET_NODE, labels=able)]
    assert made(of, source, meta=meta, nodes=nodes)["spec"].get("nodeSelector") == expected


def test_without_a_node_of_that_cpu_it_is_said_at_once() -> None:
    nodes = [node(NODE, labels=INTEL), node(TARGET_NODE, labels={f"cpu-vendor.{CPU}/AMD": "true"})]
    plan = plan_migration(migration_view(migration("Pending"), vmi(), pod(), nodes=nodes), now=NOW)
    assert not [action for action in plan.actions if isinstance(action, Create)]
    assert f"1 lacks label cpu-vendor.{CPU}/Intel=true" in progressing(plan)["message"]


def test_the_rest_is_the_launcher_pod_as_it_would_start_today() -> None:
    config = kubevirt()
    body = made(asking(tolerations=[{"operator": "Exists"}], terminationGracePeriodSeconds=5), config=config)
    assert body["spec"]["tolerations"] == [{"operator": "Exists"}]
    assert body["spec"]["terminationGracePeriodSeconds"] == 35
    assert body["spec"]["readinessGates"] == [{"conditionType": "kubevirt.io/virtual-machine-unpaused"}]
    assert "nodeName" not in body["spec"]


FAILED = {"migrations": ["uid-1"], "reason": "TargetPodNotReady", "cause": "1/a"}
AUTOMATIC = {"kubevirt.io/workloadUpdateMigration": ""}
EVACUATION = {"kubevirt.io/evacuationMigration": "node01"}
GIVEN_UP = operation("blue", phase="Failed", path="Migration", reason="MigrationFailed", migrationFailures=FAILED)
HELD = operation("blue", phase="Failed", reason="AttachFailed", migrationFailures=FAILED)
TAKEN_BACK = operation("blue", phase="Failed", path="None", reason="RolledBack")
SLOTLESS = operation("blue", phase="Blocked", path="Restart", reason="NoPciSlot")
APART = operation("blue", phase="Pending", path="Migration", migrationFailures={**FAILED, "apart": True})
TRIED_AGAIN = operation("blue", phase="Migrating", path="Migration", reason="MigrationFailed")


def made_for(*names: str) -> Json:
    return {**AUTOMATIC, "nicplug.io/interfaces": json.dumps(dict.fromkeys(names, "1/a"))}


@pytest.mark.parametrize(
    ("record", "annotations", "is_left_out"),
    [
        pytest.param(GIVEN_UP, AUTOMATIC, True, id="it has failed for good, and another NIC is to come"),
        pytest.param(GIVEN_UP, EVACUATION, True, id="it has failed for good, and the node is drained"),
        pytest.param(GIVEN_UP, made_for("red"), True, id="the migration is for another NIC"),
        pytest.param(GIVEN_UP, made_for("blue"), False, id="the migration is for this one, which was corrected"),
        pytest.param(GIVEN_UP, {}, False, id="a user tries again"),
        pytest.param(APART, made_for("red"), True, id="it is tried apart, and the migration is for another NIC"),
        pytest.param(APART, EVACUATION, True, id="it is tried apart, and the node is drained"),
        pytest.param(APART, made_for("blue"), False, id="it is tried apart, and this is its turn"),
        pytest.param(APART, {}, False, id="it is tried apart, and a user migrates the VM"),
        pytest.param(HELD, AUTOMATIC, True, id="only the controller goes on being asked"),
        pytest.param(TAKEN_BACK, {}, True, id="it was rolled back, whoever migrates"),
        pytest.param(SLOTLESS, {}, True, id="the guest has no PCI slot for it, whoever migrates"),
        pytest.param(TRIED_AGAIN, AUTOMATIC, False, id="it is tried again"),
        pytest.param(operation("blue"), AUTOMATIC, False, id="nothing has failed"),
    ],
)
def test_own_a_nic_that_would_keep_the_pod_from_starting_is_left_out(
    record: Json, annotations: Json, is_left_out: bool
) -> None:
    of = vmi(primary(), nic("blue"), nic("red"), operations=[record])
    body = made(of, meta={"annotations": annotations})
    assert networks(body) == ([element("red")] if is_left_out else [element("blue"), element("red")])


def test_own_what_is_left_out_asks_for_no_device() -> None:
    """Or an SR-IOV NIC that can go nowhere would keep the VM from being moved off its node."""
    fast = nad("blue-net")
    fast["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/resourceName": "example.com/fast"}
    of = vmi(primary(), nic("blue", binding="sriov"), nic("red"), operations=[GIVEN_UP])
    facts = {"nodes": [node(NODE), node(TARGET_NODE)], "nads": [fast, nad("red-net")]}
    assert networks(made(of, meta={"annotations": EVACUATION}, **facts)) == [element("red")]


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        pytest.param(made_for("red"), [element("red")], id="nicplug's for another NIC"),
        pytest.param(EVACUATION, [element("red")], id="a drain"),
    ],
)
def test_own_a_nic_whose_device_no_node_has_keeps_nobody_from_moving(annotations: Json, expected: list[Json]) -> None:
    fast = nad("blue-net")
    fast["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/resourceName": "example.com/fast"}
    of = vmi(primary(), nic("blue", binding="sriov"), nic("red"))
    facts = {"nodes": [node(NODE), node(TARGET_NODE)], "nads": [fast, nad("red-net")]}
    body = made(of, meta={"annotations": annotations}, **facts)
    assert networks(body) == expected
    assert "example.com/fast" not in body["spec"]["containers"][0]["resources"].get("limits", {})


def test_own_a_change_that_has_failed_for_good_leaves_the_nic_where_it_is() -> None:
    """Or the VM could never be moved again."""
    record = {**GIVEN_UP, "operation": "ChangeNetwork"}
    rows = [primary_row(), row("blue", "domain", "multus-status")]
    of = vmi(primary(), nic("blue", attachment="other"), rows=rows, operations=[record])
    source = pod(networks=[element("blue")], attached=["blue"])
    assert networks(made(of, source, meta={"annotations": EVACUATION})) == [element("blue")]
    assert networks(made(of, source)) == [element("blue", attachment="other")]
