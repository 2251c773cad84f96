"""The CRDs and the examples on a real API server, through kubectl as a user has it."""

import copy
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.integration.kubectl import ROOT, Kubectl, Object, install_crds, without_nulls

from nicplug_sandbox.controlplane import ControlPlane

GOLDEN_VM = ROOT / "tests" / "golden" / "kubevirt-1.9-vm.yaml"
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.fixture(scope="module")
def admin(control_plane: ControlPlane) -> Kubectl:
    """The cluster with the CRDs served."""
    return install_crds(control_plane.kubeconfig)


@pytest.fixture
def kubectl(admin: Kubectl) -> Iterator[Kubectl]:
    """kubectl in a namespace of its own."""
    namespace = f"crds-{uuid.uuid4().hex[:8]}"
    admin("create", "namespace", namespace)
    yield Kubectl(kubeconfig=admin.kubeconfig, namespace=namespace)
    admin("delete", "namespace", namespace, "--wait=false")


def load(path: Path) -> Object:
    """The only document of a file."""
    (document,) = yaml.safe_load_all(path.read_text())
    return dict(document)


def vmi(*, name: str = "vm", nics: tuple[str, ...] = ("default",)) -> Object:
    """An instance with these NICs."""
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": name},
        "spec": {
            "domain": {"devices": {"interfaces": [{"name": nic, "bridge": {}} for nic in nics]}},
            "networks": [{"name": nic, "multus": {"networkName": nic}} for nic in nics],
        },
    }


def names(rows: list[Object]) -> list[str]:
    return [row["name"] for row in rows]


@pytest.mark.parametrize("command", ["create", "apply", "apply --server-side"])
def test_golden_vm_comes_back_as_it_was(kubectl: Kubectl, command: str) -> None:
    kubectl(*command.split(), "-f", GOLDEN_VM)
    sent, kept = load(GOLDEN_VM), kubectl.get("vm", "everything")
    assert kept["spec"] == (without_nulls(sent["spec"]) if command == "apply" else sent["spec"])
    assert kept["metadata"]["labels"] == sent["metadata"]["labels"]
    assert sent["metadata"]["annotations"].items() <= kept["metadata"]["annotations"].items()


@pytest.mark.parametrize("options", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_applying_the_same_vm_again_writes_nothing(kubectl: Kubectl, options: tuple[str, ...]) -> None:
    kubectl("apply", *options, "-f", GOLDEN_VM)
    before = kubectl.get("vm", "everything")["metadata"]["resourceVersion"]
    kubectl("apply", *options, "-f", GOLDEN_VM)
    assert kubectl.get("vm", "everything")["metadata"]["resourceVersion"] == before


def test_the_template_of_the_golden_vm_makes_the_same_instance(kubectl: Kubectl) -> None:
    spec = load(GOLDEN_VM)["spec"]["template"]["spec"]
    kept = kubectl.create({**vmi(name="everything"), "spec": spec})
    assert kept["spec"] == spec


def test_instance_type_is_kept(kubectl: Kubectl) -> None:
    spec = {
        "running": True,
        "instancetype": {"kind": "VirtualMachineInstancetype", "name": "small", "revisionName": "small-1"},
        "preference": {"inferFromVolume": "root"},
        "template": {"metadata": None, "spec": {"domain": {"devices": {}}}},
    }
    vm = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": "typed"},
        "spec": spec,
    }
    assert kubectl.create(vm)["spec"] == spec


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_applies(admin: Kubectl, kubectl: Kubectl, path: Path) -> None:
    sent = list(yaml.safe_load_all(path.read_text()))
    # kubectl refuses a namespace of its own for objects that name theirs.
    user = admin if any("namespace" in document["metadata"] for document in sent) else kubectl
    user("apply", "-f", path)
    got = user.get("-f", str(path))
    kept = got["items"] if got["kind"] == "List" else [got]
    pairs = [(was["kind"], was["spec"], now["spec"]) for was, now in zip(sent, kept, strict=True) if "spec" in was]
    assert pairs
    assert all(was == now for _, was, now in pairs)
    again = user("apply", "-f", path).splitlines()
    assert all(line.endswith(" unchanged") for line in again), again


