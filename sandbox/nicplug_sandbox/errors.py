"""The one error that people see when the sandbox cannot do what they asked."""

from pathlib import Path


class SandboxError(Exception):
    """Something about the sandbox failed; the text says what was found, the remedy what to do.

    Attributes:
        remedy: one or two sentences for the person at the keyboard, or "".
        detail: the tail of a log or of a compiler's output, or "".
    """

    def __init__(self, message: str, *, remedy: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
        self.detail = detail

    @property
    def message(self) -> str:
        """What was found, alone."""
        return super().__str__()

    def __str__(self) -> str:
        parts = [super().__str__()]
        if self.remedy:
            parts.append(self.remedy)
        if self.detail:
            parts.append(self.detail.rstrip())
        return "\n".join(parts)


class HalfStarted(SandboxError):
    """The cluster runs and can be used, but not all that was asked for runs in it.

    Attributes:
        directory: of the sandbox.
        kubeconfig: of its cluster.
    """

    def __init__(self, error: SandboxError, *, directory: Path, kubeconfig: Path) -> None:
        again = f"Run the same command again, or end the sandbox: nicplug sandbox down --directory {directory}"
        super().__init__(
            error.message,
            remedy="\n".join(filter(None, [f"The cluster runs and can be used. {again}", error.remedy])),
            detail=error.detail,
        )
        self.directory = directory
        self.kubeconfig = kubeconfig
