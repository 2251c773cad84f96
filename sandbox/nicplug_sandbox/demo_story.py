"""The story of the demonstration: a running VM gets a NIC, and gives it back.

Needs a cluster with nodes and a running operator; does not care whose they are. Every command that is shown
is the command that runs; every time is read off watches of the API server, one for VMIs and one for pods, on
one monotonic clock.
"""

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from nicplug_sandbox import audit
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.kubectl import Kubectl
from nicplug_sandbox.object_watch import Line, Lines, watching
from nicplug_sandbox.operator_process import NAMESPACE, SERVICE_ACCOUNT
from nicplug_sandbox.screen import Screen

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
WAIT_SECONDS = 60.0
EVENT_SECONDS = 10.0
VMI = "vmi-fedora"
NIC = "dyniface1"
NETWORK = "new-fancy-net"
_INTERFACES = f"kubectl get vmi {VMI} -o jsonpath='{{.status.interfaces}}'"
_EVENTS = f"""kubectl get events --field-selector involvedObject.name={VMI} \\
    --sort-by .metadata.creationTimestamp -o custom-columns=REASON:.reason,MESSAGE:.message"""
# kubectl takes a patch as YAML too, which is what a person would rather type.
_PLUG = f"""kubectl patch vmi {VMI} --type=json -p '
- {{op: add, path: /spec/domain/devices/interfaces/-, value: {{name: {NIC}, bridge: {{}}}}}}
- {{op: add, path: /spec/networks/-, value: {{name: {NIC}, multus: {{networkName: {NETWORK}}}}}}}'"""
_UNPLUG = f"""kubectl patch vmi {VMI} --type=json -p '
- {{op: test, path: /spec/domain/devices/interfaces/1/name, value: {NIC}}}
- {{op: add, path: /spec/domain/devices/interfaces/1/state, value: absent}}'"""
_OPERATOR_USER = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
_VMIS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
_PODS = "/api/v1/namespaces/default/pods"
_SPEC = "the VMI's spec asks for it"
_ANNOTATED = "the pod's networks annotation asks for it"
_ATTACHED = "network-status: the pod has the interface"
_FOUND = "status.interfaces: multus-status"
_IN_GUEST = "status.interfaces: domain, multus-status"
_GONE = "nothing of it is left in spec and status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one run measured.

    Attributes:
        plug_seconds: from the spec that asks for the NIC to the status that says it is in the guest.
        own_seconds: what of these the operator took: spec to annotation, network-status to status.
        unplug_seconds: from `state: absent` to the status without the NIC.
        interfaces: `status.interfaces` while the NIC was there.
        plug_writes: the operator's writes for the plug by resource; None without an audit log.
    """

    plug_seconds: float
    own_seconds: float
    unplug_seconds: float
    interfaces: list[dict[str, Any]]
    plug_writes: dict[str, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a line of a watch may show, and whose doing it is."""

    what: str
    who: str
    is_shown: Callable[[Line], bool]


@dataclass(slots=True)
class Timeline:
    """Finds the moments of one operation in the lines of the watches, and shows each once.

    Each kind has a watch of its own, and on a busy machine a line of one may be read after a later line of the
    other. So a moment that is seen before the first one is kept, and shown when the clock's start is known.

    Attributes:
        moments: none of them is true before the operation; the clock starts at the first.
        times: when each was seen, in seconds of the monotonic clock.
    """

    screen: Screen
    moments: list[Moment]
    times: dict[str, float] = field(default_factory=dict)
    _shown: set[str] = field(default_factory=set)

    def look(self, line: Line) -> bool:
        """Whether nothing more is to come after this line."""
        for moment in self.moments:
            if moment.what not in self.times and moment.is_shown(line):
                self.times[moment.what] = line.at
        if self.moments[0].what in self.times:
            self._show()
        return len(self.times) == len(self.moments)

    def seconds(self, what: str) -> float:
        """From the first moment to that one; both have been seen."""
        return max(0.0, self.times[what] - self.times[self.moments[0].what])

    def _show(self) -> None:
        for moment in self.moments:
            if moment.what in self.times and moment.what not in self._shown:
                self._shown.add(moment.what)
                self.screen.moment(seconds=self.seconds(moment.what), what=moment.what, who=moment.who)

    @property
    def next(self) -> str:
        """The first moment that has not come."""
        return next((moment.what for moment in self.moments if moment.what not in self.times), "")


