"""Rules of admission and objects that change: what is stored already, who changes it, and the largest VM."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.admission.machines import (
    CONFIGURATION,
    INSTANCES,
    JOB,
    LABELS,
    MIGRATIONS,
    NODE,
    RESERVED,
    RESTRICTED,
    SELECTOR,
)
from tests.admission.networks import CLAIMS
from tests.admission.row import (
    BOTH,
    OPERATOR,
    TOGETHER,
    Json,
    Kind,
    Row,
    as_default,
    claimed,
    machine,
    manifest,
    on_pod,
    secondary,
)
from tests.admission.rules import ROWS
from tests.admission.texts import NO_TEMPLATE
from tests.integration.kubectl import ROOT, Kubectl, install_crds
from tests.integration.rules import POLICIES, install_policies, lifted
from tests.integration.user import MIGRATION, VM, VMI, User
from tests.integration.waiting import until

from nicplug_sandbox.controlplane import ControlPlane

PLURALS = {Kind.VM: VM, Kind.VMI: VMI, Kind.VMIM: MIGRATION}
EXAMPLES = [*sorted((ROOT / "examples").rglob("*vm*.yaml")), ROOT / "tests" / "golden" / "kubevirt-1.9-vm.yaml"]
GOOD_NIC, GOOD_NETWORK = secondary("good")
# The schema refuses these two without rules already: a map has each key once.
STORABLE = [
    row
    for row in ROWS
    if row.kinds == BOTH and row.policy in ("", TOGETHER) and row.name not in ("nic-twice", "network-twice")
]
GATED = [row for row in ROWS if row.policy == CONFIGURATION]
STORED = [pytest.param(row, kind, id=f"{row}-{kind}") for row in STORABLE for kind in row.kinds]
NICS = 255
LONG = [f"{'n' * 124}{index:04}" for index in range(NICS)]

CROWDS: dict[str, tuple[tuple[Json | None, Json | None], ...]] = {
    "networks-without-interface": tuple((None, secondary(name)[1]) for name in LONG),
    "interfaces-without-network": tuple((secondary(name)[0], None) for name in LONG),
    "masquerade-on-multus": tuple(secondary(name, bindings="masquerade") for name in LONG),
    "passt-on-multus": tuple(secondary(name, bindings="passtBinding") for name in LONG),
    "absent-on-default-networks": tuple(as_default(name, state="absent") for name in LONG),
    "ports-of-pod-networks": tuple(on_pod(name, ports=[{"port": 0, "name": "A"}] * 4) for name in LONG),
    "no-bindings": tuple(secondary(name, bindings="") for name in LONG),
    "one-boot-order": tuple(secondary(name, bootOrder=1) for name in LONG),
    "claims-of-bridges": tuple(claimed(name, bindings="bridge") for name in LONG),
    "one-claim-not-declared": tuple(claimed(name, claimName="c" * 253, requestName="r" * 253) for name in LONG[:64]),
    "claims-without-names": tuple(claimed(name) for name in LONG),
}


@pytest.fixture(scope="module")
def control(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The cluster with CRDs and policies, and no KubeVirt object."""
    install_crds(control_plane.kubeconfig)
    install_policies(control_plane.kubeconfig)
    # That of another module may be remembered for a moment.
    admin = User(kubeconfig=control_plane.kubeconfig, namespace="default")
    until(lambda: all(created(admin, kind, row)[0] == 201 for row in GATED for kind in BOTH))
    yield control_plane
    Kubectl(kubeconfig=control_plane.kubeconfig)("delete", "-k", POLICIES)


def created(user: User, kind: Kind, row: Row) -> tuple[int, Json]:
    """What the API server says to the refused example; nothing is stored."""
    return user.request("POST", user.path(PLURALS[kind]) + "?dryRun=All", manifest(row, kind, row.refused))


