"""The KubeVirt CR: cluster-wide configuration, parsed again after every change."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model.dynamic_controller import ControllerFinder, parse_controller_finder
from nicplug.model.eviction import EvictionStrategy, parse_strategy
from nicplug.model.frozen_json import FrozenJson
from nicplug.model.hotplug_policy import (
    CompanionPolicy,
    HotplugPolicy,
    PolicyObject,
    cluster_policy,
    with_object,
)
from nicplug.model.keys import KubevirtKey
from nicplug.model.metadata import mapping, quoted, sequence, text
from nicplug.model.migration_configuration import MigrationLimits, migration_configuration, parse_limits
from nicplug.model.nad_policy import NadRules, parse_nad_rules
from nicplug.model.names import HOTPLUG_FEATURE_GATE
from nicplug.model.networks import Binding
from nicplug.model.trusted_namespaces import TRUSTED_NAMESPACES_FIELD, TrustedNamespaces, parse_trusted_namespaces

DEFAULT_KUBEVIRT_NAMESPACE = "kubevirt"
DEFAULT_CPU_ALLOCATION_RATIO = 10


class RolloutStrategy(StrEnum):
    """`vmRolloutStrategy`: whether changes of a VM's template are applied to its running VMI."""

    LIVE_UPDATE = "LiveUpdate"
    STAGE = "Stage"


@dataclass(frozen=True, slots=True, kw_only=True)
class KubevirtConfig:
    """The parts of one KubeVirt CR that configure nicplug.

    Attributes:
        generation: not compared: a change that no other member of this record shows has no effect.
        default_binding: that of the pod network that a VMI without networks gets.
        binding_plugins: for each registered network binding plugin, its `networkAttachmentDefinition` as written,
            `<name>` or `<namespace>/<name>`; "" for none.
        workload_update_allows: True if `workloadUpdateMethods` is unset, or lists LiveMigrate.
        workload_update_methods: `workloadUpdateMethods`; empty if unset.
        hotplug: the cluster's policy for hot-plug.
        controller_finder: identifies the dynamic networks controller.
        trusted_namespaces: the namespaces whose DaemonSets and ConfigMaps count as written by the cluster admin.
        trusts_by_default: True if the cluster admin has not set them.
        nad_rules: which namespaces' network attachment definitions a VM may use.
        problems: values of the cluster's policy that have no effect, as sentences.
        migration_configuration: the configuration of a migration that is handed off now.
        limits: how many migrations may run at a time.
        eviction_strategy: the default for VMIs that have none.
        companion: what nicplug may do in companion mode, by the HotplugPolicy.
        observed_version: the version that runs, as KubeVirt's virt-operator, or in standalone mode nicplug, reports it.
    """

    key: KubevirtKey
    uid: str
    resource_version: int = field(compare=False)
    generation: int = field(compare=False)
    created: datetime | None
    feature_gates: frozenset[str]
    disabled_feature_gates: frozenset[str]
    default_binding: Binding
    permits_pod_bridge: bool
    rollout_strategy: RolloutStrategy
    binding_plugins: Mapping[str, str]
    cpu_allocation_ratio: int
    workload_update_allows: bool
    workload_update_methods: tuple[str, ...] = ()
    hotplug: HotplugPolicy
    controller_finder: ControllerFinder
    trusted_namespaces: tuple[str, ...]
    trusts_by_default: bool
    nad_rules: NadRules
    problems: tuple[str, ...]
    migration_configuration: FrozenJson
    limits: MigrationLimits
    eviction_strategy: EvictionStrategy
    observed_version: str
    companion: CompanionPolicy = field(default_factory=CompanionPolicy)

    @property
    def stages_changes(self) -> bool:
        """True if changes of a VM's template wait for a restart."""
        return self.rollout_strategy is RolloutStrategy.STAGE

    @property
    def hotplug_enabled(self) -> bool:
        """True if `HotplugNICs` is listed and not disabled; being GA upstream does not count (docs/differences.md)."""
        return HOTPLUG_FEATURE_GATE in self.feature_gates - self.disabled_feature_gates


