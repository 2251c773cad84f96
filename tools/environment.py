"""Make the Python environment that every `make` target runs in, once per machine.

Prints the path of its interpreter on stdout and progress on stderr. The environment lies in
the user's cache directory, keyed by the pins and the Python version, so that clones share it
and a second run needs no network. Standard library only: it runs before anything is installed.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "requirements" / "dev.txt"
MINIMUM = (3, 11)
# As the build of the control plane, which comes next.
LINE_SECONDS = 15.0


def say(message: str) -> None:
    """Progress goes to stderr: stdout carries only the interpreter's path."""
    print(f"nicplug: {message}", file=sys.stderr, flush=True)


def cache_directory() -> Path:
    """The folder shared by all clones of this user (`NICPLUG_CACHE_DIR` overrides it)."""
    if chosen := os.environ.get("NICPLUG_CACHE_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "nicplug"


def environment_directory() -> Path:
    """One environment per set of pins and interpreter build."""
    key = hashlib.sha256(PINS.read_bytes())
    key.update(f"{sys.version_info[:3]} {sysconfig.get_platform()} {sys.base_prefix}".encode())
    return cache_directory() / "python" / key.hexdigest()[:16]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `path` exclusively: two clones may bootstrap at the same time."""
    import fcntl  # here, so that Windows gets the message of `main` and not an ImportError

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another clone is installing the same packages; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def install(directory: Path) -> None:
    """Create the virtual environment and install the hashed pins into it.

    Raises:
        SystemExit: with the remedy, when venv or pip is missing or an install fails.
    """
    started = time.monotonic()
    count = PINS.read_text().count("==")
    say(
        f"installing {count} pinned Python packages into {directory} (once per machine; a minute or two, longer on a "
        "busy machine; building the control plane comes after it)"
    )
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    log = directory / "install.log"
    if run([sys.executable, "-m", "venv", str(directory)], log=log, told=lambda: "making the environment") != 0:
        raise SystemExit(
            f"{tail(log)}nicplug: python3 -m venv failed. On Debian and Ubuntu: apt-get install python3-venv"
        )
    command = install_command(directory / "bin" / "python", pins=PINS)
    if run(command, log=log, told=lambda: collected(log, count=count)) != 0:
        raise SystemExit(
            f"{tail(log)}nicplug: pip could not install the packages of requirements/dev.txt. Is the package "
            "index reachable? A mirror or certificate is set in pip's own configuration."
        )
    (directory / "complete").touch()
    say(f"packages installed in {time.monotonic() - started:.0f} s")


def install_command(python: Path, *, pins: Path) -> list[str]:
    """The pip command that installs exactly these pins, for the oldest pip that a supported Python brings along."""
    # --progress-bar is an option of `install`: pip 23, of Python 3.11, knows no general one of that name.
    options = ["--disable-pip-version-check", "--progress-bar=off", "--require-hashes", "--no-deps"]
    return [str(python), "-m", "pip", "install", *options, "-r", str(pins)]


def run(command: Sequence[str], *, log: Path, told: Callable[[], str], line_seconds: float = LINE_SECONDS) -> int:
    """Run a program, with a line of progress now and then; its exit code.

    Args:
        log: gets what it prints.
        told: how far it is.
    """
    started = time.monotonic()
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        while True:
            try:
                return process.wait(timeout=line_seconds)
            except subprocess.TimeoutExpired:
                say(f"{told()}, {time.monotonic() - started:.0f} s so far")


def collected(log: Path, *, count: int) -> str:
    """How far pip is, by what it has printed."""
    printed = log.read_text(errors="replace")
    if "Installing collected packages" in printed:
        return f"writing {count} packages"
    return f"fetching packages: {printed.count('Collecting ')} of {count}"


def tail(log: Path, *, lines: int = 20) -> str:
    """The last lines of a log, each with its end."""
    return "".join(f"{line}\n" for line in log.read_text(errors="replace").splitlines()[-lines:])


def main() -> None:
    """Print the interpreter of a complete environment, making it first when it is missing."""
    if sys.version_info < MINIMUM:
        raise SystemExit(f"nicplug: needs Python 3.11 or newer, this is {sys.version.split()[0]}")
    if os.name != "posix":
        raise SystemExit("nicplug: the development environment needs Linux or macOS (WSL works)")
    directory = environment_directory()
    if not (directory / "complete").exists():
        with locked(directory.with_suffix(".lock")):
            if not (directory / "complete").exists():
                install(directory)
    print(directory / "bin" / "python")


if __name__ == "__main__":
    main()
