"""Requests for NICs that no operator carries out while hot-plug is off. Pure but for the evidence."""

from collections.abc import Collection, Iterator

from nicplug.insight.evidence import Evidence
from nicplug.insight.known import pending_requests
from nicplug.insight.outcome import NicForecast, Outcome
from nicplug.model.networks import Binding
from nicplug.model.operations import OperationPath, OperationPhase, OperationType
from nicplug.model.requests import AddInterface, InterfaceRequest
from nicplug.plan.nic.attachments import refuse_hotplug
from nicplug.plan.views import Refusal


def held_requests(evidence: Evidence) -> Refusal | None:
    """Why requests of the VM wait until somebody acts; None when an operator carries them out, or there are none."""
    if not pending_requests(evidence.parsed_vm):
        return None
    return refuse_hotplug(evidence.caches.config(), kubevirt_namespace=evidence.target.kubevirt_namespace)


def held_nics(evidence: Evidence, *, told: Collection[str]) -> Iterator[NicForecast]:
    """The NICs that such requests add or remove: they have no record, as nothing has been done for them.

    Args:
        told: NICs of which something is said already.
    """
    if (refusal := held_requests(evidence)) is None:
        return
    named = set(told)
    for request in pending_requests(evidence.parsed_vm):
        if request.name not in named:
            named.add(request.name)
            yield _held(request, refusal, namespace=evidence.target.namespace)


def _held(request: InterfaceRequest, refusal: Refusal, *, namespace: str) -> NicForecast:
    operation, network, binding = OperationType.UNPLUG, "", ""
    if isinstance(request, AddInterface):
        operation, binding = OperationType.PLUG, str(Binding.BRIDGE)
        network = "/".join(request.to_network().attachment_reference(namespace=namespace))
    return NicForecast(
        name=request.name,
        operation=str(operation),
        network=network,
        binding=binding,
        outcome=Outcome.STUCK,
        path=str(OperationPath.NONE),
        phase=str(OperationPhase.BLOCKED),
        reason=refusal.reason,
        message=f"the request waits: {refusal.message}",
        remedy=refusal.remedy,
        is_affected=False,
    )
