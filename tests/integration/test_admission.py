"""Every rule of docs/admission.md on a real API server, by `kubectl apply`: what is accepted, what is refused."""

import json
import re
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import pytest
from tests.admission.examples import EXAMPLES as OF_KUBEVIRT
from tests.admission.examples import manifest_of
from tests.admission.machines import CONFIGURATION
from tests.admission.row import Json, Kind, Row, manifest
from tests.admission.rules import ROWS
from tests.integration.kubectl import Kubectl, eventually, install_crds, without_nulls
from tests.integration.kubernetes_release import as_the_newest_says
from tests.integration.rules import POLICIES, install_policies

from nicplug_sandbox.controlplane import ControlPlane

REFUSED = "-no"
TENANT = "tenant"
"""Holds every verb on everything in the namespace, by a RoleBinding to cluster-admin."""
EXAMPLES = [pytest.param(row, kind, id=f"{row}-{kind}") for row in ROWS for kind in row.kinds]
STRICT: Json = {
    "network": {"permitBridgeInterfaceOnPodNetwork": False},
    "developerConfiguration": {"featureGates": ["HotplugNICs"], "disabledFeatureGates": ["PasstBinding"]},
}
GATES = ["HotplugNICs", "PasstBinding", "PortRangesSpec", "NetworkDevicesWithDRA", "DecentralizedLiveMigration"]
KUBEVIRT: Json = {
    "apiVersion": "kubevirt.io/v1", "kind": "KubeVirt", "metadata": {"name": "kubevirt", "namespace": "kubevirt"},
}  # fmt: skip