@pytest.fixture(scope="module")
def user(control: ControlPlane) -> User:
    """An admin in a namespace of its own, by plain requests: a kubectl for each would cost a minute of CPU."""
    found = User(kubeconfig=control.kubeconfig, namespace=f"changes-{uuid.uuid4().hex[:8]}")
    found.create("namespaces", {"metadata": {"name": found.namespace}})
    return found


def acting(user: User, account: str) -> User:
    """The same as one of nicplug's accounts, with the rights of an admin."""
    groups = ("system:masters",)
    return User(kubeconfig=user.kubeconfig, namespace=user.namespace, acts_as=account, groups=groups)


def name_of(row: Row, kind: Kind) -> str:
    return str(manifest(row, kind, {})["metadata"]["name"])


def spec_path(kind: Kind) -> str:
    return "/spec/template/spec" if kind is Kind.VM else "/spec"


def spec_of(body: Json, kind: Kind) -> Json:
    spec: Json = body["spec"]["template"]["spec"] if kind is Kind.VM else body["spec"]
    return spec


@pytest.fixture(scope="module")
def stored(control: ControlPlane, user: User) -> User:
    """Every refused example, stored before there were rules."""
    with lifted(control.kubeconfig):
        for row in STORABLE:
            for kind in row.kinds:
                user.create(PLURALS[kind], manifest(row, kind, row.refused))
        for crowd, pairs in CROWDS.items():
            for kind in BOTH:
                body = manifest(STORABLE[0], kind, machine(*pairs))
                body["metadata"]["name"] = f"{crowd}-{kind.lower()}"
                user.create(PLURALS[kind], body)
    return user


def answer(
    user: User, kind: Kind, name: str, patch: Any, *, status: bool = False, dry: bool = False
) -> tuple[int, str]:
    """Code and message of a merge or JSON patch."""
    code, body = changed(user, kind, name, patch, status=status, dry=dry)
    return code, str(body.get("message", ""))


def changed(
    user: User, kind: Kind, name: str, patch: Any, *, status: bool = False, dry: bool = False
) -> tuple[int, Json]:
    form = "json-patch" if isinstance(patch, list) else "merge-patch"
    path = user.path(PLURALS[kind], name, status=status) + "?dryRun=All" * dry
    return user.request("PATCH", path, patch, content_type=f"application/{form}+json")


def patched(user: User, kind: Kind, name: str, patch: Any, *, status: bool = False, dry: bool = False) -> Json:
    """An object after a patch."""
    code, body = changed(user, kind, name, patch, status=status, dry=dry)
    assert code == 200, str(body.get("message"))[-1500:]
    return body


def refused(user: User, kind: Kind, name: str, patch: Any) -> str:
    """The message of a patch that must be refused."""
    code, message = answer(user, kind, name, patch, dry=True)
    assert code == 422, message
    return message


STATUS = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
FINALIZER = {"metadata": {"labels": {"a": "b"}, "finalizers": ["example.com/kept"]}}
NO_FINALIZER = {"metadata": {"finalizers": None}}


def edit_elsewhere(user: User, kind: Kind, name: str) -> Json:
    """Labels, finalizers, status, another part of the spec."""
    patched(user, kind, name, FINALIZER)
    patched(user, kind, name, NO_FINALIZER)
    patched(user, kind, name, STATUS, status=True)
    return patched(user, kind, name, [{"op": "add", "path": f"{spec_path(kind)}/hostname", "value": "other"}])


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("crowd", CROWDS)
def test_the_status_of_the_worst_stored_object_was_refused(stored: User, crowd: str, kind: Kind) -> None:
    """A rule that costs more than it may is an error, whatever was stored: so it has to be cheap also then."""
    name = f"{crowd}-{kind.lower()}"
    patched(stored, kind, name, STATUS, status=True)
    patched(stored, kind, name, [{"op": "add", "path": f"{spec_path(kind)}/hostname", "value": "other"}])


