"""What the KubeVirt CR says, with KubeVirt's defaults (section 1.6). Pure."""

from dataclasses import dataclass

from nicplug_sandbox.kubevirt.objects import Json, status_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """The parts of the KubeVirt CR that these controllers read.

    Attributes:
        is_deployed: virt-operator has finished; until then the workload updater does nothing.
    """

    parallel_per_cluster: int = 5
    outbound_per_node: int = 2
    update_methods: frozenset[str] = frozenset()
    eviction_batch: int = 10
    default_binding: str = "bridge"
    is_deployed: bool = False


def read_settings(kubevirt: Json | None) -> ClusterSettings:
    """The settings of a KubeVirt CR; the defaults when there is none."""
    if kubevirt is None:
        return ClusterSettings()
    spec = kubevirt.get("spec") or {}
    configuration = spec.get("configuration") or {}
    migrations = configuration.get("migrations") or {}
    strategy = spec.get("workloadUpdateStrategy") or {}
    status = status_of(kubevirt)
    return ClusterSettings(
        parallel_per_cluster=migrations.get("parallelMigrationsPerCluster", 5),
        outbound_per_node=migrations.get("parallelOutboundMigrationsPerNode", 2),
        update_methods=frozenset(strategy.get("workloadUpdateMethods") or ()),
        eviction_batch=strategy.get("batchEvictionSize", 10),
        default_binding=(configuration.get("network") or {}).get("defaultNetworkInterface") or "bridge",
        is_deployed=status.get("phase") == "Deployed"
        and status.get("observedDeploymentID") == status.get("targetDeploymentID"),
    )
