"""The CRDs and the examples, checked without a cluster: names, schemas, no loss of what KubeVirt has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nicplug.model.operations import OperationPath, OperationPhase, OperationType
from nicplug.model.rivals import is_kubevirts_own

ROOT = Path(__file__).resolve().parents[2]
CRDS = ROOT / "crds"
GOLDEN_VM = ROOT / "tests" / "golden" / "kubevirt-1.9-vm.yaml"
STATUS_ROWS = ROOT / "tests" / "golden" / "status-rows.yaml"

Schema = dict[str, Any]
PRESERVE = "x-kubernetes-preserve-unknown-fields"
PLURALS = ("kubevirts", "virtualmachineinstancemigrations", "virtualmachineinstances", "virtualmachines")
OWN_PLURALS = tuple(sorted(path.stem for path in (CRDS / "nicplug.io").glob("*.yaml")))


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def crd(plural: str) -> dict[str, Any]:
    (document,) = documents(CRDS / f"{plural}.yaml")
    return document


def version(plural: str) -> dict[str, Any]:
    (only,) = crd(plural)["spec"]["versions"]
    return dict(only)


def schema_at(plural: str, path: str = "") -> Schema:
    """The schema of one field; `[]` steps into the items of a list."""
    found: Schema = version(plural)["schema"]["openAPIV3Schema"]
    for step in path.split(".") if path else ():
        found = found["properties"][step.removesuffix("[]")]
        if step.endswith("[]"):
            found = found["items"]
    return found


def walk(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema inside `schema`, itself first."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


def lost(schema: Schema, value: object, path: str = "") -> Iterator[str]:
    """Paths of `value` that an API server drops on write: unknown ones, and nulls that are not allowed.

    The rule is the API server's pruning of structural schemas; `metadata` at the root is not pruned by it.
    """
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from lost(schema.get("items", {}), item, f"{path}[{index}]")
    if not isinstance(value, dict) or schema.get("additionalProperties") is True:
        return
    for key, child in value.items():
        known = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
        where = f"{path}.{key}"
        if known is None:
            if not schema.get(PRESERVE):
                yield where
        elif child is None and not known.get("nullable"):
            yield where
        else:
            yield from lost(known, child, where)


def lost_by(plural: str, document: dict[str, Any]) -> list[str]:
    body = {key: value for key, value in document.items() if key != "metadata"}
    return list(lost(schema_at(plural), body))


# What KubeVirt 1.9 has at each level where nicplug's schema lists fields one by one and keeps nothing else.
VMI_SPEC_FIELDS = (
    "accessCredentials affinity architecture dnsConfig dnsPolicy domain evictionStrategy hostname "
    "livenessProbe networks nodeSelector priorityClassName readinessProbe resourceClaims schedulerName "
    "serviceAccountName startStrategy subdomain terminationGracePeriodSeconds tolerations "
    "topologySpreadConstraints utilityVolumes volumes"
)
# With slirp, macvtap and passt, which only KubeVirt's schema still has.
INTERFACE_FIELDS = (
    "acpiIndex binding bootOrder bridge dhcpOptions macAddress macvtap masquerade model name passt passtBinding "
    "pciAddress portRanges ports slirp sriov state tag"
)
NETWORK_FIELDS = "multus name pod resourceClaim"
KUBEVIRT_FIELDS = {
    ("virtualmachines", "spec"): (
        "dataVolumeTemplates instancetype preference runStrategy running template updateVolumesStrategy"
    ),
    ("virtualmachines", "spec.template"): "metadata spec",
    ("virtualmachines", "spec.template.spec"): VMI_SPEC_FIELDS,
    ("virtualmachines", "spec.template.spec.domain.devices.interfaces[]"): INTERFACE_FIELDS,
    ("virtualmachines", "spec.template.spec.networks[]"): NETWORK_FIELDS,
    ("virtualmachines", "status"): (
        "changedBlockTracking conditions created desiredGeneration instancetypeRef memoryDumpRequest "
        "observedGeneration preferenceRef printableStatus ready restoreInProgress runStrategy "
        "snapshotInProgress startFailure stateChangeRequests volumeRequests volumeSnapshotStatuses "
        "volumeUpdateState"
    ),
    ("virtualmachineinstances", "spec"): VMI_SPEC_FIELDS,
    ("virtualmachineinstances", "spec.domain.devices.interfaces[]"): INTERFACE_FIELDS,
    ("virtualmachineinstances", "spec.networks[]"): NETWORK_FIELDS,
    ("virtualmachineinstances", "status"): (
        "VSOCKCID activePods changedBlockTracking conditions currentCPUTopology evacuationNodeName "
        "fsFreezeStatus guestOSInfo interfaces kernelBootStatus launcherContainerImageVersion machine "
        "memory migratedVolumes migrationMethod migrationState migrationTransport nodeName phase "
        "phaseTransitionTimestamps qosClass reason runtimeUser selinuxContext topologyHints "
        "virtualMachineRevisionName volumeStatus"
    ),
    ("virtualmachineinstancemigrations", "spec"): "addedNodeSelector priority receive sendTo vmiName",
    ("virtualmachineinstancemigrations", "status"): (
        "conditions migrationState phase phaseTransitionTimestamps synchronizationAddresses"
    ),
    ("kubevirts", "spec"): (
        "certificateRotateStrategy configuration customizeComponents imagePullPolicy imagePullSecrets "
        "imageRegistry imageTag infra monitorAccount monitorNamespace productComponent productName "
        "productVersion serviceMonitorNamespace synchronizationPlacement synchronizationPort "
        "uninstallStrategy workloadUpdateStrategy workloads"
    ),
    ("kubevirts", "status"): (
        "conditions defaultArchitecture generations observedDeploymentConfig observedDeploymentID "
        "observedGeneration observedKubeVirtRegistry observedKubeVirtVersion operatorVersion "
        "outdatedVirtualMachineInstanceWorkloads phase synchronizationAddresses targetDeploymentConfig "
        "targetDeploymentID targetKubeVirtRegistry targetKubeVirtVersion"
    ),
}
OWN_FIELDS = {
    # interfaceRequests is KubeVirt's up to 1.0, where virtctl addinterface still exists.
    ("virtualmachines", "status"): {"interfaceOperations", "interfaceRequests", "interfaceSummary"},
    ("virtualmachineinstances", "status"): {"interfaceOperations", "interfaceSummary", "launcherPods", "pciBudget"},
    ("virtualmachineinstancemigrations", "status"): {
        "causesAtFault",
        "interfacesAtFault",
        "targetPod",
        "targetPodRenewal",
        "vmiUid",
    },
    ("kubevirts", "status"): {"hotplug"},
}


@pytest.mark.parametrize(("plural", "path"), KUBEVIRT_FIELDS, ids=" ".join)
def test_every_field_of_kubevirt_has_a_place(plural: str, path: str) -> None:
    expected = set(KUBEVIRT_FIELDS[plural, path].split()) | OWN_FIELDS.get((plural, path), set())
    assert set(schema_at(plural, path)["properties"]) == expected


NAMES = {
    "virtualmachines": ("VirtualMachine", ["vm", "vms"]),
    "virtualmachineinstances": ("VirtualMachineInstance", ["vmi", "vmis"]),
    "virtualmachineinstancemigrations": ("VirtualMachineInstanceMigration", ["vmim", "vmims"]),
    "kubevirts": ("KubeVirt", ["kv", "kvs"]),
}


@pytest.mark.parametrize("plural", PLURALS)
def test_names_are_those_of_kubevirt(plural: str) -> None:
    kind, short_names = NAMES[plural]
    spec = crd(plural)["spec"]
    assert crd(plural)["metadata"]["name"] == f"{plural}.kubevirt.io"
    assert (spec["group"], spec["scope"], version(plural)["name"]) == ("kubevirt.io", "Namespaced", "v1")
    assert spec["names"] == {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "shortNames": short_names,
        "categories": ["all"],
    }


COLUMNS = {
    "virtualmachines": "Age Status Ready NICs-Ready NICs NIC-Reason",
    "virtualmachineinstances": "Age Phase IP NodeName Ready Live-Migratable Paused NICs-Ready NICs NIC-Reason",
    "virtualmachineinstancemigrations": "Phase VMI Reason Source Target Age Message",
    "kubevirts": "Age Phase Nodes With-controller Hotplug",
}


WIDE = {
    "virtualmachines": ["NICs", "NIC-Reason"],
    "virtualmachineinstances": ["Live-Migratable", "Paused", "NICs", "NIC-Reason"],
    "virtualmachineinstancemigrations": ["Message"],
    "kubevirts": ["Nodes", "With-controller", "Hotplug"],
}


@pytest.mark.parametrize("plural", PLURALS)
def test_columns_are_those_of_kubevirt_and_three_for_nics(plural: str) -> None:
    columns = version(plural)["additionalPrinterColumns"]
    assert " ".join(column["name"] for column in columns) == COLUMNS[plural]
    wide = [column["name"] for column in columns if column.get("priority")]
    assert wide == WIDE.get(plural, [])


@pytest.mark.parametrize("plural", PLURALS)
def test_nicplug_took_its_own_crds_for_kubevirts(plural: str) -> None:
    """Also where KubeVirt's were before, whose labels stay when ours are applied over them."""
    definition = crd(plural)
    definition["metadata"]["labels"] |= {"app.kubernetes.io/managed-by": "virt-operator", "kubevirt.io": ""}
    assert not is_kubevirts_own(definition)


