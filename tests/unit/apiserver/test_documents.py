"""Discovery in both forms, OpenAPI, version: what is served, and nothing else."""

import json
from typing import Any

import pytest
from tests.unit.apiserver.played import ADD, REMOVE, STORY

from nicplug.apiserver.calls import GROUP
from nicplug.apiserver.documents import Documents, wants_aggregated

DOCUMENTS = Documents([ADD, REMOVE], version="1.2.3")
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
OLD = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"


def read(path: str, *, accept: str = "application/json, */*") -> Any:
    found = DOCUMENTS.find(path, accept=accept)
    assert found is not None, path
    return json.loads(found.content)


@pytest.mark.parametrize("version", ["v1", "v1alpha3"])
def test_a_version_lists_the_subresources_that_have_handlers(version: str) -> None:
    body = read(f"/apis/{GROUP}/{version}")
    assert (body["kind"], body["groupVersion"]) == ("APIResourceList", f"{GROUP}/{version}")
    assert [(item["name"], item["kind"], item["verbs"], item["namespaced"]) for item in body["resources"]] == [
        ("virtualmachineinstances/removeinterface", "VirtualMachineInstance", ["update"], True),
        ("virtualmachines/addinterface", "VirtualMachine", ["update"], True),
    ]


def test_nothing_is_listed_that_has_no_handler() -> None:
    found = Documents([], version="1.2.3").find(f"/apis/{GROUP}/v1", accept="")
    assert found is not None
    assert json.loads(found.content)["resources"] == []


def test_the_group_prefers_its_newest_version() -> None:
    group = read(f"/apis/{GROUP}")
    assert (group["kind"], group["preferredVersion"]["version"]) == ("APIGroup", "v1")
    [listed] = read("/apis")["groups"]
    assert [version["groupVersion"] for version in listed["versions"]] == [f"{GROUP}/v1", f"{GROUP}/v1alpha3"]


def test_aggregated_discovery_is_served_to_who_asks_for_it() -> None:
    found = DOCUMENTS.find("/apis", accept=f"{AGGREGATED},{OLD},application/json")
    assert found is not None
    assert found.content_type == AGGREGATED
    body = json.loads(found.content)
    assert (body["kind"], body["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    [group] = body["items"]
    assert group["metadata"]["name"] == GROUP
    first = group["versions"][0]["resources"][0]
    assert (first["resource"], first["scope"]) == ("virtualmachineinstances", "Namespaced")
    [subresource] = first["subresources"]
    assert subresource["subresource"] == "removeinterface"
    assert subresource["responseKind"] == {"group": GROUP, "version": "v1", "kind": "VirtualMachineInstance"}


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (AGGREGATED, True),
        (AGGREGATED.replace(";", " ; "), True),
        (f"{OLD},{AGGREGATED}", True),
        (f"application/json,{AGGREGATED}", False),
        (OLD, False),
        ("application/json, */*", False),
        ("", False),
        (";;,=,", False),
    ],
)
def test_which_form_of_discovery_is_wanted(accept: str, wanted: bool) -> None:
    assert wants_aggregated(accept) is wanted


def test_openapi_v3_leads_to_a_document_per_version() -> None:
    index = read("/openapi/v3")["paths"]
    assert set(index) == {f"apis/{GROUP}/v1", f"apis/{GROUP}/v1alpha3"}
    path = index[f"apis/{GROUP}/v1"]["serverRelativeURL"].partition("?")[0]
    paths = read(path)["paths"]
    assert f"/apis/{GROUP}/v1/namespaces/{{namespace}}/virtualmachines/{{name}}/addinterface" in paths


def test_openapi_v2_names_no_operation_twice() -> None:
    body = read("/openapi/v2")
    names = [item["put"]["operationId"] for item in body["paths"].values()]
    assert len(names) == len(set(names)) == 4


@pytest.mark.parametrize("path", ["/version", f"/apis/{GROUP}/v1/version", f"/apis/{GROUP}/v1alpha3/version"])
def test_the_version_is_read_by_virtctl(path: str) -> None:
    """As KubeVirt 1.0's, or virtctl 1.0 would warn before each refusal that the versions differ."""
    told = read(path)
    assert (told["major"], told["minor"], told["gitVersion"]) == ("1", "0", "v1.0.0+nicplug.1.2.3")


@pytest.mark.parametrize("path", ["/", "/api", "/apis/apps", f"/apis/{GROUP}/v2", "/openapi", "/metrics"])
def test_there_is_nothing_else(path: str) -> None:
    assert DOCUMENTS.find(path, accept="") is None


def test_a_subresource_is_described_by_its_own_verb() -> None:
    documents = Documents([STORY], version="1.2.3")

    def read_of(path: str, accept: str = "") -> Any:
        found = documents.find(path, accept=accept)
        assert found is not None
        return json.loads(found.content)

    [listed] = read_of(f"/apis/{GROUP}/v1")["resources"]
    assert listed["verbs"] == ["get"]
    [resource] = read_of("/apis", AGGREGATED)["items"][0]["versions"][0]["resources"]
    assert resource["subresources"][0]["verbs"] == ["get"]
    for path in ("/openapi/v2", f"/openapi/v3/apis/{GROUP}/v1"):
        for item in read_of(path)["paths"].values():
            assert set(item) == {"get", "parameters"}
            assert not {"requestBody", "consumes"} & set(item["get"])
            assert item["get"]["x-kubernetes-action"] == "get"
