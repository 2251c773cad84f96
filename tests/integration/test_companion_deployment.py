"""What is installed beside KubeVirt, on a real API server: it applies without KubeVirt's kinds, and may do little."""

import uuid
from collections.abc import Iterator

import pytest
from tests.integration.kubectl import ROOT, Kubectl, eventually, install_crds
from tests.integration.user import User
from tests.integration.waiting import until

from nicplug_sandbox.controlplane import ControlPlane

OPERATOR = "system:serviceaccount:nicplug-system:nicplug-operator"
COMPANION = ROOT / "deploy" / "kustomize" / "overlays" / "companion"
ROLES = ("clusterrole.yaml", "users.yaml")


@pytest.fixture(scope="module")
def admin(control_plane: ControlPlane) -> Kubectl:
    """The cluster with the CRDs served: what may be done with a kind is asked of its resources."""
    return install_crds(control_plane.kubeconfig)


@pytest.fixture(scope="module")
def companion(admin: Kubectl) -> Iterator[Kubectl]:
    """The overlay; only its CRDs stay afterwards, for the other tests."""
    eventually(lambda: admin.run("apply", "-k", COMPANION))
    yield Kubectl(kubeconfig=admin.kubeconfig, namespace="nicplug-system")
    admin("delete", *(f"--filename={COMPANION / name}" for name in ROLES))
    admin("delete", "clusterrolebinding/nicplug-operator")
    # Waited for: the next file makes it again.
    admin("delete", "namespace/nicplug-system", "--timeout=60s")


def may(
    kubectl: Kubectl, account: str, verb: str, resource: str, *, namespace: str, subresource: str = "", name: str = ""
) -> bool:
    """The authorizer's answer. `kubectl auth can-i` takes a kind that is not installed for one of the core group."""
    plural, _, group = resource.partition(".")
    asked = {"verb": verb, "group": group, "resource": plural, "namespace": namespace}
    attributes = {**asked, "subresource": subresource, "name": name}
    spec = {"user": account, "groups": ["system:authenticated"], "resourceAttributes": attributes}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    reviewer = User(kubeconfig=kubectl.kubeconfig, namespace=namespace)
    code, answer = reviewer.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    assert code == 201, answer
    return bool(answer["status"]["allowed"])


def test_it_applies_again_without_a_change(companion: Kubectl, admin: Kubectl) -> None:
    changed = [line for line in admin("apply", "-k", COMPANION).splitlines() if not line.endswith(" unchanged")]
    # What kubectl calls configured each time: it replaces the selector of a budget as a whole, by the same one.
    assert changed == ["poddisruptionbudget.policy/nicplug-operator configured"]


def test_its_pod_is_admitted(companion: Kubectl) -> None:
    """In a namespace that enforces the restricted profile."""
    spec = companion.get("deployment", "nicplug-operator")["spec"]["template"]["spec"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec}
    eventually(lambda: companion.run("create", "--dry-run=server", "-f", "-", stdin=pod))
    (container,) = spec["containers"]
    assert {"name": "NICPLUG_MODE", "value": "companion"} in container["env"]


