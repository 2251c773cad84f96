"""Whose a KubeVirt CR is: by what virt-operator leaves on it, and nicplug never writes."""

from typing import Any

import pytest
from tests.build import kubevirt

from nicplug.model.kubevirt import mark_of_virt_operator

MARKS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {}, ""),
    ({"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}, {}, ""),
    ({"finalizers": ["mine"]}, {"phase": "Deployed", "operatorVersion": "v1"}, ""),
    (
        {"annotations": {"kubevirt.io/latest-observed-api-version": "v1"}},
        {},
        "annotation kubevirt.io/latest-observed-api-version",
    ),
    (
        {"annotations": {"kubevirt.io/storage-observed-api-version": ""}},
        {},
        "annotation kubevirt.io/storage-observed-api-version",
    ),
    ({"finalizers": ["foregroundDeleteKubeVirt"]}, {}, "finalizer foregroundDeleteKubeVirt"),
    ({}, {"targetDeploymentID": "abc"}, "status.targetDeploymentID"),
    ({}, {"observedDeploymentID": "abc"}, "status.observedDeploymentID"),
    ({}, {"observedDeploymentID": ""}, ""),
]


@pytest.mark.parametrize(("metadata", "status", "mark"), MARKS)
def test_the_mark_of_virt_operator(metadata: dict[str, Any], status: dict[str, Any], mark: str) -> None:
    raw = kubevirt()
    raw["metadata"] |= metadata
    raw["status"] = status
    assert mark_of_virt_operator(raw) == mark
