"""Where a story is played: one cluster, one screen, watches that tell what happens.

Every command that is shown is the command that runs. Every time is from the moment at which the API server received
the request, by its audit log, to the line of a watch that shows what came of it.
"""

import contextlib
import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.kubectl import Kubectl
from nicplug_sandbox.object_watch import Line, Lines, watching
from nicplug_sandbox.screen import Screen
from nicplug_sandbox.story.requests import asked_at, own_seconds, requests
from nicplug_sandbox.story.sight import NicSight
from nicplug_sandbox.story.timeline import Moment, Timeline
from nicplug_sandbox.story.writes import operator_writes

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
WAIT_SECONDS = 60.0
EVENT_SECONDS = 10.0
_KUBEVIRT = "/apis/kubevirt.io/v1/namespaces/default"
_PODS = "/api/v1/namespaces/default/pods"
_KINDS = ("virtualmachines", "virtualmachineinstances", "virtualmachineinstancemigrations")


@dataclass(slots=True, kw_only=True)
class Scene:
    """What every chapter needs.

    Attributes:
        audit_log: of the API server, to count writes; None where it cannot be read.
        commands: the folder with `nicplug` and `virtctl`.
        has_api: the API server hands requests of subresources on to `nicplug api`. Without it NICs are asked for by
            patches.
    """

    admin: Kubectl
    screen: Screen
    lines: Lines
    audit_log: Path | None
    commands: Path
    has_api: bool

    def explain_moments(self) -> None:
        """Say what the times of moments count."""
        start = "the API server received the request" if self.audit_log else "a watch showed the first moment"
        self.screen.remark(f"+ms: from when {start} to when a watch showed the moment")

    def run(self, command: str) -> None:
        """Show a command, run it, show its output."""
        self.screen.command(command)
        self.screen.output(self.output(command))

    def output(self, command: str) -> str:
        """Run a shown command; its files are the checkout's, wherever the demo was started.

        Raises:
            SandboxError: it failed; with its own words.
        """
        program, *typed = shlex.split(command.replace("\\\n", ""))
        words = [str(ROOT / word) if word.startswith("examples/") else word for word in typed]
        done = self.admin.run(*words) if program == "kubectl" else self._run(program, *words)
        if done.returncode != 0:
            raise SandboxError(f"`{command}` failed", detail=done.stderr)
        return done.stdout

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.commands / program), *words]
        variables = {**os.environ, "KUBECONFIG": str(self.admin.kubeconfig)}
        try:
            return subprocess.run(
                command, capture_output=True, text=True, env=variables, timeout=WAIT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise SandboxError(f"`{program} {' '.join(words)}` did not end within {WAIT_SECONDS:.0f} s") from None

    def start(self, manifest: str, *, vmi: str) -> str:
        """Apply a VM or a VMI, wait until it runs; the node on which it does."""
        self.run(f"kubectl apply -f {manifest}")
        with self.screen.step(f"{vmi} starts") as step:
            last = self.until(partial(_is_running, vmi=vmi, tell=step.tell), what=f"{vmi} is Running")
            node = str(last.object["status"].get("nodeName", "?"))
            step.detail = f"on {node}"
        return node

    def follow(self, command: str, moments: list[Moment], *, nic: NicSight, goal: str) -> Timeline:
        """Run a command, and show what comes of it moment by moment.

        Raises:
            SandboxError: a moment did not come; with the record of the NIC.
        """
        timeline = Timeline(self.screen, moments)
        mark, before = self.mark(), time.monotonic()
        self.run(command)
        timeline.began = self._asked_at(mark, not_before=before)
        try:
            with self.screen.step(goal) as step:
                look = partial(_look, nic=nic, timeline=timeline, tell=step.hint)
                self.until(look, what=goal)
                step.seconds = timeline.seconds(moments[-1].what)
        except SandboxError as error:
            found = self.output(f"kubectl get vmi {nic.vmi} -o jsonpath='{{.status.interfaceOperations}}'")
            raise SandboxError(
                f"{error}; missing: {timeline.next}", remedy=f"The record of the NIC is {found}"
            ) from None
        return timeline

    def show_interfaces(self, vmi: str) -> list[dict[str, Any]]:
        """The command of KubeVirt's guide, and its output for people."""
        command = f"kubectl get vmi {vmi} -o jsonpath='{{.status.interfaces}}'"
        self.screen.command(command)
        interfaces: list[dict[str, Any]] = json.loads(self.output(command))
        self.screen.json(json.dumps(interfaces))
        return interfaces

    def show_events(self, vmi: str, *, until: str) -> None:
        """Events are written behind the work: wait for the one that says `until`, then show what there is."""
        command = f"""kubectl get events --field-selector involvedObject.kind=VirtualMachineInstance,\\
involvedObject.name={vmi} --sort-by .metadata.creationTimestamp -o custom-columns=REASON:.reason,MESSAGE:.message"""
        deadline = time.monotonic() + EVENT_SECONDS
        while until not in (found := self.output(command)) and time.monotonic() < deadline:
            time.sleep(0.1)  # kubectl itself takes longer than this
        self.screen.command(command)
        self.screen.output(found)

    def until(self, is_last: Callable[[Line], bool], *, what: str) -> Line:
        """Take lines of the watches until one is the last."""
        return self.lines.until(is_last, seconds=WAIT_SECONDS, what=what)

    def mark(self) -> int:
        """Where the audit log ends now."""
        return self.audit_log.stat().st_size if self.audit_log else 0

    def _asked_at(self, mark: int, *, not_before: float) -> float | None:
        """When the request of a command that has just run was received, on the monotonic clock."""
        found = asked_at(requests(self.audit_log, offset=mark)) if self.audit_log else None
        if found is None:
            return None
        now, ago = time.monotonic(), time.time() - found.timestamp()
        return max(not_before, now - max(0.0, ago))  # bounded, should the wall clock have been set meanwhile

    def own_seconds_since(self, mark: int, *, nic: NicSight) -> float | None:
        """The operator's part of a hot-plug in place since a mark; None without an audit log that tells it."""
        return own_seconds(requests(self.audit_log, offset=mark), nic=nic) if self.audit_log else None

    def writes_since(self, mark: int) -> dict[str, int] | None:
        """The operator's writes since a mark, by resource; None without an audit log."""
        return operator_writes(self.audit_log, offset=mark) if self.audit_log else None


@contextlib.contextmanager
def set_scene(
    *, admin: Kubectl, screen: Screen, audit_log: Path | None, commands: Path, has_api: bool
) -> Iterator[Scene]:
    """A scene whose watches run while the block does.

    Args:
        admin: may do everything in the cluster.
        audit_log, commands, has_api: as in `Scene`.
    """
    scene = Scene(admin=admin, screen=screen, lines=Lines(), audit_log=audit_log, commands=commands, has_api=has_api)
    with contextlib.ExitStack() as stack:
        for kind in _KINDS:
            stack.enter_context(watching(admin, f"{_KUBEVIRT}/{kind}", into=scene.lines))
        stack.enter_context(watching(admin, _PODS, into=scene.lines, labelSelector="kubevirt.io=virt-launcher"))
        yield scene


def _is_running(line: Line, *, vmi: str, tell: Callable[[str], None]) -> bool:
    if not NicSight(vmi=vmi, name="").is_vmi(line):
        return False
    phase = line.object.get("status", {}).get("phase") or "Pending"
    tell(str(phase))
    return bool(phase == "Running")


def _look(line: Line, *, nic: NicSight, timeline: Timeline, tell: Callable[[str], None]) -> bool:
    """One line of the timeline, and beside it the record as it is at that moment."""
    if record := nic.record(line):
        tell(f"{record['operation']}, {record['path']}, {record['phase']}: {record['message']}")
    return timeline.look(line)