def parse_kubevirt(raw: Mapping[str, Any]) -> KubevirtConfig:
    """Parse a KubeVirt CR from the API."""
    metadata = mapping(raw.get("metadata"))
    spec = mapping(raw.get("spec"))
    configuration = mapping(spec.get("configuration"))
    developer = mapping(configuration.get("developerConfiguration"))
    network = mapping(configuration.get("network"))
    hotplug = mapping(network.get("hotplug"))
    key = KubevirtKey(text(metadata.get("namespace")), text(metadata.get("name")))
    policy = cluster_policy(hotplug, where=f"KubeVirt CR {key}")
    trusted = parse_trusted_namespaces(hotplug.get("trustedNamespaces"), where=f"KubeVirt CR {key}")
    finder = parse_controller_finder(mapping(hotplug.get("dynamicController")))
    nad_rules = parse_nad_rules(hotplug, where=f"KubeVirt CR {key}")
    distrusted = _distrusted(finder, trusted, where=f"KubeVirt CR {key}")
    return KubevirtConfig(
        key=key,
        uid=text(metadata.get("uid")),
        resource_version=meta.resource_version(metadata),
        generation=meta.generation(metadata),
        created=meta.creation_time(metadata),
        feature_gates=frozenset(map(text, sequence(developer.get("featureGates")))),
        disabled_feature_gates=frozenset(map(text, sequence(developer.get("disabledFeatureGates")))),
        cpu_allocation_ratio=_cpu_allocation_ratio(developer.get("cpuAllocationRatio")),
        default_binding=Binding.MASQUERADE
        if network.get("defaultNetworkInterface") == Binding.MASQUERADE
        else Binding.BRIDGE,
        permits_pod_bridge=network.get("permitBridgeInterfaceOnPodNetwork") is not False,
        # LiveUpdate is KubeVirt's actual default, whatever the comment in its API says.
        rollout_strategy=RolloutStrategy.STAGE
        if configuration.get("vmRolloutStrategy") == RolloutStrategy.STAGE
        else RolloutStrategy.LIVE_UPDATE,
        binding_plugins={
            name: text(mapping(plugin).get("networkAttachmentDefinition"))
            for name, plugin in mapping(network.get("binding")).items()
        },
        workload_update_allows=_workload_update_allows(mapping(spec.get("workloadUpdateStrategy"))),
        workload_update_methods=tuple(
            map(text, sequence(mapping(spec.get("workloadUpdateStrategy")).get("workloadUpdateMethods")))
        ),
        hotplug=policy,
        controller_finder=finder,
        trusted_namespaces=trusted.names,
        trusts_by_default=trusted.is_default,
        nad_rules=nad_rules,
        problems=(*policy.problems, *trusted.problems, *distrusted, *nad_rules.problems),
        migration_configuration=migration_configuration(mapping(configuration.get("migrations"))),
        limits=parse_limits(mapping(configuration.get("migrations")), hotplug),
        eviction_strategy=parse_strategy(configuration.get("evictionStrategy")) or EvictionStrategy.NONE,
        observed_version=text(mapping(raw.get("status")).get("observedKubeVirtVersion")),
    )


def governed(config: KubevirtConfig, policy: PolicyObject) -> KubevirtConfig:
    """Return the configuration with the values of the HotplugPolicy, which take precedence."""
    hotplug = with_object(config.hotplug, policy)
    added = hotplug.problems[len(config.hotplug.problems) :]
    return replace(config, hotplug=hotplug, companion=policy.companion, problems=(*config.problems, *added))


def _distrusted(finder: ControllerFinder, trusted: TrustedNamespaces, *, where: str) -> tuple[str, ...]:
    """Return why the controller that the policy names can never be found, as a sentence; empty if it can."""
    if not finder.namespace or finder.namespace in trusted.names:
        return ()
    return (
        f"spec.configuration.network.hotplug.dynamicController.namespace of {where} is {quoted(finder.namespace)}, "
        f"which is not a trusted namespace, so no DaemonSet there counts: add it to {TRUSTED_NAMESPACES_FIELD}, "
        "if no tenant may create DaemonSets in it",
    )


def _cpu_allocation_ratio(value: Any) -> int:
    """Return how many vCPUs share one CPU."""
    is_ratio = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return value if is_ratio else DEFAULT_CPU_ALLOCATION_RATIO


def _workload_update_allows(strategy: Mapping[str, Any]) -> bool:
    """Report whether migrations are allowed. Unset allows them, unlike KubeVirt; [] does not (docs/differences.md)."""
    methods = strategy.get("workloadUpdateMethods")
    return methods is None or "LiveMigrate" in sequence(methods)


# The other controller that may report the status of a KubeVirt CR: KubeVirt's virt-operator, recognized by what it
# leaves on the object.
#
# Source: KubeVirt 1.9 `pkg/virt-operator/kubevirt.go`: `execute` annotates the CR before anything else, the status
# included; `syncInstallation` adds the finalizer and the deployment IDs. nicplug writes none of these.

OBSERVED_ANNOTATIONS = ("kubevirt.io/latest-observed-api-version", "kubevirt.io/storage-observed-api-version")
_FINALIZER = "foregroundDeleteKubeVirt"
_IDS = ("targetDeploymentID", "observedDeploymentID")


def mark_of_virt_operator(raw: Mapping[str, Any]) -> str:
    """Return what on a KubeVirt CR shows that virt-operator reports its status, for a sentence; "" for nothing."""
    metadata, status = mapping(raw.get("metadata")), mapping(raw.get("status"))
    annotations = mapping(metadata.get("annotations"))
    for name in OBSERVED_ANNOTATIONS:
        if name in annotations:
            return f"annotation {name}"
    if _FINALIZER in meta.finalizers(metadata):
        return f"finalizer {_FINALIZER}"
    return next((f"status.{name}" for name in _IDS if status.get(name)), "")
