"""How many files and connections the process may have open."""

import contextlib
import resource


def raise_descriptor_limit() -> None:
    """Raise the soft limit to the hard one, as every Go program does.

    A container often starts with 1,024, which is there for programs that use select(); nicplug uses none.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS has a limit below the one that it tells
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
