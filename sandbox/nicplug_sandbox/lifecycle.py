"""`up` and `down` of a whole sandbox: a cluster, what must be installed in it, and its simulated nodes."""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nicplug_sandbox import controlplane, kubeconfig, processes, state
from nicplug_sandbox.api_process import add_api, keep_registered
from nicplug_sandbox.apply import apply_manifests
from nicplug_sandbox.controlplane import SandboxStatus
from nicplug_sandbox.errors import HalfStarted, SandboxError
from nicplug_sandbox.guests import SOCKET
from nicplug_sandbox.kubevirt_processes import MANIFESTS as KUBEVIRT_MANIFESTS
from nicplug_sandbox.kubevirt_processes import ensure_kubevirt, is_kubevirts, mark, refuse_other_mode
from nicplug_sandbox.nicplug_process import API, OPERATOR, STOP_GRACE_SECONDS
from nicplug_sandbox.operator_process import (
    OperatorProcess,
    install_companion,
    install_operator,
    is_accepted,
    service_account_kubeconfig,
    start_operator,
    wait_until_leading,
)
from nicplug_sandbox.processes import RecordedProcess
from nicplug_sandbox.shims import write_shims
from nicplug_sandbox.state import State
from nicplug_sandbox.whereabouts import forget, remember, running_in

MANIFESTS = Path(__file__).parent / "manifests"
NETWORKS = MANIFESTS / "network-attachment-definition.yaml"
SOURCE_ROOT = Path(__file__).parents[1]
# The CRDs are the project's, not the sandbox's; a wheel without a checkout has none.
DEFINITIONS = Path(__file__).parents[2] / "crds"
SIMULATOR = "node-simulator"
DEFAULT_NODES = 3
SIMULATOR_READY_SECONDS = 30.0
# For a busy machine; on an idle one it takes about two.
OPERATOR_READY_SECONDS = 60.0
POLL_SECONDS = 0.02

Say = Callable[[str], None]


def up(
    *,
    directory: Path,
    nodes: int | None,
    existing: Path | None,
    progress: Say,
    with_operator: bool = False,
    with_kubevirt: bool = False,
    kubevirt_version: str | None = None,
) -> SandboxStatus:
    """Bring everything up that is not up yet; what already runs as asked is left alone.

    An operator that was started here, or its API, and does not live any more, is started again.

    Args:
        directory: where the sandbox lives.
        nodes: how many nodes to simulate, 0 for none; None: as many as before, at first three.
        existing: kubeconfig of a cluster to use instead of a control plane of our own.
        progress: gets one line per step.
        with_operator: run an operator and its API in it too; beside KubeVirt a companion, without an API.
        with_kubevirt: KubeVirt's CRDs, and its stand-in to run the VMs, instead of nicplug's; it stays so.
        kubevirt_version: which KubeVirt it plays; None: as before, at first the newest.

    Raises:
        HalfStarted: the cluster runs, and the operator or its API does not.
        SandboxError: with the remedy.
    """
    directory = directory.resolve()
    started = time.monotonic()
    had_operator = (known := state.load(directory)) is not None and known.process(OPERATOR) is not None
    _refuse_other_cluster(directory, existing=existing)
    refuse_other_mode(known, wanted=with_kubevirt, existing=existing, version=kubevirt_version)
    kubevirt = with_kubevirt or is_kubevirts(known)
    if existing is None:
        config = _start_cluster(directory, kubevirt=kubevirt, progress=progress)
    else:
        config = _use_cluster(directory, existing=existing.resolve(), progress=progress)
    remember(directory)
    with state.locked(directory):
        if kubevirt:
            mark(directory, version=kubevirt_version)
        _simulate(directory, config=config, nodes=nodes, progress=progress)
        if kubevirt and (names := ensure_kubevirt(directory, kubeconfig=config)):
            progress(f"the stand-in of KubeVirt: {', '.join(names)}")
    write_shims(directory, kubeconfig=config)
    if with_operator or had_operator:
        # Another cluster's API server does not reach this host.
        _ensure_operator_and_api(
            directory, config=config, with_api=existing is None and not kubevirt, progress=progress
        )
    progress(f"ready in {time.monotonic() - started:.1f} s")
    return controlplane.status(directory=directory)