VM, VMI = "virtualmachines.kubevirt.io", "virtualmachineinstances.kubevirt.io"
MIGRATION, KUBEVIRT = "virtualmachineinstancemigrations.kubevirt.io", "kubevirts.kubevirt.io"
REPORT, POLICY = "interfacereports.nicplug.io", "hotplugpolicies.nicplug.io"
DEFINITION, DEPLOYMENT = "customresourcedefinitions.apiextensions.k8s.io", "deployments.apps"
LEASE = "leases.coordination.k8s.io"
WRITES = ("create", "update", "patch", "delete", "deletecollection")
# Verb, resource, subresource, name.
Asked = tuple[str, str, str, str]
ALLOWED: list[Asked] = [
    ("watch", VM, "", ""),
    ("get", VMI, "", ""),
    ("list", KUBEVIRT, "", ""),
    ("create", MIGRATION, "", ""),
    ("delete", MIGRATION, "", ""),
    ("create", REPORT, "", ""),
    ("patch", REPORT, "", ""),
    ("delete", REPORT, "", ""),
    ("patch", REPORT, "status", ""),
    ("watch", POLICY, "", ""),
    ("get", DEPLOYMENT, "", "virt-controller"),
    ("watch", "pods", "", ""),
    ("create", "events.events.k8s.io", "", ""),
    ("get", DEFINITION, "", "virtualmachines.kubevirt.io"),
]
DENIED: list[Asked] = [
    *((verb, kind, "", "") for kind in (VM, VMI, KUBEVIRT) for verb in WRITES),
    *((verb, kind, "status", "") for kind in (VM, VMI, KUBEVIRT, MIGRATION) for verb in ("update", "patch")),
    *((verb, kind, "finalizers", "") for kind in (VM, VMI) for verb in ("update", "patch")),
    *((verb, MIGRATION, "", "") for verb in ("update", "patch", "deletecollection")),
    *((verb, "pods", "", "") for verb in WRITES),
    ("patch", "pods", "status", ""),
    ("create", "pods", "eviction", ""),
    ("patch", "nodes", "", ""),
    ("get", "secrets", "", ""),
    ("list", "configmaps", "", ""),
    ("get", DEPLOYMENT, "", "another"),
    ("patch", DEPLOYMENT, "", "virt-controller"),
    ("patch", DEFINITION, "", REPORT),
    ("create", "poddisruptionbudgets.policy", "", ""),
    ("create", "validatingadmissionpolicies.admissionregistration.k8s.io", "", ""),
    *(("update", REPORT, subresource, "") for subresource in ("", "status")),
    ("patch", POLICY, "", ""),
    ("update", LEASE, "", "nicplug-operator"),
]


@pytest.mark.parametrize("asked", ALLOWED, ids=" ".join)
def test_the_operator_may(companion: Kubectl, asked: Asked) -> None:
    verb, resource, subresource, name = asked
    assert may(companion, OPERATOR, verb, resource, namespace="elsewhere", subresource=subresource, name=name)


def test_the_operator_may_change_nothing_else(companion: Kubectl) -> None:
    """Of KubeVirt's objects, of pods and of the cluster."""
    granted = [
        " ".join((verb, resource, subresource, name))
        for verb, resource, subresource, name in DENIED
        if may(companion, OPERATOR, verb, resource, namespace="elsewhere", subresource=subresource, name=name)
    ]
    assert granted == []


def test_it_leads_in_its_own_namespace(companion: Kubectl) -> None:
    own = "nicplug-system"
    assert may(companion, OPERATOR, "update", LEASE, namespace=own, name="nicplug-operator")
    assert not may(companion, OPERATOR, "update", LEASE, namespace=own, name="another")
    assert not may(companion, OPERATOR, "create", "configmaps", namespace=own)


@pytest.mark.parametrize("role", ["view", "edit", "admin"])
def test_who_views_a_namespace_reads_its_reports_and_no_others(admin: Kubectl, companion: Kubectl, role: str) -> None:
    """By the aggregation of Kubernetes' own roles."""
    namespace, user = f"team-{uuid.uuid4().hex[:8]}", f"{role}-of-a-team"
    admin("create", "namespace", namespace)
    admin("create", "rolebinding", "team", f"--clusterrole={role}", f"--user={user}", f"--namespace={namespace}")
    until(lambda: may(admin, user, "list", REPORT, namespace=namespace))
    assert may(admin, user, "watch", REPORT, namespace=namespace)
    assert not may(admin, user, "list", REPORT, namespace="default")
    assert not [verb for verb in WRITES if may(admin, user, verb, REPORT, namespace=namespace)]
    assert may(admin, user, "get", POLICY, namespace="", name="default")
    assert not [verb for verb in WRITES if may(admin, user, verb, POLICY, namespace="")]
    admin("delete", "namespace", namespace, "--wait=false")
