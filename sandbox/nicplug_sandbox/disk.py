"""Refuse before minutes of work that a full disk would throw away."""

import shutil
from pathlib import Path

from nicplug_sandbox.errors import SandboxError


def require(folder: Path, *, gib: float, what: str, remedy: str) -> None:
    """See that the disk of `folder`, which need not exist yet, has so much space for building `what`.

    Raises:
        SandboxError: names the folder, what is free there and what is needed.
    """
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free / 2**30
    if free < gib:
        raise SandboxError(
            f"{existing} has {free:.1f} GiB free; building {what} needs {gib:.1f} GiB there",
            remedy=remedy,
        )
