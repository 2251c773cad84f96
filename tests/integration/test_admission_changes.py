"""Rules of admission and objects that change: what is stored already, who changes it, and the largest VM."""

import copy
import json
import uuid
from collections.abc import Iterator
from functools import partial

import pytest
from tests.admission.machines import BOOT_ORDER, CONFIGURATION, INSTANCES, MIGRATIONS, RESTRICTED, SELECTOR
from tests.admission.row import BOTH, OPERATOR, Json, Kind, Row, as_default, machine, manifest, on_pod, secondary
from tests.admission.rules import ROWS
from tests.integration.kubectl import ROOT, Kubectl, eventually, install_crds
from tests.integration.rules import lifted, refusal

from nicplug_sandbox.controlplane import ControlPlane

POLICIES = ROOT / "deploy" / "kustomize" / "base" / "admission"
GOOD_NIC, GOOD_NETWORK = secondary("good")
# Without rules the schema refuses these two already: a map has each key once.
STORABLE = [
    row for row in ROWS if row.kinds == BOTH and not row.policy and row.name not in ("nic-twice", "network-twice")
]
STORED = [pytest.param(row, kind, id=f"{row}-{kind}") for row in STORABLE for kind in row.kinds]
NICS = 255
LONG = [f"{'n' * 249}{index:04}" for index in range(NICS)]


CROWDS: dict[str, tuple[tuple[Json | None, Json | None], ...]] = {
    "networks without interface": tuple((None, secondary(name)[1]) for name in LONG),
    "interfaces without network": tuple((secondary(name)[0], None) for name in LONG),
    "masquerade on Multus": tuple(secondary(name, bindings="masquerade") for name in LONG),
    "passt on Multus": tuple(secondary(name, bindings="passtBinding") for name in LONG),
    "absent on default networks": tuple(as_default(name, state="absent") for name in LONG),
    "ports of pod networks": tuple(on_pod(name, ports=[{"port": 0, "name": "A"}] * 4) for name in LONG),
}


@pytest.fixture(scope="module")
def admin(control_plane: ControlPlane) -> Kubectl:
    """The cluster with the CRDs."""
    return install_crds(control_plane.kubeconfig)


@pytest.fixture(scope="module")
def kubectl(admin: Kubectl) -> Iterator[Kubectl]:
    """kubectl in a namespace of its own."""
    namespace = f"changes-{uuid.uuid4().hex[:8]}"
    admin("create", "namespace", namespace)
    yield Kubectl(kubeconfig=admin.kubeconfig, namespace=namespace)
    admin("delete", "namespace", namespace, "--wait=false")


def name_of(row: Row, kind: Kind) -> str:
    return str(manifest(row, kind, {})["metadata"]["name"])


@pytest.fixture(scope="module")
def stored(admin: Kubectl, kubectl: Kubectl) -> Kubectl:
    """Every refused example, stored before there were rules."""
    objects = [manifest(row, kind, row.refused) for row in STORABLE for kind in row.kinds]
    for crowd, pairs in CROWDS.items():
        for kind in BOTH:
            body = manifest(STORABLE[0], kind, machine(*pairs))
            objects.append({**body, "metadata": {"name": f"{crowd.replace(' ', '-').lower()}-{kind.lower()}"}})
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    with lifted(admin):
        eventually(lambda: kubectl.run("create", "-f", "-", stdin=listed))
    return kubectl


def patched(kubectl: Kubectl, kind: str, name: str, patch: object, *options: str) -> Json:
    """An object after a merge patch."""
    form = "--type=json" if isinstance(patch, list) else "--type=merge"
    done = kubectl.run("patch", kind, name, form, "-p", json.dumps(patch), "-o", "json", *options)
    # The API server warns of what it lets be.
    assert done.returncode == 0, done.stderr
    body: Json = json.loads(done.stdout)
    return body


def spec_path(kind: Kind) -> str:
    return "/spec/template/spec" if kind is Kind.VM else "/spec"


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("crowd", CROWDS)
def test_the_status_of_the_worst_stored_object_was_refused(stored: Kubectl, crowd: str, kind: Kind) -> None:
    """A rule that costs more than it may is an error, whatever was stored: so it has to be cheap also then."""
    name = f"{crowd.replace(' ', '-').lower()}-{kind.lower()}"
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    patched(stored, kind, name, status, "--subresource=status")
    patched(stored, kind, name, {"metadata": {"finalizers": ["example.com/kept"]}})
    patched(stored, kind, name, {"metadata": {"finalizers": None}})
    patched(stored, kind, name, [{"op": "add", "path": f"{spec_path(kind)}/hostname", "value": "other"}])


