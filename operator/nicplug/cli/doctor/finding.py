"""What a check of the installation has found."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

AS_ADMIN = "Run it as a cluster admin."


class Severity(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """Something works less well than it could."""
    PROBLEM = "problem"
    """NICs, or some of them, do not arrive."""
    UNKNOWN = "unknown"
    """It cannot be looked at, mostly for lack of rights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check.

    Attributes:
        check: its name, which stays.
        remedy: what to do; "" when nothing is to be done.
        is_denied: it is unknown because the caller may not look.
    """

    check: str
    severity: Severity
    message: str
    remedy: str = ""
    is_denied: bool = False

    def to_json(self) -> dict[str, Any]:
        """As programs get it."""
        return {
            "check": self.check,
            "severity": str(self.severity),
            "message": self.message,
            "remedy": self.remedy or None,
        }


def ok(check: str, message: str) -> Finding:
    """Nothing to do."""
    return Finding(check=check, severity=Severity.OK, message=message)


def warning(check: str, message: str, remedy: str) -> Finding:
    """It works less well than it could."""
    return Finding(check=check, severity=Severity.WARNING, message=message, remedy=remedy)


def problem(check: str, message: str, remedy: str) -> Finding:
    """NICs do not arrive."""
    return Finding(check=check, severity=Severity.PROBLEM, message=message, remedy=remedy)


def unknown(check: str, message: str, remedy: str = "") -> Finding:
    """It cannot be looked at.

    Args:
        remedy: "" where the caller may not, and a cluster admin may.
    """
    is_denied = not remedy
    return Finding(
        check=check,
        severity=Severity.UNKNOWN,
        message=message,
        remedy=AS_ADMIN if is_denied else remedy,
        is_denied=is_denied,
    )
