"""`nicplug plan` against a played API server: manifests, and what is said of several changes at once."""

import json
from typing import Any

import pytest
from tests.build import kubevirt
from tests.unit.cli.played import CommandLine, PlayedServer, collection, refusal

from nicplug.cli.exits import Exit

Json = dict[str, Any]
KUBEVIRT = "/apis/kubevirt.io/v1"


@pytest.fixture(autouse=True)
def _cluster(server: PlayedServer) -> None:
    """Everything may be read; there are no VMs."""
    server.answers |= {
        f"GET {KUBEVIRT}/namespaces/kubevirt/kubevirts": collection(kubevirt()),
        "GET /api/v1/nodes": collection(),
        "GET /apis/apps/v1/namespaces/kube-system/daemonsets": collection(),
        "GET /api/v1/namespaces/kube-system/configmaps": collection(),
    }
    for namespace in ("default", "nosuch"):
        server.answers |= {
            f"GET {KUBEVIRT}/namespaces/{namespace}/virtualmachineinstancemigrations": collection(),
            f"GET /api/v1/namespaces/{namespace}/pods": collection(),
            f"GET /apis/apps/v1/namespaces/{namespace}/controllerrevisions": collection(),
        }


MANIFEST = json.dumps({"kind": "VirtualMachine", "metadata": {"name": "V", "namespace": "nosuch"}, "spec": {}})


def test_a_misspelt_field_was_named_behind_the_whole_object(nicplug: CommandLine, server: PlayedServer) -> None:
    whole = '{"metadata":{"managedFields":[]}}'
    fields = 'unknown field "spec.modell", unknown field "spec.nam"'
    told = f' "" is invalid: patch: Invalid value: "{whole}": strict decoding error: {fields}'
    vms = "/apis/kubevirt.io/v1/namespaces/nosuch/virtualmachines"
    server.answers |= {
        f"GET {vms}/V": (200, {"metadata": {"name": "V"}}),
        f"PATCH {vms}/V": refusal(422, "Invalid", told),
        "GET /apis/kubevirt.io/v1/namespaces/nosuch/virtualmachineinstances/V": refusal(404, "NotFound", "no"),
    }
    done = nicplug("plan", "-f", "-", stdin=MANIFEST)
    assert done.exit_code == Exit.WRONG_USE, done.output
    assert done.stderr.startswith(f"Error: VirtualMachine V: {fields}\n")
    assert "managedFields" not in done.stderr


def test_a_missing_namespace_was_to_be_searched_elsewhere(nicplug: CommandLine, server: PlayedServer) -> None:
    vms, gone = "/apis/kubevirt.io/v1/namespaces/nosuch/virtualmachines", refusal(404, "NotFound", '"V" not found')
    server.answers |= {
        f"GET {vms}/V": gone,
        "GET /apis/kubevirt.io/v1/namespaces/nosuch/virtualmachineinstances/V": gone,
        f"POST {vms}": refusal(404, "NotFound", 'namespaces "nosuch" not found'),
    }
    done = nicplug("plan", "-f", "-", stdin=MANIFEST)
    assert done.exit_code == Exit.NOT_FOUND, done.output
    assert 'Error: namespace "nosuch" does not exist\n  Create it (kubectl create namespace nosuch)' in done.stderr
    assert "Searched" not in done.stderr