@pytest.mark.parametrize("plural", PLURALS)
def test_every_kind_has_the_status_subresource(plural: str) -> None:
    assert version(plural)["subresources"] == {"status": {}}


@pytest.mark.parametrize("plural", PLURALS)
@pytest.mark.parametrize("level", ["", "spec", "status"])
def test_unknown_fields_are_not_kept_at_the_top(plural: str, level: str) -> None:
    assert PRESERVE not in schema_at(plural, level)


def test_a_template_is_an_instance() -> None:
    """An instance is made from the template: a field that only one of them keeps would be lost."""
    template = json.dumps(schema_at("virtualmachines", "spec.template.spec"))
    instance = schema_at("virtualmachineinstances", "spec")
    # The messages of rules name the fields by their whole paths.
    assert json.loads(template.replace("spec.template.spec.", "spec.")) == instance


@pytest.mark.parametrize("field", ["conditions", "interfaceOperations", "interfaceSummary"])
def test_what_is_mirrored_to_the_vm_has_the_same_schema(field: str) -> None:
    assert schema_at("virtualmachines", f"status.{field}") == schema_at("virtualmachineinstances", f"status.{field}")


def test_a_migration_can_hold_the_migration_state_of_the_instance() -> None:
    assert schema_at("virtualmachineinstances", "status.migrationState") == schema_at(
        "virtualmachineinstancemigrations", "status.migrationState"
    )


