"""The sandbox's control plane does what a cluster does: owners, namespaces, scheduling, tokens, audit."""

import base64
import json
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.kubectl import Kubectl, Object
from tests.integration.waiting import until

from nicplug_sandbox.apply import apply_manifests
from nicplug_sandbox.controlplane import ControlPlane
from nicplug_sandbox.errors import SandboxError

READY = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastTransitionTime": None}
READS = ("get", "list", "watch")
SYSTEM_USERS = ("system:apiserver", "system:kube-", "system:serviceaccount:kube-system:")
RESOURCES = {"cpu": "8", "memory": "8Gi", "pods": "20"}


@pytest.fixture
def cluster(control_plane: ControlPlane) -> Kubectl:
    """As admin, for what has no namespace."""
    return Kubectl(kubeconfig=control_plane.kubeconfig)


@pytest.fixture
def kubectl(control_plane: ControlPlane, cluster: Kubectl) -> Iterator[Kubectl]:
    """As admin, in a namespace of the test's own."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster("create", "namespace", name)
    yield Kubectl(kubeconfig=control_plane.kubeconfig, namespace=name)
    cluster("delete", "namespace", name, "--wait=false")


@pytest.fixture
def node(cluster: Kubectl) -> Iterator[str]:
    """A node that says it is ready."""
    name = f"node-{uuid.uuid4().hex[:8]}"
    cluster.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"node": name}}})
    status = {"status": {"capacity": RESOURCES, "allocatable": RESOURCES, "conditions": [READY]}}
    cluster("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps(status))
    yield name
    cluster("delete", "node", name, "--ignore-not-found")


def pod(name: str, **spec: object) -> Object:
    containers = [{"name": "main", "image": "example.invalid/main"}]
    body = {"containers": containers, "terminationGracePeriodSeconds": 0, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body}


def condition(kubectl: Kubectl, name: str, type_: str) -> Object:
    conditions = kubectl.get("pod", name)["status"].get("conditions", [])
    return next((found for found in conditions if found["type"] == type_), {})


def audit_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_pods_are_admitted_at_once_in_a_fresh_namespace(kubectl: Kubectl) -> None:
    until(lambda: kubectl.run("create", "-f", "-", stdin=pod("first")).returncode == 0, seconds=10)
    assert kubectl.get("pod", "first")["spec"]["serviceAccountName"] == "default"


def test_the_scheduler_says_why_a_pod_fits_nowhere(kubectl: Kubectl, node: str) -> None:
    kubectl.create(pod("picky", nodeSelector={"colour": "none-has-it"}))
    found = until(lambda: condition(kubectl, "picky", "PodScheduled"))
    assert (found["status"], found["reason"]) == ("False", "Unschedulable")
    assert "node(s) didn't match Pod's node affinity/selector" in found["message"]


def test_the_scheduler_minds_resources(kubectl: Kubectl, node: str) -> None:
    requests = {"requests": {"cpu": "6"}}
    for name in ("first", "second"):
        body = pod(name, nodeSelector={"node": node})
        body["spec"]["containers"][0]["resources"] = requests
        kubectl.create(body)
        if name == "first":
            until(lambda: kubectl.get("pod", "first")["spec"].get("nodeName") == node)
    found = until(lambda: condition(kubectl, "second", "PodScheduled"))
    assert "Insufficient cpu" in found["message"]


def test_a_new_node_is_tainted_until_it_is_ready(cluster: Kubectl) -> None:
    name = f"node-{uuid.uuid4().hex[:8]}"
    kept = cluster.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    assert kept["spec"]["taints"][0]["key"] == "node.kubernetes.io/not-ready"
    cluster("patch", "node", name, "--subresource=status", "--type=merge", "-p",
            json.dumps({"status": {"conditions": [READY]}}))  # fmt: skip
    until(lambda: "taints" not in cluster.get("node", name)["spec"])
    cluster("delete", "node", name)


def test_objects_go_with_their_owner(kubectl: Kubectl) -> None:
    owner = kubectl.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    metadata = {"name": "owned", "ownerReferences": [reference]}
    kubectl.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    kubectl("delete", "configmap", "owner")
    until(lambda: kubectl.run("get", "configmap", "owned").returncode != 0)


def test_pods_go_with_an_owner_of_a_new_kind(
    control_plane: ControlPlane, cluster: Kubectl, kubectl: Kubectl, tmp_path: Path
) -> None:
    """The collector learns of a CRD within seconds; upstream's half a minute would hold up every test."""
    plural = f"things{uuid.uuid4().hex[:6]}"
    manifest = tmp_path / "definition.yaml"
    manifest.write_text(json.dumps(definition(plural)))
    apply_manifests(kubeconfig=control_plane.kubeconfig, paths=[manifest])
    kind = plural.capitalize()
    owner = kubectl.create({"apiVersion": "test.example/v1", "kind": kind, "metadata": {"name": "owner"}})
    body = pod("owned")
    body["metadata"]["ownerReferences"] = [
        {"apiVersion": "test.example/v1", "kind": kind, "name": "owner", "uid": owner["metadata"]["uid"],
         "controller": True, "blockOwnerDeletion": True}
    ]  # fmt: skip
    kubectl.create(body)
    kubectl("delete", f"{plural}.test.example", "owner")
    until(lambda: kubectl.run("get", "pod", "owned").returncode != 0, seconds=15)
    cluster("delete", "crd", f"{plural}.test.example")


