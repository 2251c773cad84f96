"""First chapter: a node with a dynamic networks controller. The pod is asked, and the guest does not move."""

from nicplug_sandbox.object_watch import Line
from nicplug_sandbox.story.scene import Scene
from nicplug_sandbox.story.sight import NicSight
from nicplug_sandbox.story.timeline import Moment, Timeline

NIC = NicSight(vmi="vmi-fedora", name="dyniface1")
NETWORK = "new-fancy-net"
ANNOTATED = "the pod's networks annotation asks for it"
ATTACHED = "network-status: the pod has the interface"
FOUND = "status.interfaces: multus-status"
IN_GUEST = "status.interfaces: domain, multus-status"
GONE = "nothing of it is left in spec and status"
_PLAN = f"nicplug plan {NIC.vmi} --add {NIC.name}={NETWORK}"
_ADD = f"virtctl addinterface {NIC.vmi} --network-attachment-definition-name {NETWORK} --name {NIC.name}"
_REMOVE = f"virtctl removeinterface {NIC.vmi} --name {NIC.name}"
_STATUS = f"nicplug status {NIC.vmi}"
# The same without the API. kubectl takes a patch as YAML too, which is what a person would rather type.
_PLUG = f"""kubectl patch vmi {NIC.vmi} --type=json -p '
- {{op: add, path: /spec/domain/devices/interfaces/-, value: {{name: {NIC.name}, bridge: {{}}}}}}
- {{op: add, path: /spec/networks/-, value: {{name: {NIC.name}, multus: {{networkName: {NETWORK}}}}}}}'"""
_UNPLUG = f"""kubectl patch vmi {NIC.vmi} --type=json -p '
- {{op: test, path: /spec/domain/devices/interfaces/1/name, value: {NIC.name}}}
- {{op: add, path: /spec/domain/devices/interfaces/1/state, value: absent}}'"""


def start(scene: Scene) -> None:
    """The VMI of KubeVirt's guide, and a network for it."""
    scene.screen.section("A running virtual machine, and a network for it")
    scene.run("kubectl apply -f examples/kubevirt.yaml")
    scene.start("examples/vmi-fedora.yaml", vmi=NIC.vmi)
    scene.run("kubectl apply -f examples/network-attachment-definition.yaml")


def plug(scene: Scene) -> Timeline:
    """Ask for the NIC and wait until its record says Ready."""
    scene.screen.section("One more NIC, while it runs: in place")
    scene.run(_PLAN)
    with scene.screen.in_picture("demo"):
        scene.explain_moments()
        command = _ADD if scene.has_api else _PLUG
        timeline = scene.follow(command, _plugged(scene), nic=NIC, goal=f"{NIC.name} is in the guest")
        scene.run(_STATUS)
    return timeline


def unplug(scene: Scene) -> Timeline:
    """Give the NIC back and wait until nothing of it is left."""
    command = _REMOVE if scene.has_api else _UNPLUG
    timeline = scene.follow(command, _unplugged(scene), nic=NIC, goal=f"{NIC.name} is gone")
    scene.show_interfaces(NIC.vmi)
    return timeline


def _writer(scene: Scene) -> str:
    return "nicplug api" if scene.has_api else "you"


def _plugged(scene: Scene) -> list[Moment]:
    return [
        Moment(
            what="the VMI's spec asks for it", who=_writer(scene), is_shown=lambda line: NIC.in_spec(line) is not None
        ),
        Moment(what=ANNOTATED, who="nicplug", is_shown=lambda line: NIC.in_pod(line, "networks")),
        Moment(what=ATTACHED, who="Multus (simulated)", is_shown=lambda line: NIC.in_pod(line, "network-status")),
        Moment(what=FOUND, who="nicplug", is_shown=lambda line: "multus-status" in NIC.sources(line)),
        Moment(what=IN_GUEST, who="virt-handler (simulated)", is_shown=lambda line: "domain" in NIC.sources(line)),
        Moment(what="the record says Ready", who="nicplug", is_shown=_is_ready),
    ]


def _unplugged(scene: Scene) -> list[Moment]:
    return [
        Moment(
            what="the VMI's spec says state: absent",
            who=_writer(scene),
            is_shown=lambda line: (NIC.in_spec(line) or {}).get("state") == "absent",
        ),
        Moment(
            what="the guest has let it go",
            who="virt-handler (simulated)",
            is_shown=lambda line: NIC.is_vmi(line) and "domain" not in NIC.sources(line),
        ),
        Moment(
            what="the pod's networks annotation is without it",
            who="nicplug",
            is_shown=lambda line: NIC.is_pod(line) and not NIC.in_pod(line, "networks"),
        ),
        Moment(
            what="network-status: the pod interface is gone",
            who="Multus (simulated)",
            is_shown=lambda line: NIC.is_pod(line) and not NIC.in_pod(line, "network-status"),
        ),
        Moment(what=GONE, who="nicplug", is_shown=lambda line: NIC.is_vmi(line) and not NIC.is_left_in(line)),
    ]


def _is_ready(line: Line) -> bool:
    return bool(NIC.record(line).get("phase") == "Ready")
