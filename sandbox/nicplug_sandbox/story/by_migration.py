"""Second chapter: a node without a dynamic networks controller. The NIC comes by migration, in a pod born with it."""

from nicplug_sandbox.object_watch import Line
from nicplug_sandbox.story.in_place import NETWORK
from nicplug_sandbox.story.scene import Scene
from nicplug_sandbox.story.sight import PHASES, NicSight, is_pod_running, pod_node, reason
from nicplug_sandbox.story.timeline import Moment, Timeline

NIC = NicSight(vmi="vm-fedora", name="dyniface2")
CONTROLLER = "sandbox.nicplug.io/dynamic-networks-controller"
COPIED, ARRIVED = "the copy begins", "the guest runs on "
IN_GUEST = "status.interfaces: domain, multus-status"
GONE = "nothing of it is left in spec and status"
_PLAN = f"nicplug plan {NIC.vmi} --add {NIC.name}={NETWORK} --persist"
_ADD = f"nicplug add {NIC.vmi} --network {NETWORK} --name {NIC.name} --persist"
_REMOVE = f"nicplug remove {NIC.vmi} {NIC.name} --persist"
_WHY = f"nicplug why {NIC.vmi} {NIC.name}"
_ASKED = "the VM's template asks for it"
_LEAVES = "the VM's template says state: absent"
# The same without the API. Number 0 is the pod network.
_PLUG = f"""kubectl patch vm {NIC.vmi} --type=json -p '
- {{op: add, path: /spec/template/spec/domain/devices/interfaces/-, value: {{name: {NIC.name}, bridge: {{}}}}}}
- {{op: add, path: /spec/template/spec/networks/-,
   value: {{name: {NIC.name}, multus: {{networkName: {NETWORK}}}}}}}'"""
_UNPLUG = f"""kubectl patch vm {NIC.vmi} --type=json -p '
- {{op: test, path: /spec/template/spec/domain/devices/interfaces/1/name, value: {NIC.name}}}
- {{op: add, path: /spec/template/spec/domain/devices/interfaces/1/state, value: absent}}'"""
_HANDLER, _MULTUS = "virt-handler (simulated)", "Multus (simulated)"


def start(scene: Scene) -> str:
    """A second VM, on a node that has lost its controller; the name of the node."""
    scene.screen.section("A second virtual machine, on a node without a dynamic networks controller")
    node = scene.start("examples/vm-fedora.yaml", vmi=NIC.vmi)
    scene.run(f"kubectl annotate node {node} {CONTROLLER}=absent")
    scene.run(
        f"kubectl -n kube-system wait pod -l name=dynamic-networks-controller \\\n"
        f"    --field-selector spec.nodeName={node} --for=delete --timeout=30s"
    )
    return node


def plug(scene: Scene) -> Timeline:
    """Ask for a further NIC in the VM's template, and wait until the VM has moved and has it."""
    scene.screen.section("One more NIC for it: by migration")
    with scene.screen.in_picture("plan"):
        scene.run(_PLAN)
    command = _ADD if scene.has_api else _PLUG
    timeline = scene.follow(command, _plugged(scene), nic=NIC, goal=f"{NIC.name} is in the guest")
    scene.run(_WHY)
    return timeline


def restore_controller(scene: Scene, *, node: str) -> None:
    """Give the node its controller back."""
    scene.run(f"kubectl annotate node {node} {CONTROLLER}-")
    scene.run("kubectl -n kube-system rollout status daemonset dynamic-networks-controller-ds --timeout=30s")


def unplug(scene: Scene) -> Timeline:
    """Give the NIC back, where the VM is now."""
    command = _REMOVE if scene.has_api else _UNPLUG
    return scene.follow(command, _unplugged(scene), nic=NIC, goal=f"{NIC.name} is gone")


