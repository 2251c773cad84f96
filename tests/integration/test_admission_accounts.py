"""Rules of admission and who changes an object: users, nicplug's accounts, a tenant, the node side."""

from collections.abc import Iterator

import pytest
from tests.admission.machines import INSTANCES, JOB, LABELS, MIGRATIONS, NODE, RESERVED, RESTRICTED, SELECTOR
from tests.admission.row import OPERATOR, Json, Kind, machine, manifest, secondary
from tests.admission.rules import ROWS
from tests.integration.admission_requests import acting, answer, enforced, patched, refused
from tests.integration.user import MIGRATION, VM, VMI, User
from tests.integration.waiting import until

from nicplug_sandbox.controlplane import ControlPlane


@pytest.fixture(scope="module")
def user(control_plane: ControlPlane) -> Iterator[User]:
    with enforced(control_plane) as admin:
        yield admin


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
# Those that KubeVirt 1.9 reserves, beside the two of the examples.
OTHER_LABELS = (
    "kubevirt.io/created-by",
    "kubevirt.io/migrationTargetNodeName",
    "kubevirt.io/schedulable",
    "kubevirt.io/install-strategy",
)
LABEL_CHANGES: dict[str, Json] = {
    "changed": {NODE: "node02"},
    "added": {JOB: "uid"},
    "removed": {NODE: None},
    **{name: {name: "x"} for name in OTHER_LABELS},
}


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
    said = {
        name: answer(tenant, Kind.VMI, "labelled", {"metadata": {"labels": labels}}, dry=True)
        for name, labels in LABEL_CHANGES.items()
    }
    denied = f"ValidatingAdmissionPolicy '{LABELS}'"
    wrong = [name for name, (code, text) in said.items() if code != 422 or denied not in text or RESERVED not in text]
    assert wrong == []


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
