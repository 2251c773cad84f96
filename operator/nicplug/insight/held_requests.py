"""Requests for NICs that are not processed while hot-plug is off. Pure except for the evidence."""

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
    """Return why requests of the VM wait for action; None if an operator processes them, or if there are none."""
    if not pending_requests(evidence.parsed_vm):
        return None
    return refuse_hotplug(evidence.caches.config(), kubevirt_namespace=evidence.target.kubevirt_namespace)


def held_nics(evidence: Evidence, *, covered: Collection[str]) -> Iterator[NicForecast]:
    """Yield the NICs that such requests add or remove; they have no record, as nothing was done for them.

    Args:
        covered: NICs that already have a forecast.
    """
    if (refusal := held_requests(evidence)) is None:
        return
    named = set(covered)
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
