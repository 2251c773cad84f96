"""Write what follows from the chart's values and nicplug's settings: `make docs`. A test fails while they differ.

docs/helm-values.md lists all values; the schema of the chart gets the settings of both processes and what the CRD knows
of the KubeVirt object, with types and bounds, so that a typo in one of them is refused as one in any other value.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from nicplug.api_settings import ApiSettings
from nicplug.cli.settings_help import settings_of
from nicplug.settings import Settings

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy" / "helm" / "nicplug"
VALUES = CHART / "values.yaml"
SCHEMA = CHART / "values.schema.json"
CRD = ROOT / "crds" / "kubevirts.yaml"
PAGE = ROOT / "docs" / "helm-values.md"
# What the chart sets itself, from other values or as its Services and probes need it.
_OF_THE_CHART = (
    *("kubeconfig", "namespace", "kubevirt_namespace", "metrics_port", "metrics_address", "metrics_tls_cert_file"),
    *("metrics_tls_private_key_file", "metrics_authentication"),
)
OF_THE_CHART = {
    "operator": (*_OF_THE_CHART, "mode"),
    "api": (
        *_OF_THE_CHART,
        *("service", "address", "port", "certificate_secret", "tls_cert_file", "tls_private_key_file"),
    ),
}
MODELS: dict[str, type[Settings] | type[ApiSettings]] = {"operator": Settings, "api": ApiSettings}
# What of a field's JSON schema Helm is to check.
_CHECKED = ("type", "minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "pattern", "description")
# What of the CRD's schema.
_CHECKED_OF_CRD = ("type", "enum", "minimum", "maximum", "minLength", "maxLength", "maxItems", "pattern", "required")
# Members of spec.configuration of KubeVirt 1.9 and later that nicplug does not read: any value, but no other names.
_OF_KUBEVIRT = """
additionalGuestMemoryOverheadRatio apiConfiguration architectureConfiguration autoCPULimitNamespaceLabelSelector
changedBlockTrackingLabelSelectors commonInstancetypesDeployment confidentialCompute controllerConfiguration cpuModel
cpuRequest defaultRuntimeClass emulatedMachines handlerConfiguration hypervisors imagePullPolicy instancetype
ksmConfiguration liveUpdateConfiguration machineType mediatedDevicesConfiguration memBalloonStatsPeriod minCPUModel
obsoleteCPUModels ovmfPath permittedHostDevices persistentReservationConfiguration roleAggregationStrategy
seccompConfiguration selinuxLauncherType smbios supportContainerResources supportedGuestAgentVersions tlsConfiguration
virtTemplateDeployment virtualMachineInstancesPerNode virtualMachineOptions vmStateStorageClass webhookConfiguration
"""
HEAD = """\
# Values of the Helm chart

<!-- Generated from deploy/helm/nicplug/values.yaml and the settings by `make docs`: change them there. -->

A key that is not here is refused, with its name; so is a value of another type, and a key with nothing behind it,
unless it is a list, a map, or empty by default. Below `kubevirt.configuration` any key of KubeVirt's may stand; those
that nicplug reads are checked as the CRD checks them. Sets of values that belong together, each equal to an overlay of
kustomize, are in [`deploy/helm/values`](../deploy/helm/values). How to install with them: [install.md](install.md).

Names of objects are fixed: the admission policies know nicplug by the names of its accounts, and there is one nicplug
in a cluster.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A row of the table.

    Attributes:
        path: with dots.
        default: as one writes it.
    """

    path: str
    default: str
    meaning: str


def settings_schema(component: str) -> dict[str, Any]:
    """What `operator.settings` or `api.settings` may have."""
    model = MODELS[component]
    fields: dict[str, Any] = model.model_json_schema()["properties"]
    meanings = {item.variable: item.meaning for item in settings_of(model.__module__, model.__name__)}
    prefix = str(model.model_config.get("env_prefix") or "")
    properties = {}
    for name in sorted(set(fields) - set(OF_THE_CHART[component])):
        # A value that is not set is left out, rather than null.
        (given,) = [one for one in fields[name].get("anyOf", (fields[name],)) if one.get("type") != "null"]
        described = {**given, "description": meanings[f"{prefix}{name.upper()}"]}
        properties[camel_case(name)] = {key: described[key] for key in _CHECKED if key in described}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def configuration_schema() -> dict[str, Any]:
    """What `kubevirt.configuration` may have: the API server would refuse it after everything else is installed."""
    found: Any = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for key in ("spec", "configuration"):
        found = found["properties"][key]
    checked = _of_crd(found)
    unread: dict[str, Any] = {name: {} for name in _OF_KUBEVIRT.split()}
    return {**checked, "properties": {**checked["properties"], **unread}, "additionalProperties": False}


def _of_crd(described: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a CRD's schema in the words that Helm knows; a field that is not kept is refused here."""
    found = {key: described[key] for key in _CHECKED_OF_CRD if key in described}
    if described.get("x-kubernetes-int-or-string"):
        found["type"] = ["integer", "string"]
    if "items" in described:
        found["items"] = _of_crd(described["items"])
    if "additionalProperties" in described:
        found["additionalProperties"] = _of_crd(described["additionalProperties"])
    elif "properties" in described:
        found["additionalProperties"] = bool(described.get("x-kubernetes-preserve-unknown-fields"))
    if "properties" in described:
        found["properties"] = {key: _of_crd(inside) for key, inside in described["properties"].items()}
    return found