MAP_TYPE = "x-kubernetes-map-type"
MERGED = {
    ("virtualmachineinstances", "spec.domain.devices.interfaces"): ["name"],
    ("virtualmachineinstances", "spec.networks"): ["name"],
    ("kubevirts", "status.conditions"): ["type"],
}


@pytest.mark.parametrize(("plural", "path"), MERGED, ids=" ".join)
def test_a_list_has_each_key_once(plural: str, path: str) -> None:
    schema = schema_at(plural, path)
    assert schema["x-kubernetes-list-type"] == "map"
    assert schema["x-kubernetes-list-map-keys"] == MERGED[plural, path]


@pytest.mark.parametrize(("plural", "path"), MERGED, ids=" ".join)
def test_server_side_apply_merges(plural: str, path: str) -> None:
    """A list merges only where nothing around it is owned as a whole."""
    steps = path.split(".")
    around = [schema_at(plural, ".".join(steps[:end])) for end in range(len(steps))]
    assert [schema.get(MAP_TYPE) for schema in around] == [None] * len(steps)


@pytest.mark.parametrize("plural", [*(plural for plural in PLURALS if plural != "kubevirts"), "interfacereports"])
def test_a_status_has_one_owner(plural: str) -> None:
    """An entry of managedFields for each member of each row cost a third of every write."""
    assert schema_at(plural, "status")[MAP_TYPE] == "atomic"