def test_apply_waits_until_an_object_of_a_new_kind_is_accepted(
    control_plane: ControlPlane, cluster: Kubectl, kubectl: Kubectl, tmp_path: Path
) -> None:
    plural = f"things{uuid.uuid4().hex[:6]}"
    thing = {
        "apiVersion": "test.example/v1", "kind": plural.capitalize(),
        "metadata": {"name": "thing", "namespace": kubectl.namespace},
    }  # fmt: skip
    # The object first, on purpose: the order is found, not given.
    (tmp_path / "all.yaml").write_text(json.dumps(thing) + "\n---\n" + json.dumps(definition(plural)))
    applied = apply_manifests(kubeconfig=control_plane.kubeconfig, paths=[tmp_path])
    assert set(applied) == {f"{plural.capitalize()}/thing", f"CustomResourceDefinition/{plural}.test.example"}
    assert kubectl.get(f"{plural}.test.example", "thing")["metadata"]["uid"]
    assert apply_manifests(kubeconfig=control_plane.kubeconfig, paths=[tmp_path]) == applied, "twice is no error"
    kept = apply_manifests(kubeconfig=control_plane.kubeconfig, paths=[tmp_path], only_missing_definitions=True)
    assert kept == [], "what a foreign cluster has is left alone"
    cluster("delete", "crd", f"{plural}.test.example")


def test_a_refused_manifest_is_explained(control_plane: ControlPlane, tmp_path: Path) -> None:
    bad = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Bad_Name", "namespace": "default"}}
    (tmp_path / "bad.yaml").write_text(json.dumps(bad))
    with pytest.raises(SandboxError, match="manifests were not applied") as caught:
        apply_manifests(kubeconfig=control_plane.kubeconfig, paths=[tmp_path])
    assert "Bad_Name" in caught.value.detail


def definition(plural: str) -> Object:
    schema = {"openAPIV3Schema": {"type": "object"}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.test.example"},
        "spec": {
            "group": "test.example",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": plural.capitalize()},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def test_a_namespace_ends(cluster: Kubectl) -> None:
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster("create", "namespace", name)
    cluster("create", "configmap", "inside", "--namespace", name)
    cluster("delete", "namespace", name, "--wait=false")
    until(lambda: cluster.run("get", "namespace", name).returncode != 0)


def test_a_daemon_set_has_a_pod_on_each_matching_node(kubectl: Kubectl, node: str) -> None:
    template = {
        "metadata": {"labels": {"app": "agent"}},
        "spec": {**pod("agent")["spec"], "nodeSelector": {"node": node}, "terminationGracePeriodSeconds": 30},
    }
    kubectl.create(
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "agent"},
            "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template},
        }
    )
    pods = until(lambda: kubectl.get("pods", "-l", "app=agent")["items"])
    assert len(pods) == 1
    until(lambda: kubectl.get("pods", "-l", "app=agent")["items"][0]["spec"].get("nodeName") == node)


def test_a_deployment_has_its_pods(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "web", "--image=example.invalid/web", "--replicas=2")
    until(lambda: len(kubectl.get("pods", "-l", "app=web")["items"]) == 2)