def test_null_times_are_accepted_and_kept(kubectl: Kubectl) -> None:
    """Go writes a time that was never set as null, and KubeVirt's own schemas allow it."""
    unset = {"lastProbeTime": None, "lastTransitionTime": None}
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True", **unset}],
        "phaseTransitionTimestamps": [{"phase": "Pending", "phaseTransitionTimestamp": None}],
        "migrationState": {
            "migrationUid": "a",
            "startTimestamp": None,
            "endTimestamp": None,
            "targetNodeDomainReadyTimestamp": None,
            "targetState": {"node": "node01", "domainReadyTimestamp": None},
        },
        "changedBlockTracking": None,
    }
    body = kubectl.create(vmi())
    assert kubectl.write_status({**body, "status": status})["status"] == status


def test_null_objects_count_as_absent(kubectl: Kubectl) -> None:
    """As in KubeVirt: readers of the object never meet the null."""
    body = vmi()
    body["spec"]["volumes"] = body["spec"]["affinity"] = None
    body["spec"]["domain"] |= {"cpu": None, "machine": None}
    assert kubectl.create(body)["spec"] == vmi()["spec"]


def test_kubevirt_configuration_is_kept(kubectl: Kubectl) -> None:
    """A null rollout strategy, which KubeVirt's tools may write, counts as absent."""
    body = {"apiVersion": "kubevirt.io/v1", "kind": "KubeVirt", "metadata": {"name": "kubevirt"}}
    spec: Object = {
        "configuration": {
            "migrations": {"bandwidthPerMigration": "64Mi", "parallelMigrationsPerCluster": 5},
            "network": {"hotplug": {"removalPolicy": "Declarative"}, "binding": {"vdpa": {"migration": {}}}},
            "smbios": {"family": "KubeVirt"},
        },
        "certificateRotateStrategy": {"selfSigned": {"ca": {"duration": "24h"}}},
    }
    written = copy.deepcopy(spec)
    written["configuration"]["vmRolloutStrategy"] = None
    assert kubectl.create({**body, "spec": written})["spec"] == spec


def test_two_appliers_each_keep_their_nics(kubectl: Kubectl) -> None:
    kubectl.apply(vmi(nics=("default",)), manager="owner")
    both = kubectl.apply(vmi(nics=("blue", "green")), manager="network-team")["spec"]
    assert names(both["domain"]["devices"]["interfaces"]) == ["default", "blue", "green"]
    assert names(both["networks"]) == ["default", "blue", "green"]
    fewer = kubectl.apply(vmi(nics=("green",)), manager="network-team")["spec"]
    assert names(fewer["domain"]["devices"]["interfaces"]) == ["default", "green"]
    assert names(fewer["networks"]) == ["default", "green"]


def test_a_status_that_is_applied_has_one_owner_and_patches_leave_the_rest(kubectl: Kubectl) -> None:
    """An owner for each member of each row made every write dearer; patches of others keep what they do not name."""
    kubectl.create(vmi())
    head = {key: vmi()[key] for key in ("apiVersion", "kind", "metadata")}
    record = {"name": "blue", "operation": "Plug", "path": "Dynamic", "phase": "Ready"}
    mine = {"conditions": [{"type": "InterfacesReady", "status": "True"}], "interfaceOperations": [record]}
    kubectl.apply({**head, "status": mine}, manager="one", options=("--subresource=status",))

    other = {"conditions": [{"type": "Ready", "status": "True"}]}
    apply = ("apply", "--server-side", "--field-manager=two", "--subresource=status", "-f", "-")
    assert 'conflict with "one"' in kubectl.refused(*apply, stdin={**head, "status": other})

    condition = [{"op": "add", "path": "/status/conditions/-", "value": other["conditions"][0]}]
    kubectl("patch", "vmi", "vm", "--subresource=status", "--type=json", "-p", json.dumps(condition))
    body = kubectl.get("vmi", "vm", "--show-managed-fields")
    assert [item["type"] for item in body["status"]["conditions"]] == ["InterfacesReady", "Ready"]
    assert body["status"]["interfaceOperations"] == [record]
    owned = [entry["fieldsV1"] for entry in body["metadata"]["managedFields"] if entry.get("subresource") == "status"]
    assert owned[-1] == {"f:status": {}}


FOUR = ("default", "blue", "green", "red")
LARGEST_MANAGED_FIELDS = 3 * 1024


