"""Finds invalid MAC addresses in a manifest, including those of NICs that nicplug does not act on now. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from nicplug.insight.evidence import Evidence
from nicplug.insight.known import networks_of
from nicplug.insight.outcome import NicForecast, Outcome, VmForecast
from nicplug.model.networks import first_by_name
from nicplug.model.operations import OperationPath, OperationPhase, OperationType
from nicplug.plan.nic.spec_checks import mac_address_is_unicast


def addresses_of(evidence: Evidence) -> dict[str, str]:
    """Return the MAC address of each NIC in the spec; the VM's takes precedence over the VMI's."""
    owners = [owner for owner in (evidence.parsed_vmi, evidence.parsed_vm) if owner is not None]
    return {item.name: item.mac_address for owner in owners for item in owner.interfaces}


def with_wrong_addresses(vm_forecast: VmForecast, evidence: Evidence, *, before: Mapping[str, str]) -> VmForecast:
    """Add each NIC with an invalid address to the forecast: neither a hot-plug nor a restart plugs it.

    Args:
        evidence: with the VM as it would be.
        before: `addresses_of` the VM as it is.
    """
    wrong = {nic.name: nic for nic in _wrong(evidence, before) if not _is_reported(vm_forecast, nic.name)}
    return replace(vm_forecast, nics=(*(nic for nic in vm_forecast.nics if nic.name not in wrong), *wrong.values()))


def _is_reported(vm_forecast: VmForecast, name: str) -> bool:
    return any(nic.name == name and nic.outcome is Outcome.STUCK for nic in vm_forecast.nics)


def _wrong(evidence: Evidence, before: Mapping[str, str]) -> Iterator[NicForecast]:
    owner = evidence.parsed_vm or evidence.parsed_vmi
    networks = networks_of(evidence)
    for interface in first_by_name(owner.interfaces).values() if owner is not None else ():
        refusal = mac_address_is_unicast(interface, None)
        if refusal is None or interface.is_absent:
            continue
        network, binding = networks.get(interface.name, ("", ""))
        yield NicForecast(
            name=interface.name,
            operation=str(OperationType.PLUG),
            network=network,
            binding=binding,
            outcome=Outcome.STUCK,
            path=str(OperationPath.NONE),
            phase=str(OperationPhase.BLOCKED),
            reason=str(refusal.reason),
            message=refusal.message,
            remedy=refusal.remedy,
            is_affected=before.get(interface.name) != interface.mac_address,
        )