def schema() -> str:
    """The schema as it is, with the settings and fields as the code has them, and what may not be missing."""
    content = json.loads(SCHEMA.read_text())
    content["definitions"]["kubevirtConfiguration"] = configuration_schema()
    for component in MODELS:
        content["definitions"][f"{component}Settings"] = settings_schema(component)
    _require(content, yaml.safe_load(VALUES.read_text()))
    return json.dumps(content, indent=2) + "\n"


def _require(described: dict[str, Any], defaults: Mapping[str, Any]) -> bool:
    """Write into the schema what `defaults` must not lose: whether that is anything.

    Helm takes `keep:` with nothing behind it for "no such key", and a template takes that for false. Lists and maps may
    be emptied so, and texts that are empty by default.
    """
    required = []
    for key, value in defaults.items():
        inside = described["properties"][key]
        can_be_empty = value == "" or (isinstance(value, list | dict) and "minItems" not in inside)
        if _require(inside, value) if "properties" in inside else not can_be_empty:
            required.append(key)
    described.pop("required", None)
    if required:
        described["required"] = required
    return bool(required)


def page() -> str:
    """docs/helm-values.md."""
    parts = [HEAD]
    for title, values in _sections():
        parts.append(f"\n## {title}\n\n| value | default | meaning |\n|---|---|---|\n")
        parts += [f"| `{item.path}` | `{item.default}` | {item.meaning} |\n" for item in values]
    for component, model in MODELS.items():
        command = "run" if component == "operator" else component
        parts.append(f"\n## Settings of `nicplug {command}`\n\nBelow `{component}.settings`.\n\n")
        parts.append("| value | variable | default | meaning |\n|---|---|---|---|\n")
        parts += _setting_rows(component, model)
    return "".join(parts)


def _setting_rows(component: str, model: type[Settings] | type[ApiSettings]) -> Iterator[str]:
    prefix = str(model.model_config.get("env_prefix") or "")
    for item in settings_of(model.__module__, model.__name__):
        name = item.variable.removeprefix(prefix).lower()
        if name not in OF_THE_CHART[component]:
            yield f"| `{camel_case(name)}` | `{item.variable}` | `{item.default}` | {item.meaning} |\n"


def _sections() -> list[tuple[str, list[Value]]]:
    """The values by what they belong to: those of one object, or those without one."""
    node = yaml.compose(VALUES.read_text())
    assert isinstance(node, yaml.MappingNode)
    general: list[Value] = []
    sections = []
    for key, child in node.value:
        rows = list(_rows(key, child, above=""))
        if len(rows) == 1:
            general += rows
        else:
            sections.append((f"`{key.value}`", [_as_of_the_operator(row) for row in rows]))
    return [("All of it", general), *sections]


def _as_of_the_operator(value: Value) -> Value:
    """What both processes have is described once."""
    if value.meaning or not value.path.startswith("api."):
        return value
    return replace(value, meaning=f"As `operator.{value.path.removeprefix('api.')}`.")


def _rows(key: yaml.ScalarNode, node: yaml.Node, *, above: str) -> Iterator[Value]:
    """A value that is described is one row, unless what is in it is described itself."""
    path, meaning = f"{above}{key.value}", _comment_above(key.start_mark.line)
    inside = list(node.value) if isinstance(node, yaml.MappingNode) else []
    if inside and not (meaning and not any(_comment_above(child.start_mark.line) for child, _ in inside)):
        for child, value in inside:
            yield from _rows(child, value, above=f"{path}.")
        return
    default = yaml.safe_load(yaml.serialize(node))
    yield Value(path=path, default=json.dumps(default), meaning=meaning)


def _comment_above(line: int) -> str:
    """The comment of a key: from `# --` on, to the key itself."""
    lines, found = VALUES.read_text().splitlines(), []
    for text in reversed(lines[:line]):
        stripped = text.strip()
        if not stripped.startswith("#"):
            return ""
        found.append(stripped.removeprefix("#").strip())
        if stripped.startswith("# --"):
            return " ".join(reversed(found)).removeprefix("-- ")
    return ""


def camel_case(name: str) -> str:
    """A setting's name as the chart's values have it."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def main(arguments: list[str]) -> int:
    """Write both files; with `--check` say which differ."""
    wanted = {SCHEMA: schema(), PAGE: page()}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not as the code has it: run `make docs`")
        return int(bool(stale))
    for path in stale:
        path.write_text(wanted[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