@pytest.mark.parametrize(("row", "kind"), STORED)
def test_what_was_stored_before_the_rule_could_not_be_edited(stored: User, row: Row, kind: Kind) -> None:
    """Elsewhere, and with another NIC."""
    name, root = name_of(row, kind), spec_path(kind)
    body = edit_elsewhere(stored, kind, name)
    assert spec_of(body, kind)["domain"]["devices"] == row.refused["domain"]["devices"]
    good = (GOOD_NIC, GOOD_NETWORK)
    if row in CLAIMS:
        good = claimed("good", claimName=row.refused["resourceClaims"][0]["name"], requestName="good")
    more = [
        {"op": "add", "path": f"{root}/networks/-", "value": good[1]},
        {"op": "add", "path": f"{root}/domain/devices/interfaces/-", "value": good[0]},
    ]
    body = patched(stored, kind, name, more)
    assert spec_of(body, kind)["networks"][:-1] == row.refused["networks"]
    correct = [
        {"op": "replace", "path": f"{root}/networks", "value": row.accepted["networks"]},
        {"op": "replace", "path": f"{root}/domain/devices", "value": row.accepted["domain"]["devices"]},
    ]
    patched(stored, kind, name, correct, dry=True)


@pytest.mark.parametrize(("row", "kind"), STORED)
def test_a_second_violation_passed_beside_a_stored_one(stored: User, row: Row, kind: Kind) -> None:
    """A stored violation excuses none that comes later."""
    name, root = name_of(row, kind), spec_path(kind)
    nic, network = secondary("other", macAddress="no")
    unbound, _ = secondary("other", bindings="")
    add_network = {"op": "add", "path": f"{root}/networks/-", "value": network}
    add_nic = {"op": "add", "path": f"{root}/domain/devices/interfaces/-", "value": nic}
    for patch, text in (
        ([add_network, add_nic], "has malformed MAC address (no)."),
        ([add_network, {**add_nic, "value": unbound}], "logical other interface must have exactly one binding method"),
        ([add_network], "'other' not found."),
    ):
        assert text in refused(stored, kind, name, patch)


@pytest.mark.parametrize("kind", BOTH)
def test_a_corrected_object_broke_the_rule_again(stored: User, kind: Kind) -> None:
    for row in (row for row in STORABLE if row.name in ("mac", "masquerade")):
        body = manifest(row, kind, row.accepted, suffix="-again")
        stored.create(PLURALS[kind], body)
        again = [
            {"op": "replace", "path": f"{spec_path(kind)}/domain/devices", "value": row.refused["domain"]["devices"]},
            {"op": "replace", "path": f"{spec_path(kind)}/networks", "value": row.refused["networks"]},
        ]
        message = refused(stored, kind, body["metadata"]["name"], again)
        assert row.said(kind) in message


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_was_refused(user: User, path: Path) -> None:
    """The policies take what the CRDs take: the examples, and all fields of KubeVirt's API."""
    for body in yaml.safe_load_all(path.read_text()):
        if body["kind"] not in PLURALS:
            continue
        kind = Kind(body["kind"])
        bodies = [body]
        if kind is Kind.VM:
            instance = {**body, "kind": str(Kind.VMI), "spec": body["spec"]["template"]["spec"]}
            bodies.append({key: value for key, value in instance.items() if key != "status"})
        for item in bodies:
            item["metadata"] = {**item["metadata"], "namespace": user.namespace}
            code, said = user.request("POST", user.path(PLURALS[Kind(item["kind"])]) + "?dryRun=All", item)
            assert code == 201, said


@pytest.mark.parametrize("kind", BOTH)
def test_the_largest_virtual_machine_was_refused(user: User, kind: Kind) -> None:
    """255 NICs with all that is looked at, as many ports as the bound allows, and another NIC later."""
    ports = [{"name": f"port-{index}", "port": 1 + index, "protocol": "TCP"} for index in range(256)]
    pairs = [
        secondary(LONG[index], macAddress=f"02:00:00:00:00:{index:02x}", model="virtio", state="up", bootOrder=index)
        for index in range(1, NICS)
    ]
    body = manifest(ROWS[0], kind, machine(on_pod(ports=ports), *pairs), suffix="-largest")
    kept = user.create(PLURALS[kind], body)
    assert kept["spec"] == body["spec"]
    name, root = kept["metadata"]["name"], spec_path(kind)
    more = [
        {"op": "add", "path": f"{root}/networks/-", "value": GOOD_NETWORK},
        {"op": "add", "path": f"{root}/domain/devices/interfaces/-", "value": GOOD_NIC},
    ]
    patched(user, kind, name, more)
    patched(user, kind, name, STATUS, status=True)


