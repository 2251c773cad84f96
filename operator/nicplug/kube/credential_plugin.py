"""Explains failures of a kubeconfig's exec plugin, which the client library runs and whose errors it only logs.

Without this, the user that the plugin would have logged in is `system:anonymous` to the API server.

Source: `load_from_exec_plugin` of `kubernetes.aio.config.kube_config`.
"""

import ast
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from nicplug.kube.kubeconfig import CredentialPlugin

_LOGGER = logging.getLogger("kubernetes.aio.config.kube_config")
_ENDED = re.compile(r"exec: process returned (?P<code>-?\d+)(?:\. (?P<stderr>b['\"].*))?", re.DOTALL)
_LONGEST_STDERR = 300


@contextmanager
def errors_of_library() -> Iterator[list[str]]:
    """Collect the errors that the library logs inside the context; they reach no other handler."""
    errors: list[str] = []

    def take(record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR:
            return True
        errors.append(record.getMessage())
        return False

    _LOGGER.addFilter(take)
    try:
        yield errors
    finally:
        _LOGGER.removeFilter(take)


def plugin_problem(plugin: CredentialPlugin, errors: list[str], *, user: str, paths: str) -> str:
    """Explain why the plugin returned no credentials, with the remedy.

    Args:
        errors: messages that the library has logged.
        user: the kubeconfig user whose entry names the plugin.
        paths: paths of the kubeconfig files.
    """
    subject = f'credential plugin "{plugin.command}" of user "{user}" in kubeconfig {paths}'
    hint = f" {plugin.install_hint}" if plugin.install_hint else ""
    if plugin.command and shutil.which(plugin.command) is None:
        return f"{subject} is not installed: install it where PATH has it, or use --context.{hint}"
    return f"{subject} gave no credentials: {_why(errors)}. Run it by hand, or use --context.{hint}"


def _why(errors: list[str]) -> str:
    error = errors[-1] if errors else "it is not configured as an exec plugin"
    if not (ended := _ENDED.fullmatch(error)):
        return error.removeprefix("exec: ").removesuffix(".")
    stderr = ast.literal_eval(ended["stderr"]).decode(errors="replace") if ended["stderr"] else ""
    return f"exit code {ended['code']}" + (f", {stderr.strip()[:_LONGEST_STDERR].rstrip('.')}" if stderr else "")
