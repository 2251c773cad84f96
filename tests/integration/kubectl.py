"""kubectl for tests: what a user types, and what a user sees."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MULTUS_CRD = ROOT / "sandbox" / "nicplug_sandbox" / "manifests" / "network-attachment-definition.yaml"
KUBECTL = Path(sys.executable).parent / "kubectl"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """Runs kubectl as cluster admin."""

    kubeconfig: Path
    namespace: str = ""
    """Namespace of every command; the kubeconfig decides when empty."""

    def run(self, *arguments: str | Path, stdin: object = None) -> "subprocess.CompletedProcess[str]":
        """The finished process, whatever its exit code."""
        # A cache of its own: kubectl keys it by port, and the next control plane may get the same one.
        cache = self.kubeconfig.parent / "kubectl-cache"
        command: list[str | Path] = [KUBECTL, "--kubeconfig", self.kubeconfig, "--cache-dir", cache]
        command += ["--namespace", self.namespace] if self.namespace else []
        body = json.dumps(stdin) if stdin is not None else None
        return subprocess.run(
            [*command, *arguments], check=False, input=body, capture_output=True, text=True, timeout=60
        )

    def __call__(self, *arguments: str | Path, stdin: object = None) -> str:
        """The output of a command that must succeed, and without a warning."""
        done = self.run(*arguments, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, ""), f"{arguments}: {done.stderr}"
        return done.stdout

    def refused(self, *arguments: str | Path, stdin: object = None) -> str:
        """The error text of a command that must fail."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode != 0, f"{arguments} was accepted: {done.stdout}"
        return done.stderr

    def get(self, *arguments: str) -> Object:
        """One object."""
        found: Object = json.loads(self("get", *arguments, "-o", "json"))
        return found

    def create(self, body: Object) -> Object:
        """Create an object and return what the API server kept of it."""
        kept: Object = json.loads(self("create", "-f", "-", "-o", "json", stdin=body))
        return kept

    def write_status(self, body: Object) -> Object:
        """Replace the status of an object and return what the API server kept."""
        kept: Object = json.loads(self("replace", "--subresource=status", "-f", "-", "-o", "json", stdin=body))
        return kept

    def apply(self, body: Object, *, manager: str, options: tuple[str, ...] = ()) -> Object:
        """Server-side apply as `manager`."""
        kept: Object = json.loads(
            self("apply", "--server-side", f"--field-manager={manager}", *options, "-f", "-", "-o", "json",
                 stdin=body)
        )  # fmt: skip
        return kept


def eventually(attempt: Callable[[], "subprocess.CompletedProcess[str]"], *, seconds: float = 30) -> None:
    """Repeat until it succeeds: the API server answers 429 for a moment after a CRD is created."""
    deadline = time.monotonic() + seconds
    while (done := attempt()).returncode != 0:
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.2)


def install_crds(kubeconfig: Path) -> Kubectl:
    """Apply nicplug's CRDs and Multus's, and return when all of them are served."""
    kubectl = Kubectl(kubeconfig=kubeconfig)
    for path in (ROOT / "crds", MULTUS_CRD):
        eventually(partial(kubectl.run, "apply", "-f", path))
        # At its end kubectl cuts its watches off, and at times logs that they failed.
        done = kubectl.run("wait", "--for=condition=Established", "--timeout=30s", "-f", path)
        assert done.returncode == 0, done.stderr
    for kind in ("vm", "vmi", "vmim", "kv", "network-attachment-definitions"):
        eventually(partial(kubectl.run, "get", kind))
    return kubectl


def without_nulls(value: object) -> object:
    """What client-side `kubectl apply` sends of `value`."""
    match value:
        case dict():
            return {key: without_nulls(child) for key, child in value.items() if child is not None}
        case list():
            return [without_nulls(child) for child in value]
        case _:
            return value
