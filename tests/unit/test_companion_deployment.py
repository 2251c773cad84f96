"""What is installed beside KubeVirt, checked without a cluster: nothing of KubeVirt's, and few permissions."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.chart import BASE, OVERLAYS, kustomize

from nicplug_sandbox.yaml_documents import read_documents

COMPANION = OVERLAYS / "companion"
COMPONENTS = OVERLAYS.parent / "components"
ROLES = (COMPANION / "clusterrole.yaml", COMPANION / "role.yaml", COMPONENTS / "nudge" / "clusterrole.yaml")
READ = {"get", "list", "watch"}

Json = dict[str, Any]
Found = dict[tuple[str, str], Json]


@pytest.fixture(scope="module")
def built() -> Found:
    """The overlay, by kind and name."""
    return {(item["kind"], item["metadata"]["name"]): item for item in kustomize(COMPANION)}


def with_nudge(folder: Path) -> Found:
    """The overlay with the component that lets nicplug write to pods."""
    text = "resources: [overlay]\ncomponents: [nudge]\n"
    for name, target in (("overlay", COMPANION), ("nudge", COMPONENTS / "nudge")):
        # Kustomize takes relative paths only.
        relative = Path(*[".."] * len(folder.resolve().parts[1:]), *target.resolve().parts[1:])
        text = text.replace(f"[{name}]", f"[{relative}]")
    (folder / "kustomization.yaml").write_text(text)
    return {(item["kind"], item["metadata"]["name"]): item for item in kustomize(folder)}


def granted(rules: Iterable[Json]) -> dict[str, set[str]]:
    """Verbs by group, resource and names."""
    found: dict[str, set[str]] = {}
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                key = " ".join([f"{group}/{resource}", *rule.get("resourceNames", [])])
                found.setdefault(key, set()).update(rule["verbs"])
    return found


def of_the_operator(found: Found) -> dict[str, set[str]]:
    """All that is bound to its account."""
    roles = {
        (item["roleRef"]["kind"], item["roleRef"]["name"])
        for item in found.values()
        for subject in item.get("subjects", ())
        if subject["name"] == "nicplug-operator"
    }
    return granted(rule for role in roles for rule in found[role]["rules"])


# All that the operator may do beside KubeVirt. A line more here needs a line in clusterrole.yaml that says why.
ALLOWED = {
    "kubevirt.io/virtualmachines": READ,
    "kubevirt.io/virtualmachineinstances": READ,
    "kubevirt.io/virtualmachineinstancemigrations": {*READ, "create", "delete"},
    "kubevirt.io/kubevirts": READ,
    "nicplug.io/hotplugpolicies": READ,
    "nicplug.io/interfacereports": {*READ, "create", "patch", "delete"},
    "nicplug.io/interfacereports/status": {"patch"},
    "/pods": READ,
    "/events": READ,
    "events.k8s.io/events": {"create", "patch"},
    "k8s.cni.cncf.io/network-attachment-definitions": READ,
    "/nodes": READ,
    "apps/daemonsets": READ,
    "apps/deployments virt-controller": {"get", "list"},
    "/configmaps multus-daemon-config": {"list", "watch"},
    "coordination.k8s.io/leases virt-controller nicplug-operator": {"list"},
    "apiextensions.k8s.io/customresourcedefinitions": {"get"},
    "coordination.k8s.io/leases nicplug-operator": {"get", "update"},
    "coordination.k8s.io/leases": {"create"},
}


def test_it_may_do_this_and_no_more(built: Found) -> None:
    assert of_the_operator(built) == ALLOWED


def writes(rights: dict[str, set[str]], group: str) -> dict[str, set[str]]:
    """What of a group may be changed."""
    changing = {key: verbs - READ for key, verbs in rights.items() if key.startswith(f"{group}/")}
    return {key: verbs for key, verbs in changing.items() if verbs}


def test_of_kubevirts_objects_it_writes_migrations_alone(tmp_path: Path) -> None:
    """Virtual machines, instances, their status and KubeVirt's CR are KubeVirt's, with the nudge too."""
    rights = of_the_operator(with_nudge(tmp_path))
    assert writes(rights, "kubevirt.io") == {"kubevirt.io/virtualmachineinstancemigrations": {"create", "delete"}}
    assert [key for key in rights if key.startswith("subresources.kubevirt.io/")] == []


def test_no_pod_is_written_without_the_nudge(built: Found, tmp_path: Path) -> None:
    assert writes(of_the_operator(built), "") == {}
    more, without = of_the_operator(with_nudge(tmp_path)), of_the_operator(built)
    assert {key: verbs - without.get(key, set()) for key, verbs in more.items() if verbs != without.get(key)} == {
        "/pods": {"patch"}
    }


def test_everything_that_it_writes_outside_of_its_namespace_is_its_own_but_migrations_and_events(built: Found) -> None:
    rights = granted(built["ClusterRole", "nicplug-operator"]["rules"])
    assert {key for key, verbs in rights.items() if verbs - READ} == {
        "kubevirt.io/virtualmachineinstancemigrations",
        "nicplug.io/interfacereports",
        "nicplug.io/interfacereports/status",
        "events.k8s.io/events",
    }


@pytest.mark.parametrize("path", ROLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_each_rule_has_a_reason(path: Path) -> None:
    """A comment above it; above its role, for the first one."""
    lines = path.read_text().splitlines()
    above = [lines[number - 1] for number, line in enumerate(lines) if line.startswith("- apiGroups:")]
    assert lines[0].startswith("# ")
    assert [line for line in above[1:] if not line.startswith("# ")] == []
    assert above[0] == "rules:" or above[0].startswith("# ")


@pytest.mark.parametrize("path", ROLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_rights_stay_narrow(path: Path) -> None:
    for role in read_documents(path.read_text()):
        words = {word for rule in role.get("rules", ()) for values in rule.values() for word in values}
        wide = {"*", "secrets", "escalate", "bind", "impersonate", "nonResourceURLs", "deletecollection", "pods/exec"}
        assert not words & wide


def test_an_owner_needs_no_permission_on_finalizers(built: Found) -> None:
    """Of KubeVirt's kinds that would be a write; owner references have no blockOwnerDeletion instead."""
    assert [key for key in of_the_operator(built) if "finalizers" in key] == []


