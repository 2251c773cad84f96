"""The one error that people see when the sandbox cannot do what they asked."""


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

    def __str__(self) -> str:
        parts = [super().__str__()]
        if self.remedy:
            parts.append(self.remedy)
        if self.detail:
            parts.append(self.detail.rstrip())
        return "\n".join(parts)
