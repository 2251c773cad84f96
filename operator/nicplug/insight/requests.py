"""Predicts the aggregated API's answer to a request for a NIC, from evidence read for the question."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nicplug.insight.evidence import Evidence
from nicplug.insight.known import default_binding, known_attachments
from nicplug.kube.resources import KUBEVIRTS, NETWORK_ATTACHMENT_DEFINITIONS
from nicplug.model.attachments import KnownAttachments
from nicplug.model.frozen_json import freeze, read
from nicplug.model.metadata import mapping
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.requests import AddInterface, InterfaceRequest
from nicplug.plan.actions import PatchStatus
from nicplug.plan.nic.requested import Hint, is_leaving, lists_after
from nicplug.plan.subresources import interfaces
from nicplug.plan.subresources.answers import Answer, Endpoint, bad_request, conflict, forbidden

LIST_GATE = (
    "a cluster admin lists it in spec.configuration.developerConfiguration.featureGates of the KubeVirt object "
    "(`nicplug doctor` looks at it)"
)
GATE_OFF = f'the feature gate "HotplugNICs" is not enabled: {LIST_GATE}'
"""For people. KubeVirt's text mentions an addition even for a removal, and has no remedy."""


def refusals_in_turn(
    evidence: Evidence, requests: Sequence[InterfaceRequest], *, persist: bool, forbidden: Mapping[str, str]
) -> list[str]:
    """Return why each request is refused if they are made in this order; "" for an accepted one.

    Args:
        persist: True for requests to the VM, False for the VMI.
        forbidden: networks that the caller may not use, by their references, with the reason.
    """
    found, reasons = _evidence(evidence, requests), []
    ask = interfaces.ask_vm if persist else interfaces.ask_vmi
    for request in requests:
        if isinstance(request, AddInterface) and (why := forbidden.get(request.network, "")):
            reasons.append(why)
            continue
        answer = _refused_at_once(evidence, request) or ask(request, name=evidence.target.name, evidence=found)
        is_accepted = answer.code < 400
        reasons.append("" if is_accepted else answer.message)
        if is_accepted:
            found = _after(request, answer, found, persist=persist)
    return reasons


def _after(
    request: InterfaceRequest, answer: Answer, found: interfaces.Evidence, *, persist: bool
) -> interfaces.Evidence:
    """Return what the next request finds: a VM that has this one recorded or in its template, or a VMI that has it."""
    vm, vmi = found.vm, found.vmi
    if persist:
        if vm is None:
            return found
        if isinstance(answer.write, PatchStatus):
            status = freeze({**vm.status.members, **mapping(read(answer.write.wanted))})
            return replace(found, vm=replace(vm, status_text=status))
        if answer.write is None:
            return found
        nics, networks = lists_after(request, found.vm_before(request) or vm)
        return replace(found, vm=replace(vm, interfaces=nics, networks=networks))
    if vmi is None:
        return found
    nics, networks = lists_after(request, vmi)
    return replace(found, vmi=replace(vmi, interfaces=nics, networks=networks))


def answer_with_mac(evidence: Evidence, request: AddInterface, *, mac: str, persist: bool) -> Answer:
    """Return the answer to a NIC with a MAC address, which the caller adds to the spec.

    What the caller has no permission to read is not checked: `evidence.unknown` lists it.

    Args:
        persist: True to patch the VM's template, False to patch the VMI.
    """
    is_known = not _is_unknown(evidence, KUBEVIRTS.plural)
    if is_known and (refusal := _refused_at_once(evidence, request)):
        return refusal
    name, config = evidence.target.name, evidence.caches.config()
    is_demanded = config is not None and config.nad_rules.requester_must_read
    if is_demanded and _is_unknown(evidence, NETWORK_ATTACHMENT_DEFINITIONS.plural):
        why = (
            f"you may not get network attachment definition {request.network}, and requireNadAccess of the KubeVirt CR "
            "demands that. Use another network, or ask the cluster admin"
        )
        return forbidden(Endpoint.VM if persist else Endpoint.VMI, name, why)
    found = _evidence(evidence, [request], is_known=is_known)
    return interfaces.ask_with_mac(mac, request, name=name, evidence=found, persist=persist)


def answer_to_edit(evidence: Evidence, request: InterfaceRequest, *, mac: str = "") -> Answer:
    """Return the answer to a change of a VM's template that the caller makes: nobody records requests beside KubeVirt.

    Args:
        mac: MAC address of a NIC to add; "" for none.
    """
    name, is_known = evidence.target.name, not _is_unknown(evidence, KUBEVIRTS.plural)
    if request.problem:
        return bad_request(request.problem)
    found = _evidence(evidence, [request], is_known=is_known)
    if not isinstance(request, AddInterface):
        return interfaces.ask_vm(request, name=name, evidence=found)
    if any(is_leaving(request.name, owner) for owner in (found.vm, found.vmi) if owner is not None):
        why = f'NIC "{request.name}" is being unplugged: ask again when it is gone'
        return conflict(Endpoint.VM, name, why, hint=Hint.WAIT_UNTIL_GONE)
    if mac:
        return interfaces.ask_with_mac(mac, request, name=name, evidence=found, persist=True)
    return interfaces.ask_vm(request, name=name, evidence=found)


def _is_unknown(evidence: Evidence, plural: str) -> bool:
    return any(item.kind == plural and item.is_denied for item in evidence.unknown)


def _refused_at_once(evidence: Evidence, request: InterfaceRequest) -> Answer | None:
    """Return the refusal that depends on no object."""
    config = evidence.caches.config()
    if config is None or not config.hotplug_enabled:
        return bad_request(GATE_OFF)
    return bad_request(request.problem) if request.problem else None


def _evidence(
    evidence: Evidence, requests: Sequence[InterfaceRequest], *, is_known: bool = True
) -> interfaces.Evidence:
    """Return what the checks read.

    Args:
        is_known: True if the policy for networks could be read; otherwise none is applied.
    """
    vm, vmi, config = evidence.parsed_vm, evidence.parsed_vmi, evidence.caches.config()
    networks = [network for owner in (vm, vmi) if owner is not None for network in owner.networks]
    networks += [request.to_network() for request in requests if isinstance(request, AddInterface)]
    known = KnownAttachments(access=AttachmentAccess(shared=None))
    if is_known:
        known = known_attachments(evidence, networks)
    is_staged = config is not None and config.stages_changes
    return interfaces.Evidence(
        vm=vm, vmi=vmi, known=known, is_staged=is_staged, default_binding=default_binding(evidence)
    )
