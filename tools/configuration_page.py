"""Write docs/configuration.md from the settings and the CRD: `make docs`. A test fails while they differ."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml
from tools.chart_pages import MODELS, OF_THE_CHART, camel_case

from nicplug.cli.main import main as cli
from nicplug.cli.settings_help import settings_of
from nicplug.model.frozen_json import thaw
from nicplug.model.hotplug_policy import POLICY_FIELDS
from nicplug.model.kubevirt import KubevirtConfig, parse_kubevirt
from nicplug.model.migration_configuration import migration_configuration

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "configuration.md"
CRD = ROOT / "crds" / "kubevirts.yaml"
POLICY_CRD = ROOT / "crds" / "hotplugpolicies.yaml"
CONFIGURATION = "spec.configuration"
HOTPLUG = f"{CONFIGURATION}.network.hotplug"
DEVELOPER = f"{CONFIGURATION}.developerConfiguration"

HEAD = """\
# Configuration

<!-- Generated from settings, commands and CRDs by `make docs`: change them there. -->

nicplug is configured in four places:

- the policy of the cluster for hot-plug in [the HotplugPolicy object](#the-hotplugpolicy-object), which is read live;
- the feature gate, the policy for networks and the limits of migrations in
  [the KubeVirt object](#the-kubevirt-object), read live, too, as is the policy for hot-plug that is still there;
- the policy of one virtual machine in [annotations](#annotations-of-a-virtual-machine), read live, too;
- the processes (ports, logs, certificates, namespaces) by environment variables of [nicplug run](#nicplug-run) and
  [nicplug api](#nicplug-api), read at their start.

The values of the Helm chart, which set these variables as well, have a page of their own:
[helm-values.md](helm-values.md).
"""

AFTER_PROCESSES = """\

A wrong value ends the process at its start with exit code 2 and the name of the variable. A variable that begins with
`NICPLUG_` and is no setting is named in the log, with the setting that it is most like. Each has an option, which wins:
`--metrics-port` for `NICPLUG_METRICS_PORT`.
"""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the KubeVirt object that nicplug reads.

    Attributes:
        default: what holds when it is absent, taken from the parsed empty object.
        meaning: "" where the CRD has a description.
    """

    path: str
    default: Callable[[KubevirtConfig], str]
    meaning: str = ""


def _text(value: str) -> Callable[[KubevirtConfig], str]:
    return lambda _: value


def _code(value: object) -> str:
    return f"`{value}`"


FIELDS: tuple[Field, ...] = (
    Field(f"{DEVELOPER}.featureGates", lambda config: f"none: hot-plug is {'on' if config.hotplug_enabled else 'off'}"),
    Field(f"{DEVELOPER}.disabledFeatureGates", _text("none"), "Feature gates that are off even if they are listed."),
    Field(
        f"{DEVELOPER}.cpuAllocationRatio",
        lambda config: _code(config.cpu_allocation_ratio),
        "vCPUs that share one CPU: a launcher pod requests one CPU for so many.",
    ),
    Field(f"{CONFIGURATION}.evictionStrategy", lambda config: _code(config.eviction_strategy)),
    Field(f"{CONFIGURATION}.vmRolloutStrategy", lambda config: _code(config.rollout_strategy)),
    Field(f"{CONFIGURATION}.network.defaultNetworkInterface", lambda config: _code(config.default_binding)),
    Field(
        f"{CONFIGURATION}.network.permitBridgeInterfaceOnPodNetwork",
        lambda config: _code(str(config.permits_pod_bridge).lower()),
    ),
    Field(
        f"{CONFIGURATION}.network.binding",
        _text("none"),
        "Network binding plugins by name; of each, `networkAttachmentDefinition` is attached to the launcher pod.",
    ),
    Field(f"{HOTPLUG}.dynamicPath", lambda config: _code(config.hotplug.dynamic_path)),
    Field(f"{HOTPLUG}.dynamicTimeout", lambda config: _code(f"{config.hotplug.dynamic_timeout.total_seconds():g}s")),
    Field(f"{HOTPLUG}.onFailure", lambda config: _code(config.hotplug.on_failure)),
    Field(f"{HOTPLUG}.migration", lambda config: _code(config.hotplug.migration)),
    Field(f"{HOTPLUG}.removalPolicy", lambda config: _code(config.hotplug.removal_policy)),
    Field(f"{HOTPLUG}.parallelInboundMigrationsPerNode", lambda config: _code(config.limits.inbound_per_node)),
    Field(f"{HOTPLUG}.trustedNamespaces", lambda config: _listed(config.trusted_namespaces)),
    Field(f"{HOTPLUG}.nadPolicy", lambda config: _code(config.nad_rules.policy)),
    Field(f"{HOTPLUG}.sharedNamespaces", lambda config: _listed(config.nad_rules.shared)),
    Field(f"{HOTPLUG}.requireNadAccess", lambda config: _code(str(config.nad_rules.requester_must_read).lower())),
    Field(f"{HOTPLUG}.dynamicController.namespace", _text("any trusted one")),
    Field(f"{HOTPLUG}.dynamicController.name", _text("any")),
    Field(f"{HOTPLUG}.dynamicController.image", _text("any")),
    Field(f"{HOTPLUG}.dynamicController.selector.matchLabels", _text("none"), "Labels of the DaemonSet."),
    Field(f"{CONFIGURATION}.migrations.parallelMigrationsPerCluster", lambda config: _code(config.limits.per_cluster)),
    Field(
        f"{CONFIGURATION}.migrations.parallelOutboundMigrationsPerNode",
        lambda config: _code(config.limits.outbound_per_node),
    ),
    Field("spec.workloadUpdateStrategy.workloadUpdateMethods", _text("none: may be migrated")),
)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(_code, names))


@dataclass(frozen=True, slots=True)
class _Node:
    """A place in the CRD's schema: what a path comes to."""

    schema: Mapping[str, Any]

    @classmethod
    def of(cls, path: str, *, crd: Path = CRD) -> "_Node":
        """The one of a path; an empty one where the CRD says nothing."""
        document = yaml.safe_load(crd.read_text())
        schema: Mapping[str, Any] = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for name in path.split("."):
            schema = schema.get("properties", {}).get(name, {})
        return cls(schema)

    @property
    def meaning(self) -> str:
        return " ".join(str(self.schema.get("description", "")).split())

    @property
    def type(self) -> str:
        """As one writes it."""
        if "enum" in self.schema:
            return ", ".join(_code(value) for value in self.schema["enum"])
        if self.schema.get("x-kubernetes-int-or-string"):
            return "quantity"
        kind = str(self.schema.get("type", "integer"))
        return {"array": "list of strings", "object": "map"}.get(kind, kind)


def policy_fields() -> Iterator[str]:
    """What the HotplugPolicy object sets."""
    yield (
        "\n## The HotplugPolicy object\n\n"
        "The cluster-scoped HotplugPolicy `default` of the group `nicplug.io`; the API server refuses one of another "
        "name. A field that it sets takes precedence over the field of the same name in "
        f"`{HOTPLUG}` of [the KubeVirt object](#the-kubevirt-object); one that it does not set has the KubeVirt "
        "object's value. KubeVirt's own CRD drops that block, so beside KubeVirt this object is the only place for the "
        "policy ([beside-kubevirt.md](beside-kubevirt.md), [ADR 0038](adr/0038-hotplug-policy.md)). "
        "[`examples/hotplug-policy.yaml`](../examples/hotplug-policy.yaml) has every field with its default. A value "
        "that cannot be understood has no effect, and is named in the log and in the status of the KubeVirt object.\n"
    )
    yield "\n| field | type | default | meaning |\n|---|---|---|---|\n"
    defaults = {item.path.rpartition(".")[2]: item.default for item in FIELDS if item.path.startswith(HOTPLUG)}
    config = parse_kubevirt({})
    for name in [item.name for item in POLICY_FIELDS]:
        node = _Node.of(f"spec.{name}", crd=POLICY_CRD)
        yield _row(f"`spec.{name}`", node.type, defaults[name](config), node.meaning)
    for name in _Node.of("spec.companion", crd=POLICY_CRD).schema["properties"]:
        node = _Node.of(f"spec.companion.{name}", crd=POLICY_CRD)
        yield _row(f"`spec.companion.{name}`", node.type, _code("false"), node.meaning)


def kubevirt_fields() -> Iterator[str]:
    """What nicplug reads of the KubeVirt object."""
    yield (
        "\n## The KubeVirt object\n\n"
        "The KubeVirt object of the namespace `kubevirt` (`NICPLUG_KUBEVIRT_NAMESPACE`); the oldest where there are "
        "several. It is read live. All other fields of KubeVirt's are kept and have no effect. "
        "[`examples/kubevirt-policy.yaml`](../examples/kubevirt-policy.yaml) has the whole policy with its defaults. "
        "A value that cannot be understood has no effect, and is named in the status of the object.\n"
    )
    config = parse_kubevirt({})
    yield "\n| field | type | default | meaning |\n|---|---|---|---|\n"
    for item in FIELDS:
        node = _Node.of(item.path)
        yield _row(f"`{item.path}`", node.type, item.default(config), item.meaning or node.meaning)
    yield (
        "\nThe following of `spec.configuration.migrations` are the node side's: nicplug hands them over with each "
        "migration, in `status.migrationState.migrationConfiguration`, with these defaults.\n"
        "\n| field | type | default | meaning |\n|---|---|---|---|\n"
    )
    read = {item.path.rpartition(".")[2] for item in FIELDS}
    for name, value in thaw(migration_configuration({})).items():
        if name not in read:
            node = _Node.of(f"{CONFIGURATION}.migrations.{name}")
            default = str(value).lower() if isinstance(value, bool) else value
            yield _row(f"`{name}`", node.type, _code(default), node.meaning or "As in KubeVirt.")


def annotations() -> Iterator[str]:
    """What a VM's owner may override."""
    yield (
        "\n## Annotations of a virtual machine\n\n"
        "Of the VirtualMachine, or of the VirtualMachineInstance, whose word is the stronger one. What they mean: "
        "[which-path-and-why.md](which-path-and-why.md).\n"
        "\n| annotation | values | overrides |\n|---|---|---|\n"
    )
    for item in POLICY_FIELDS:
        yield _row(f"`{item.annotation}`", item.values, f"`{item.name}`")


def process(component: str) -> Iterator[str]:
    """The settings of one process."""
    model, command = MODELS[component], "run" if component == "operator" else component
    title = {"operator": "The operator", "api": "The aggregated API server, which virtctl talks to"}[component]
    yield f"\n## nicplug {command}\n\n{title}. With Helm, a setting is a value below `{component}.settings`, unless "
    yield "the chart sets it itself.\n\n| variable | type | default | meaning | Helm |\n|---|---|---|---|---|\n"
    schema = model.model_json_schema()["properties"]
    prefix = str(model.model_config.get("env_prefix") or "")
    for item in settings_of(model.__module__, model.__name__):
        name = item.variable.removeprefix(prefix).lower()
        default = _code(item.default) if item.default else "-"
        value = "-" if name in OF_THE_CHART[component] else f"`{camel_case(name)}`"
        yield _row(f"`{item.variable}`", setting_type(schema[name]), default, item.meaning, value)


def setting_type(schema: Mapping[str, Any]) -> str:
    """The type of a setting with its bounds, from its JSON schema."""
    options = [one for one in schema.get("anyOf", (schema,)) if one.get("type") != "null"]
    found = options[0]
    if "enum" in found:
        return ", ".join(map(_code, found["enum"]))
    if str(found.get("pattern", "")).startswith("^("):
        return ", ".join(_code(word) for word in found["pattern"].strip("^()$").split("|"))
    kind = {"file-path": "file", "path": "file"}.get(found.get("format", ""), str(found["type"]))
    low, high = found.get("minimum"), found.get("maximum")
    if (above := found.get("exclusiveMinimum")) is not None:
        return f"{kind}, above {above:g}" + (f", to {high:g}" if high is not None else "")
    match low, high:
        case None, None:
            return kind
        case _, None:
            return f"{kind}, from {low:g}"
        case _:
            return f"{kind}, {low:g} to {high:g}"


def commands() -> Iterator[str]:
    """The variables that the commands read."""
    yield (
        "\n## The commands\n\n"
        "They find the cluster as kubectl does ([cli.md](cli.md)), and read these variables besides.\n"
        "\n| variable | default | meaning |\n|---|---|---|\n"
    )
    yield _row("`KUBECONFIG`", "`~/.kube/config`", "Files to find the cluster in; the option `--kubeconfig` wins.")
    for variable, option in sorted(command_variables().items(), key=lambda item: item[0]):
        default = _code(option.default) if option.default is not None else "-"
        meaning = " ".join((option.help or "").split())
        yield _row(f"`{variable}`", default, f"{meaning} The option `{option.opts[-1]}` wins, where a command has it.")
    yield _row("`NICPLUG_TRACEBACK`", "-", "If set, an error that is a bug is shown with its Python trace.")
    yield _row("`NO_COLOR`", "-", "If set, nothing is coloured.")
    yield _row("`NICPLUG_CACHE_DIR`", "`~/.cache/nicplug`", "Where `nicplug sandbox` keeps programs that it has built.")


def command_variables() -> dict[str, click.Option]:
    """The variables of options of any command, each with one of them."""
    found: dict[str, click.Option] = {}
    for command in cli.commands.values():
        for option in command.params:
            if isinstance(option, click.Option) and isinstance(option.envvar, str):
                found[option.envvar] = option
    return found


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |\n"


def page() -> str:
    """The whole page."""
    processes = (*process("operator"), *process("api"))
    objects = (*policy_fields(), *kubevirt_fields(), *annotations())
    return "".join((HEAD, *objects, *processes, AFTER_PROCESSES, *commands()))


def main() -> int:
    """Write it; `--check` only compares."""
    wanted = page()
    if "--check" in sys.argv[1:]:
        same = PAGE.exists() and PAGE.read_text() == wanted
        print("docs/configuration.md is as the code has it" if same else "out of date: run `make docs`")
        return 0 if same else 1
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