def _start_cluster(directory: Path, *, kubevirt: bool, progress: Say) -> Path:
    """Start a control plane with CRDs; returns its kubeconfig."""
    started = time.monotonic()
    manifests = _kubevirt_manifests() if kubevirt else _manifests()
    plane = controlplane.start(directory=directory, progress=progress, manifests=manifests)
    progress(f"control plane with CRDs at {plane.server} ({time.monotonic() - started:.1f} s)")
    return plane.kubeconfig


def _use_cluster(directory: Path, *, existing: Path, progress: Say) -> Path:
    """Add the CRDs that an existing cluster lacks; returns its kubeconfig."""
    config = _adopt(directory, existing=existing)
    applied = apply_manifests(kubeconfig=config, paths=_manifests(), only_missing_definitions=True)
    progress(f"using the cluster at {kubeconfig.server_of(config)}; added {', '.join(applied) or 'nothing'}")
    return config


def _ensure_operator_and_api(directory: Path, *, config: Path, with_api: bool, progress: Say) -> None:
    try:
        ensure_operator(directory, admin=config, progress=progress)
        if with_api:
            ensure_api(directory, admin=config, progress=progress)
    except SandboxError as error:
        raise HalfStarted(error, directory=directory, kubeconfig=config) from error


def down(*, directory: Path) -> bool:
    """End what `up` started in `directory`; False when there was nothing. A foreign cluster stays as it is.

    Raises:
        SandboxError: a process could not be ended.
    """
    existed = directory.is_dir() and state.load(directory.resolve()) is not None
    controlplane.stop(directory=directory)
    # Whoever has deleted the directory, or its state, has ended nothing by that.
    lost = running_in(directory)
    processes.end(lost, grace_seconds=0)
    forget(directory)
    return existed or bool(lost)


def ensure_operator(directory: Path, *, admin: Path, progress: Say) -> OperatorProcess | None:
    """Start an operator with the rights of its ServiceAccount, unless one lives; it is recorded for `down`.

    Returns:
        The one that was started; None when one lives, or nothing is up here.

    Raises:
        SandboxError: with the tail of its log.
    """
    with state.locked(directory):
        known = state.load(directory)
        running = known.process(OPERATOR) if known is not None else None
        account = directory / "operator.kubeconfig"
        if known is None or _working(running, account=account, called="the operator", progress=progress):
            return None
        (install_companion if is_kubevirts(known) else install_operator)(kubeconfig=admin)
        service_account_kubeconfig(admin=admin, path=account)
        operator = start_operator(
            directory=directory, kubeconfig=account, name=OPERATOR, ready_seconds=OPERATOR_READY_SECONDS
        )
        others = tuple(process for process in known.processes if process.name != OPERATOR)
        state.save(directory, replace(known, processes=(*others, operator.process)))
    wait_until_leading(operator, seconds=OPERATOR_READY_SECONDS)
    return operator


def ensure_api(directory: Path, *, admin: Path, progress: Say) -> None:
    """Start `nicplug api` with the rights of its ServiceAccount, unless one lives; that one is registered again.

    Raises:
        SandboxError: with the tail of its log.
    """
    with state.locked(directory):
        known = state.load(directory)
        running = known.process(API) if known is not None else None
        if known is None:
            return
        account = directory / "api.kubeconfig"
        if alive := _working(running, account=account, called="nicplug api", progress=progress):
            keep_registered(alive, admin=admin)
            return
        api = add_api(directory=directory, admin=admin)
        others = tuple(process for process in known.processes if process.name != API)
        state.save(directory, replace(known, processes=(*others, api.process)))


def _working(running: RecordedProcess | None, *, account: Path, called: str, progress: Say) -> RecordedProcess | None:
    """The process, if it lives and may talk to the API server; else `progress` is told why it is started (again)."""
    if running is None:
        progress(f"starting {called}")
    elif not processes.is_alive(running):
        progress(f"{called} has died; starting it again")
    elif not is_accepted(account):
        progress(f"the token of {called} is not valid any more; starting it again")
        processes.end([running], grace_seconds=STOP_GRACE_SECONDS)
    else:
        return running
    return None


