"""Errors of the command line in the words of those who typed it."""

from pydantic import ValidationError


def setting_problems(error: ValidationError, *, prefix: str) -> str:
    """Which settings are wrong, and how, by their variables.

    Args:
        prefix: of the variables of the process.
    """
    return "; ".join(_problem(list(map(str, item["loc"])), item["msg"], prefix) for item in error.errors())


def _problem(place: list[str], message: str, prefix: str) -> str:
    """What concerns several settings names them itself."""
    told = message.removeprefix("Value error, ")
    return f"{prefix}{'.'.join(place).upper()}: {told}" if place else told
