"""Whose word counts: the field, its default, and what is not understood of it."""

from typing import Any

import pytest
from tests.build import kubevirt

from nicplug.model.kubevirt import KubevirtConfig, parse_kubevirt
from nicplug.model.trusted_namespaces import DEFAULT_TRUSTED_NAMESPACES

FIELD = "spec.configuration.network.hotplug.trustedNamespaces of KubeVirt CR kubevirt/kubevirt"
REMEDY = "write a list of at most 32 names of namespaces, such as [kube-system]"


def config(**hotplug: Any) -> KubevirtConfig:
    return parse_kubevirt(kubevirt(hotplug=hotplug))


@pytest.mark.parametrize(
    ("written", "names"),
    [
        pytest.param({}, DEFAULT_TRUSTED_NAMESPACES, id="absent"),
        pytest.param({"trustedNamespaces": None}, DEFAULT_TRUSTED_NAMESPACES, id="null is absent"),
        pytest.param({"trustedNamespaces": ["nets"]}, ("nets",), id="set means exactly these"),
        pytest.param({"trustedNamespaces": []}, (), id="an empty list trusts none"),
        pytest.param({"trustedNamespaces": ["b", "a", "b"]}, ("b", "a"), id="a name twice"),
    ],
)
def test_the_trusted_namespaces(written: dict[str, Any], names: tuple[str, ...]) -> None:
    assert config(**written).trusted_namespaces == names
    assert config(**written).problems == ()


@pytest.mark.parametrize(
    ("value", "names", "problem"),
    [
        pytest.param("nets", DEFAULT_TRUSTED_NAMESPACES, f'is "nets", and has no effect: {REMEDY}', id="no list"),
        pytest.param(["Nets"], (), f'lists "Nets", which has no effect: {REMEDY}', id="the default does not come back"),
        pytest.param(["nets", ""], ("nets",), f'lists "", which has no effect: {REMEDY}', id="an empty name"),
        pytest.param(["*"], (), f'lists "*", which has no effect: {REMEDY}', id="a pattern"),
        pytest.param(["nets", 7], ("nets",), f'lists "7", which has no effect: {REMEDY}', id="no text"),
        pytest.param(["a" * 64], (), f'lists "{"a" * 60}...", which has no effect: {REMEDY}', id="too long"),
        pytest.param(["a\n"], (), f'lists "a ", which has no effect: {REMEDY}', id="a line break"),
    ],
)
def test_a_wrong_value_is_a_problem_with_field_and_remedy(value: Any, names: tuple[str, ...], problem: str) -> None:
    found = config(trustedNamespaces=value)
    assert found.trusted_namespaces == names
    assert found.problems == (f"{FIELD} {problem}",)


def test_more_names_than_the_schema_allows_are_a_problem() -> None:
    found = config(trustedNamespaces=[f"n{number}" for number in range(40)])
    assert len(found.trusted_namespaces) == 32
    assert found.problems == (f"{FIELD} lists 40 names, of which only the first 32 count: {REMEDY}",)


def test_the_problems_of_the_other_fields_stay() -> None:
    found = config(onFailure="Retry", trustedNamespaces="nets")
    assert len(found.problems) == 2


@pytest.mark.parametrize("trusted", [None, ["kube-system"]])
def test_a_controller_in_a_namespace_that_is_not_trusted_is_a_problem(trusted: list[str] | None) -> None:
    found = config(trustedNamespaces=trusted, dynamicController={"namespace": "nets", "name": "plugger"})
    assert found.problems == (
        'spec.configuration.network.hotplug.dynamicController.namespace of KubeVirt CR kubevirt/kubevirt is "nets", '
        "which is not a trusted namespace, so no DaemonSet there counts: add it to "
        "spec.configuration.network.hotplug.trustedNamespaces, if no tenant may create DaemonSets in it",
    )
    assert config(trustedNamespaces=["nets"], dynamicController={"namespace": "nets"}).problems == ()
