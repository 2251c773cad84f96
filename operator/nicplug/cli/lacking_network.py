"""Checks the network of `nicplug add` at once: the API accepts a NIC whose network does not exist yet."""

from dataclasses import dataclass

from nicplug.cli.connection import Session
from nicplug.cli.exits import CommandError, Exit
from nicplug.cli.suggestions import network_remedy
from nicplug.kube.errors import ApiError, Gone
from nicplug.kube.resources import NETWORK_ATTACHMENT_DEFINITIONS
from nicplug.model.attachments import (
    AttachmentDefinition,
    Knowledge,
    KnownAttachments,
    attachment_key,
    parse_attachment_definition,
)
from nicplug.model.keys import AttachmentKey
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.networks import parse_network
from nicplug.plan.nic.attachments import refuse_attachment
from nicplug.plan.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class LackingNetwork:
    """A network that no NIC can be attached to now.

    Attributes:
        message: why.
        note: message and remedy, for a request that has been accepted.
        remedy: what to do.
    """

    message: str
    note: str
    remedy: str

    def error(self, *, vm: str, nic: str) -> CommandError:
        """Return the error that the VM would start without the NIC, with the exit code of `plan` and `wait` for it."""
        message = f'NIC "{nic}" does not come when VM {vm} starts: {self.message}'
        return CommandError(message, remedy=f"{self.remedy}.", code=Exit.NO)


async def check_network(session: Session, network: str, *, vm: str, nic: str, persist: bool) -> LackingNetwork | None:
    """Return what the network lacks; None if nothing, or if it cannot be read. One GET.

    Args:
        network: `NAME` or `NAMESPACE/NAME` of the network attachment definition.
        persist: the VM's template has the NIC.
    """
    asked = parse_network({"name": nic, "multus": {"networkName": network}})
    key = attachment_key(asked, namespace=session.namespace)
    found: dict[AttachmentKey, AttachmentDefinition] = {}
    try:
        raw = await session.api.get(NETWORK_ATTACHMENT_DEFINITIONS, name=key.name, namespace=key.namespace)
        found[key] = parse_attachment_definition(raw, changed_at=None)
    except Gone as error:
        if error.is_not_served:
            return None
    except ApiError:
        return None
    # The API has already checked that the VM is allowed to use it.
    anything = AttachmentAccess(shared=None)
    known = KnownAttachments(knowledge=Knowledge.COMPLETE, definitions=found, access=anything)
    refusal = refuse_attachment(asked, namespace=session.namespace, known=known)
    if refusal is None:
        return None
    if refusal.reason != Reason.ATTACHMENT_DEFINITION_MISSING:
        return LackingNetwork(message=refusal.message, note=refusal.sentence, remedy=refusal.remedy)
    otherwise = await network_remedy(session, vm=vm, nic=nic, network=network, persist=persist)
    message = f"there is no NetworkAttachmentDefinition {key}"
    note = f"{message}: the NIC waits until it is created. {otherwise}"
    return LackingNetwork(message=message, note=note, remedy=f"Create it. {otherwise}")
