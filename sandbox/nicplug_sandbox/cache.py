"""Where the sandbox keeps what outlives one command: binaries for all clones, state per sandbox."""

import hashlib
import os
from pathlib import Path


def cache_directory() -> Path:
    """The folder shared by all clones of this user; `NICPLUG_CACHE_DIR` overrides it.

    The same rule as `tools/environment.py`, which cannot import this package: it runs before anything
    is installed. tests/unit/sandbox/test_cache.py holds the two together.
    """
    if chosen := os.environ.get("NICPLUG_CACHE_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "nicplug"


def default_sandbox_directory() -> Path:
    """One sandbox per working directory, so that two clones never share one by accident."""
    here = hashlib.sha256(str(Path.cwd().resolve()).encode()).hexdigest()[:12]
    return cache_directory() / "sandboxes" / here
