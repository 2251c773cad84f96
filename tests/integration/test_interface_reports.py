"""InterfaceReports on a real API server, through kubectl as a user has it: kept, shown, waited for."""

import uuid
from collections.abc import Iterator

import pytest
from tests.integration.kubectl import Kubectl, Object, install_crds

from nicplug_sandbox.controlplane import ControlPlane

RECORD = {
    "name": "blue",
    "operation": "Plug",
    "path": "Migration",
    "phase": "Migrating",
    "reason": "NoDynamicController",
    "message": "no dynamic networks controller runs on node01",
    "attempts": 1,
    "nextAttemptTime": None,
    "migrationFailures": {"migrations": ["a"], "reason": "MigrationFailed"},
}
STATUS = {
    "vmUid": "vm-uid",
    "vmiUid": "vmi-uid",
    "observedGeneration": 4,
    "interfacesHash": "0123456789ab",
    "interfacesGeneration": 2,
    "ready": "1/2",
    "reason": RECORD["reason"],
    "message": RECORD["message"],
    "interfaceOperations": [RECORD],
    "pciBudget": {"total": 4, "used": 1, "reserved": 1, "free": 2},
    "nextAttemptTime": "2026-01-01T00:00:00Z",
}


def condition(status: str, *, generation: int | None = 4) -> Object:
    observed = {} if generation is None else {"observedGeneration": generation}
    times = {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {"type": "InterfacesReady", "status": status, "reason": "Migrating", "message": "", **times, **observed}


@pytest.fixture(scope="module")
def admin(control_plane: ControlPlane) -> Kubectl:
    """The cluster with the CRDs served."""
    return install_crds(control_plane.kubeconfig)


@pytest.fixture
def kubectl(admin: Kubectl) -> Iterator[Kubectl]:
    """kubectl in a namespace of its own."""
    namespace = f"reports-{uuid.uuid4().hex[:8]}"
    admin("create", "namespace", namespace)
    yield Kubectl(kubeconfig=admin.kubeconfig, namespace=namespace)
    admin("delete", "namespace", namespace, "--wait=false")


def create(kubectl: Kubectl, **status: object) -> Object:
    """A report with this status."""
    body = kubectl.create(
        {"apiVersion": "nicplug.io/v1alpha1", "kind": "InterfaceReport", "metadata": {"name": "vm-fedora"}}
    )
    return kubectl.write_status({**body, "status": status})


def wait(kubectl: Kubectl, *, seconds: int) -> int:
    """What `kubectl wait` ends with, as the issue tracker's users type it."""
    command = ("wait", "--for=condition=InterfacesReady", "interfacereport/vm-fedora", f"--timeout={seconds}s")
    return kubectl.run(*command).returncode


def test_a_status_is_kept_as_it_is_written(kubectl: Kubectl) -> None:
    """Nulls too: Go writes a time that was never set so."""
    written = {**STATUS, "conditions": [condition("False")]}
    assert create(kubectl, **written)["status"] == written
    assert create_only(kubectl, status=written, name="other").get("status") is None


def create_only(kubectl: Kubectl, *, name: str, **members: object) -> Object:
    head = {"apiVersion": "nicplug.io/v1alpha1", "kind": "InterfaceReport", "metadata": {"name": name}}
    return kubectl.create({**head, **members})


def test_what_no_report_has_is_dropped(kubectl: Kubectl) -> None:
    body = create(kubectl)
    options = ("--subresource=status", "--validate=ignore", "-f", "-", "-o", "name")
    kubectl("replace", *options, stdin={**body, "status": {"ready": "1/1", "raedy": "1/1"}})
    assert kubectl.get("nicr", "vm-fedora")["status"] == {"ready": "1/1"}


@pytest.mark.parametrize(
    ("field", "value"),
    [("interfacesGeneration", "two"), ("ready", 1), ("nextAttemptTime", "soon"), ("pciBudget", {"total": "4"})],
)
def test_another_type_is_refused(kubectl: Kubectl, field: str, value: object) -> None:
    body = create(kubectl)
    error = kubectl.refused("replace", "--subresource=status", "-f", "-", stdin={**body, "status": {field: value}})
    assert f"status.{field}" in error


def test_columns_say_what_waits_and_why(kubectl: Kubectl) -> None:
    create(kubectl, **STATUS, conditions=[condition("False")])
    header, row = kubectl("get", "nicr").splitlines()
    assert header.split() == ["NAME", "READY", "INTERFACES-READY", "REASON", "AGE"]
    assert row.split()[:4] == ["vm-fedora", "1/2", "False", "NoDynamicController"]
    header, row = kubectl("get", "interfacereports", "-o", "wide").splitlines()
    assert header.split()[-1] == "MESSAGE"
    assert row.endswith("no dynamic networks controller runs on node01")


def test_it_is_found_by_its_category_and_not_among_all(kubectl: Kubectl) -> None:
    create(kubectl)
    assert kubectl("get", "nicplug", "-o", "name").split() == ["interfacereport.nicplug.io/vm-fedora"]
    assert "interfacereport" not in kubectl("get", "all", "-o", "name")


def test_kubectl_waits_for_the_condition(kubectl: Kubectl) -> None:
    body = create(kubectl, **STATUS, conditions=[condition("False")])
    assert wait(kubectl, seconds=1) == 1
    kubectl.write_status({**body, "status": {**STATUS, "conditions": [condition("True")]}})
    assert wait(kubectl, seconds=10) == 0


def test_kubectl_waits_for_a_bare_instance(kubectl: Kubectl) -> None:
    """Which has no generation that means anything."""
    create(kubectl, ready="1/1", conditions=[condition("True", generation=None)])
    assert wait(kubectl, seconds=10) == 0


def test_an_edit_of_a_report_kept_kubectl_wait_waiting(kubectl: Kubectl) -> None:
    """A spec that changed raised metadata.generation above that of a VM which was never changed."""
    create(kubectl, observedGeneration=1, conditions=[condition("True", generation=1)])
    for patch in ('{"spec":{"ready":true}}', '{"spec":null}', '{"metadata":{"labels":{"a":"b"}}}'):
        kubectl.run("patch", "nicr", "vm-fedora", "--type=merge", "-p", patch)
    assert kubectl.get("nicr", "vm-fedora")["metadata"]["generation"] == 1
    assert wait(kubectl, seconds=10) == 0


def test_explain_describes_a_report(kubectl: Kubectl) -> None:
    assert "How many NICs are ready of how many" in kubectl("explain", "nicr.status")
    assert "Migration: the VM moves to a pod" in " ".join(kubectl("explain", "nicr.status.interfaceOperations").split())