def running(user: User, name: str, *, node: str = "node01", owners: list[Json] | None = None) -> None:
    """An instance that runs."""
    body = manifest(ROWS[0], Kind.VMI, machine(secondary(), memory={"guest": "1Gi"}))
    body["metadata"] = {"name": name, "ownerReferences": owners or []}
    user.create(VMI, body)
    if node:
        patched(user, Kind.VMI, name, {"status": {"phase": "Running", "nodeName": node}}, status=True)


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
API = OPERATOR.replace("operator", "api")


def test_a_user_changed_more_than_nics_of_a_running_instance(user: User) -> None:
    running(user, "users")
    for patch in (*CHANGES.values(), *PLACEMENT.values()):
        message = refused(user, Kind.VMI, "users", patch)
        assert f"ValidatingAdmissionPolicy '{INSTANCES}'" in message
        assert RESTRICTED in message
    nics = machine(secondary(state="down"), secondary("green"), memory={"guest": "1Gi"})
    patched(user, Kind.VMI, "users", {"spec": nics, "metadata": {"labels": {"a": "b"}}})


def test_nicplug_could_not_carry_over_a_placement(user: User) -> None:
    """It changes NICs, what says where the instance may run, and the grace period; nothing else."""
    running(user, "nicplugs")
    nicplug, api = acting(user, OPERATOR), acting(user, API)
    for patch in PLACEMENT.values():
        patched(nicplug, Kind.VMI, "nicplugs", patch)
    for patch in PLACEMENT.values():
        patched(nicplug, Kind.VMI, "nicplugs", {"spec": dict.fromkeys(patch["spec"])})
    for patch in CHANGES.values():
        assert RESTRICTED in refused(nicplug, Kind.VMI, "nicplugs", patch)
    answers = {name: answer(api, Kind.VMI, "nicplugs", patch, dry=True) for name, patch in PLACEMENT.items()}
    assert [name for name, (_, message) in answers.items() if RESTRICTED not in message] == ["grace period"]
    assert answers["grace period"] == (200, "")


def test_nicplug_could_not_keep_an_old_nic_beside_a_new_one(user: User) -> None:
    """As in KubeVirt, no rule about several fields asks its controllers, whose changes come from a template."""
    running(user, "kept")
    both = {"spec": machine(secondary(bootOrder=1), secondary("green", bootOrder=1), memory={"guest": "1Gi"})}
    assert "already set for a different device" in refused(user, Kind.VMI, "kept", both)
    patched(acting(user, OPERATOR), Kind.VMI, "kept", both)


def test_an_instance_that_no_node_has_taken_could_not_be_corrected(user: User) -> None:
    running(user, "waits", node="")
    for patch in (*CHANGES.values(), *PLACEMENT.values()):
        patched(user, Kind.VMI, "waits", patch, dry=True)


def test_an_instance_of_a_virtual_machine_was_changed_before_it_ran(user: User) -> None:
    vm = user.create(VM, manifest(ROWS[0], Kind.VM, machine(), suffix="-owner"))
    owner = {
        "apiVersion": "kubevirt.io/v1",
        "kind": str(Kind.VM),
        "name": vm["metadata"]["name"],
        "uid": vm["metadata"]["uid"],
        "controller": True,
    }
    running(user, "owned", node="", owners=[owner])
    assert RESTRICTED in refused(user, Kind.VMI, "owned", MEMORY)