@pytest.mark.parametrize(("row", "kind"), STORED)
def test_what_was_stored_before_the_rule_could_not_be_edited(stored: Kubectl, row: Row, kind: Kind) -> None:
    """Elsewhere: labels, finalizers, status, another part of the spec, another NIC."""
    name, root = name_of(row, kind), spec_path(kind)
    change = {"metadata": {"labels": {"a": "b"}, "finalizers": ["example.com/kept"]}}
    patched(stored, kind, name, change)
    patched(stored, kind, name, {"metadata": {"finalizers": None}})
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    patched(stored, kind, name, status, "--subresource=status")
    body = patched(stored, kind, name, [{"op": "add", "path": f"{root}/hostname", "value": "other"}])
    spec = body["spec"]["template"]["spec"] if kind is Kind.VM else body["spec"]
    assert spec["domain"]["devices"] == row.refused["domain"]["devices"]
    more = [
        {"op": "add", "path": f"{root}/networks/-", "value": GOOD_NETWORK},
        {"op": "add", "path": f"{root}/domain/devices/interfaces/-", "value": GOOD_NIC},
    ]
    if row.name != "claim-and-multus":
        body = patched(stored, kind, name, more)
        spec = body["spec"]["template"]["spec"] if kind is Kind.VM else body["spec"]
        assert spec["networks"][:-1] == row.refused["networks"]
    correct = [
        {"op": "replace", "path": f"{root}/networks", "value": row.accepted["networks"]},
        {"op": "replace", "path": f"{root}/domain/devices", "value": row.accepted["domain"]["devices"]},
    ]
    patched(stored, kind, name, correct, "--dry-run=server")


@pytest.mark.parametrize(("row", "kind"), STORED)
def test_a_second_violation_passed_beside_a_stored_one(stored: Kubectl, row: Row, kind: Kind) -> None:
    """A stored violation excuses none that comes anew."""
    name, root = name_of(row, kind), spec_path(kind)
    nic, network = secondary("other", macAddress="no")
    both = [
        {"op": "add", "path": f"{root}/networks/-", "value": network},
        {"op": "add", "path": f"{root}/domain/devices/interfaces/-", "value": nic},
    ]
    orphan = both[:1]
    for patch, text in ((both, "has malformed MAC address (no)."), (orphan, "'other' not found.")):
        error = stored.refused("patch", kind, name, "--type=json", "-p", json.dumps(patch))
        if text == "'other' not found." and row.name == "no-nic":
            assert "not found." in error
        else:
            assert text in error


@pytest.mark.parametrize("kind", BOTH)
def test_a_corrected_object_broke_the_rule_again(stored: Kubectl, kind: Kind) -> None:
    row = next(row for row in STORABLE if row.name == "mac")
    body = manifest(row, kind, row.accepted, suffix="-again")
    stored.create(body)
    spec = [{"op": "replace", "path": f"{spec_path(kind)}/domain/devices", "value": row.refused["domain"]["devices"]}]
    error = stored.refused("patch", kind, body["metadata"]["name"], "--type=json", "-p", json.dumps(spec))
    assert "has malformed MAC address (02:00:00:00:00)." in error


@pytest.mark.parametrize("kind", BOTH)
def test_the_largest_virtual_machine_was_refused(kubectl: Kubectl, kind: Kind) -> None:
    """255 NICs with all that is looked at, as many ports as the bound allows, and another NIC later."""
    ports = [{"name": f"port-{index}", "port": 1 + index, "protocol": "TCP"} for index in range(100)]
    pairs = [
        secondary(LONG[index], macAddress=f"02:00:00:00:00:{index:02x}", model="virtio", state="up")
        for index in range(1, NICS)
    ]
    body = manifest(ROWS[0], kind, machine(on_pod(ports=ports), *pairs), suffix="-largest")
    kept = kubectl.create(body)
    assert kept["spec"] == body["spec"]
    name, root = kept["metadata"]["name"], spec_path(kind)
    more = [
        {"op": "add", "path": f"{root}/networks/-", "value": GOOD_NETWORK},
        {"op": "add", "path": f"{root}/domain/devices/interfaces/-", "value": GOOD_NIC},
    ]
    patched(kubectl, kind, name, more)
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    patched(kubectl, kind, name, status, "--subresource=status")