@pytest.mark.parametrize("kind", ["vm", "vmi"])
def test_managed_fields_were_the_larger_part_of_an_object(kubectl: Kubectl, kind: str) -> None:
    """With four NICs, applied by a person and reported by the operator and a node agent."""
    body = vmi(nics=FOUR)
    if kind == "vm":
        body |= {"kind": "VirtualMachine", "spec": {"runStrategy": "Halted", "template": {"spec": body["spec"]}}}
    kubectl("apply", "-f", "-", stdin=body)
    rows = [{"name": nic, "infoSource": "domain, multus-status", "mac": "02:00:00:00:00:01"} for nic in FOUR]
    records = [{"name": nic, "operation": "Plug", "path": "Dynamic", "phase": "Ready", "attempts": 1} for nic in FOUR]
    reported = {"conditions": [{"type": "Ready", "status": "True"}], "interfaceOperations": records}
    reported |= {"interfaces": rows, "nodeName": "node01"} if kind == "vmi" else {}
    for manager, status in (("operator", reported), ("virt-handler", {"conditions": reported["conditions"]})):
        patch = (
            "--subresource=status",
            "--type=merge",
            f"--field-manager={manager}",
            "-p",
            json.dumps({"status": status}),
        )
        kubectl("patch", kind, "vm", *patch)
    entries = kubectl.get(kind, "vm", "--show-managed-fields")["metadata"]["managedFields"]
    assert {"operator", "kubectl-client-side-apply"} <= {entry["manager"] for entry in entries}
    size = len(json.dumps(entries, separators=(",", ":")))
    assert size < LARGEST_MANAGED_FIELDS


def test_reported_interfaces_may_be_nameless_and_are_replaced_whole(kubectl: Kubectl) -> None:
    rows = [
        {"name": "default", "infoSource": "domain", "ipAddress": "10.0.2.2", "queueCount": 1},
        {"interfaceName": "docker0", "infoSource": "guest-agent", "ipAddresses": ["172.17.0.1"]},
        {"interfaceName": "docker0", "infoSource": "guest-agent", "mac": "02:00:00:00:00:01"},
    ]
    body = kubectl.create(vmi())
    assert kubectl.write_status({**body, "status": {"interfaces": rows}})["status"]["interfaces"] == rows
    head = {key: vmi()[key] for key in ("apiVersion", "kind", "metadata")}
    shorter = kubectl.apply(
        {**head, "status": {"interfaces": rows[1:2]}},
        manager="node-agent",
        options=("--subresource=status", "--force-conflicts"),
    )
    assert shorter["status"]["interfaces"] == rows[1:2]