def test_nicplug_could_not_put_a_label_back(user: User) -> None:
    """And a migration that has ended may lose it."""
    migration: Json = {
        "apiVersion": "kubevirt.io/v1",
        "kind": str(Kind.VMIM),
        "metadata": {"name": "job", "labels": {SELECTOR: "vm"}},
        "spec": {"vmiName": "vm"},
    }
    user.create(MIGRATION, migration)
    wrong = {"metadata": {"labels": {SELECTOR: "other"}}}
    assert f"ValidatingAdmissionPolicy '{MIGRATIONS}'" in refused(user, Kind.VMIM, "job", wrong)
    patched(acting(user, OPERATOR), Kind.VMIM, "job", wrong, dry=True)
    patched(user, Kind.VMIM, "job", {"status": {"phase": "Succeeded"}}, status=True)
    patched(user, Kind.VMIM, "job", wrong, dry=True)


TENANT_GROUP = "admission-tenants"
LABEL_CHANGES: dict[str, Json] = {
    "changed": {NODE: "node02"}, "added": {JOB: "uid"}, "removed": {NODE: None},
}  # fmt: skip


def test_a_tenant_said_where_a_guest_runs(user: User) -> None:
    """By labels that KubeVirt reserves; an account that may report the status of any instance is the node side."""
    running(user, "labelled")
    patched(acting(user, OPERATOR), Kind.VMI, "labelled", {"metadata": {"labels": {NODE: "node01"}}})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": TENANT_GROUP}]
    user.create("rolebindings", {"metadata": {"name": TENANT_GROUP}, "roleRef": role, "subjects": subjects})
    tenant = User(kubeconfig=user.kubeconfig, namespace=user.namespace, acts_as="tenant", groups=(TENANT_GROUP,))
    free = {"metadata": {"labels": {"kubevirt.io/l": "v", "a": "b"}}}
    until(lambda: answer(tenant, Kind.VMI, "labelled", free, dry=True)[0] == 200)
    for labels in LABEL_CHANGES.values():
        message = refused(tenant, Kind.VMI, "labelled", {"metadata": {"labels": labels}})
        assert (f"ValidatingAdmissionPolicy '{LABELS}'" in message, RESERVED in message) == (True, True)


def test_the_node_side_could_not_label_an_instance(user: User) -> None:
    """virt-handler, by its right to report the status of any instance; nicplug by its name alone."""
    running(user, "moves")
    rights = [{"apiGroups": ["kubevirt.io"], "resources": [VMI], "verbs": ["get", "patch"]}]
    handler = f"system:serviceaccount:{user.namespace}:kubevirt-handler"
    for name, subject in (("labels-handler", handler), ("labels-nicplug", OPERATOR)):
        bind(user, name, rights, subject)
    people = {
        who: User(kubeconfig=user.kubeconfig, namespace=user.namespace, acts_as=who) for who in (handler, OPERATOR)
    }
    changes = [{"metadata": {"labels": labels}} for labels in LABEL_CHANGES.values()]

    def codes(who: str) -> set[int]:
        return {answer(people[who], Kind.VMI, "moves", change, dry=True)[0] for change in changes}

    try:
        until(lambda: codes(OPERATOR) == {200})
        until(lambda: codes(handler) == {422, 200})  # to remove what is not there is no change
        reports = [{"apiGroups": ["kubevirt.io"], "resources": [f"{VMI}/status"], "verbs": ["patch"]}]
        bind(user, "labels-reports", reports, handler)
        until(lambda: codes(handler) == {200})
    finally:
        for name in ("labels-handler", "labels-nicplug", "labels-reports"):
            for plural in ("clusterrolebindings", "clusterroles"):
                user.request("DELETE", f"{RBAC}/{plural}/{name}")


RBAC = "/apis/rbac.authorization.k8s.io/v1"


