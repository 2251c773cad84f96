"""`make demo ARGS=--companion`: a cluster of KubeVirt's; a NIC without nicplug, then one with it.

control plane -> KubeVirt's CRDs, its stand-in, simulated nodes -> a NIC by KubeVirt alone -> nicplug -> a NIC -> end
"""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nicplug_sandbox import demo, lifecycle
from nicplug_sandbox.build import resolve
from nicplug_sandbox.cache import cache_directory
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.kubectl import Kubectl
from nicplug_sandbox.object_watch import Line
from nicplug_sandbox.screen import Screen
from nicplug_sandbox.shims import BIN
from nicplug_sandbox.story.by_migration import CONTROLLER
from nicplug_sandbox.story.in_place import NETWORK
from nicplug_sandbox.story.scene import EXAMPLES, Scene, set_scene
from nicplug_sandbox.story.sight import NicSight
from nicplug_sandbox.story.timeline import Moment

VM = "vm-fedora"
FIRST, SECOND = NicSight(vmi=VM, name="by-kubevirt"), NicSight(vmi=VM, name="by-nicplug")
_IN_TEMPLATE = "the VM's template asks for it"
_IN_SPEC = "the VMI's spec asks for it"
_IN_GUEST = "status.interfaces: domain, multus-status"
_PLUG = """kubectl patch vm {vm} --type=json -p '
- {{op: add, path: /spec/template/spec/domain/devices/interfaces/-, value: {{name: {name}, bridge: {{}}}}}}
- {{op: add, path: /spec/template/spec/networks/-, value: {{name: {name}, multus: {{networkName: {network}}}}}}}'"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured: from the request to the NIC in the guest, in seconds."""

    alone_seconds: float
    with_seconds: float


def run(*, screen: Screen, keep: bool = False) -> Figures:
    """Play the whole demonstration.

    Args:
        screen: where it is shown.
        keep: leave the cluster and the companion running at the end.

    Raises:
        SandboxError: something failed; the text names the folder with the logs, and nothing is left running.
    """
    if not EXAMPLES.is_dir():
        raise SandboxError(f"no manifests in {EXAMPLES}", remedy="Use a checkout: a wheel has no examples.")
    began = time.monotonic()
    screen.title("nicplug beside KubeVirt", "KubeVirt runs the virtual machines; nicplug makes their NICs quick.")
    with _stage(screen, keep=keep) as (directory, admin):
        figures = _tell(screen, directory=directory, admin=admin)
    screen.closing(
        [
            ("KubeVirt alone: request -> NIC in the guest", f"{figures.alone_seconds:.1f} s"),
            ("with nicplug:   request -> NIC in the guest", f"{figures.with_seconds:.2f} s"),
            ("factor", f"{figures.alone_seconds / figures.with_seconds:.0f}"),
        ]
    )
    screen.remark("The copy of the guest takes 0.3 s in both. virt-controller is a stand-in: docs/development.md.")
    screen.remark(f"The whole demo took {time.monotonic() - began:.0f} s.")
    if keep:
        screen.command(f"export KUBECONFIG={demo.for_people(admin.kubeconfig)}")
        screen.command(f"bin/nicplug sandbox down --directory {demo.for_people(directory)}")
    return figures


@contextlib.contextmanager
def _stage(screen: Screen, *, keep: bool) -> Iterator[tuple[Path, Kubectl]]:
    """A cluster of its own in the cache; ended when the block is left, its logs kept only after a failure."""
    parent = cache_directory() / "sandboxes"
    parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="demo-", dir=parent))
    try:
        yield directory, _build(directory, screen=screen)
    except BaseException as error:
        demo.end(directory)
        if isinstance(error, SandboxError):
            logs = demo.for_people(directory / "logs")
            raise SandboxError(str(error), remedy=f"Everything was ended; the logs are in {logs}.") from error
        if isinstance(error, KeyboardInterrupt):
            shutil.rmtree(directory, ignore_errors=True)
        raise
    if not keep:
        with screen.step("ending everything that was started"):
            demo.end(directory)
        shutil.rmtree(directory, ignore_errors=True)


