"""Forecasts the NICs that the next guest of a VM starts with, or is blocked by. Pure except for the evidence."""

from collections.abc import Collection, Iterable

from nicplug.insight.evidence import Evidence
from nicplug.insight.known import known_attachments
from nicplug.insight.outcome import NicForecast, Outcome
from nicplug.model.networks import first_by_name
from nicplug.model.operations import OperationPath, OperationPhase
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.attachments import refuse_attachment
from nicplug.plan.nic.spec_checks import refuse
from nicplug.plan.reasons import Reason

_STARTS_WITH_IT = "the guest is not running; it starts with this NIC"


def nics_at_start(evidence: Evidence, *, before: Collection[str]) -> Iterable[NicForecast]:
    """Yield the forecasts for the NICs of the template, or of a VMI without a VM.

    Args:
        before: NICs that existed or were requested before the change.
    """
    owner: VirtualMachine | VirtualMachineInstance | None = evidence.parsed_vm or evidence.parsed_vmi
    if owner is None:
        return
    networks, namespace = first_by_name(owner.networks), owner.key.namespace
    known = known_attachments(evidence, owner.networks)
    vmi = evidence.parsed_vmi
    is_ending = vmi is not None and vmi.deleting
    default_message = "the guest is about to stop; the next one starts with this NIC" if is_ending else _STARTS_WITH_IT
    for interface in owner.interfaces:
        network = networks.get(interface.name)
        if network is None or not network.is_secondary or interface.is_absent:
            continue
        flaw = refuse(interface, network) or refuse_attachment(network, namespace=namespace, known=known)
        yield NicForecast(
            name=interface.name,
            operation="Plug",
            network=network.reference(namespace=namespace),
            binding=str(interface.binding),
            outcome=Outcome.STUCK if flaw is not None else Outcome.AT_START,
            path=str(OperationPath.NONE),
            phase=str(OperationPhase.BLOCKED if flaw is not None else OperationPhase.PENDING),
            reason=str(flaw.reason if flaw is not None else Reason.GUEST_NOT_RUNNING),
            message=flaw.message if flaw is not None else default_message,
            remedy=flaw.remedy if flaw is not None else "",
            is_affected=interface.name not in before,
        )