# Typed nodes of a row are made, checked and thrown away at every write of a status (docs/adr/0031).
ROWS = (
    ("virtualmachines", "conditions"),
    ("virtualmachines", "interfaceOperations"),
    ("virtualmachineinstances", "conditions"),
    ("virtualmachineinstances", "interfaceOperations"),
    ("virtualmachineinstances", "interfaces"),
    ("virtualmachineinstances", "launcherPods"),
    ("virtualmachineinstances", "phaseTransitionTimestamps"),
    ("virtualmachineinstancemigrations", "conditions"),
    ("virtualmachineinstancemigrations", "phaseTransitionTimestamps"),
    ("interfacereports", "conditions"),
    ("interfacereports", "interfaceOperations"),
)


@pytest.mark.parametrize(("plural", "field"), ROWS, ids=" ".join)
def test_typed_rows_made_a_status_write_dear(plural: str, field: str) -> None:
    assert set(schema_at(plural, f"status.{field}")) == {PRESERVE, "description"}


@pytest.mark.parametrize(("plural", "field"), ROWS, ids=" ".join)
def test_a_list_of_rows_describes_their_members(plural: str, field: str) -> None:
    """`kubectl explain` shows the list, and has no members to show."""
    (rows,) = documents(STATUS_ROWS)
    described = set(re.findall(r"\w+", schema_at(plural, f"status.{field}")["description"]))
    for path, _ in walk(rows[field]["items"]):
        assert not path or path.rsplit(".", 1)[-1].removesuffix("[]") in described, path


def test_words_of_a_record_are_those_of_the_model() -> None:
    (rows,) = documents(STATUS_ROWS)
    words = {"operation": OperationType, "path": OperationPath, "phase": OperationPhase}
    members = rows["interfaceOperations"]["items"]["properties"]
    found = {name: schema["enum"] for name, schema in members.items() if "enum" in schema}
    assert found == {name: [str(word) for word in enum] for name, enum in words.items()}


def structural_faults(schema: Schema) -> Iterator[str]:
    """Slips of the hand that break apiextensions' rules for structural schemas."""
    untyped = bool(schema.get("x-kubernetes-int-or-string")), PRESERVE in schema
    if ("type" in schema and untyped[0]) or ("type" not in schema and not any(untyped)):
        yield "needs a type, or x-kubernetes-int-or-string, or to keep what it does not know"
    if schema.get("type") == "array" and "items" not in schema:
        yield "a list needs items"
    if schema.get("x-kubernetes-list-type") == "map" and not (
        set(schema["x-kubernetes-list-map-keys"]) <= set(schema["items"]["required"])
    ):
        yield "keys of a list map must be required"
    if schema.get("properties") and schema.get("additionalProperties"):
        yield "properties exclude additionalProperties"


@pytest.mark.parametrize("plural", [*PLURALS, *OWN_PLURALS])
def test_schema_is_structural(plural: str) -> None:
    faults = [(path, fault) for path, schema in walk(schema_at(plural)) for fault in structural_faults(schema)]
    assert faults == []


@pytest.mark.parametrize("plural", [*PLURALS, "interfacereports"])
def test_null_timestamps_are_accepted(plural: str) -> None:
    times = [schema for _, schema in walk(schema_at(plural)) if schema.get("format") == "date-time"]
    assert times
    assert all(schema.get("nullable") for schema in times)


# KubeVirt refuses other values of the first two as well; the rest is nicplug's own API.
_EVICTION = "None LiveMigrate LiveMigrateIfPossible External"
ENUMS = {
    "spec.evictionStrategy": _EVICTION,
    "spec.template.spec.evictionStrategy": _EVICTION,
    "spec.configuration.evictionStrategy": _EVICTION,
    "spec.configuration.vmRolloutStrategy": "Stage LiveUpdate",
    "spec.priority": "system-critical user-triggered system-maintenance",
    "spec.configuration.network.hotplug.removalPolicy": "Explicit Declarative",
    "spec.configuration.network.hotplug.dynamicPath": "Auto Always Never",
    "spec.configuration.network.hotplug.onFailure": "Migrate Hold Rollback",
    "spec.configuration.network.hotplug.migration": "Allowed Never",
    "spec.configuration.network.hotplug.nadPolicy": "Multus SameNamespace Any",
}