def _plugged(scene: Scene) -> list[Moment]:
    """In the order in which they come, as a rule; a phase that no watch shows is told with the one behind it."""
    phases = {name: _reached(name) for name in PHASES}
    return [
        Moment(
            what=_ASKED,
            who="nicplug api" if scene.has_api else "you",
            is_shown=lambda line: NIC.in_template(line) is not None,
        ),
        Moment(what="the VMI's spec asks for it", who="nicplug", is_shown=lambda line: NIC.in_spec(line) is not None),
        Moment(what="record: path Migration, ", who="nicplug", is_shown=_has_path, told=_why),
        Moment(what="migration ", who="nicplug", is_shown=NIC.is_migration, told=_name),
        phases["Pending"],
        Moment(what="target pod ", who="nicplug", is_shown=NIC.is_target, told=_name),
        Moment(
            what="it goes to ",
            who="kube-scheduler",
            is_shown=lambda line: NIC.is_target(line) and bool(pod_node(line)),
            told=pod_node,
        ),
        phases["Scheduling"],
        Moment(
            what="its network-status has all NICs",
            who=_MULTUS,
            is_shown=lambda line: NIC.is_target(line) and NIC.in_pod(line, "network-status"),
        ),
        Moment(what="it runs", who="kubelet (simulated)", is_shown=_has_running_target),
        phases["Scheduled"],
        Moment(
            what="handed to the node agents",
            who="nicplug",
            is_shown=lambda line: bool(NIC.move(line).get("migrationUid")),
        ),
        phases["PreparingTarget"],
        Moment(
            what="the target is prepared",
            who=_HANDLER,
            is_shown=lambda line: bool(NIC.move(line).get("targetNodeAddress")),
        ),
        phases["TargetReady"],
        Moment(what=COPIED, who=_HANDLER, is_shown=lambda line: bool(NIC.move(line).get("startTimestamp"))),
        phases["Running"],
        Moment(what=ARRIVED, who=_HANDLER, is_shown=_has_arrived, told=lambda line: line.object["status"]["nodeName"]),
        Moment(what=IN_GUEST, who=_HANDLER, is_shown=lambda line: "domain" in NIC.sources(line)),
        phases["Succeeded"],
        Moment(
            what="the record says Ready", who="nicplug", is_shown=lambda line: NIC.record(line).get("phase") == "Ready"
        ),
    ]


def _unplugged(scene: Scene) -> list[Moment]:
    """The VM's template says it by the user's own patch, or by a request that nicplug works off."""
    recorded = Moment(
        what="the VM's status has the request",
        who="nicplug api",
        is_shown=lambda line: NIC.is_requested(line, "removeInterfaceOptions"),
    )
    return [
        *([recorded] if scene.has_api else []),
        Moment(
            what=_LEAVES,
            who="nicplug" if scene.has_api else "you",
            is_shown=lambda line: (NIC.in_template(line) or {}).get("state") == "absent",
        ),
        Moment(
            what="the guest has let it go",
            who=_HANDLER,
            is_shown=lambda line: NIC.is_vmi(line) and "domain" not in NIC.sources(line),
        ),
        Moment(what=GONE, who="nicplug", is_shown=lambda line: NIC.is_vmi(line) and not NIC.is_left_in(line)),
        Moment(
            what="nor in the VM's template",
            who="nicplug",
            is_shown=lambda line: _is_vm(line) and NIC.in_template(line) is None,
        ),
    ]


def _reached(phase: str) -> Moment:
    return Moment(what=f"vmim {phase}", who="nicplug", is_shown=lambda line: NIC.has_reached(line, phase), told=reason)


def _is_vm(line: Line) -> bool:
    return line.kind == "VirtualMachine" and bool(line.object["metadata"]["name"] == NIC.vmi)


def _has_path(line: Line) -> bool:
    return bool(NIC.record(line).get("path") == "Migration")


def _why(line: Line) -> str:
    return str(NIC.record(line).get("reason", ""))


def _has_running_target(line: Line) -> bool:
    return NIC.is_target(line) and is_pod_running(line)


def _name(line: Line) -> str:
    return str(line.object["metadata"]["name"])


def _has_arrived(line: Line) -> bool:
    state = NIC.move(line)
    return bool(state.get("endTimestamp")) and state.get("targetNode") == line.object["status"].get("nodeName")
