"""NICs in the guest whose network has changed since they were attached, or may no longer be used.

They stay: a guest's NICs are not removed, and whether an edit of a definition concerns existing attachments is
unknown. They are reported in a condition while it lasts, and once in an event.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nicplug.model.attachments import Attached, attached_at_birth, attachment_key
from nicplug.model.conditions import OUTDATED_ATTACHMENTS, TRUE, Condition, Row, Status
from nicplug.model.interface_status import DOMAIN, has_source, rows_by_name
from nicplug.model.networks import Network, first_by_name
from nicplug.model.operations import InterfaceOperation
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VmiPhase
from nicplug.plan.nic.attachments import refuse_use
from nicplug.plan.nic.observed import networks_asked_for
from nicplug.plan.outcome import Announcement, Subject, warning
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal, VmiView

_NICS_LISTED = 3
INTERFACES_MEMBER = "interfaces"
"""Member of the condition: its findings per NIC, to detect news."""


def outdated_condition(view: VmiView, outdated: Mapping[str, Refusal]) -> Condition | None:
    """`OutdatedNetworkAttachments`, present only while there is something to report."""
    found = list(outdated.values())
    if not found:
        return None
    more = len(found) - _NICS_LISTED
    sentences = [item.sentence for item in found[:_NICS_LISTED]] + ([f"and {more} more"] if more > 0 else [])
    return Condition(
        type=OUTDATED_ATTACHMENTS,
        status=TRUE,
        reason=found[0].reason,
        message="; ".join(sentences),
        observed_generation=view.vmi.generation,
        members={INTERFACES_MEMBER: _facts(outdated, view)},
    )


def outdated_attachments(
    view: VmiView,
    *,
    pod: LauncherPod | None,
    phase: VmiPhase,
    interfaces: Sequence[Row],
    operations: Sequence[InterfaceOperation],
) -> Mapping[str, Refusal]:
    """Findings by NIC of a running guest; none for a guest that does not run."""
    rows, found = rows_by_name(interfaces), dict[str, Refusal]()
    networks = [item for item in view.vmi.networks if item.attachment and has_source(rows.get(item.name), DOMAIN)]
    if pod is None or phase is not VmiPhase.RUNNING or not networks:
        return {}
    plugged = {item.name: item.attached for item in operations if item.attached is not None}
    born = attached_at_birth(pod.attached_annotation)
    for network in networks:
        name = network.name
        if forbidden := refuse_use(network, namespace=view.vmi.key.namespace, known=view.attachments):
            message = f'NIC "{name}" is in the guest and stays there, but no new pod gets it: {forbidden.message}'
            found[name] = replace(forbidden, message=message)
            continue
        attached = _attached(plugged.get(name), born.get(name), pod)
        if message := _drift(network, attached, view=view, pod=pod, interface=rows[name].pod_interface):
            found[name] = Refusal(reason=Reason.ATTACHMENT_DEFINITION_CHANGED, message=message)
    return found


def announce_outdated_attachments(view: VmiView, changes: Mapping[str, Any]) -> tuple[Announcement, ...]:
    """The event, when the condition reports something new."""
    before, after = (item.condition(OUTDATED_ATTACHMENTS) for item in (view.vmi.status, Status(changes)))
    is_same = before.members.get(INTERFACES_MEMBER) == after.members.get(INTERFACES_MEMBER)
    if not after.status or (before.reason == after.reason and is_same):
        return ()
    return (warning(Subject.VMI, after.reason, after.message),)


def _facts(outdated: Mapping[str, Refusal], view: VmiView) -> list[dict[str, Any]]:
    """By NIC the reason, and the present definition, which may be changed and then created again."""
    networks, namespace = first_by_name(view.vmi.networks), view.vmi.key.namespace
    found = []
    for name, refusal in outdated.items():
        definition = view.attachments.definition_of(networks[name], namespace=namespace)
        is_changed = refusal.reason == Reason.ATTACHMENT_DEFINITION_CHANGED and definition is not None
        uid = {"definition": definition.uid} if is_changed and definition is not None else {}
        found.append({"name": name, "reason": str(refusal.reason), **uid})
    return found


def _attached(plugged: Attached | None, born: Attached | None, pod: LauncherPod) -> Attached | None:
    """Attachment facts of this very pod: NICs plugged after its creation; not a record of an earlier pod."""
    if plugged is not None and plugged.pod == pod.uid:
        return plugged
    return born


def _drift(network: Network, attached: Attached | None, *, view: VmiView, pod: LauncherPod, interface: str) -> str:
    key = attachment_key(network, namespace=view.vmi.key.namespace)
    definition = view.attachments.definition_of(network, namespace=view.vmi.key.namespace)
    if attached is None or definition is None or attached.is_of(definition):
        return ""
    if network.is_secondary and networks_asked_for(pod, namespace=key.namespace).get(interface) != str(key):
        return ""  # the spec asks for another network, which has a record of its own
    what = "was changed" if attached.uid == definition.uid else "was deleted and created again"
    return (
        f'NIC "{network.name}": network attachment definition {key} {what} since pod {pod.key.name} attached it: '
        "migrate or restart the VM, or unplug the NIC and plug it again"
    )