@pytest.fixture(scope="module")
def policies(admin: Kubectl) -> Iterator[Kubectl]:
    """The policies, enforced, and no KubeVirt object."""
    admin("apply", "-k", POLICIES)
    row = next(row for row in ROWS if row.policy == BOOT_ORDER)
    create = ("create", "--namespace=default", "--dry-run=server", "-f", "-")
    eventually(partial(refusal, admin, *create, stdin=manifest(row, Kind.VMI, row.refused), text=BOOT_ORDER))
    yield admin
    admin("delete", "-k", POLICIES)


def running(kubectl: Kubectl, name: str, *, node: str = "node01", owners: list[Json] | None = None) -> None:
    """An instance that runs."""
    body = manifest(ROWS[0], Kind.VMI, machine(secondary(), memory={"guest": "1Gi"}))
    body["metadata"] = {"name": name, "ownerReferences": owners or []}
    kubectl.create(body)
    if node:
        patched(kubectl, "vmi", name, {"status": {"phase": "Running", "nodeName": node}}, "--subresource=status")


MEMORY = {"spec": {"domain": {"memory": {"guest": "2Gi"}}}}
CHANGES: dict[str, Json] = {
    "memory": MEMORY,
    "a device": {"spec": {"domain": {"devices": {"rng": {}}}}},
    "a member taken away": {"spec": {"domain": {"memory": None}}},
    "volumes": {"spec": {"volumes": [{"name": "root"}]}},
}
PLACEMENT: dict[str, Json] = {
    "node selector": {"spec": {"nodeSelector": {"zone": "a"}}},
    "affinity": {"spec": {"affinity": {"nodeAffinity": {}}}},
    "tolerations": {"spec": {"tolerations": [{"operator": "Exists"}]}},
    "grace period": {"spec": {"terminationGracePeriodSeconds": 0}},
}
AS_API = (f"--as={OPERATOR.replace('operator', 'api')}", "--as-group=system:masters")
AS_NICPLUG = (f"--as={OPERATOR}", "--as-group=system:masters")


def refused(kubectl: Kubectl, name: str, patch: Json, *options: str) -> str:
    return kubectl.refused("patch", "vmi", name, "--type=merge", "-p", json.dumps(patch), "--dry-run=server", *options)


def is_refused(kubectl: Kubectl, name: str, patch: Json, *options: str) -> bool:
    """Whether the change is refused as that of a running instance."""
    change = ("patch", "vmi", name, "--type=merge", "-p", json.dumps(patch), "--dry-run=server", *options)
    return RESTRICTED in kubectl.run(*change).stderr


def until_refused(kubectl: Kubectl, name: str) -> None:
    """The policy is enforced some moments after it is applied."""
    change = ("patch", "vmi", name, "--type=merge", "-p", json.dumps(MEMORY), "--dry-run=server")
    eventually(partial(refusal, kubectl, *change, stdin={}, text=INSTANCES))


def test_a_user_changed_more_than_nics_of_a_running_instance(policies: Kubectl, kubectl: Kubectl) -> None:
    running(kubectl, "users")
    until_refused(kubectl, "users")
    for patch in (*CHANGES.values(), *PLACEMENT.values()):
        error = refused(kubectl, "users", patch)
        assert f"ValidatingAdmissionPolicy '{INSTANCES}'" in error
        assert RESTRICTED in error
    nics = machine(secondary(state="down"), secondary("green"), memory={"guest": "1Gi"})
    patched(kubectl, "vmi", "users", {"spec": nics, "metadata": {"labels": {"a": "b"}}})