@pytest.fixture(scope="module")
def admin(control_plane: ControlPlane) -> Iterator[Kubectl]:
    """The cluster with CRDs and policies, and a strict KubeVirt object."""
    kubectl = install_crds(control_plane.kubeconfig)
    install_policies(control_plane.kubeconfig)
    strict = {**KUBEVIRT, "spec": {"configuration": STRICT}}
    # It stays: other modules apply objects into it, which one that ends does not take.
    kubectl("apply", "-f", "-", stdin={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kubevirt"}})
    kubectl("create", "-f", "-", stdin=strict)
    eventually(partial(refused_by, kubectl, CONFIGURATION))
    yield kubectl
    kubectl("delete", "kubevirt", "kubevirt", "--namespace=kubevirt")
    kubectl("delete", "-k", POLICIES)


def refused_by(kubectl: Kubectl, policy: str) -> "subprocess.CompletedProcess[str]":
    """A process that succeeds once the policy refuses the first example of its rules."""
    row = next(row for row in ROWS if row.policy == policy)
    probe = manifest(row, Kind.VMI, row.refused)
    done = kubectl.run("create", "--namespace=default", "--dry-run=server", "-f", "-", stdin=probe)
    return subprocess.CompletedProcess(done.args, int(policy not in done.stderr), done.stdout, done.stderr)


@pytest.fixture(scope="module")
def kubectl(admin: Kubectl) -> Iterator[Kubectl]:
    """kubectl in a namespace of its own."""
    with_namespace = in_namespace(admin)
    yield with_namespace
    admin("delete", "namespace", with_namespace.namespace, "--wait=false")


def in_namespace(admin: Kubectl) -> Kubectl:
    namespace = f"admission-{uuid.uuid4().hex[:8]}"
    admin("create", "namespace", namespace)
    role = ("--clusterrole=cluster-admin", f"--user={TENANT}", f"--namespace={namespace}")
    admin("create", "rolebinding", TENANT, *role)
    return Kubectl(kubeconfig=admin.kubeconfig, namespace=namespace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What `kubectl apply` printed for each object, by its name."""

    done: Mapping[str, str]
    errors: Mapping[str, str]


def apply(kubectl: Kubectl, manifests: list[Json], *, acts_as: str = "") -> Answers:
    """All of them in one call, which goes on after a refusal."""
    listed = {"apiVersion": "v1", "kind": "List", "items": manifests}
    process = kubectl.run("apply", "-f", "-", *([f"--as={acts_as}"] if acts_as else []), stdin=listed)
    # Only the KubeVirt object's gates keep some of the examples of other rules out.
    done = dict(re.findall(r"^\S+/(\S+) (created|configured|unchanged)$", process.stdout, re.M))
    errors = re.split(r"^(?=The |Error from server|Warning: )", process.stderr, flags=re.M)
    names = [body["metadata"]["name"] for body in manifests]
    said = {name: "".join(error for error in errors if f'"{name}"' in error) for name in names}
    return Answers(done=done, errors=said)


@pytest.fixture(scope="module")
def answers(admin: Kubectl, kubectl: Kubectl) -> Answers:
    """Every example, applied; those of rules about changes on what is stored before."""
    stored: list[tuple[Row, Json]] = []
    wanted: list[Json] = []
    of_tenants: list[Json] = []
    for row in ROWS:
        for kind in row.kinds:
            for spec, suffix, labels in ((row.accepted, "", row.labels[1]), (row.refused, REFUSED, row.labels[2])):
                if row.before is not None:
                    stored.append((row, manifest(row, kind, row.before, labels=row.labels[0], suffix=suffix)))
                somebody_s = of_tenants if row.is_tenants else wanted
                somebody_s.append(manifest(row, kind, spec, labels=labels, suffix=suffix))
    before = apply(kubectl, [body for _, body in stored])
    assert {*before.done} == {body["metadata"]["name"] for _, body in stored}, before.errors
    for row, body in stored:
        if row.status:
            kind, name = body["kind"].lower(), body["metadata"]["name"]
            patch = json.dumps({"status": row.status})
            kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", patch)
    gated = [body for body in wanted if needs_gates(body)]
    first = apply(kubectl, [body for body in wanted if body not in gated])
    with_gates(admin)
    second = apply(kubectl, gated)
    third = apply(kubectl, of_tenants, acts_as=TENANT)
    strict = json.dumps({"spec": {"configuration": STRICT}})
    admin("patch", "kubevirt", "kubevirt", "-n", "kubevirt", "--type=merge", "-p", strict)
    parts = (first, second, third)
    return Answers(
        done={name: line for part in parts for name, line in part.done.items()},
        errors={name: error for part in parts for name, error in part.errors.items()},
    )


def needs_gates(body: Json) -> bool:
    """Whether it is an example of another rule that the strict KubeVirt object would refuse."""
    policies = {row.name for row in ROWS if row.policy == CONFIGURATION}
    return not any(body["metadata"]["name"].startswith(f"{name}-") for name in policies)


def with_gates(admin: Kubectl) -> None:
    """Allow everything, and wait until the policy has heard of it."""
    everything = {
        "network": {"permitBridgeInterfaceOnPodNetwork": True},
        "developerConfiguration": {"featureGates": GATES},
    }
    patch = json.dumps({"spec": {"configuration": everything}})
    admin("patch", "kubevirt", "kubevirt", "-n", "kubevirt", "--type=merge", "-p", patch)
    until_all_is_allowed(admin)


def until_all_is_allowed(admin: Kubectl) -> None:
    for row in (row for row in ROWS if row.policy == CONFIGURATION):
        probe = manifest(row, row.kinds[0], row.refused)
        create = ("create", "--namespace=default", "--dry-run=server", "-f", "-")
        eventually(partial(admin.run, *create, stdin=probe))


@pytest.mark.parametrize(("row", "kind"), EXAMPLES)
def test_what_kubevirt_accepts_was_refused(answers: Answers, row: Row, kind: Kind) -> None:
    name = manifest(row, kind, {})["metadata"]["name"]
    assert name in answers.done, answers.errors[name]


@pytest.mark.parametrize(("row", "kind"), EXAMPLES)
def test_what_kubevirt_refuses_was_accepted(answers: Answers, row: Row, kind: Kind) -> None:
    name = manifest(row, kind, {}, suffix=REFUSED)["metadata"]["name"]
    assert name not in answers.done
    error = as_the_newest_says(answers.errors[name])
    assert row.said(kind) in error
    if row.policy:
        denied = f"ValidatingAdmissionPolicy '{row.policy}' with binding '{row.policy}' denied request: "
        assert denied in error
        assert row.at(kind) in error.partition(denied)[2]
    else:
        assert re.search(rf"(invalid: \[?|, |\* ){re.escape(row.at(kind))}: ", error), error


@pytest.mark.usefixtures("answers")  # which needs gates that are off first
def test_a_kubevirt_object_without_effect_decided_what_is_refused(admin: Kubectl) -> None:
    with_gates(admin)
    second = {**KUBEVIRT, "metadata": {"name": "second", "namespace": "kubevirt"}, "spec": {"configuration": STRICT}}
    admin("create", "-f", "-", stdin=second)
    try:
        eventually(partial(refused_by, admin, CONFIGURATION))
        ignored = {"type": "Synchronized", "status": "False", "reason": "ExistingDeployment"}
        patch = json.dumps({"status": {"conditions": [ignored]}})
        of_second = ("kubevirt", "second", "-n", "kubevirt")
        admin("patch", *of_second, "--subresource=status", "--type=merge", "-p", patch)
        until_all_is_allowed(admin)
    finally:
        admin("delete", "kubevirt", "second", "-n", "kubevirt")


@pytest.mark.usefixtures("answers")  # which needs gates that are off first
def test_a_stored_receiver_could_not_be_edited_without_its_gate(admin: Kubectl, kubectl: Kubectl) -> None:
    with_gates(admin)
    row = next(row for row in ROWS if row.name == "receiver-gate")
    stored = manifest(row, Kind.VM, row.refused, suffix="-stored")
    kubectl("create", "-f", "-", stdin=stored)
    of_stored = ("vm", stored["metadata"]["name"], "--type=merge", "-p")
    strict = json.dumps({"spec": {"configuration": STRICT}})
    admin("patch", "kubevirt", "kubevirt", "-n", "kubevirt", "--type=merge", "-p", strict)
    eventually(partial(refused_by, admin, CONFIGURATION))
    kubectl("patch", *of_stored, json.dumps({"spec": {"template": {"spec": {"hostname": "other"}}}}))
    kubectl("patch", *of_stored, json.dumps({"spec": {"runStrategy": "Halted"}}))
    again = kubectl.run("patch", *of_stored, json.dumps({"spec": {"runStrategy": "WaitAsReceiver"}}))
    assert row.said(Kind.VM) in again.stderr


@pytest.mark.usefixtures("answers")  # which needs gates that are off first
@pytest.mark.parametrize("command", ["create", "apply", "apply --server-side"])
def test_an_example_of_kubevirt_did_not_come_back_as_it_was(admin: Kubectl, command: str) -> None:
    """In one call for all: kubectl fails on an unknown field, and nothing is pruned."""
    with_gates(admin)
    user = in_namespace(admin)
    sent = [manifest_of(name) for name in OF_KUBEVIRT]
    listed = {"apiVersion": "v1", "kind": "List", "items": sent}
    user(*command.split(), "-f", "-", stdin=listed)
    found = {body["metadata"]["name"]: body for body in user.get("vm,vmi")["items"]}
    kept = [found[body["metadata"]["name"]] for body in sent]
    # Client-side apply sends no nulls.
    wanted = [without_nulls(body["spec"]) if command == "apply" else body["spec"] for body in sent]
    assert [body["spec"] for body in kept] == wanted
    assert [body["metadata"]["labels"] for body in kept] == [body["metadata"]["labels"] for body in sent]
    admin("delete", "namespace", user.namespace, "--wait=false")
