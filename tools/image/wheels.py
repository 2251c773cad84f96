"""The packages of requirements/operator.txt as files for the image's Python, so that its build needs no network."""

import hashlib
import platform
import sys
import tempfile
from pathlib import Path

from tools.image.command import run, say
from tools.image.commit import ROOT
from tools.image.debian import PYTHON

PINS = ROOT / "requirements" / "operator.txt"
# Of the C library of the image: a wheel for an older one works too, and pip wants each by name.
_GLIBC_MINOR = 41


def wheels(*, folder: Path) -> Path:
    """A directory with one wheel for each pin, checked against the pinned hashes.

    Args:
        folder: a cache.

    Raises:
        ToolError: pip cannot fetch them.
    """
    machine = platform.machine()
    key = hashlib.sha256(PINS.read_bytes() + f"{machine} {PYTHON}".encode()).hexdigest()[:12]
    path = folder / f"wheels-{key}"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    say("fetching the image's packages (once for each set of pins)")
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(_GLIBC_MINOR, 4, -1)] + [f"manylinux2014_{machine}"]
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as temporary:
        fresh = Path(temporary) / path.name
        run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--require-hashes", "--only-binary=:all:", f"--python-version={PYTHON}"),
                *(f"--platform={tag}" for tag in tags),
                *("--dest", fresh, "--requirement", PINS),
            ]
        )
        fresh.replace(path)
    return path
