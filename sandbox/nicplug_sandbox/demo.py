"""`make demo`: a cluster on this machine, the operator, the story, and everything ended again.

control plane -> CRDs and simulated nodes -> operator as its ServiceAccount -> story.tell -> end
"""

import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nicplug_sandbox import controlplane, lifecycle
from nicplug_sandbox.build import resolve
from nicplug_sandbox.cache import cache_directory
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.kubectl import Kubectl
from nicplug_sandbox.operator_process import OperatorProcess
from nicplug_sandbox.screen import Screen
from nicplug_sandbox.shims import BIN
from nicplug_sandbox.story.scene import EXAMPLES
from nicplug_sandbox.story.tell import Figures, tell

NODES = 3
COUNTED = """\
Times end with the status that says so. nicplug: from spec to annotation, and from network-status to
status. Copy: from its begin until the guest runs on the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A cluster with nodes and an operator, ready for the story.

    Attributes:
        audit_log: of the API server; None where it cannot be read.
        commands: the folder with the sandbox's `nicplug`, `virtctl` and `kubectl`.
        has_api: `nicplug api` serves it. It does not on an existing cluster, whose API server does not reach this host.
    """

    directory: Path
    admin: Kubectl
    audit_log: Path | None
    commands: Path
    has_api: bool

    def play(self, screen: Screen) -> Figures:
        """Tell the story here.

        Raises:
            SandboxError: as `tell`.
        """
        return tell(
            admin=self.admin,
            screen=screen,
            audit_log=self.audit_log,
            commands=self.commands,
            has_api=self.has_api,
        )


def run(*, screen: Screen, keep: bool = False) -> Figures:
    """Play the whole demonstration.

    Args:
        screen: where it is shown.
        keep: leave the cluster and the operator running at the end.

    Raises:
        SandboxError: something failed; the text names the folder with the logs, and nothing is left running.
    """
    if not EXAMPLES.is_dir():
        raise SandboxError(f"no manifests in {EXAMPLES}", remedy="Use a checkout: a wheel has no examples.")
    began = time.monotonic()
    screen.title("nicplug", "Running virtual machines get network interfaces, on a real Kubernetes API server.")
    with set_up(screen=screen, existing=None, keep=keep) as stage:
        figures = stage.play(screen)
    with screen.in_picture("demo"):
        show_figures(figures, screen=screen)
    screen.remark(f"The whole demo took {time.monotonic() - began:.0f} s.")
    if keep:
        _tell_how_to_go_on(screen, stage)
    return figures


@contextlib.contextmanager
def set_up(*, screen: Screen, existing: Path | None, keep: bool = False) -> Iterator[Stage]:
    """A stage of its own in the cache; ended when the block is left, its logs kept only after a failure.

    Args:
        existing: kubeconfig of a cluster to use instead of a control plane of our own.

    Raises:
        SandboxError: as the steps do, with the folder of the logs.
    """
    parent = cache_directory() / "sandboxes"
    parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="demo-", dir=parent))
    try:
        yield _build_stage(directory, screen=screen, existing=existing)
    except BaseException as error:
        end(directory)
        if isinstance(error, SandboxError):
            logs = for_people(directory / "logs")
            raise SandboxError(str(error), remedy=f"Everything was ended; the logs are in {logs}.") from error
        if isinstance(error, KeyboardInterrupt):
            shutil.rmtree(directory, ignore_errors=True)
        raise
    if not keep:
        with screen.step("ending everything that was started"):
            end(directory)
        shutil.rmtree(directory, ignore_errors=True)


def for_people(path: Path) -> str:
    """A path as a person writes it: below the home directory with a tilde."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def _build_stage(directory: Path, *, screen: Screen, existing: Path | None) -> Stage:
    screen.section("A cluster on this machine")
    if existing is None:
        with screen.step("etcd and kube-apiserver") as step:
            resolve(progress=step.tell)
            plane = controlplane.start(directory=directory, progress=step.tell)
            step.detail = f"{plane.server}, with RBAC and audit log"
    with screen.step("custom resources, simulated nodes") as step:
        found = lifecycle.up(directory=directory, nodes=NODES, existing=existing, progress=lambda _: None)
        step.detail = f"{NODES} nodes with kubelet, Multus and virt-handler"
    if found.kubeconfig is None:
        raise SandboxError(f"the sandbox in {directory} was ended meanwhile", remedy="Start the demo again.")
    with screen.step("nicplug") as step:
        operator = _start_operator(directory, admin=found.kubeconfig)
        step.detail = f"as its ServiceAccount; /metrics on port {operator.port}"
    if existing is None:  # another cluster's API server does not reach this host
        with screen.step("its API for virtctl") as step:
            lifecycle.ensure_api(directory, admin=found.kubeconfig, progress=step.tell)
            step.detail = "subresources.kubevirt.io, through the API server"
    audit_log = None if existing else directory / "audit.log"
    return Stage(
        directory=directory,
        admin=Kubectl(kubeconfig=found.kubeconfig, cache=directory / "kubectl"),
        audit_log=audit_log,
        commands=directory / BIN,
        has_api=existing is None,
    )


def _start_operator(directory: Path, *, admin: Path) -> OperatorProcess:
    """Start it, recorded beside the sandbox's other programs, so that `down` ends it and `up` starts it again."""
    operator = lifecycle.ensure_operator(directory, admin=admin, progress=lambda _: None)
    if operator is None:
        raise SandboxError(f"the sandbox in {directory} was ended meanwhile", remedy="Start the demo again.")
    return operator


def end(directory: Path) -> None:
    """End everything, undisturbed by a second Ctrl-C: it takes a second or two, and is bounded."""
    with _signals_ignored():
        controlplane.stop(directory=directory)


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM)
    try:
        before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    except ValueError:  # not in the main thread, where no signal arrives anyway
        yield
        return
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def show_figures(figures: Figures, *, screen: Screen) -> None:
    """The figures, and what each of them counts."""
    screen.closing(_figures(figures))
    screen.remark(COUNTED)


def _figures(figures: Figures) -> list[tuple[str, str]]:
    plug, own = figures.plug_seconds * 1000, figures.own_seconds * 1000
    lines = [("in place: request -> NIC in the guest", f"{plug:.0f} ms (nicplug: {own:.0f} ms)")]
    if figures.plug_writes is not None:
        described = ", ".join(f"{resource} {count}" for resource, count in sorted(figures.plug_writes.items()))
        lines.append(("  nicplug's writes, by the audit log", described))
    moved, copy = figures.migration_seconds, figures.copy_seconds
    lines.append(("by migration: request -> NIC in the guest", f"{moved:.1f} s (copy of the guest: {copy:.1f} s)"))
    if (writes := figures.migration_writes) is not None:
        described = f"{sum(writes.values())}, of these events {writes.get('events', 0)}"
        lines.append(("  nicplug's writes, by the audit log", described))
    lines.append(("request -> NIC gone again", f"{figures.unplug_seconds * 1000:.0f} ms"))
    return lines


def _tell_how_to_go_on(screen: Screen, stage: Stage) -> None:
    screen.section("It still runs: go on by hand")
    screen.command(f"export KUBECONFIG={for_people(stage.admin.kubeconfig)}")
    screen.command(f"export PATH={for_people(stage.directory / BIN)}:$PATH")
    screen.command("nicplug status vm-fedora")
    screen.command(f"bin/nicplug sandbox status --directory {for_people(stage.directory)}")
    screen.remark("and when you have seen enough:")
    screen.command(f"bin/nicplug sandbox down --directory {for_people(stage.directory)}")