@pytest.mark.parametrize("kind", ["VirtualMachine", "VirtualMachineInstance"])
def test_status_and_spec_are_written_apart(kubectl: Kubectl, kind: str) -> None:
    spec = vmi()["spec"]
    if kind == "VirtualMachine":
        spec = {"runStrategy": "Halted", "template": {"spec": spec}}
    body = {"apiVersion": "kubevirt.io/v1", "kind": kind, "metadata": {"name": "apart"}, "spec": spec}
    created = kubectl.create({**body, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    assert "status" not in created
    assert created["metadata"]["generation"] == 1

    changed = copy.deepcopy(created)
    template = changed["spec"].get("template", changed)["spec"]
    template["hostname"] = "other"
    changed["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}
    reported = kubectl.write_status(changed)
    assert reported["spec"] == created["spec"]
    assert reported["status"]["conditions"] == changed["status"]["conditions"]
    assert reported["metadata"]["generation"] == 1, "a status write is not a new generation"

    changed["metadata"]["resourceVersion"] = reported["metadata"]["resourceVersion"]
    changed["status"] = {}
    moved = json.loads(kubectl("replace", "-f", "-", "-o", "json", stdin=changed))
    assert moved["spec"] == changed["spec"]
    assert moved["status"] == reported["status"]
    assert moved["metadata"]["generation"] == 2


def test_a_nic_name_may_occur_once(kubectl: Kubectl) -> None:
    """KubeVirt refuses it in a webhook; here it follows from the list map."""
    error = kubectl.refused("create", "-f", "-", stdin=vmi(nics=("blue", "blue")))
    # What follows is Go's notation or JSON, by the version of Kubernetes.
    assert "spec.domain.devices.interfaces[1]: Duplicate value: " in error


def test_a_typo_at_the_top_is_refused_by_kubectl(kubectl: Kubectl) -> None:
    body = vmi()
    body["spec"]["network"] = body["spec"].pop("networks")
    assert 'unknown field "spec.network"' in kubectl.refused("create", "-f", "-", stdin=body)


def test_a_typo_in_a_nic_is_refused_by_kubectl(kubectl: Kubectl) -> None:
    """It was created without a word, and a NIC with `sate: absent` stayed."""
    body = vmi()
    body["spec"]["domain"]["devices"]["interfaces"][0] |= {"macAdress": "02:00:00:00:00:01", "sate": "absent"}
    error = kubectl.refused("create", "-f", "-", stdin=body)
    assert 'unknown field "spec.domain.devices.interfaces[0].macAdress"' in error
    assert 'unknown field "spec.domain.devices.interfaces[0].sate"' in error


RECORD = {"name": "blue", "operation": "Plug", "path": "Dynamic", "phase": "Ready"}


def test_rows_of_a_status_come_back_as_they_were(kubectl: Kubectl) -> None:
    status = {
        "conditions": [{"type": "Ready", "status": "True", "severity": "of another version", "lastProbeTime": None}],
        "interfaceOperations": [{**RECORD, "attachment": {"uid": "a", "new": {"more": [1]}}, "since": "yesterday"}],
        "launcherPods": [{"name": "virt-launcher-a", "uid": "b", "migrationUid": "c"}],
        "phaseTransitionTimestamps": [{"phase": "Running", "phaseTransitionTimestamp": "2026-01-02T03:04:05Z"}],
    }
    body = kubectl.create(vmi())
    assert kubectl.write_status({**body, "status": status})["status"] == status


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ("vmi.status.interfaceOperations", "- phase: how far the change got: Pending, InPod, Migrating"),
        ("vm.status.interfaceOperations", "- migrationFailures: the failed `migrations`"),
        ("vmi.status.conditions", "`lastTransitionTime`"),
        ("vmi.status.interfaces", "`podInterfaceName`"),
        ("vmi.status.pciBudget.free", "never less than 0"),
        ("vmi.spec.domain.devices.interfaces.state", '"absent": to be unplugged'),
        ("vm.spec.template.spec.networks.multus.networkName", '"<namespace>/<name>"'),
    ],
)
def test_explain_shows_what_a_person_edits_and_reads(kubectl: Kubectl, field: str, shown: str) -> None:
    assert shown in " ".join(kubectl("explain", field).split())


def test_columns(kubectl: Kubectl) -> None:
    body = kubectl.create(vmi())
    ready = [{"type": "Ready", "status": "True"}, {"type": "InterfacesReady", "status": "False"}]
    status = {
        "phase": "Running",
        "nodeName": "node01",
        "interfaces": [{"name": "default", "ipAddress": "10.0.2.2"}],
        "conditions": ready,
    }
    kubectl.write_status({**body, "status": status})
    header, row = kubectl("get", "vmi").splitlines()
    assert header.split() == ["NAME", "AGE", "PHASE", "IP", "NODENAME", "READY", "NICS-READY"]
    assert row.split()[2:] == ["Running", "10.0.2.2", "node01", "True", "False"]

    spec = {"runStrategy": "Always", "template": {"spec": vmi()["spec"]}}
    vm = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "vm"}, "spec": spec}
    kubectl.write_status({**kubectl.create(vm), "status": {"printableStatus": "Running", "conditions": ready}})
    summary = {"ready": "3/4", "reason": "NetworkMissing"}
    kubectl.write_status({**kubectl.get("vmi", "vm"), "status": {**status, "interfaceSummary": summary}})
    header, row = kubectl("get", "vmi", "-o", "wide").splitlines()
    assert header.split()[-3:] == ["NICS-READY", "NICS", "NIC-REASON"]
    assert row.split()[-3:] == ["False", "3/4", "NetworkMissing"]
    header, row = kubectl("get", "vm").splitlines()
    assert header.split() == ["NAME", "AGE", "STATUS", "READY", "NICS-READY"]
    assert row.split()[2:] == ["Running", "True", "False"]

    both = kubectl("get", "vm,vmi")
    assert "virtualmachine.kubevirt.io/vm " in both
    assert "virtualmachineinstance.kubevirt.io/vm " in both


