"""What `nicplug uninstall` refuses, and what it says before it does anything."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.build import Json
from tests.unit.cli.played import CommandLine, PlayedServer, collection

from nicplug.cli.uninstall.parts import DEFINITIONS, GUARD, IN_ORDER, OF_USERS, OWN_DEFINITIONS
from nicplug.kube.resources import CUSTOM_RESOURCE_DEFINITIONS, KUBEVIRTS, NAMESPACES
from nicplug.model.names import INSTALLED_SELECTOR
from nicplug_sandbox.yaml_documents import read_documents


def path(resource: Any) -> str:
    group = f"/apis/{resource.group}" if resource.group else "/api"
    return f"GET {group}/{resource.version}/{resource.plural}"


def item(name: str, **metadata: Any) -> Json:
    return {"metadata": {"name": name, "uid": f"uid-{name}", **metadata}}


@pytest.fixture
def installed(server: PlayedServer) -> PlayedServer:
    """A Deployment, the guard of the CRDs, and the CRDs."""
    for resource in (*IN_ORDER, *OF_USERS, CUSTOM_RESOURCE_DEFINITIONS, KUBEVIRTS):
        server.answers[path(resource)] = collection()
    found = {resource.plural: path(resource) for resource in IN_ORDER}
    server.answers[found["deployments"]] = collection(item("nicplug-operator", namespace="nicplug-system"))
    server.answers[found["validatingadmissionpolicies"]] = collection(item(GUARD), item("nicplug-instances"))
    server.answers[path(CUSTOM_RESOURCE_DEFINITIONS)] = collection(*map(item, DEFINITIONS), item("other.nicplug.io"))
    return server


def removed(nicplug: CommandLine, *options: str) -> list[str]:
    done = nicplug("uninstall", "-o", "json", *options)
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["done"] is False
    return [row["name"] for row in document["removed"]]


def test_without_yes_it_only_says_what_would_go_and_keeps_the_guard(
    nicplug: CommandLine, installed: PlayedServer
) -> None:
    assert removed(nicplug) == ["nicplug-operator", "nicplug-instances"]
    assert {request.method for request in installed.requests} == {"GET"}


def test_a_purge_takes_the_guard_and_the_crds_along(nicplug: CommandLine, installed: PlayedServer) -> None:
    crds = (*DEFINITIONS, *OWN_DEFINITIONS)
    installed.answers[path(CUSTOM_RESOURCE_DEFINITIONS)] = collection(*map(item, crds), item("other.nicplug.io"))
    assert set(removed(nicplug, "--purge")) == {"nicplug-operator", "nicplug-instances", GUARD, *crds}
    assert removed(nicplug) == ["nicplug-operator", "nicplug-instances"]


def test_a_purge_did_not_say_that_kubevirt_objects_go(nicplug: CommandLine, installed: PlayedServer) -> None:
    """They were deleted with their CRD, and neither listed nor counted."""
    installed.answers[path(KUBEVIRTS)] = collection(item("settings", namespace="kubevirt"))
    assert "settings" in removed(nicplug, "--purge")
    assert "settings" not in removed(nicplug)
    installed.answers[path(CUSTOM_RESOURCE_DEFINITIONS)] = collection(item("other.nicplug.io"))
    assert "settings" not in removed(nicplug, "--purge")


def test_a_namespace_with_a_kubevirt_object_stays_unless_everything_goes(
    nicplug: CommandLine, installed: PlayedServer
) -> None:
    """It went with the namespace, though `uninstall` keeps it."""
    installed.answers[path(KUBEVIRTS)] = collection(item("kubevirt", namespace="kubevirt"))
    installed.answers[path(NAMESPACES)] = collection(item("kubevirt"), item("nicplug-system"))
    assert removed(nicplug) == ["nicplug-operator", "nicplug-instances", "nicplug-system"]
    assert "kubevirt" in removed(nicplug, "--purge")


def test_people_are_told_how_to_do_it(nicplug: CommandLine, installed: PlayedServer) -> None:
    done = nicplug("uninstall")
    assert "would delete Deployment nicplug-operator -n nicplug-system" in done.stdout
    assert "Nothing has been changed: add --yes to delete them." in done.stdout


def test_a_purge_is_refused_while_there_are_vms(nicplug: CommandLine, installed: PlayedServer) -> None:
    installed.answers[path(OF_USERS[1])] = collection(item("vm-fedora", namespace="default"))
    done = nicplug("uninstall", "--purge", "--yes")
    assert done.exit_code == 7
    assert "VirtualMachine vm-fedora -n default" in done.stderr
    assert "--delete-vms" in done.stderr
    assert "vm-fedora" in removed(nicplug, "--purge", "--delete-vms")


def test_a_helm_release_is_helm_s_to_uninstall(nicplug: CommandLine, installed: PlayedServer) -> None:
    (deployments,) = [path(resource) for resource in IN_ORDER if resource.plural == "deployments"]
    annotations = {"meta.helm.sh/release-name": "mine", "meta.helm.sh/release-namespace": "y"}
    installed.answers[deployments] = collection(item("nicplug-operator", namespace="x", annotations=annotations))
    done = nicplug("uninstall", "--yes")
    assert done.exit_code == 7
    assert "helm uninstall mine --namespace y;" in done.stderr


def test_vms_are_deleted_by_a_purge_alone(nicplug: CommandLine, installed: PlayedServer) -> None:
    assert nicplug("uninstall", "--delete-vms").exit_code == 2


def test_everything_that_is_installed_has_the_label_and_a_place_in_the_order() -> None:
    """What kustomize installs and no kind of the order has would be left behind."""
    root = Path(__file__).resolve().parents[3]
    kubectl = Path(sys.executable).parent / "kubectl"
    folders = ("base", "overlays/restricted-namespace", "overlays/high-availability", "overlays/companion")
    for folder in folders:
        built = subprocess.run(
            [kubectl, "kustomize", root / "deploy" / "kustomize" / folder], check=True, capture_output=True, text=True
        )
        documents = read_documents(built.stdout)
        kinds = {resource.kind for resource in IN_ORDER} | {"CustomResourceDefinition"}
        assert {document["kind"] for document in documents} <= kinds
        name, _, value = INSTALLED_SELECTOR.partition("=")
        assert [item for item in documents if item["metadata"].get("labels", {}).get(name) != value] == []