def bind(user: User, name: str, rules: list[Json], subject: str) -> None:
    """Rights in all namespaces."""
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": subject}]
    bodies: dict[str, Json] = {
        "clusterroles": {"rules": rules},
        "clusterrolebindings": {"roleRef": role, "subjects": subjects},
    }
    for plural, body in bodies.items():
        code, said = user.request("POST", f"{RBAC}/{plural}", {"metadata": {"name": name}, **body})
        assert code == 201, said


DISKS: dict[str, Any] = {
    "a map": {"a": 1},
    "texts": ["root", "data"],
    "places that are none": [{"bootOrder": {"a": 1}}, {"bootOrder": "1"}, {"bootOrder": {"a": 1}}],
    "too many to look at": [{"name": "d", "bootOrder": 1}] * 600,
    "very many": [{}] * 20_000,
}


@pytest.mark.parametrize("kind", BOTH)
def test_disks_that_are_none_kept_nics_from_being_changed(user: User, kind: Kind) -> None:
    """They have no schema: what is no disk has no place in the boot order."""
    for index, disks in enumerate(DISKS.values()):
        body = manifest(ROWS[0], kind, machine(secondary(bootOrder=2), disks=disks))
        name = body["metadata"]["name"] = f"disks-{index}-{kind.lower()}"
        user.create(PLURALS[kind], body)
        patched(
            user,
            kind,
            name,
            [{"op": "add", "path": f"{spec_path(kind)}/domain/devices/interfaces/0/state", "value": "absent"}],
        )


@pytest.mark.parametrize("kind", BOTH)
def test_of_many_disks_the_boot_order_was_not_looked_at(user: User, kind: Kind) -> None:
    disks = [{"name": f"d{index}"} for index in range(300)]
    body = manifest(ROWS[0], kind, machine(secondary(bootOrder=1), disks=[*disks, {"name": "last", "bootOrder": 1}]))
    code, said = user.request("POST", user.path(PLURALS[kind]) + "?dryRun=All", body)
    assert code == 422
    assert "domain.devices.interfaces[0].bootOrder already set for a different device." in said["message"]


def test_a_virtual_machine_without_a_template_was_accepted(user: User) -> None:
    """With the schema's words: KubeVirt's schema requires it as well."""
    body = {**manifest(ROWS[0], Kind.VM, machine()), "spec": {"runStrategy": "Halted"}}
    code, said = user.request("POST", user.path(VM) + "?dryRun=All", body)
    assert (code, NO_TEMPLATE in said["message"]) == (422, True), said


@pytest.mark.parametrize("kind", BOTH)
def test_disks_shared_a_place_beside_a_stored_one(stored: User, kind: Kind) -> None:
    """What is doubled already may stay; another place may not be doubled."""
    disks = [{"name": name, "bootOrder": 3} for name in ("one", "two")]
    worse = [{"op": "add", "path": f"{spec_path(kind)}/domain/devices/disks", "value": disks}]
    message = refused(stored, kind, f"boot-order-nics-{kind.lower()}", worse)
    assert "domain.devices.disks[1].bootOrder already set for a different device." in message


@pytest.mark.parametrize("kind", BOTH)
def test_several_violations_were_told_one_by_one(user: User, kind: Kind) -> None:
    """As in KubeVirt, one answer has all of them."""
    body = manifest(ROWS[0], kind, machine(secondary(bindings="masquerade"), secondary("green", bindings="")))
    body["metadata"]["name"] = f"several-{kind.lower()}"
    code, said = user.request("POST", user.path(PLURALS[kind]) + "?dryRun=All", body)
    root = spec_path(kind)[1:].replace("/", ".")
    assert code == 422
    assert (
        f"{root}.domain.devices.interfaces[0].name: Masquerade interface only implemented with pod network, "
        f"{root}.domain.devices.interfaces[1]: logical green interface must have exactly one binding method or "
        "binding plugin"
    ) in said["message"]


@pytest.mark.parametrize("kind", BOTH)
def test_without_a_kubevirt_object_something_was_refused(user: User, kind: Kind) -> None:
    for row in GATED:
        code, said = created(user, kind, row)
        assert code == 201, said
