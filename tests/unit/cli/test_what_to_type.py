"""Commands in what is refused and what is to be done."""

import pytest
from tests.build import a_vm, a_vmi, nic, operation, primary, row, vm, vmi

from nicplug.cli.what_to_type import WhatToType
from nicplug.model.attachments import KnownAttachments
from nicplug.model.requests import AddInterface, RemoveInterface
from nicplug.plan.nic.requested import object_to, object_to_slots

OF_VM = WhatToType(vm="V", namespace="s1", is_bare=False)
OF_VMI = WhatToType(vm="V", namespace="s1", is_bare=True)


@pytest.mark.parametrize(
    ("remedy", "of_vm", "of_vmi"),
    [
        (
            "Restart the VM, or use bridge",
            "Restart the VM (nicplug restart V --namespace s1), or use bridge",
            "Delete the VMI and create it again (kubectl delete vmi V -n s1), or use bridge",
        ),
        (
            "Set dynamicPath to Auto, or restart the VM",
            "Set dynamicPath to Auto, or restart the VM (nicplug restart V --namespace s1)",
            "Set dynamicPath to Auto, or delete the VMI and create it again (kubectl delete vmi V -n s1)",
        ),
        (
            "Start the VM, or find out why it does not start.",
            "Start the VM (nicplug start V --namespace s1), or find out why it does not start.",
            "Start the VM, or find out why it does not start.",
        ),
        ("Use another name", "Use another name", "Use another name"),
    ],
)
def test_a_remedy_named_no_command_or_that_of_a_vm_that_there_is_not(remedy: str, of_vm: str, of_vmi: str) -> None:
    assert OF_VM.within(remedy) == of_vm
    assert OF_VM.within(of_vm) == of_vm
    assert OF_VMI.within(remedy) == of_vmi


def test_a_vm_was_to_be_stopped_without_a_command() -> None:
    running = a_vmi(vmi(primary(), rows=[row("default", "domain")]))
    objection = object_to(RemoveInterface(name="default"), vm=a_vm(vm(primary())), vmi=running)
    assert objection is not None
    assert "Stop the VM first (nicplug stop V --namespace s1), or delete" in OF_VM.within(objection.message)


def test_what_frees_a_slot_is_the_same_for_those_who_use_virtctl() -> None:
    nics = [nic(f"n{number}") for number in range(7)]
    rows = [row(name, "domain") for name in ("default", *(item["name"] for item, _ in nics))]
    raw = vmi(primary(), *nics, rows=rows, operations=[operation("n0", phase="Ready")])
    raw["spec"]["domain"]["memory"] = {"guest": "1Gi"}
    raw["status"]["pciBudget"] = {"total": 8}
    request = AddInterface(name="one-more", network="lan")
    of_vmi, of_vm = (
        object_to_slots(request, vm=owner, vmi=a_vmi(raw), known=KnownAttachments())
        for owner in (None, a_vm(vm(primary())))
    )
    assert of_vmi is not None
    assert of_vm is not None
    assert OF_VMI.within(of_vmi.message) == of_vmi.message
    told = OF_VM.within(of_vm.message)
    assert "to the template of the stopped VM (nicplug stop V --namespace s1), which starts with" in told
