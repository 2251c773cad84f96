"""The CRDs of nicplug's own group, checked without a cluster: installed without KubeVirt's, and saying the same."""

from pathlib import Path
from typing import Any

import pytest
from tests.chart import kustomize

from nicplug_sandbox.yaml_documents import read_documents

CRDS = Path(__file__).parents[2] / "crds"
OWN = sorted((CRDS / "nicplug.io").glob("*.yaml"))

Json = dict[str, Any]


def definition(path: Path) -> Json:
    found: list[Json] = list(read_documents(path.read_text()))
    assert len(found) == 1
    return found[0]


def status_of(path: Path) -> Json:
    (version,) = definition(path)["spec"]["versions"]
    members: Json = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    return members


def test_both_folders_have_the_same_definition() -> None:
    """`kubectl apply -f crds/` in place of KubeVirt, `-f crds/nicplug.io/` beside it."""
    assert OWN
    own = [path for path in CRDS.glob("*.yaml") if definition(path)["spec"]["group"] == "nicplug.io"]
    assert sorted(path.resolve() for path in own) == sorted(path.resolve() for path in OWN)


def test_nothing_of_kubevirts_group_comes_with_them() -> None:
    found = kustomize(CRDS / "nicplug.io")
    assert {item["spec"]["group"] for item in found} == {"nicplug.io"}
    assert len(found) == len(OWN)
    groups = {item["spec"]["group"] for item in kustomize(CRDS)}
    assert groups == {"kubevirt.io", "nicplug.io"}


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_a_kind_is_named_and_found_as_nicplugs(path: Path) -> None:
    body = definition(path)
    assert body["metadata"]["name"] == f"{path.stem}.nicplug.io"
    assert body["metadata"]["labels"] == {"app.kubernetes.io/name": "nicplug"}
    names = body["spec"]["names"]
    assert (names["plural"], names["categories"]) == (path.stem, ["nicplug"])
    assert [version["name"] for version in body["spec"]["versions"]] == ["v1alpha1"]


class TestInterfaceReport:
    PATH = CRDS / "interfacereports.yaml"

    def test_its_names(self) -> None:
        spec = definition(self.PATH)["spec"]
        assert (spec["scope"], spec["names"]["kind"], spec["names"]["shortNames"]) == (
            "Namespaced", "InterfaceReport", ["nicr"]
        )  # fmt: skip

    def test_nothing_can_be_asked_of_it(self) -> None:
        """A spec would raise metadata.generation, which `kubectl wait` compares with the generation of the VM."""
        (version,) = definition(self.PATH)["spec"]["versions"]
        assert version["subresources"] == {"status": {}}
        assert set(version["schema"]["openAPIV3Schema"]["properties"]) == {"apiVersion", "kind", "metadata", "status"}

    @pytest.mark.parametrize("field", ["conditions", "interfaceOperations", "pciBudget"])
    def test_records_are_those_of_an_instance(self, field: str) -> None:
        """Planners and commands read one shape in both modes."""
        assert status_of(self.PATH)[field] == status_of(CRDS / "virtualmachineinstances.yaml")[field]

    def test_every_member_is_described(self) -> None:
        assert [name for name, schema in status_of(self.PATH).items() if not schema.get("description")] == []

    def test_columns(self) -> None:
        (version,) = definition(self.PATH)["spec"]["versions"]
        columns = version["additionalPrinterColumns"]
        assert [column["name"] for column in columns] == ["Ready", "Interfaces-Ready", "Reason", "Age", "Message"]
        assert [column["name"] for column in columns if column.get("priority")] == ["Message"]
