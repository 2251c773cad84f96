"""What the aggregated API would answer to a request for a NIC, on evidence that was read for the question."""

from nicplug.insight.evidence import Evidence
from nicplug.insight.forecast import known_attachments
from nicplug.model.interface_requests import AddInterface, InterfaceRequest
from nicplug.plan.subresources import interfaces
from nicplug.plan.subresources.answers import Answer, bad_request
from nicplug.plan.subresources.options import GATE_IS_OFF


def answer_to(evidence: Evidence, request: InterfaceRequest, *, persist: bool) -> Answer:
    """The answer of `addinterface` or `removeinterface`; nothing is written.

    Args:
        persist: the VM is asked; else the VMI.
    """
    config = evidence.caches.config()
    if config is None or not config.hotplug_enabled:
        return bad_request(GATE_IS_OFF)
    if request.problem:
        return bad_request(request.problem)
    vm, vmi = evidence.parsed_vm, evidence.parsed_vmi
    networks = [network for owner in (vm, vmi) if owner is not None for network in owner.networks]
    if isinstance(request, AddInterface):
        networks.append(request.to_network())
    found = interfaces.Evidence(
        vm=vm, vmi=vmi, known=known_attachments(evidence, networks), is_staged=config.stages_changes
    )
    ask = interfaces.ask_vm if persist else interfaces.ask_vmi
    return ask(request, name=evidence.target.name, evidence=found)