def _refuse_other_cluster(directory: Path, *, existing: Path | None) -> None:
    known = state.load(directory)
    if known is None:
        return
    asked = existing.resolve() if existing else None
    used = known.kubeconfig if known.external else None
    if asked != used:
        described = f"the cluster of {used}" if used else "a control plane of its own"
        raise SandboxError(
            f"the sandbox in {directory} already uses {described}",
            remedy="End it with `nicplug sandbox down` first, or choose another --directory.",
        )


def _adopt(directory: Path, *, existing: Path) -> Path:
    with state.locked(directory):
        if state.load(directory) is None:
            server = kubeconfig.server_of(existing)
            state.save(directory, State(server=server, kubeconfig=existing, started_at=time.time(), external=True))
    return existing


def _manifests() -> list[Path]:
    return [MANIFESTS, *([DEFINITIONS] if DEFINITIONS.is_dir() else [])]


def _kubevirt_manifests() -> list[Path]:
    return [NETWORKS, KUBEVIRT_MANIFESTS]


def _simulate(directory: Path, *, config: Path, nodes: int | None, progress: Say) -> None:
    known = state.load(directory)
    if known is None:
        raise SandboxError(f"the sandbox in {directory} was ended meanwhile", remedy="Run `nicplug sandbox up` again.")
    running = known.process(SIMULATOR)
    if running and processes.is_alive(running):
        if nodes is None or known.nodes == nodes:
            return
        progress(f"replacing the simulator of {known.nodes} nodes")
        processes.end([running], grace_seconds=controlplane.STOP_GRACE_SECONDS)
    nodes = (known.nodes or DEFAULT_NODES) if nodes is None else nodes
    others = tuple(process for process in known.processes if process.name != SIMULATOR)
    state.save(directory, replace(known, processes=others, nodes=0))
    if nodes == 0:
        return
    began = time.monotonic()
    simulator = _spawn_simulator(directory, config=config, nodes=nodes, known=known)
    state.save(directory, replace(known, processes=(*others, simulator), nodes=nodes))
    _wait_for_simulator(simulator)
    progress(f"{nodes} simulated nodes ({time.monotonic() - began:.1f} s)")


def _spawn_simulator(directory: Path, *, config: Path, nodes: int, known: State) -> RecordedProcess:
    log = directory / "logs" / f"{SIMULATOR}.log"
    log.unlink(missing_ok=True)  # or the ready line of the one before would be found
    argv = [sys.executable, "-m", "nicplug_sandbox.node", f"--kubeconfig={config}", f"--nodes={nodes}"]
    argv.append(f"--guests-socket={SOCKET}")  # from the directory: a socket's path must be short
    if is_kubevirts(known):
        argv.append("--no-vmi-status-subresource")
    if known.external:
        argv.append("--deregister")  # somebody else's cluster must not keep nodes that nobody plays
    # This package may have been found by a test runner's path settings, which a child does not inherit.
    path = os.pathsep.join(filter(None, [str(SOURCE_ROOT), os.environ.get("PYTHONPATH", "")]))
    return processes.spawn(name=SIMULATOR, argv=argv, log=log, cwd=directory, variables={"PYTHONPATH": path})


def _wait_for_simulator(simulator: RecordedProcess) -> None:
    deadline = time.monotonic() + SIMULATOR_READY_SECONDS
    while not _says_ready(simulator.log):
        if not processes.is_alive(simulator) or time.monotonic() > deadline:
            raise SandboxError(
                "the node simulator did not become ready",
                remedy=f"Its log is {simulator.log}.",
                detail=processes.tail(simulator.log),
            )
        time.sleep(POLL_SECONDS)


def _says_ready(log: Path) -> bool:
    """The ready line is JSON on stdout; the log mixes it with messages from stderr."""
    if not log.exists():
        return False
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("{"):
            try:
                return bool(json.loads(line).get("ready"))
            except ValueError:  # half a line so far
                continue
    return False
