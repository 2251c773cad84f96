"""Results of the checks of an installation."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

AS_ADMIN = "Run it as a cluster admin."


class Severity(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Something works less well than it could."""
    PROBLEM = "problem"
    """Some or all NICs are not plugged."""
    UNKNOWN = "unknown"
    """Not checked, usually for lack of permissions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check.

    Attributes:
        check: stable name of the check.
        remedy: what to do; "" if nothing is to be done.
        is_denied: unknown because the caller lacks a permission.
    """

    check: str
    severity: Severity
    message: str
    remedy: str = ""
    is_denied: bool = False

    def to_json(self) -> dict[str, Any]:
        """The row of `-o json` and `-o yaml`."""
        return {
            "check": self.check,
            "severity": str(self.severity),
            "message": self.message,
            "remedy": self.remedy or None,
        }


def ok(check: str, message: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(check=check, severity=Severity.OK, message=message)


def warning(check: str, message: str, remedy: str) -> Finding:
    """Return a finding that something works less well than it could."""
    return Finding(check=check, severity=Severity.WARNING, message=message, remedy=remedy)


def problem(check: str, message: str, remedy: str) -> Finding:
    """Return a finding that NICs are not plugged."""
    return Finding(check=check, severity=Severity.PROBLEM, message=message, remedy=remedy)


def unknown(check: str, message: str, remedy: str = "") -> Finding:
    """Return a finding that the check could not be made.

    Args:
        message: why.
        remedy: "" if the caller lacks a permission that a cluster admin has.
    """
    is_denied = not remedy
    return Finding(
        check=check,
        severity=Severity.UNKNOWN,
        message=message,
        remedy=AS_ADMIN if is_denied else remedy,
        is_denied=is_denied,
    )