def tell(*, admin: Kubectl, screen: Screen, audit_log: Path | None) -> Figures:
    """Play the whole story.

    Args:
        admin: may do everything in the cluster.
        audit_log: of the API server, to count writes; None where it cannot be read.

    Raises:
        SandboxError: a command failed or something did not happen in time; the text says what.
    """
    story = _Story(admin=admin, screen=screen, lines=Lines())
    with (
        watching(admin, _VMIS, into=story.lines, fieldSelector=f"metadata.name={VMI}"),
        watching(admin, _PODS, into=story.lines, labelSelector="kubevirt.io=virt-launcher"),
    ):
        story.start_vmi()
        offset = audit_log.stat().st_size if audit_log else 0
        with screen.in_picture():
            plugged = story.plug()
            interfaces = story.show_interfaces()
            story.show_events()
        writes = operator_writes(audit_log, offset=offset) if audit_log else None
        unplugged = story.unplug()
    return Figures(
        plug_seconds=plugged.seconds(_IN_GUEST),
        own_seconds=plugged.seconds(_ANNOTATED) + max(0.0, plugged.seconds(_FOUND) - plugged.seconds(_ATTACHED)),
        unplug_seconds=unplugged.seconds(_GONE),
        interfaces=interfaces,
        plug_writes=writes,
    )


def operator_writes(log: Path, *, offset: int = 0) -> dict[str, int]:
    """The operator's writes by resource since `offset` bytes, its Lease left out."""
    counts: dict[str, int] = {}
    for entry in audit.entries(log, offset=offset):
        target = entry.get("objectRef", {})
        is_write = entry["verb"] in ("create", "update", "patch", "delete")
        if entry["user"]["username"] == _OPERATOR_USER and is_write and target.get("resource") != "leases":
            name = "/".join(filter(None, [target.get("resource"), target.get("subresource")]))
            counts[name] = counts.get(name, 0) + 1
    return counts


@dataclass(slots=True, kw_only=True)
class _Story:
    admin: Kubectl
    screen: Screen
    lines: Lines

    def start_vmi(self) -> None:
        self.screen.section("A running virtual machine, and a network for it")
        self.run("kubectl apply -f examples/kubevirt.yaml")
        self.run("kubectl apply -f examples/vmi-fedora.yaml")
        with self.screen.step(f"{VMI} is running") as step:
            last = self._until(partial(_is_running, tell=step.tell), what=f"{VMI} is Running")
            step.detail = f"on {last.object['status'].get('nodeName', '?')}"
        self.run("kubectl apply -f examples/network-attachment-definition.yaml")

    def plug(self) -> Timeline:
        """Ask for the NIC and wait until its record says Ready."""
        self.screen.section("One more NIC, while it runs")
        self.screen.remark("What `virtctl addinterface` asks for, as a patch:")
        moments = [
            Moment(what=_SPEC, who="you", is_shown=lambda line: _spec(line) is not None),
            Moment(what=_ANNOTATED, who="nicplug", is_shown=lambda line: _pod_names(line, "networks")),
            Moment(what=_ATTACHED, who="Multus (simulated)", is_shown=lambda line: _pod_names(line, "network-status")),
            Moment(what=_FOUND, who="nicplug", is_shown=lambda line: "multus-status" in _sources(line)),
            Moment(what=_IN_GUEST, who="virt-handler (simulated)", is_shown=lambda line: "domain" in _sources(line)),
            Moment(
                what="the record says Ready",
                who="nicplug",
                is_shown=lambda line: _operation(line).get("phase") == "Ready",
            ),
        ]
        return self._follow(_PLUG, moments, goal=f"{NIC} is in the guest")

    def unplug(self) -> Timeline:
        """Give the NIC back and wait until nothing of it is left."""
        self.screen.section("And out again")
        moments = [
            Moment(
                what="the VMI's spec says state: absent",
                who="you",
                is_shown=lambda line: (_spec(line) or {}).get("state") == "absent",
            ),
            Moment(
                what="the guest has let it go",
                who="virt-handler (simulated)",
                is_shown=lambda line: _is_vmi(line) and "domain" not in _sources(line),
            ),
            Moment(
                what="the pod's networks annotation is without it",
                who="nicplug",
                is_shown=lambda line: _is_pod(line) and not _pod_names(line, "networks"),
            ),
            Moment(
                what="network-status: the pod interface is gone",
                who="Multus (simulated)",
                is_shown=lambda line: _is_pod(line) and not _pod_names(line, "network-status"),
            ),
            Moment(
                what=_GONE, who="nicplug", is_shown=lambda line: _is_vmi(line) and NIC not in json.dumps(_parts(line))
            ),
        ]
        timeline = self._follow(_UNPLUG, moments, goal=f"{NIC} is gone")
        self.show_interfaces()
        return timeline

    def show_interfaces(self) -> list[dict[str, Any]]:
        """The command of KubeVirt's guide, and its output for people."""
        self.screen.command(_INTERFACES)
        interfaces: list[dict[str, Any]] = json.loads(self._output(_INTERFACES))
        self.screen.json(json.dumps(interfaces))
        return interfaces

    def show_events(self) -> None:
        """Events are written behind the work: wait for the one about the NIC, then show what there is."""
        deadline = time.monotonic() + EVENT_SECONDS
        while NIC not in (found := self._output(_EVENTS)) and time.monotonic() < deadline:
            time.sleep(0.1)  # kubectl itself takes longer than this
        self.screen.command(_EVENTS)
        self.screen.output(found)

    def run(self, command: str) -> None:
        """Show a command, run it, show its output."""
        self.screen.command(command)
        self.screen.output(self._output(command))

    def _follow(self, command: str, moments: list[Moment], *, goal: str) -> Timeline:
        timeline = Timeline(self.screen, moments)
        self.run(command)
        try:
            with self.screen.step(goal) as step:
                last = self._until(partial(_look, timeline=timeline, tell=step.hint), what=goal)
        except SandboxError as error:
            record = self._output(f"kubectl get vmi {VMI} -o jsonpath='{{.status.interfaceOperations}}'")
            raise SandboxError(
                f"{error}; missing: {timeline.next}", remedy=f"The record of the NIC is {record}"
            ) from None
        self._show_record(last)
        return timeline

    def _show_record(self, line: Line) -> None:
        record = _operation(line)
        if record:
            members = ("name", "path", "phase", "reason", "message")
            row = [str(record.get(member, "-")) for member in members]
            self.screen.table(["NIC", "PATH", "PHASE", "REASON", "MESSAGE"], [row], good=frozenset({"Ready"}))

    def _until(self, is_last: Callable[[Line], bool], *, what: str) -> Line:
        return self.lines.until(is_last, seconds=WAIT_SECONDS, what=what)

    def _output(self, command: str) -> str:
        """Run a shown command; its files are the checkout's, wherever the demo was started."""
        words = [
            str(ROOT / word) if word.startswith("examples/") else word
            for word in shlex.split(command.replace("\\\n", " "))[1:]
        ]
        done = self.admin.run(*words)
        if done.returncode != 0:
            raise SandboxError(f"`{command}` failed", detail=done.stderr)
        return done.stdout


