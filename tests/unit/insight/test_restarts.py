"""What the next restart does to NICs."""

from typing import Any

import pytest
from tests.build import NOW, VM_UID, a_vm, a_vmi, absent, nic, operation, primary, vm, vmi

from nicplug.insight.nics import describe
from nicplug.insight.restarts import lost_at_restart, restart_effects

Json = dict[str, Any]
ORIGIN = {"nicplug.io/template-interfaces": '["default","red"]'}
REQUIRED = {"conditions": [{"type": "RestartRequired", "status": "True", "message": "m"}]}


@pytest.mark.parametrize(
    ("template", "running", "lost"),
    [
        (vm(primary(), nic("red")), vmi(primary(), nic("red")), ()),
        (vm(primary()), vmi(primary(), nic("red")), ("red",)),
        (vm(primary()), vmi(primary(), absent("red")), ()),
        (vm(primary(), absent("red")), vmi(primary(), nic("red")), ("red",)),
        (vm(), vmi(primary()), ()),
        (vm(), vmi(primary(), nic("red")), ("red",)),
        (vm(nic("red")), vmi(primary(), nic("red")), ("default",)),
    ],
    ids=[
        "in the template",
        "not in the template",
        "leaving",
        "leaving the template",
        "the pod network that a template without NICs is given",
        "another NIC beside the given one",
        "a pod network that was not given",
    ],
)
def test_lost_at_restart(template: Json, running: Json, lost: tuple[str, ...]) -> None:
    assert lost_at_restart(a_vm(template), a_vmi(running)) == lost


@pytest.mark.parametrize("status", [None, REQUIRED], ids=["no restart required", "restart required"])
def test_a_nic_that_left_the_template_needs_the_restart_that_is_required(status: Json | None) -> None:
    running = vmi(primary(), nic("red"), nic("blue"), owner_uid=VM_UID, annotations=dict(ORIGIN))
    told = restart_effects(a_vm(vm(primary(), status=status)), a_vmi(running))
    assert list(told) == ["red", "blue"]
    assert told["red"].startswith("RestartRequired: ") is (status is not None)
    assert told["blue"].startswith("the VM's template does not have this NIC")


@pytest.mark.parametrize(
    ("status", "path", "said"),
    [
        (REQUIRED, "Restart", "RestartRequired: m"),
        (REQUIRED, "Dynamic", ""),
        (None, "Restart", ""),
    ],
)
def test_a_nic_waits_for_the_restart_only_by_that_path(status: Json | None, path: str, said: str) -> None:
    waiting = operation("blue", path=path, phase="Blocked", reason="BindingNeedsRestart")
    nics = (primary(), nic("blue"))
    found = describe(
        namespace="default",
        name="v",
        vm=a_vm(vm(*nics, status=status)),
        vmi=a_vmi(vmi(*nics, owner_uid=VM_UID, operations=[waiting])),
        now=NOW,
    )
    assert found.restart_of(found.nics[1]) == said
