"""Explains a 404 of a subresource if only the VM or only the VMI exists: the name itself is right."""

import asyncio
from collections.abc import Mapping

from nicplug.cli.connection import Session
from nicplug.cli.exits import CommandError, Exit
from nicplug.cli.machines import read_object
from nicplug.cli.suggestions import no_machine
from nicplug.kube.errors import ApiError
from nicplug.kube.resources import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES

_FOR_A_STOPPED_VM: Mapping[str, str] = {
    "addinterface": "Use --persist: the template is changed, and the VM starts with the NIC.",
    "removeinterface": "Use --persist: the template is changed, and the VM starts without the NIC.",
}
_FOR_A_BARE_VMI: Mapping[str, str] = {
    "addinterface": "Leave --persist out: the instance itself is changed.",
    "removeinterface": "Leave --persist out: the instance itself is changed.",
    "migrate": (
        "Create a VirtualMachineInstanceMigration with spec.vmiName: {name}, as in examples/migration.yaml: "
        "kubectl create -n {namespace} -f FILE"
    ),
    "start": "It was started when it was created.",
    "stop": "It stops when it is deleted: kubectl delete vmi {name} -n {namespace}",
    "restart": "Only a VirtualMachine can be restarted. Delete the instance, and create it again: "
    "kubectl delete vmi {name} -n {namespace}",
}


async def explain_missing(session: Session, name: str, subresource: str) -> CommandError | None:
    """Return why the object does not exist; None if that is unknown."""
    try:
        vm, vmi = await asyncio.gather(
            read_object(session, VIRTUAL_MACHINES, name), read_object(session, VIRTUAL_MACHINE_INSTANCES, name)
        )
    except ApiError:
        return None
    if vm is None and vmi is None:
        return await no_machine(session, name)
    if vm is not None and vmi is not None:
        return None  # it has been created in the meantime
    if vm is not None:
        start = f"Start it first: nicplug start {name} --namespace {session.namespace}"
        remedy = _FOR_A_STOPPED_VM.get(subresource, start)
        return CommandError(f"VM {name} is not running", remedy=remedy, code=Exit.REFUSED)
    remedy = _FOR_A_BARE_VMI.get(subresource, "").format(name=name, namespace=session.namespace)
    message = f"{name} is a VirtualMachineInstance that belongs to no VirtualMachine"
    return CommandError(message, remedy=remedy, code=Exit.REFUSED)