def _is_running(line: Line, *, tell: Callable[[str], None]) -> bool:
    if not _is_vmi(line):
        return False
    phase = line.object.get("status", {}).get("phase") or "Pending"
    tell(str(phase))
    return bool(phase == "Running")


def _is_vmi(line: Line) -> bool:
    return line.kind == "VirtualMachineInstance"


def _is_pod(line: Line) -> bool:
    return line.kind == "Pod" and line.object["metadata"]["name"].startswith(f"virt-launcher-{VMI}-")


def _parts(line: Line) -> list[Any]:
    """Where the NIC's name may stand."""
    status = line.object.get("status", {})
    return [line.object["spec"], status.get("interfaces"), status.get("interfaceOperations")]


def _named(rows: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    return next((row for row in rows or [] if row.get("name") == NIC), None)


def _spec(line: Line) -> dict[str, Any] | None:
    return _named(line.object["spec"]["domain"]["devices"].get("interfaces")) if _is_vmi(line) else None


def _sources(line: Line) -> str:
    row = _named(line.object.get("status", {}).get("interfaces")) if _is_vmi(line) else None
    return str((row or {}).get("infoSource", ""))


def _operation(line: Line) -> dict[str, Any]:
    """The NIC's record, empty when it has none."""
    rows = line.object.get("status", {}).get("interfaceOperations") if _is_vmi(line) else None
    return _named(rows) or {}


def _look(line: Line, *, timeline: Timeline, tell: Callable[[str], None]) -> bool:
    """One line of the timeline, and beside it the record as it is at that moment."""
    if record := _operation(line):
        tell(f"{record['operation']}, {record['path']}, {record['phase']}: {record['message']}")
    return timeline.look(line)


def _pod_names(line: Line, annotation: str) -> bool:
    """Whether that annotation of the pod names the network."""
    annotations = line.object.get("metadata", {}).get("annotations") or {}
    return _is_pod(line) and NETWORK in annotations.get(f"k8s.v1.cni.cncf.io/{annotation}", "")
