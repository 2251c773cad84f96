"""The stand-in of KubeVirt in a sandbox: its CRDs instead of nicplug's, virt-api and virt-controller as processes."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from nicplug_sandbox import processes, state
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.processes import RecordedProcess
from nicplug_sandbox.state import State

MANIFESTS = Path(__file__).parent / "kubevirt" / "manifests"
SOURCE_ROOT = Path(__file__).parents[1]
# virt-api first: a migration that no webhook has seen lacks its finalizer.
PARTS = {"virt-api": "api", "virt-controller": "controller"}
MARK = "kubevirt"
VERSION = "kubevirt_version"
DEFAULT_VERSION = "v1.9.0"
READY_SECONDS = 30.0
STOP_GRACE_SECONDS = 10.0
POLL_SECONDS = 0.02


def is_kubevirts(known: State | None) -> bool:
    """Whether the stand-in runs the VMs of this sandbox."""
    return known is not None and bool(known.extra.get(MARK))


def refuse_other_mode(known: State | None, *, wanted: bool, existing: Path | None, version: str | None = None) -> None:
    """A cluster has the CRDs of one, and they stay.

    Raises:
        SandboxError: with the remedy.
    """
    if version is not None and not (wanted or is_kubevirts(known)):
        raise SandboxError("--kubevirt-version is that of the stand-in of KubeVirt", remedy="Add --kubevirt.")
    if wanted and existing is not None:
        raise SandboxError(
            "--kubevirt needs a control plane of its own", remedy="Leave one of --kubevirt and --kubeconfig out."
        )
    if wanted and known is not None and not is_kubevirts(known):
        raise SandboxError(
            "this sandbox runs with nicplug's CRDs, not KubeVirt's",
            remedy="End it with `nicplug sandbox down` first, or choose another --directory.",
        )


def mark(directory: Path, *, version: str | None = None) -> None:
    """Remember that this sandbox is KubeVirt's, and which one it is to be; None: as before, at first the newest."""
    if (known := state.load(directory)) is None:
        return
    extra = {**known.extra, MARK: True, VERSION: version or known.extra.get(VERSION, DEFAULT_VERSION)}
    if extra != known.extra:
        state.save(directory, replace(known, extra=extra))


def ensure_kubevirt(directory: Path, *, kubeconfig: Path) -> list[str]:
    """Start what of the stand-in does not live, or plays another version; the names of what was started.

    The caller holds the lock.

    Raises:
        SandboxError: with the tail of the log.
    """
    started: list[str] = []
    for name, part in PARTS.items():
        known = state.load(directory)
        if known is None:
            continue
        options = [f"--version={known.extra[VERSION]}"] if part == "api" and VERSION in known.extra else []
        running = known.process(name)
        if running is not None and processes.is_alive(running):
            if all(option in running.argv for option in options):
                continue
            processes.end([running], grace_seconds=STOP_GRACE_SECONDS)
        process = spawn(directory, name=name, part=part, kubeconfig=kubeconfig, options=options)
        others = tuple(item for item in known.processes if item.name != name)
        state.save(directory, replace(known, processes=(*others, process)))
        _wait(process)
        started.append(name)
    return started


def spawn(directory: Path, *, name: str, part: str, kubeconfig: Path, options: list[str]) -> RecordedProcess:
    """Start a part of the stand-in and wait for nothing; its log is `logs/NAME.log` in the directory."""
    log = directory / "logs" / f"{name}.log"
    log.unlink(missing_ok=True)  # or the ready line of the one before would be found
    argv = [sys.executable, "-m", "nicplug_sandbox.kubevirt", part, f"--kubeconfig={kubeconfig}", *options]
    path = os.pathsep.join(filter(None, [str(SOURCE_ROOT), os.environ.get("PYTHONPATH", "")]))
    return processes.spawn(name=name, argv=argv, log=log, cwd=directory, variables={"PYTHONPATH": path})


def _wait(process: RecordedProcess) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not (process.log.exists() and '{"ready": true' in process.log.read_text(errors="replace")):
        if not processes.is_alive(process) or time.monotonic() > deadline:
            raise SandboxError(
                f"the stand-in's {process.name} did not become ready",
                remedy=f"Its log is {process.log}.",
                detail=processes.tail(process.log),
            )
        time.sleep(POLL_SECONDS)
