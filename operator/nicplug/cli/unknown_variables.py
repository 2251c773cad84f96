"""Finds environment variables that look like settings of a process but are none, such as those with a typo."""

import difflib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from nicplug.metrics_settings import MetricsSettings

log = structlog.get_logger(__name__)

# Variables that share the prefix of `nicplug run`: of `nicplug api`, commands, the sandbox and the tests.
_OTHERS = (
    "NICPLUG_API_",
    "NICPLUG_CACHE_DIR",
    "NICPLUG_TRACEBACK",
    "NICPLUG_KIND_",
    "NICPLUG_SANDBOX_",
    "NICPLUG_SIM_",
    "NICPLUG_TEST_",
)


def unknown_variables(environment: Iterable[str], *, model: "type[MetricsSettings]") -> dict[str, str]:
    """Return the unknown variables with the prefix of these settings, each with the most similar setting, or ""."""
    prefix = str(model.model_config.get("env_prefix") or "")
    others = tuple(other for other in _OTHERS if other != prefix)
    known, found = [name.upper() for name in model.model_fields], {}
    for variable in sorted(environment):
        name = variable.upper()
        if not name.startswith(prefix) or name.startswith(others) or name.removeprefix(prefix) in known:
            continue
        # Without the common prefix, which would make all names similar.
        nearest = difflib.get_close_matches(name.removeprefix(prefix), known, n=1)
        found[variable] = f"{prefix}{nearest[0]}" if nearest else ""
    return found


def warn_of_unknown_variables(model: "type[MetricsSettings]") -> None:
    """Log each unknown variable. It is not an error, as a newer or older version may know it."""
    for name, nearest in unknown_variables(os.environ, model=model).items():
        remedy = f"did you mean {nearest}?" if nearest else "settings are listed in docs/configuration.md"
        log.warning("environment variable has no effect", variable=name, remedy=remedy)
