"""What the KubeVirt CR says, with KubeVirt's defaults (section 1.6), and what its version changes. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from nicplug_sandbox.kubevirt.objects import Json, status_of

Release = tuple[int, int]
NEWEST: Final[Release] = (1, 9)
FIRST_WITH_AUTOMATIC_MIGRATION: Final[Release] = (1, 6)
"""The condition MigrationRequired, its timer, and the updater that acts on it (section 0)."""
FIRST_WITH_BETA_GATES_ON: Final[Release] = (1, 9)
LAUNCHER = "quay.io/kubevirt/virt-launcher"
DRAIN_TAINT = "kubevirt.io/drain"

Gate = Literal[
    "HotplugNICs", "LiveUpdateNADRef", "PodSecondaryInterfaceNamingUpgrade", "ExternalNetResourceInjection"
]  # fmt: skip
GENERAL: Final[Mapping[Gate, Release]] = {"HotplugNICs": (1, 4), "LiveUpdateNADRef": (1, 9)}
"""Since when a gate cannot be switched off any more; before, and without an entry, it counts when it is listed."""
BETA: Final = frozenset({"PodSecondaryInterfaceNamingUpgrade", "ExternalNetResourceInjection"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """The parts of the KubeVirt CR that these controllers read.

    Attributes:
        eviction_strategy: of VMIs that name none; "" for none.
        is_live_update: vmRolloutStrategy is LiveUpdate, the default.
        is_deployed: virt-operator has finished; until then the workload updater does nothing.
        launcher_image: of the launchers that are made now; others are outdated.
        release: whose behaviour to show.
    """

    parallel_per_cluster: int = 5
    outbound_per_node: int = 2
    update_methods: frozenset[str] = frozenset()
    eviction_batch: int = 10
    eviction_interval: timedelta = timedelta(minutes=1)
    default_binding: str = "bridge"
    eviction_strategy: str = ""
    drain_taint: str = DRAIN_TAINT
    is_live_update: bool = True
    is_deployed: bool = False
    launcher_image: str = f"{LAUNCHER}:v1.9.0"
    release: Release = NEWEST
    gates: frozenset[str] = frozenset()
    gates_off: frozenset[str] = frozenset()

    def is_on(self, gate: Gate) -> bool:
        """Whether a feature gate is on; the order in which KubeVirt decides it matters."""
        general = GENERAL.get(gate)
        if (general is not None and self.release >= general) or gate in self.gates:
            return True
        has_beta = self.release >= FIRST_WITH_BETA_GATES_ON
        return has_beta and gate in BETA and gate not in self.gates_off

    @property
    def migrates_for_nics(self) -> bool:
        """NICs that no dynamic networks controller attaches are migrated for."""
        return self.release >= FIRST_WITH_AUTOMATIC_MIGRATION


def read_settings(kubevirt: Json | None) -> ClusterSettings:
    """The settings of a KubeVirt CR; the defaults when there is none."""
    if kubevirt is None:
        return ClusterSettings()
    spec = kubevirt.get("spec") or {}
    configuration = spec.get("configuration") or {}
    migrations = configuration.get("migrations") or {}
    developer = configuration.get("developerConfiguration") or {}
    strategy = spec.get("workloadUpdateStrategy") or {}
    status = status_of(kubevirt)
    version = status.get("observedKubeVirtVersion") or ""
    return ClusterSettings(
        parallel_per_cluster=migrations.get("parallelMigrationsPerCluster", 5),
        outbound_per_node=migrations.get("parallelOutboundMigrationsPerNode", 2),
        update_methods=frozenset(strategy.get("workloadUpdateMethods") or ()),
        eviction_batch=strategy.get("batchEvictionSize", 10),
        eviction_interval=duration_of(strategy.get("batchEvictionInterval") or "1m0s"),
        default_binding=(configuration.get("network") or {}).get("defaultNetworkInterface") or "bridge",
        eviction_strategy=configuration.get("evictionStrategy") or "",
        drain_taint=migrations.get("nodeDrainTaintKey") or DRAIN_TAINT,
        is_live_update=configuration.get("vmRolloutStrategy") != "Stage",
        is_deployed=status.get("phase") == "Deployed"
        and status.get("observedDeploymentID") == status.get("targetDeploymentID"),
        launcher_image=f"{LAUNCHER}:{version}" if version else f"{LAUNCHER}:v1.9.0",
        release=release_of(version),
        gates=frozenset(developer.get("featureGates") or ()),
        gates_off=frozenset(developer.get("disabledFeatureGates") or ()),
    )


def release_of(version: str) -> Release:
    """Major and minor of a version such as `v1.6.2`; the newest that is known here when it says nothing."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else NEWEST


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def duration_of(text: str) -> timedelta:
    """A duration as Go writes it: `1m0s`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
