"""Third chapter: a NIC whose network does not exist. `why` says whom it waits for; it is taken back."""

from nicplug_sandbox.object_watch import Line
from nicplug_sandbox.story.scene import Scene
from nicplug_sandbox.story.sight import NicSight
from nicplug_sandbox.story.timeline import Moment

NIC = NicSight(vmi="vm-fedora", name="blue")
_ADD = f"nicplug add {NIC.vmi} --network {NIC.name} --persist"
_REMOVE = f"nicplug remove {NIC.vmi} {NIC.name} --persist"
# Its longest reason beside the other columns.
_WIDTH_OF_TABLE = 124
# The same without the API. Number 0 is the pod network and 1 the NIC of the chapter before.
_PLUG = f"""kubectl patch vm {NIC.vmi} --type=json -p '
- {{op: add, path: /spec/template/spec/domain/devices/interfaces/-, value: {{name: {NIC.name}, bridge: {{}}}}}}
- {{op: add, path: /spec/template/spec/networks/-,
   value: {{name: {NIC.name}, multus: {{networkName: {NIC.name}}}}}}}'"""
_UNPLUG = f"""kubectl patch vm {NIC.vmi} --type=json -p '
- {{op: test, path: /spec/template/spec/domain/devices/interfaces/2/name, value: {NIC.name}}}
- {{op: add, path: /spec/template/spec/domain/devices/interfaces/2/state, value: absent}}'"""


def ask_why(scene: Scene) -> None:
    """Ask for the NIC, look at it, ask why it does not come."""
    scene.screen.section("A NIC on a network that does not exist")
    scene.follow(_ADD if scene.has_api else _PLUG, [_asked(scene), _is_blocked()], nic=NIC, goal=f"{NIC.name} waits")
    with scene.screen.in_picture("status", width=_WIDTH_OF_TABLE):
        scene.run(f"nicplug status {NIC.vmi}")
    with scene.screen.in_picture("why"):
        scene.run(f"nicplug why {NIC.vmi} {NIC.name}")


def take_back(scene: Scene) -> None:
    """Take the request back, and wait until nothing of it is left."""
    moments = [
        Moment(
            what="the VMI is without it",
            who="nicplug",
            is_shown=lambda line: NIC.is_vmi(line) and not NIC.is_left_in(line),
        ),
        Moment(what="the VM's template is without it", who="nicplug", is_shown=_has_left_template),
    ]
    scene.follow(_REMOVE if scene.has_api else _UNPLUG, moments, nic=NIC, goal=f"{NIC.name} is gone")


def _asked(scene: Scene) -> Moment:
    return Moment(
        what="the VM's template asks for it",
        who="nicplug api" if scene.has_api else "you",
        is_shown=lambda line: NIC.in_template(line) is not None,
    )


def _is_blocked() -> Moment:
    return Moment(
        what="record: Blocked, ",
        who="nicplug",
        is_shown=lambda line: NIC.record(line).get("phase") == "Blocked",
        told=lambda line: str(NIC.record(line).get("reason", "")),
    )


def _has_left_template(line: Line) -> bool:
    is_vm = line.kind == "VirtualMachine" and line.object["metadata"]["name"] == NIC.vmi
    return is_vm and NIC.in_template(line) is None
