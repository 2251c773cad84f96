"""Errors in settings, in terms of the variables that the user sets."""

from pathlib import Path

from click import ClickException
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from nicplug.cli.exits import CommandError, Exit
from nicplug.metrics_settings import PATTERNS


def setting_problems(error: ValidationError, *, prefix: str) -> str:
    """Describe what is wrong with which settings, by their environment variables.

    Args:
        prefix: of the variables of the process.
    """
    return "; ".join(_problem(list(map(str, item["loc"])), _meaning(item), prefix) for item in error.errors())


def unusable_kubeconfig(error: Exception, *, given: Path | None, prefix: str) -> ClickException:
    """Return the error of `run` and `api` for an unusable kubeconfig; one that was configured is a wrong setting.

    Args:
        given: file from the setting; None if the kubeconfig was searched for.
        prefix: of the variables of the process.
    """
    if given is None:
        return ClickException(str(error))
    return CommandError(f"bad settings: {prefix}KUBECONFIG: {error}", code=Exit.WRONG_USE)


def _meaning(item: ErrorDetails) -> str:
    pattern = item.get("ctx", {}).get("pattern")
    if pattern not in PATTERNS:
        return item["msg"]
    return f"{item['input']!r} {PATTERNS[pattern]}"


def _problem(place: list[str], message: str, prefix: str) -> str:
    """Describe one error; one that concerns several settings names them itself."""
    description = message.removeprefix("Value error, ")
    return f"{prefix}{'.'.join(place).upper()}: {description}" if place else description
