"""Start, stop, restart and look at one real control plane: everything under one directory.

    directory/  pki/  etcd/  logs/  audit.log  kubeconfig  state.json

Any number run side by side. Programs outlive the command that started them; `state.json` records them.
"""

import contextlib
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nicplug_sandbox import audit, build, certificates, kubeconfig, probe, processes, programs, state
from nicplug_sandbox.apply import apply_manifests
from nicplug_sandbox.certificates import Pki
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.nicplug_process import API, OPERATOR, ports_in
from nicplug_sandbox.processes import RecordedProcess
from nicplug_sandbox.programs import Programs
from nicplug_sandbox.state import State

READY_SECONDS = 60.0
POLL_SECONDS = 0.03
STOP_GRACE_SECONDS = 3.0
PORT_ATTEMPTS = 5
# Ready but for the roles and priority classes that the server writes for others.
ACCEPTING = (
    "/readyz?exclude=poststarthook/rbac/bootstrap-roles"
    "&exclude=poststarthook/scheduling/bootstrap-system-priority-classes"
)
APISERVER = "kube-apiserver"
ETCD = "etcd"
CONTROL_PLANE = (ETCD, APISERVER, "kube-controllers", "kube-scheduler")

Progress = Callable[[str], None]


def _silent(_: str) -> None:
    """Progress for callers who did not ask for any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """Where a running control plane is, and how to reach it."""

    directory: Path
    server: str  # https://127.0.0.1:PORT
    kubeconfig: Path  # cluster-admin client certificate, mode 0600
    audit_log: Path  # JSON lines


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatus:
    """One program of a sandbox.

    Attributes:
        rss_bytes: 0 when it is not alive.
        metrics_port: of /metrics, /healthz and /readyz on 127.0.0.1; None where it serves none.
    """

    name: str
    pid: int
    alive: bool
    rss_bytes: int
    log: Path
    metrics_port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxStatus:
    """A sandbox as it is now. `running`: something is recorded; `ready`: the API server says so."""

    directory: Path
    running: bool
    ready: bool
    external: bool
    server: str
    kubeconfig: Path | None
    started_at: float | None
    nodes: int
    processes: tuple[ProcessStatus, ...]

    @property
    def is_healthy(self) -> bool:
        """Everything that was started lives, and the API server serves."""
        return self.ready and all(process.alive for process in self.processes)


def start(
    *,
    directory: Path,
    progress: Progress = _silent,
    manifests: Sequence[Path] = (),
    admission_plugins: Sequence[str] = (),
) -> ControlPlane:
    """Start a control plane and wait until it serves, 60 s at most; one that already serves is kept.

    What is left of one that died is ended and removed first: its data may be half written.

    Args:
        directory: everything of this control plane goes there.
        progress: gets a line when something takes time.
        manifests: files and folders to apply, as `apply_manifests` does, at the first moment possible.
        admission_plugins: more than kube-apiserver has by default.

    Raises:
        SandboxError: with a remedy and the tail of the log that explains it.
    """
    directory = directory.resolve()
    with state.locked(directory):
        known = state.load(directory)
        if known is not None:
            if known.external:
                raise SandboxError(
                    f"the sandbox in {directory} uses the cluster of {known.kubeconfig}",
                    remedy="End it with `nicplug sandbox down`, or choose another directory.",
                )
            if _is_whole(known, directory=directory):
                apply_manifests(kubeconfig=known.kubeconfig, paths=manifests)
                return _control_plane(directory, known)
            progress("a control plane died here; removing what is left of it")
            _stop(directory, known)
        binaries = build.resolve(progress=progress)
        _remove_data(directory)
        started = _start(
            directory=directory, binaries=binaries, manifests=manifests, admission_plugins=admission_plugins
        )
        return _control_plane(directory, started)


def stop(*, directory: Path) -> None:
    """End everything that was started in `directory`; logs stay. Nothing to do is not an error.

    Raises:
        SandboxError: a process could not be ended.
    """
    directory = directory.resolve()
    if not directory.is_dir():
        return
    with state.locked(directory):
        if known := state.load(directory):
            _stop(directory, known)
        _remove_data(directory, keep_logs=True)


def restart(*, directory: Path, name: str = APISERVER, down_seconds: float = 0, grace_seconds: float = 0) -> None:
    """End a program of the control plane hard, as an outage does, and start it again on the same port and data.

    Args:
        directory: of a running control plane.
        name: of `CONTROL_PLANE`.
        down_seconds: how long it is away in between.
        grace_seconds: ask it to end first, as a rollout does, and wait so long for its clients to go.

    Raises:
        SandboxError: no control plane of ours runs here, or the API server did not come back.
    """
    directory = directory.resolve()
    with state.locked(directory):
        known = state.load(directory)
        old = known.process(name) if known else None
        if known is None or old is None:
            raise SandboxError(f"no control plane runs in {directory}", remedy="Start it first.")
        processes.end([old], grace_seconds=grace_seconds)
        time.sleep(down_seconds)
        new = processes.spawn(name=name, argv=old.argv, log=old.log, cwd=directory)
        others = tuple(process for process in known.processes if process.name != name)
        state.save(directory, replace(known, processes=(*others, new)))
        _wait_ready(server=known.server, directory=directory, watched=[new, *others])


def status(*, directory: Path) -> SandboxStatus:
    """What is recorded in `directory` and whether it lives and serves."""
    directory = directory.resolve()
    known = state.load(directory)
    if known is None:
        return SandboxStatus(
            directory=directory,
            running=False,
            ready=False,
            external=False,
            server="",
            kubeconfig=None,
            started_at=None,
            nodes=0,
            processes=(),
        )
    return SandboxStatus(
        directory=directory,
        running=True,
        ready=known.external or _is_ready(known.server, directory=directory),
        external=known.external,
        server=known.server,
        kubeconfig=known.kubeconfig,
        started_at=known.started_at,
        nodes=known.nodes,
        processes=tuple(_process_status(process) for process in known.processes),
    )


def _control_plane(directory: Path, known: State) -> ControlPlane:
    return ControlPlane(
        directory=directory,
        server=known.server,
        kubeconfig=known.kubeconfig,
        audit_log=directory / "audit.log",
    )


def _process_status(process: RecordedProcess) -> ProcessStatus:
    found = processes.find(process)
    serves_metrics = found is not None and process.name in (OPERATOR, API)
    return ProcessStatus(
        name=process.name,
        pid=process.pid,
        alive=found is not None,
        rss_bytes=found.memory_info().rss if found else 0,
        log=process.log,
        metrics_port=ports_in(process.log).get("metrics_port") if serves_metrics else None,
    )


def _is_whole(known: State, *, directory: Path) -> bool:
    """Every program of it lives and the API server is ready; the node simulator is not part of it."""
    alive = {process.name for process in known.processes if processes.is_alive(process)}
    return alive.issuperset(CONTROL_PLANE) and _is_ready(known.server, directory=directory)


def _is_ready(server: str, *, directory: Path) -> bool:
    return probe.get("/readyz", server=server, pki=directory / "pki").status == 200


def _stop(directory: Path, known: State) -> None:
    ours = [process for process in known.processes if process.name in CONTROL_PLANE]
    # The simulator may have something to finish; the control plane has not: its data goes in the same
    # breath, and a polite kube-apiserver waits for every open watch.
    processes.end([process for process in known.processes if process not in ours], grace_seconds=STOP_GRACE_SECONDS)
    processes.end(ours, grace_seconds=0)
    state.forget(directory)


def _remove_data(directory: Path, *, keep_logs: bool = False) -> None:
    """Data, credentials and sockets of a control plane that ended; logs only before the next start."""
    doomed = [
        "etcd",
        "pki",
        "kubeconfig",
        "operator.kubeconfig",
        "api.kubeconfig",
        "kubectl",
        "bin",
        programs.ETCD_SOCKET,
        programs.ETCD_PEER_SOCKET,
    ]
    if not keep_logs:
        doomed += ["logs", "audit.log"]
    for name in doomed:
        path = directory / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _start(
    *, directory: Path, binaries: Programs, manifests: Sequence[Path], admission_plugins: Sequence[str]
) -> State:
    pki = certificates.create(directory / "pki")
    with _ended_on_error(directory) as recorder:
        recorder.spawn(ETCD, programs.etcd(binaries))
        server = _start_apiserver(recorder, binaries=binaries, pki=pki, admission_plugins=admission_plugins)
        admin = _kubeconfig(directory / "kubeconfig", server=server, pki=pki, client=pki.admin)
        # The admin needs no bootstrap roles, and the server takes a second to write those: time enough
        # for CRDs to become served.
        apply_manifests(kubeconfig=admin, paths=manifests)
        _wait_ready(server=server, directory=directory, watched=recorder.started)
        path = _kubeconfig(directory / "pki" / "controllers.kubeconfig", server=server, pki=pki, client=pki.controllers)
        recorder.spawn("kube-controllers", programs.controllers(binaries, pki=pki, kubeconfig=path))
        path = _kubeconfig(directory / "pki" / "scheduler.kubeconfig", server=server, pki=pki, client=pki.scheduler)
        recorder.spawn("kube-scheduler", programs.scheduler(binaries, kubeconfig=path))
        _wait_for_default_account(server=server, directory=directory, watched=recorder.started)
        known = State(server=server, kubeconfig=admin, started_at=time.time(), processes=tuple(recorder.started))
        state.save(directory, known)
    return known


def _kubeconfig(path: Path, *, server: str, pki: Pki, client: certificates.ClientCertificate) -> Path:
    return kubeconfig.write(path, server=server, authority=pki.authority, client=client)


class _Recorder:
    """Starts programs of one sandbox and remembers them, so that a failed start leaves none behind."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.started: list[RecordedProcess] = []

    def spawn(self, name: str, argv: list[str]) -> RecordedProcess:
        log = self.directory / "logs" / f"{name}.log"
        process = processes.spawn(name=name, argv=argv, log=log, cwd=self.directory)
        self.started.append(process)
        return process

    def end(self, process: RecordedProcess) -> None:
        processes.end([process], grace_seconds=0)
        self.started.remove(process)


