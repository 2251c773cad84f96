"""Run the Go compiler over a module of `go/`, with progress that can be believed."""

import json
import os
import re
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from nicplug_sandbox import disk
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.estimate import Estimate, Meter, duration
from nicplug_sandbox.go_programs import GoProgram
from nicplug_sandbox.toolchain import Toolchain, environment

LINE_SECONDS = 15.0
TICK_SECONDS = 0.5
TAIL_LINES = 20
# Measured (docs/adr/0003): what a cold build leaves in Go's caches.
OBJECT_BYTES_PER_SOURCE_BYTE = 32
NETWORK_TROUBLE = re.compile(
    r"no such host|connection refused|connection reset|i/o timeout|network is unreachable"
    r"|TLS handshake timeout|proxyconnect|module lookup disabled|Temporary failure in name resolution"
)

Say = Callable[[str], None]
Report = Callable[[Estimate], None]


def build(*, program: GoProgram, toolchain: Toolchain, output: Path, progress: Say) -> None:
    """Compile and link a program into `output`.

    Raises:
        SandboxError: modules cannot be fetched, the disk is full or the compiler refuses.
    """
    caches = _go_caches(program, toolchain)
    if not (caches.modules / f"{program.release}@{program.version}").exists():
        remedy = "Free some space, or set GOMODCACHE to a larger disk."
        disk.require(caches.modules, gib=program.modules_gib, what=program.name, remedy=remedy)
    sizes = _packages_to_compile(program, toolchain, progress=progress)
    objects = sum(sizes.values()) * OBJECT_BYTES_PER_SOURCE_BYTE / 2**30
    remedy = "Free some space, or set GOCACHE to a larger disk."
    disk.require(caches.objects, gib=objects, what=program.name, remedy=remedy)
    meter = Meter(sizes, cores=_cores())
    if sizes:
        progress(
            f"compiling {len(sizes)} packages of {program.name} with Go {toolchain.version}, "
            f"roughly {duration(meter.whole_seconds)} on this machine's {_cores()} cores (once per machine)"
        )
    started = time.monotonic()
    command = [str(toolchain.go), "build", "-v", *_flags(program), "-o", str(output), program.package]
    with _display(progress) as report:
        for line in _lines(command, program=program):
            if line:
                meter.saw(line)
            report(meter.estimate(elapsed_seconds=time.monotonic() - started))
    progress(f"built {program.name} in {duration(time.monotonic() - started)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _GoCaches:
    objects: Path
    modules: Path


def _go_caches(program: GoProgram, toolchain: Toolchain) -> _GoCaches:
    answer = subprocess.run(
        [str(toolchain.go), "env", "-json", "GOCACHE", "GOMODCACHE"],
        env=environment(),
        cwd=program.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        raise _failure(answer.stderr.splitlines()[-TAIL_LINES:], program=program)
    folders = json.loads(answer.stdout)
    return _GoCaches(objects=Path(folders["GOCACHE"]), modules=Path(folders["GOMODCACHE"]))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _flags(program: GoProgram) -> list[str]:
    """The same for `go list` and `go build`: staleness is a matter of flags too."""
    stamps = " ".join(f"-X {variable}={value}" for variable, value in program.stamps(program).items())
    return [
        "-trimpath",  # the same objects for every clone, wherever it lies
        "-buildvcs=false",  # needs no git, and a commit does not make a new binary
        "-gcflags=all=-dwarf=false",  # nobody debugs these binaries: less to compile and to keep
        f"-ldflags=-s -w {stamps}",
        *([f"-tags={','.join(program.tags)}"] if program.tags else []),
    ]


def _packages_to_compile(program: GoProgram, toolchain: Toolchain, *, progress: Say) -> dict[str, int]:
    """Every package that Go's own cache does not have, with the bytes of its source; fetches modules."""
    template = '{{.Stale}}\t{{.ImportPath}}\t{{.Dir}}\t{{join .GoFiles "\\t"}}'
    command = [str(toolchain.go), "list", "-deps", *_flags(program), "-f", template, program.package]
    sizes: dict[str, int] = {}
    downloads = 0
    last_said = time.monotonic()
    for line in _lines(command, program=program):
        if line.startswith("go: downloading"):
            downloads += 1
            if downloads == 1:
                progress(f"fetching the Go modules of {program.name} ({program.download}; once per machine)")
        elif line.count("\t") >= 3:
            stale, package, folder, *files = line.split("\t")
            if stale == "true":
                sizes[package] = sum(os.path.getsize(os.path.join(folder, file)) for file in files if file)
        if downloads and time.monotonic() - last_said > LINE_SECONDS:
            progress(f"fetching Go modules: {downloads} so far")
            last_said = time.monotonic()
    return sizes


def _lines(command: Sequence[str], *, program: GoProgram) -> Iterator[str]:
    """The output lines of a `go` command as they come, and "" whenever nothing came for half a second.

    Raises:
        SandboxError: the command failed; says whether the network was the reason.
    """
    kept: list[str] = []
    with subprocess.Popen(
        command,
        cwd=program.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            for line in _split(process):
                if " " in line and "\t" not in line:  # names and tables go by; messages explain a failure
                    kept.append(line)
                yield line
        except BaseException:  # an interrupt, or the caller gave up: the compiler must not run on
            process.terminate()
            raise
    if process.returncode != 0:
        raise _failure(kept[-TAIL_LINES:], program=program)


def _split(process: subprocess.Popen[bytes]) -> Iterator[str]:
    assert process.stdout is not None
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(TICK_SECONDS):
                yield ""
                continue
            if not (chunk := os.read(process.stdout.fileno(), 65_536)):
                break
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


def _failure(messages: list[str], *, program: GoProgram) -> SandboxError:
    text = "\n".join(messages)
    if NETWORK_TROUBLE.search(text):
        return SandboxError(
            f"Go modules of {program.name} are missing and the Go module proxy cannot be reached",
            remedy=program.offline,
            detail=text,
        )
    if "no space left on device" in text:
        return SandboxError("the disk is full", remedy="Free some GiB (`go clean -cache` is one way).", detail=text)
    return SandboxError(
        f"the Go compiler could not build {program.name}",
        remedy=f"If the files in {program.folder} were not changed, please report this.",
        detail=text,
    )


class _display:
    """Shows estimates: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, progress: Say) -> None:
        self._say = progress
        self._last = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> Report:
        if not sys.stderr.isatty():
            return self._line
        self._bar = Progress(
            TextColumn("building"),
            BarColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("", total=1.0)
        self._bar.start()
        return self._draw

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def _draw(self, estimate: Estimate) -> None:
        assert self._bar is not None
        self._bar.update(self._task, completed=estimate.fraction, description=str(estimate))

    def _line(self, estimate: Estimate) -> None:
        if time.monotonic() - self._last >= LINE_SECONDS:
            self._last = time.monotonic()
            self._say(str(estimate))