def test_pods_of_a_deleted_node_go(cluster: Kubectl, kubectl: Kubectl, node: str) -> None:
    kubectl.create(pod("bound", nodeName=node, terminationGracePeriodSeconds=30))
    cluster("delete", "node", node)
    until(lambda: kubectl.run("get", "pod", "bound").returncode != 0)


def test_quota_is_counted(kubectl: Kubectl) -> None:
    kubectl("create", "quota", "few", "--hard=configmaps=1")
    until(lambda: kubectl.get("quota", "few").get("status", {}).get("used") == {"configmaps": "0"})
    kubectl("create", "configmap", "one")
    assert "exceeded quota: few" in kubectl.refused("create", "configmap", "two")
    kubectl("delete", "configmap", "one")
    until(lambda: kubectl.get("quota", "few")["status"]["used"] == {"configmaps": "0"})


def test_a_service_account_gets_a_token_and_no_rights(control_plane: ControlPlane, kubectl: Kubectl) -> None:
    kubectl("create", "serviceaccount", "robot")
    token = kubectl("create", "token", "robot").strip()
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == f"system:serviceaccount:{kubectl.namespace}:robot"
    as_robot = ("--token", token)
    server = ("--server", control_plane.server, "--certificate-authority", control_plane.directory / "pki" / "ca.crt")
    bare = Kubectl(kubeconfig=Path(os.devnull), namespace=kubectl.namespace)
    denied = bare.refused(*server, *as_robot, "--cache-dir", control_plane.directory / "robot-cache", "get", "pods")
    assert 'cannot list resource "pods"' in denied
    kubectl("create", "rolebinding", "robot", "--clusterrole=view", f"--serviceaccount={kubectl.namespace}:robot")
    until(lambda: bare.run(*server, *as_robot, "get", "pods").returncode == 0, seconds=10)


def test_strangers_are_refused(control_plane: ControlPlane) -> None:
    bare = Kubectl(kubeconfig=Path(os.devnull))
    server = ("--server", control_plane.server, "--certificate-authority", control_plane.directory / "pki" / "ca.crt")
    assert "Unauthorized" in bare.refused(*server, "--token", "made-up", "get", "pods")


def test_every_write_is_in_the_audit_log_with_its_user_and_code(control_plane: ControlPlane, kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "audited")
    kubectl("patch", "configmap", "audited", "--type=merge", "-p", '{"data": {"a": "b"}}')
    kubectl.refused("create", "configmap", "audited")
    kubectl("get", "configmap", "audited")
    lines = [
        line
        for line in audit_lines(control_plane.audit_log)
        if line.get("objectRef", {}).get("namespace") == kubectl.namespace
        and line["objectRef"].get("resource") == "configmaps"
        and line["user"].get("username") == "kubernetes-admin"
    ]
    assert {line["stage"] for line in lines} == {"ResponseComplete"}
    writes = [(line["verb"], line["responseStatus"]["code"]) for line in lines if line["verb"] not in READS]
    assert writes == [("create", 201), ("patch", 200), ("create", 409)]
    assert ("get", 200) in {(line["verb"], line["responseStatus"]["code"]) for line in lines}


def test_the_systems_own_reads_are_not_in_the_audit_log(control_plane: ControlPlane, kubectl: Kubectl) -> None:
    lines = audit_lines(control_plane.audit_log)
    own = [line for line in lines if line["user"].get("username", "").startswith(SYSTEM_USERS)]
    assert {line["verb"] for line in own}.isdisjoint(READS)
    writers = {line["user"]["username"] for line in own}
    assert "system:serviceaccount:kube-system:service-account-controller" in writers, "controllers act as themselves"


def test_the_server_knows_its_release(kubectl: Kubectl) -> None:
    # It warns of an older server.
    version = json.loads(kubectl.run("version", "-o", "json").stdout)["serverVersion"]
    assert version["gitVersion"].startswith("v1.")
    assert version["major"] == "1"


def test_secrets_of_the_directory_are_the_owners(control_plane: ControlPlane) -> None:
    assert stat.S_IMODE(control_plane.kubeconfig.stat().st_mode) == 0o600
    assert stat.S_IMODE(control_plane.directory.stat().st_mode) == 0o700
