"""What a process that runs for long leaves out of its memory."""

import sys


def leave_out_rich() -> None:
    """structlog imports rich for traces with frames, which nicplug does not print: some MiB of every replica."""
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
