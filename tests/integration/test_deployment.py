"""The first deployment on a real API server: applies, is admitted, has the rights it needs."""

from collections.abc import Iterator

import pytest
from tests.integration.kubectl import ROOT, Kubectl, eventually, install_crds

from nicplug_sandbox.controlplane import ControlPlane

OPERATOR = "system:serviceaccount:nicplug-system:nicplug-operator"
BASE = ROOT / "deploy" / "kustomize" / "base"


@pytest.fixture(scope="module")
def admin(control_plane: ControlPlane) -> Kubectl:
    """The cluster with the CRDs served."""
    return install_crds(control_plane.kubeconfig)


@pytest.fixture(scope="module")
def deployment(admin: Kubectl) -> Iterator[Kubectl]:
    """The deployment of deploy/kustomize/base; only its CRDs stay afterwards, for the other tests."""
    kubectl = Kubectl(kubeconfig=admin.kubeconfig, namespace="nicplug-system")
    eventually(lambda: admin.run("apply", "-k", BASE))
    unregister(admin)
    yield kubectl
    admin("delete", "-k", BASE / "api", "--ignore-not-found")
    admin("delete", "-k", BASE / "users")
    # Waited for: the next file makes it again.
    admin("delete", "namespace/nicplug-system", "clusterrole/nicplug-operator", "--timeout=60s")
    admin("delete", "clusterrolebinding/nicplug-operator", "clusterrolebinding/nicplug-node-side-default-accounts")
    # Other tests play the operator as the cluster's admin.
    admin("delete", "-k", BASE / "fences")
    # And store what the policies of admission refuse.
    admin("delete", "-k", BASE / "admission")


def unregister(admin: Kubectl) -> None:
    """Nobody serves the API here: every kubectl would complain, and no namespace could be deleted."""
    eventually(lambda: admin.run("delete", "--ignore-not-found", "-f", BASE / "api" / "apiservices.yaml"))


def test_deployment_applies_again_without_a_warning(deployment: Kubectl, admin: Kubectl) -> None:
    """Pod Security prints a warning for a Deployment whose pods it would refuse."""
    lines = admin("apply", "-k", BASE).splitlines()
    unregister(admin)
    changed = [line for line in lines if not line.endswith(" unchanged")]
    # What kubectl calls configured each time: it replaces the selector of a budget as a whole, by the same one.
    expected = ("apiservice.apiregistration.k8s.io/", "poddisruptionbudget.policy/")
    assert [line for line in changed if not line.startswith(expected)] == []
    assert len(changed) == 4


@pytest.mark.parametrize("name", ["nicplug-operator", "nicplug-api"])
def test_pod_of_the_deployment_is_admitted(deployment: Kubectl, name: str) -> None:
    """Admission in a namespace that enforces the restricted profile, with the account and its token."""
    template = deployment.get("deployment", name)["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": template["spec"]}
    eventually(lambda: deployment.run("create", "--dry-run=server", "-f", "-", stdin=pod))
    pod["spec"] = {**template["spec"], "hostNetwork": True}
    error = deployment.refused("create", "--dry-run=server", "-f", "-", stdin=pod)
    assert 'violates PodSecurity "restricted' in error


RIGHTS = [
    ("patch", "virtualmachineinstances", "--subresource=status", "yes"),
    ("update", "virtualmachineinstances", "--subresource=finalizers", "yes"),
    ("patch", "pods", "", "yes"),
    ("create", "events.events.k8s.io", "", "yes"),
    ("watch", "kubevirts", "", "yes"),
    ("get", "nodes", "", "no"),
    ("update", "virtualmachineinstances", "", "no"),
    ("patch", "nodes", "", "no"),
    ("patch", "kubevirts", "", "no"),
    ("get", "secrets", "", "no"),
    ("create", "pods", "--subresource=exec", "no"),
    ("update", "leases.coordination.k8s.io", "", "no"),
    ("create", "configmaps", "", "no"),
    ("get", "configmaps/nicplug-migration-slots", "", "no"),
]