@pytest.mark.parametrize("plural", PLURALS)
def test_nothing_that_kubevirt_accepts_is_refused(plural: str) -> None:
    """What KubeVirt's webhooks refuse, and the bounds that this needs, are in test_admission.py."""
    for path, schema in walk(schema_at(plural)):
        if "enum" in schema:
            assert " ".join(schema["enum"]) == ENUMS[path]
        is_own = path.startswith("spec.configuration.network.hotplug.")
        assert is_own or not {"pattern", "minLength", "minItems"} & set(schema), path
        has_rules = plural != "kubevirts" and path.startswith("spec")
        assert is_own or has_rules or not {"x-kubernetes-validations", "maxLength"} & set(schema), path


def test_own_fields_are_described() -> None:
    for field in ("interfaceOperations", "interfaceSummary", "pciBudget"):
        for path, schema in walk(schema_at("virtualmachineinstances", f"status.{field}")):
            if not path.endswith("[]") and path != "[].name":
                assert schema.get("description"), f"{field}{path}"


@pytest.mark.parametrize("plural", [*PLURALS, *OWN_PLURALS])
def test_crd_fits_the_annotation_of_kubectl_apply(plural: str) -> None:
    """`kubectl apply` copies the object into an annotation; all annotations together may have 256 KiB."""
    assert len(json.dumps(crd(plural))) < 262_144 / 2


def test_a_kubevirt_vm_keeps_every_field() -> None:
    (vm,) = documents(GOLDEN_VM)
    assert lost_by("virtualmachines", vm) == []


def test_the_golden_vm_uses_most_of_kubevirt() -> None:
    """A golden file that shrinks would make the round-trip test pass for the wrong reason."""
    (vm,) = documents(GOLDEN_VM)
    spec = vm["spec"]["template"]["spec"]
    assert set(spec) == set(VMI_SPEC_FIELDS.split())
    known = set(schema_at("virtualmachineinstances", "spec.domain.devices")["properties"])
    assert len(set(spec["domain"]["devices"]) - known) > 20


def test_loss_is_noticed() -> None:
    vm = {"spec": {"template": {"spec": {"domain": {"devices": {"new": 1}}, "new": 1}}, "running": None}}
    assert lost_by("virtualmachines", vm) == [".spec.template.spec.new", ".spec.running"]


@pytest.mark.parametrize(
    "typo",
    [
        {"macAdress": "02:00:00:00:00:01"},
        {"sate": "absent"},
        {"bridge": {"mtu": 9000}},
        {"binding": {"name": "vdpa", "kind": "x"}},
        {"ports": [{"port": 80, "proto": "TCP"}]},
        {"dhcpOptions": {"ntpServer": "127.0.0.1"}},
    ],
    ids=str,
)
def test_a_typo_in_a_nic_was_kept_in_silence(typo: dict[str, Any]) -> None:
    """What the API server would drop is what kubectl refuses by name."""
    vmi = {"spec": {"domain": {"devices": {"interfaces": [{"name": "blue", **typo}]}}}}
    assert len(lost_by("virtualmachineinstances", vmi)) == 1


def test_a_typo_in_a_network_was_kept_in_silence() -> None:
    vmi = {"spec": {"networks": [{"name": "blue", "multus": {"networkName": "blue", "defualt": True}, "pods": {}}]}}
    typos = [".spec.networks[0].multus.defualt", ".spec.networks[0].pods"]
    assert lost_by("virtualmachineinstances", vmi) == typos


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_examples_lose_nothing(path: Path) -> None:
    plurals = {kind: plural for plural, (kind, _) in NAMES.items()}
    for document in documents(path):
        if document["apiVersion"] == "kubevirt.io/v1":
            assert lost_by(plurals[document["kind"]], document) == []


def test_kubectl_apply_on_the_folder_finds_only_crds() -> None:
    """kubectl sends every .yaml file of a folder; a kustomization.yaml among them would be refused."""
    files = [path for path in CRDS.iterdir() if path.suffix in {".yaml", ".yml", ".json"}]
    assert {path.stem for path in files} == {*PLURALS, *OWN_PLURALS}
    assert all(crd(path.stem)["kind"] == "CustomResourceDefinition" for path in files)
