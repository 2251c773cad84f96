"""Which labels the node must have that a VM moves to.

Source: KubeVirt 1.9 `migration.go` (`createTargetPod`, `prepareNodeSelectorForHostCpuModel`). The labels of CPUs are
written by KubeVirt's node labeller; where nobody writes them, they ask for nothing.
"""

from collections.abc import Mapping

from nicplug.model.frozen_json import read_object
from nicplug.model.metadata import mapping, text
from nicplug.model.names import (
    CPU_FEATURE_LABEL,
    CPU_VENDOR_LABEL,
    HOST_MODEL_FEATURE_LABEL,
    HOST_MODEL_LABEL,
    MIGRATION_CPU_MODEL_LABEL,
)
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.views import MigrationView

_TO_MOVE_TO = ((HOST_MODEL_LABEL, MIGRATION_CPU_MODEL_LABEL), (HOST_MODEL_FEATURE_LABEL, CPU_FEATURE_LABEL))


def target_selector(view: MigrationView, vmi: VirtualMachineInstance) -> dict[str, str]:
    """What the migration adds, under what the VM says, and the CPU that the guest must find."""
    added = mapping(view.migration.read_spec().get("addedNodeSelector"))
    own = mapping(read_object(vmi.placement).get("nodeSelector"))
    asked = {text(name): text(value) for name, value in {**added, **own}.items()}
    return {**asked, **_cpu_of_guest(view, vmi)}


def _cpu_of_guest(view: MigrationView, vmi: VirtualMachineInstance) -> dict[str, str]:
    labels = next((node.labels for node in view.nodes or () if node.name == vmi.node_name), {})
    vendor = {name: "true" for name in labels if name.startswith(CPU_VENDOR_LABEL)}
    domain = mapping(vmi.read_spec().get("domain"))
    if mapping(domain.get("cpu")).get("model") != "host-model":
        return vendor
    return {**vendor, **(_asked_before(view, vmi) or _host_model(labels))}


def _asked_before(view: MigrationView, vmi: VirtualMachineInstance) -> dict[str, str]:
    """A guest that has moved keeps the CPU that it was started with, not the one that its present node has."""
    pods = (pod for pod in view.pods if pod.node_name == vmi.node_name)
    return {text(name): text(value) for pod in pods for name, value in read_object(pod.cpu_selector).items()}


def _host_model(labels: Mapping[str, str]) -> dict[str, str]:
    return {
        f"{wanted}{name.removeprefix(found)}": value
        for name, value in labels.items()
        for found, wanted in _TO_MOVE_TO
        if name.startswith(found)
    }