@contextlib.contextmanager
def _ended_on_error(directory: Path) -> Iterator[_Recorder]:
    recorder = _Recorder(directory)
    try:
        yield recorder
    except BaseException:  # KeyboardInterrupt too: an interrupted `up` must not leave servers running
        processes.end(reversed(recorder.started), grace_seconds=0)
        raise


def _start_apiserver(recorder: _Recorder, *, binaries: Programs, pki: Pki, admission_plugins: Sequence[str]) -> str:
    """Start kube-apiserver on a free port; another process may take the port first, so try again then."""
    directory = recorder.directory
    policy = audit.write_policy(directory / "pki" / "audit-policy.json")
    for attempt in range(1, PORT_ATTEMPTS + 1):
        port = _free_port()
        server = f"https://127.0.0.1:{port}"
        process = recorder.spawn(
            APISERVER,
            programs.apiserver(
                binaries,
                pki=pki,
                port=port,
                audit_policy=policy,
                audit_log=directory / "audit.log",
                admission_plugins=admission_plugins,
            ),
        )
        try:
            _wait_ready(server=server, directory=directory, watched=recorder.started, path=ACCEPTING)
        except SandboxError as error:
            if attempt == PORT_ATTEMPTS or "address already in use" not in processes.tail(process.log):
                raise error
            recorder.end(process)
        else:
            return server
    raise AssertionError("unreachable: the last attempt returns or raises")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_ready(*, server: str, directory: Path, watched: list[RecordedProcess], path: str = "/readyz") -> None:
    def check() -> str:
        answer = probe.get(path, server=server, pki=directory / "pki")
        return "" if answer.status == 200 else f"{path} answered {answer.status}: {answer.body[:500]}"

    _wait(check, watched=watched, suspect=APISERVER)


def _wait_for_default_account(*, server: str, directory: Path, watched: list[RecordedProcess]) -> None:
    """No pod is admitted before its namespace has a default account, so this too belongs to ready."""

    def check() -> str:
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        answer = probe.get(path, server=server, pki=directory / "pki")
        return "" if answer.status == 200 else f"no default ServiceAccount yet: {answer.status}"

    _wait(check, watched=watched, suspect="kube-controllers")


def _wait(check: Callable[[], str], *, watched: list[RecordedProcess], suspect: str) -> None:
    """Ask until `check` answers "", but not longer than a minute, and not when a program has died."""
    deadline = time.monotonic() + READY_SECONDS
    while (found := check()) and time.monotonic() < deadline:
        for process in watched:
            if not processes.is_alive(process):
                raise SandboxError(
                    f"{process.name} ended while the control plane was starting",
                    remedy=f"Its log is {process.log}.",
                    detail=processes.tail(process.log),
                )
        time.sleep(POLL_SECONDS)
    if found:
        log = next(process.log for process in watched if process.name == suspect)
        raise SandboxError(
            f"{suspect} was not ready within {READY_SECONDS:.0f} s ({found})",
            remedy=f"Is the machine overloaded? The log is {log}.",
            detail=processes.tail(log),
        )
