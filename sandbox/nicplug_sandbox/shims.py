"""Commands of a sandbox: `bin/virtctl`, `bin/nicplug` and `bin/kubectl` that talk to it.

virtctl is nicplug under another name: its commands, flags and texts are KubeVirt's, so lines from KubeVirt's guides run
as they stand.
"""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from nicplug_sandbox import kubectl
from nicplug_sandbox.errors import SandboxError

BIN = "bin"
_ENTRIES = {
    "virtctl": ("nicplug.entry", "virtctl"),
    "kubectl-nic": ("nicplug.entry", "kubectl_nic"),
    "kubectl_complete-nic": ("nicplug.cli.completion", "kubectl_complete"),
}
_ROOT = Path(__file__).parents[2]


def write_shims(directory: Path, *, kubeconfig: Path) -> Path:
    """Write them; a KUBECONFIG that is set already wins.

    Returns:
        The folder, for the PATH.
    """
    folder = directory / BIN
    folder.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(str(_ROOT / name) for name in ("operator", "sandbox"))
    _write(folder / "nicplug", command=[sys.executable, "-m", "nicplug"], kubeconfig=kubeconfig, source=path)
    for name, (module, entry) in _ENTRIES.items():
        # By its own entry point: help and errors say the name that was typed.
        command = [sys.executable, "-c", f"from {module} import {entry}; {entry}()"]
        _write(folder / name, command=command, kubeconfig=kubeconfig, source=path)
    try:
        executable = kubectl.executable()
    except SandboxError:
        return folder
    # By a variable: kubectl takes no option before the name of a plugin.
    cache = {"KUBECACHEDIR": str(directory / "kubectl")}
    _write(folder / "kubectl", command=[str(executable)], kubeconfig=kubeconfig, source="", variables=cache)
    return folder


def _write(
    path: Path,
    *,
    command: Sequence[str],
    kubeconfig: Path,
    source: str,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> None:
    lines = [
        "#!/bin/sh",
        f'KUBECONFIG="${{KUBECONFIG:-{kubeconfig}}}"',
        "export KUBECONFIG",
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
    ]
    if source:
        lines += [f'PYTHONPATH="{source}${{PYTHONPATH:+:$PYTHONPATH}}"', "export PYTHONPATH"]
    lines.append(f'exec {shlex.join(command)} "$@"')
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