MIGRATION: Object = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachineInstanceMigration",
    "metadata": {"name": "job"},
    "spec": {"vmiName": "vm", "addedNodeSelector": {"zone": "a"}, "receive": {"migrationID": "x"}},
}


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"vmiName": "another"}, id="another VMI"),
        pytest.param({"addedNodeSelector": {"zone": "b"}}, id="other nodes"),
        pytest.param({"addedNodeSelector": None}, id="all nodes"),
        pytest.param({"priority": "system-critical"}, id="another priority"),
        pytest.param({"receive": {"migrationID": "y"}}, id="another origin"),
    ],
)
def test_what_a_migration_is_asked_for_never_changes(kubectl: Kubectl, spec: Object) -> None:
    """KubeVirt's webhook refuses it, in the same words; nothing that is under way is redirected."""
    kubectl.create(MIGRATION)
    error = kubectl.refused("patch", "vmim", "job", "--type=merge", "-p", json.dumps({"spec": spec}))
    assert "update of Migration object's spec is restricted" in error


def test_the_rest_of_a_migration_may_change(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=MIGRATION)
    assert kubectl("apply", "-f", "-", stdin=MIGRATION).endswith("unchanged\n")
    kubectl("label", "vmim", "job", "a=b")
    kubectl("annotate", "vmim", "job", "kubevirt.io/migrationPendingPodTimeoutSeconds=5")
    kubectl.write_status({**kubectl.get("vmim", "job"), "status": {"phase": "Pending"}})
    kubectl("delete", "vmim", "job")


def test_columns_of_a_migration_tell_its_story(kubectl: Kubectl) -> None:
    body = kubectl.create(MIGRATION)
    header, row = kubectl("get", "vmim").splitlines()
    assert header.split() == ["NAME", "PHASE", "VMI", "REASON", "SOURCE", "TARGET", "AGE"]
    assert row.split()[:2] == ["job", "vm"]
    state = {"migrationUid": "a", "sourceNode": "node01", "targetNode": "node02"}
    rows = [{"type": "Progressing", "status": "True", "reason": "Copying", "message": "from node01 to node02"}]
    kubectl.write_status({**body, "status": {"phase": "Running", "migrationState": state, "conditions": rows}})
    assert kubectl("get", "vmim").splitlines()[1].split()[:6] == ["job", "Running", "vm", "Copying", "node01", "node02"]
    assert kubectl("get", "vmim", "-o", "wide").splitlines()[1].endswith("from node01 to node02")


def test_short_names_and_the_category_all(kubectl: Kubectl) -> None:
    kubectl.create(vmi())
    kubectl("apply", "-f", ROOT / "examples" / "migration.yaml", "-f", ROOT / "examples" / "vm-fedora.yaml")
    kubectl.create({"apiVersion": "kubevirt.io/v1", "kind": "KubeVirt", "metadata": {"name": "kv"}, "spec": {}})
    named = {
        "vm": "virtualmachine.kubevirt.io/vm-fedora",
        "vmi": "virtualmachineinstance.kubevirt.io/vm",
        "vmim": "virtualmachineinstancemigration.kubevirt.io/migration-job",
        "kv": "kubevirt.kubevirt.io/kv",
    }
    for short, name in named.items():
        assert kubectl("get", short, "-o", "name").split() == [name]
        assert kubectl("get", f"{short}s", "-o", "name").split() == [name]
    assert set(named.values()) <= set(kubectl("get", "all", "-o", "name").split())


def test_crds_apply_again_unchanged(admin: Kubectl) -> None:
    """The API server keeps the CRDs as they are written: `kubectl apply` and GitOps tools see no drift."""
    lines = admin("apply", "-f", ROOT / "crds").splitlines()
    assert len(lines) == len(list((ROOT / "crds").glob("*.yaml")))
    assert all(line.endswith(" unchanged") for line in lines), lines


def test_explain_describes_what_nicplug_adds(kubectl: Kubectl) -> None:
    text = kubectl("explain", "vmi.status.interfaceOperations")
    assert "Blocked" in text
    assert "Migration: the VM moves to a pod" in " ".join(text.split())
