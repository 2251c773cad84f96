"""Limit on the files and connections that the process may have open."""

import contextlib
import resource


def raise_descriptor_limit() -> None:
    """Raise the soft limit to the hard one, as every Go program does.

    Containers often start with 1,024, a limit for programs that use select(); nicplug does not.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS enforces a lower limit than it reports
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