def test_nicplug_could_not_carry_over_a_placement(policies: Kubectl, kubectl: Kubectl) -> None:
    """It changes NICs, what says where the instance may run, and the grace period; nothing else."""
    running(kubectl, "nicplugs")
    until_refused(kubectl, "nicplugs")
    for patch in PLACEMENT.values():
        patched(kubectl, "vmi", "nicplugs", patch, *AS_NICPLUG)
    for patch in PLACEMENT.values():
        patched(kubectl, "vmi", "nicplugs", {"spec": dict.fromkeys(patch["spec"])}, *AS_NICPLUG)
    for patch in CHANGES.values():
        assert RESTRICTED in refused(kubectl, "nicplugs", patch, *AS_NICPLUG)
    assert [name for name, patch in PLACEMENT.items() if not is_refused(kubectl, "nicplugs", patch, *AS_API)] == [
        "grace period"
    ]


def test_an_instance_that_no_node_has_taken_could_not_be_corrected(policies: Kubectl, kubectl: Kubectl) -> None:
    running(kubectl, "waits", node="")
    for patch in (*CHANGES.values(), *PLACEMENT.values()):
        patched(kubectl, "vmi", "waits", patch, "--dry-run=server")


def test_an_instance_of_a_virtual_machine_was_changed_before_it_ran(policies: Kubectl, kubectl: Kubectl) -> None:
    vm = kubectl.create(manifest(ROWS[0], Kind.VM, machine(), suffix="-owner"))
    owner = {
        "apiVersion": "kubevirt.io/v1",
        "kind": str(Kind.VM),
        "name": vm["metadata"]["name"],
        "uid": vm["metadata"]["uid"],
        "controller": True,
    }
    running(kubectl, "owned", node="", owners=[owner])
    until_refused(kubectl, "owned")
    assert RESTRICTED in refused(kubectl, "owned", MEMORY)


def test_nicplug_could_not_put_a_label_back(policies: Kubectl, kubectl: Kubectl) -> None:
    """And a migration that has ended may lose it."""
    migration: Json = {
        "apiVersion": "kubevirt.io/v1",
        "kind": str(Kind.VMIM),
        "metadata": {"name": "job", "labels": {SELECTOR: "vm"}},
        "spec": {"vmiName": "vm"},
    }
    kubectl.create(migration)
    wrong = json.dumps({"metadata": {"labels": {SELECTOR: "other"}}})
    change = ("patch", "vmim", "job", "--type=merge", "-p", wrong, "--dry-run=server")
    assert f"ValidatingAdmissionPolicy '{MIGRATIONS}'" in kubectl.refused(*change)
    kubectl(*change, *AS_NICPLUG)
    patched(kubectl, "vmim", "job", {"status": {"phase": "Succeeded"}}, "--subresource=status")
    kubectl(*change)


@pytest.mark.parametrize("kind", BOTH)
def test_a_stored_boot_order_could_not_be_edited(policies: Kubectl, kubectl: Kubectl, kind: Kind) -> None:
    """What is doubled already may stay; another place may not be doubled."""
    row = next(row for row in ROWS if row.policy == BOOT_ORDER)
    body = manifest(row, kind, row.refused, suffix="-stored")
    create = ("create", "-f", "-", "--dry-run=server")
    assert f"ValidatingAdmissionPolicy '{BOOT_ORDER}'" in kubectl.refused(*create, stdin=body)
    policies("delete", "-f", POLICIES / "boot-order.yaml")
    eventually(partial(kubectl.run, *create, stdin=body))
    kubectl.create(body)
    policies("apply", "-f", POLICIES / "boot-order.yaml")
    probe = {**body, "metadata": {"name": "probe"}}
    eventually(partial(refusal, kubectl, *create, stdin=probe, text=BOOT_ORDER))
    name, root = body["metadata"]["name"], spec_path(kind)
    patched(kubectl, kind, name, [{"op": "add", "path": f"{root}/hostname", "value": "other"}])
    disks = [{"name": name, "bootOrder": 3} for name in ("one", "two")]
    worse = [{"op": "add", "path": f"{root}/domain/devices/disks", "value": disks}]
    error = kubectl.refused("patch", kind, name, "--type=json", "-p", json.dumps(worse))
    assert "domain.devices.disks[1].bootOrder already set for a different device." in error


@pytest.mark.parametrize("kind", BOTH)
def test_without_a_kubevirt_object_something_was_refused(policies: Kubectl, kubectl: Kubectl, kind: Kind) -> None:
    for row in (row for row in ROWS if row.policy == CONFIGURATION):
        kubectl("create", "-f", "-", "--dry-run=server", stdin=manifest(row, kind, copy.deepcopy(row.refused)))