KINDS = {
    *("Namespace", "CustomResourceDefinition", "ServiceAccount", "Deployment", "Service", "PodDisruptionBudget"),
    *("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
}


def test_nothing_is_installed_that_stands_in_for_kubevirt(built: Found) -> None:
    """No policy, webhook or APIService, which could refuse or answer what KubeVirt's users ask for."""
    assert {kind for kind, _ in built} == KINDS
    assert [name for kind, name in built if kind == "Deployment"] == ["nicplug-operator"]
    groups = {item["spec"]["group"] for (kind, _), item in built.items() if kind == "CustomResourceDefinition"}
    assert groups == {"nicplug.io"}
    assert [name for _, name in built if name.startswith("kubevirt.io")] == []


def test_the_pods_are_those_of_the_base(built: Found) -> None:
    whole = {(item["kind"], item["metadata"]["name"]): item for item in kustomize(BASE)}
    shared = {(item["kind"], item["metadata"]["name"]) for item in kustomize(BASE / "operator")}
    for key in shared - {("Deployment", "nicplug-operator")}:
        assert built[key] == whole[key]
    one, other = (dict(environment(found)) for found in (built, whole))
    assert (one.pop("NICPLUG_MODE"), other.pop("NICPLUG_MODE")) == ({"value": "companion"}, {"value": "standalone"})
    assert one == other
    for found in (built, whole):
        container_of(found)["env"] = []
    assert built["Deployment", "nicplug-operator"] == whole["Deployment", "nicplug-operator"]


def container_of(found: Found) -> Json:
    container: Json
    (container,) = found["Deployment", "nicplug-operator"]["spec"]["template"]["spec"]["containers"]
    return container


def environment(found: Found) -> Iterator[tuple[str, Json]]:
    for row in container_of(found)["env"]:
        yield row["name"], {key: value for key, value in row.items() if key != "name"}


class TestPeople:
    def test_who_views_a_namespace_reads_its_reports(self, built: Found) -> None:
        role = built["ClusterRole", "nicplug.io:view"]
        assert granted(role["rules"]) == {"nicplug.io/interfacereports": READ}
        prefix = "rbac.authorization.k8s.io/aggregate-to-"
        aggregated = {key.removeprefix(prefix) for key in role["metadata"]["labels"] if key.startswith(prefix)}
        assert aggregated == {"view", "edit", "admin"}

    def test_everybody_reads_the_policy(self, built: Found) -> None:
        """It has no namespace, so no role of a namespace can give it."""
        assert granted(built["ClusterRole", "nicplug.io:default"]["rules"]) == {
            "nicplug.io/hotplugpolicies": {"get", "list"}
        }
        (subject,) = built["ClusterRoleBinding", "nicplug.io:default"]["subjects"]
        assert subject["name"] == "system:authenticated"

    def test_nobody_writes_reports(self, built: Found) -> None:
        roles = [item for (kind, name), item in built.items() if kind == "ClusterRole" and name != "nicplug-operator"]
        assert len(roles) == 2
        assert [role for role in roles if any(verbs - READ for verbs in granted(role["rules"]).values())] == []


def test_it_can_be_installed_in_another_namespace(tmp_path: Path) -> None:
    with_nudge(tmp_path)
    path = tmp_path / "kustomization.yaml"
    path.write_text(f"namespace: virtualization\n{path.read_text()}")
    found = kustomize(tmp_path)
    named = {item["metadata"].get("namespace") for item in found}
    assert named == {None, "virtualization"}
    subjects = {subject.get("namespace") for item in found for subject in item.get("subjects", ())}
    assert subjects == {None, "virtualization"}


def test_metrics_can_be_protected(tmp_path: Path) -> None:
    """By the component that the other variants use."""
    with_nudge(tmp_path)
    path = tmp_path / "kustomization.yaml"
    path.write_text(re.sub("components/nudge", "components/protected-metrics", path.read_text()))
    found = {(item["kind"], item["metadata"]["name"]): item for item in kustomize(tmp_path)}
    assert dict(environment(found))["NICPLUG_METRICS_AUTHENTICATION"] == {"value": "token-review"}
    assert container_of(found)["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"


def test_no_alert_is_about_an_api_that_is_not_installed() -> None:
    folder = OVERLAYS.parents[1] / "monitoring-companion"
    whole, left = ({item["kind"]: item for item in kustomize(path)} for path in (folder.parent / "monitoring", folder))
    assert whole.keys() == left.keys() == {"PodMonitor", "PrometheusRule", "ConfigMap"}
    groups = [[group["name"] for group in found["PrometheusRule"]["spec"]["groups"]] for found in (whole, left)]
    assert set(groups[0]) - set(groups[1]) == {"nicplug-api"}
    assert whole["PodMonitor"] == left["PodMonitor"]
    selector = left["PodMonitor"]["spec"]["selector"]
    labels = {item["kind"]: item for item in kustomize(COMPANION)}["Deployment"]["spec"]["template"]["metadata"][
        "labels"
    ]
    (expression,) = selector["matchExpressions"]
    assert selector["matchLabels"].items() <= labels.items()
    assert labels[expression["key"]] in expression["values"]
