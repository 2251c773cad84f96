"""InterfaceReports, for questions about VMs that KubeVirt runs: read, and overlaid on the VMI that they are about."""

from collections.abc import Mapping
from typing import Any

from nicplug.insight.queue import read_all
from nicplug.kube.api import Json, KubeApi
from nicplug.kube.errors import Denied, Gone
from nicplug.kube.resources import INTERFACE_REPORTS
from nicplug.model.conditions import INTERFACES_READY, INVALID_HOTPLUG_POLICY
from nicplug.model.frozen_json import read_object
from nicplug.model.interface_report import InterfaceReport, interfaces_hash, parse_report
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.companion.target_pods import TARGET_PODS_MEMBER

_MEMBERS = ("interfaceOperations", "pciBudget", TARGET_PODS_MEMBER)
_CONDITIONS = (INTERFACES_READY, INVALID_HOTPLUG_POLICY)


async def read_report(api: KubeApi, *, namespace: str, name: str) -> Json | None:
    """Return the report on a VM; None if there is none, or if its CRD is not installed.

    Raises:
        ApiError: it cannot be read.
    """
    try:
        return await api.get(INTERFACE_REPORTS, name=name, namespace=namespace)
    except Gone:
        return None


async def overlay(
    api: KubeApi, vmis: Mapping[tuple[str, str], Json], *, namespace: str | None
) -> dict[tuple[str, str], Json]:
    """Return the VMIs, by namespace and name, with their reports; without any if these cannot be read.

    Args:
        namespace: None for all namespaces.

    Raises:
        ApiError: for any other reason than a CRD that is not installed or a missing permission.
    """
    try:
        items = await read_all(api, INTERFACE_REPORTS, namespace)
    except (Gone, Denied):
        items = []
    reports = {_name_of(item): item for item in items}
    return {name: with_report(vmi, reports.get(name)) for name, vmi in vmis.items()}


def _name_of(raw: Mapping[str, Any]) -> tuple[str, str]:
    metadata = mapping(raw.get("metadata"))
    return text(metadata.get("namespace")), text(metadata.get("name"))


def with_report(vmi: Mapping[str, Any], report: Mapping[str, Any] | None) -> Json:
    """Return the VMI as if nicplug kept its records in it; without a report of this very VMI, with none.

    Its generation becomes that of its NICs: KubeVirt's rises with every write of the status.
    """
    metadata, status = mapping(vmi.get("metadata")), mapping(vmi.get("status"))
    uid, digest = text(metadata.get("uid")), interfaces_hash(mapping(vmi.get("spec")))
    parsed = parse_report(report or {})
    known = mapping(mapping(report).get("status")) if parsed.vmi_uid == uid else {}
    conditions = [item for item in objects(known.get("conditions")) if item.get("type") in _CONDITIONS]
    others = [item for item in objects(status.get("conditions")) if item.get("type") not in _CONDITIONS]
    kept = {name: value for name, value in status.items() if name not in _MEMBERS}
    members = {name: known[name] for name in _MEMBERS if name in known}
    return {
        **vmi,
        "metadata": {**metadata, "generation": parsed.generation_of(vmi_uid=uid, digest=digest)},
        "status": {**kept, **members, "conditions": [*others, *conditions]},
    }


def is_current(
    report: InterfaceReport | None, *, vm: VirtualMachine | None, vmi: VirtualMachineInstance | None
) -> bool:
    """Report whether nicplug has seen the VM and the VMI as they are; a VM without secondary NICs has no report.

    Args:
        vmi: as KubeVirt has it, without the report.
    """
    owners = [owner for owner in (vm, vmi) if owner is not None]
    if report is None:
        return not any(network.is_secondary for owner in owners for network in owner.networks)
    observed = read_object(report.status_text).get("observedGeneration")
    if vm is not None and observed != vm.generation:
        return False
    return vmi is None or (report.vmi_uid == vmi.uid and report.interfaces_hash == interfaces_hash(vmi.read_spec()))
