"""The look at a VMI before something is taken away that it may have, and that we may not have heard of."""

from nicplug.model.frozen_json import freeze
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import CheckNics


def check_nics(vmi: VirtualMachineInstance) -> CheckNics:
    """Fails when the VMI's spec, or what its guest has, is not what was looked at."""
    status = vmi.read_status()
    return CheckNics(
        key=vmi.key,
        uid=vmi.uid,
        version=vmi.resource_version,
        generation=vmi.generation,
        seen=freeze(status.get("interfaces")),
        has_status=bool(status),
    )