@pytest.mark.parametrize(("verb", "resource", "option", "answer"), RIGHTS, ids=lambda word: word)
def test_operator_account_may(deployment: Kubectl, verb: str, resource: str, option: str, answer: str) -> None:
    where = ("auth", "can-i", verb, resource, f"--as={OPERATOR}", "--namespace=elsewhere")
    asked = deployment.run(*where, *filter(None, [option]))
    assert asked.stdout.strip() == answer, asked.stderr


API = "system:serviceaccount:nicplug-system:nicplug-api"
API_RIGHTS = [
    ("create", "subjectaccessreviews.authorization.k8s.io", "", "yes"),
    ("get", "virtualmachines", "", "yes"),
    ("patch", "virtualmachines", "--subresource=status", "yes"),
    ("patch", "virtualmachineinstances", "", "yes"),
    ("create", "virtualmachineinstancemigrations", "", "yes"),
    ("patch", "apiservices/v1.subresources.kubevirt.io", "", "yes"),
    ("patch", "apiservices/v1.apps", "", "no"),
    # One member of it: policy nicplug-evictions.
    ("patch", "virtualmachineinstances", "--subresource=status", "yes"),
    ("update", "virtualmachineinstances", "--subresource=status", "no"),
    ("delete", "virtualmachines", "", "no"),
    ("list", "virtualmachines", "", "no"),
    ("get", "pods", "", "yes"),
    ("patch", "pods", "", "no"),
    ("get", "secrets", "", "no"),
    ("impersonate", "users", "", "no"),
]


@pytest.mark.parametrize(("verb", "resource", "option", "answer"), API_RIGHTS, ids=lambda word: word)
def test_api_account_may(deployment: Kubectl, verb: str, resource: str, option: str, answer: str) -> None:
    where = ("auth", "can-i", verb, resource, f"--as={API}", "--namespace=elsewhere")
    asked = deployment.run(*where, *filter(None, [option]))
    assert asked.stdout.strip() == answer, asked.stderr


@pytest.mark.parametrize(
    ("verb", "name", "answer"),
    [("get", "nicplug-api-certificate", "yes"), ("get", "another", "no"), ("delete", "nicplug-api-certificate", "no")],
)
def test_api_account_has_one_secret(deployment: Kubectl, verb: str, name: str, answer: str) -> None:
    asked = deployment.run("auth", "can-i", verb, f"secrets/{name}", f"--as={API}")
    assert asked.stdout.strip() == answer, asked.stderr


def test_api_account_reads_who_the_front_proxy_is(deployment: Kubectl) -> None:
    name = "configmaps/extension-apiserver-authentication"
    assert deployment("auth", "can-i", "get", name, f"--as={API}", "--namespace=kube-system") == "yes\n"


def test_operator_account_leads_in_its_own_namespace(deployment: Kubectl) -> None:
    assert deployment("auth", "can-i", "create", "leases", f"--as={OPERATOR}") == "yes\n"
    assert deployment("auth", "can-i", "update", "leases/nicplug-operator", f"--as={OPERATOR}") == "yes\n"
    assert deployment.run("auth", "can-i", "update", "leases/another", f"--as={OPERATOR}").stdout == "no\n"


@pytest.mark.parametrize(
    ("verb", "name", "answer"),
    [
        ("create", "", "yes"),
        ("get", "/nicplug-migration-slots", "yes"),
        ("update", "/nicplug-migration-slots", "yes"),
        ("get", "/kube-root-ca.crt", "no"),
        ("update", "/kube-root-ca.crt", "no"),
        ("list", "", "no"),
        ("delete", "/nicplug-migration-slots", "no"),
    ],
)
def test_operator_account_keeps_one_ledger_and_sees_no_other_configmap(
    deployment: Kubectl, verb: str, name: str, answer: str
) -> None:
    asked = deployment.run("auth", "can-i", verb, f"configmaps{name}", f"--as={OPERATOR}")
    assert asked.stdout.strip() == answer, asked.stderr
