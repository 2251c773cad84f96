"""Programs built from Go modules, once per machine; the control plane's may be taken from `KUBEBUILDER_ASSETS`.

Each binary lies in the user's cache under a key made of everything that goes into it, so that all
clones share it and a change of a pin makes another one.
"""

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

import filelock

from nicplug_sandbox import compile, disk, toolchain
from nicplug_sandbox.cache import cache_directory
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.go_programs import GoProgram, control_plane
from nicplug_sandbox.programs import Programs

ASSETS = "KUBEBUILDER_ASSETS"
# A cold build on one slow core, and some.
BUILD_SECONDS = 3600.0
WAIT_LINE_SECONDS = 15.0
BINARY_GIB = 0.3  # the largest binary, twice for a moment

Say = Callable[[str], None]


def resolve(*, progress: Say) -> Programs:
    """The programs of the control plane; builds what is missing, which takes minutes the first time.

    Raises:
        SandboxError: `KUBEBUILDER_ASSETS` lacks a program, or the build failed.
    """
    if assets := os.environ.get(ASSETS):
        return _from_assets(Path(assets), progress=progress)
    return _ours(binary(control_plane(), progress=progress))


def binary(program: GoProgram, *, progress: Say) -> Path:
    """The path of a program's binary, built first when no clone has done so.

    Raises:
        SandboxError: it cannot be built; the remedy says what is missing.
    """
    path = binary_path(program)
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path.with_suffix(".lock"))
    _acquire(lock, program=program, progress=progress)
    try:
        # The clone that held the lock has most likely built it meanwhile.
        if not path.exists():
            _build(program, path, progress=progress)
    finally:
        lock.release()
    return path


def binary_path(program: GoProgram) -> Path:
    """Where the binary of these sources lies or will lie."""
    return cache_directory() / program.cache / key(program) / program.binary


def key(program: GoProgram) -> str:
    """A hash of go.mod, go.sum, the sources, the build tags and the platform."""
    digest = hashlib.sha256(" ".join((platform.system(), platform.machine(), *program.tags)).encode())
    for source in program.sources:
        content = source.read_bytes()
        digest.update(f"{source.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def _ours(path: Path) -> Programs:
    def program(name: str) -> tuple[str, ...]:
        return (str(path), name)

    return Programs(
        etcd=program("etcd"),
        apiserver=program("kube-apiserver"),
        scheduler=program("kube-scheduler"),
        controllers=program("kube-controllers"),
    )


def _from_assets(directory: Path, *, progress: Say) -> Programs:
    """envtest's convention: etcd and kube-apiserver are there; what it lacks beside them is ours."""
    found = {
        name: (str(directory / name),)
        for name in ("etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager")
        if os.access(directory / name, os.X_OK)
    }
    for name in ("etcd", "kube-apiserver"):
        if name not in found:
            raise SandboxError(
                f"{ASSETS} is {directory}, which has no executable {name}",
                remedy=f"Unset {ASSETS} to have it built, or fill it with `setup-envtest use`.",
            )
    if "kube-scheduler" in found and "kube-controller-manager" in found:
        return Programs(
            etcd=found["etcd"],
            apiserver=found["kube-apiserver"],
            scheduler=found["kube-scheduler"],
            controllers=found["kube-controller-manager"],
            upstream_controllers=True,
        )
    ours = _ours(binary(control_plane(), progress=progress))
    return Programs(
        etcd=found["etcd"],
        apiserver=found["kube-apiserver"],
        scheduler=found.get("kube-scheduler", ours.scheduler),
        controllers=ours.controllers,
    )


def _acquire(lock: filelock.FileLock, *, program: GoProgram, progress: Say) -> None:
    waited = 0.0
    while True:
        try:
            lock.acquire(timeout=WAIT_LINE_SECONDS if waited else 0)
            return
        except filelock.Timeout:
            if waited >= BUILD_SECONDS:
                raise SandboxError(
                    f"another clone has been building {program.name} for {BUILD_SECONDS / 60:.0f} minutes",
                    remedy=f"Look whether it hangs; it holds {lock.lock_file}.",
                ) from None
            so_far = f" ({waited:.0f} s so far)" if waited else ""
            progress(f"another clone is building {program.name} too; waiting for it{so_far}")
            waited += WAIT_LINE_SECONDS


def _build(program: GoProgram, path: Path, *, progress: Say) -> None:
    go = toolchain.find(progress=progress)
    remedy = "Free some space, or set NICPLUG_CACHE_DIR to a larger disk."
    disk.require(path.parent, gib=BINARY_GIB, what=program.name, remedy=remedy)
    # Built under another name: a binary that is found is a whole one, whatever happens in between.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".building-") as temporary:
        fresh = Path(temporary) / program.binary
        compile.build(program=program, toolchain=go, output=fresh, progress=progress)
        fresh.replace(path)