def _build(directory: Path, *, screen: Screen) -> Kubectl:
    screen.section("A cluster with KubeVirt on this machine")
    with screen.step("kube-apiserver, KubeVirt, nodes") as step:
        resolve(progress=step.tell)
        found = lifecycle.up(
            directory=directory, nodes=demo.NODES, existing=None, progress=step.tell, with_kubevirt=True
        )
        step.detail = "KubeVirt's CRDs, webhooks and virt-controller as a stand-in"
    if found.kubeconfig is None:
        raise SandboxError(f"the sandbox in {directory} was ended meanwhile", remedy="Start the demo again.")
    return Kubectl(kubeconfig=found.kubeconfig, cache=directory / "kubectl")


def _tell(screen: Screen, *, directory: Path, admin: Kubectl) -> Figures:
    with set_scene(
        admin=admin, screen=screen, audit_log=directory / "audit.log", commands=directory / BIN, has_api=False
    ) as scene:
        screen.section("A running virtual machine; no dynamic networks controller on any node")
        scene.run("kubectl apply -f examples/network-attachment-definition.yaml")
        scene.run(f"kubectl annotate nodes --all {CONTROLLER}=absent")
        scene.start("examples/vm-fedora.yaml", vmi=VM)
        _wait_until_migratable(scene)
        screen.section("One more NIC, by KubeVirt alone")
        screen.remark("virt-controller waits 15 s for the pod to get it, looks every 10 s, then migrates the VM.")
        alone = _plug(scene, FIRST, by="KubeVirt's workload updater")
        screen.section("nicplug beside it")
        with screen.step("nicplug, as a companion") as step:
            operator = lifecycle.ensure_operator(directory, admin=admin.kubeconfig, progress=lambda _: None)
            if operator is None:
                raise SandboxError(f"the sandbox in {directory} was ended meanwhile", remedy="Start the demo again.")
            step.detail = f"as its ServiceAccount; /metrics on port {operator.port}"
        screen.section("One more NIC, with nicplug")
        with_nicplug = _plug(scene, SECOND, by="nicplug")
        _show(scene)
    return Figures(alone_seconds=alone, with_seconds=with_nicplug)


def _wait_until_migratable(scene: Scene) -> None:
    scene.output(f"kubectl wait vmi {VM} --for=condition=LiveMigratable --timeout=30s")


def _plug(scene: Scene, nic: NicSight, *, by: str) -> float:
    """Ask for the NIC in the VM's template, and wait until its guest has it; the seconds that it took.

    Args:
        by: who makes the migration.
    """
    moments = [
        Moment(
            what="the VM's template asks for it", who="you", is_shown=lambda line: nic.in_template(line) is not None
        ),
        Moment(what=_IN_SPEC, who="virt-controller", is_shown=lambda line: nic.in_spec(line) is not None),
        Moment(what="migration ", who=by, is_shown=lambda line: _is_new(line, nic), told=_name),
        Moment(what=_IN_GUEST, who="virt-handler (simulated)", is_shown=lambda line: "domain" in nic.sources(line)),
    ]
    command = _PLUG.format(vm=nic.vmi, name=nic.name, network=NETWORK)
    timeline = scene.follow(command, moments, nic=nic, goal=f"{nic.name} is in the guest")
    return timeline.seconds(_IN_GUEST)


def _is_new(line: Line, nic: NicSight) -> bool:
    """A migration of its VMI that has not ended."""
    phase = (line.object.get("status") or {}).get("phase") or ""
    return nic.is_migration(line) and phase not in ("Succeeded", "Failed")


def _name(line: Line) -> str:
    return str(line.object["metadata"]["name"])


def _show(scene: Scene) -> None:
    """What nicplug says about it, where KubeVirt says nothing."""
    scene.run(f"kubectl wait --for=condition=InterfacesReady interfacereport/{VM} --timeout=30s")
    scene.run("kubectl get interfacereports")
    scene.run(f"nicplug status {VM}")
    scene.run(f"nicplug why {VM} {SECOND.name}")
    scene.run("kubectl get vmim")
    scene.show_events(VM, until="InterfaceMigrating")
