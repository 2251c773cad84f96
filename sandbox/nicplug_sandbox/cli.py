"""`nicplug sandbox up|down|status`: for people at a terminal, and for make."""

import functools
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from nicplug_sandbox import controlplane, lifecycle
from nicplug_sandbox.build import binary
from nicplug_sandbox.build import resolve as build_programs
from nicplug_sandbox.cache import default_sandbox_directory
from nicplug_sandbox.controlplane import SandboxStatus
from nicplug_sandbox.errors import HalfStarted, SandboxError
from nicplug_sandbox.go_programs import CONTROL_PLANE, PROGRAMS
from nicplug_sandbox.kubevirt_processes import PARTS
from nicplug_sandbox.nicplug_process import OPERATOR
from nicplug_sandbox.shims import BIN
from nicplug_sandbox.whereabouts import Whereabouts, all_sandboxes

Command = TypeVar("Command", bound=Callable[..., None])

_directory = click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Where the sandbox lives; one per working directory, in the cache, unless given.",
)


def _say(message: str) -> None:
    """Progress goes to stderr: stdout carries only results."""
    click.echo(f"nicplug: {message}", err=True)


def _explained(command: Command) -> Command:
    """Turn a SandboxError into text on stderr and exit code 1."""

    @functools.wraps(command)
    def wrapped(**options: Any) -> None:
        try:
            command(**options)
        except SandboxError as error:
            raise click.ClickException(str(error)) from error

    return wrapped  # type: ignore[return-value]


@click.group()
def sandbox() -> None:
    """A laptop cluster: real control plane, simulated nodes."""


@sandbox.command()
@_directory
@click.option(
    "--nodes",
    type=click.IntRange(0, 500),
    default=None,
    help="Simulated nodes; 0: none.  [default: as before, at first 3]",
)
@click.option(
    "--kubeconfig",
    "existing",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="Use this cluster instead of an own control plane; `down` leaves it as it is.",
)
@click.option("--operator", "with_operator", is_flag=True, help="Run the operator in it too, as its ServiceAccount.")
@click.option(
    "--kubevirt",
    "with_kubevirt",
    is_flag=True,
    help="KubeVirt's CRDs, and a stand-in of its virt-controller that runs the VMs, instead of nicplug's.",
)
@click.option(
    "--kubevirt-version",
    metavar="VERSION",
    default=None,
    help="Which KubeVirt the stand-in plays, v1.4.0 to v1.9.0.  [default: as before, at first v1.9.0]",
)
@_explained
def up(
    *,
    directory: Path | None,
    nodes: int | None,
    existing: Path | None,
    with_operator: bool,
    with_kubevirt: bool,
    kubevirt_version: str | None,
) -> None:
    """Start the sandbox; what already runs is kept.

    A control plane of which a program has died is recreated, without its objects; an operator that has died is started
    again. The folder on the PATH has virtctl, nicplug and kubectl, which talk to this sandbox.
    """
    try:
        status = lifecycle.up(
            directory=directory or default_sandbox_directory(),
            nodes=nodes,
            existing=existing,
            progress=_say,
            with_operator=with_operator,
            with_kubevirt=with_kubevirt,
            kubevirt_version=kubevirt_version,
        )
    except HalfStarted as error:
        _print_exports(kubeconfig=error.kubeconfig, directory=error.directory)
        raise
    _print_exports(kubeconfig=status.kubeconfig, directory=status.directory)


def _print_exports(*, kubeconfig: Path | None, directory: Path) -> None:
    """What a shell needs to use the sandbox."""
    click.echo(f"export KUBECONFIG={kubeconfig}")
    click.echo(f"export PATH={directory / BIN}:$PATH")


@sandbox.command()
@_directory
@_explained
def down(*, directory: Path | None) -> None:
    """End what `up` started and remove its data; logs stay until the next `up`."""
    directory = directory or default_sandbox_directory()
    ended = lifecycle.down(directory=directory)
    _say(f"sandbox ended; its logs stay in {directory}" if ended else f"nothing runs in {directory}")


@sandbox.command()
@_directory
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@_explained
def status(*, directory: Path | None, output: str) -> None:
    """Show what runs, where, and whether it serves; without --directory, all sandboxes of this user too.

    METRICS is the port on 127.0.0.1 of /metrics, /healthz and /readyz.

    Exit code 1 when something that should run in this one does not.
    """
    found = controlplane.status(directory=directory or default_sandbox_directory())
    others = [item for item in all_sandboxes() if item.directory != found.directory] if directory is None else []
    if output == "json":
        content = asdict(found) | ({"others": [asdict(item) for item in others]} if directory is None else {})
        click.echo(json.dumps(content, default=str, indent=2))
    else:
        _print(found)
        _print_others(others)
    if found.running and not found.is_healthy:
        sys.exit(1)


@sandbox.command()
@click.argument("names", metavar="[PROGRAM]...", nargs=-1, type=click.Choice(list(PROGRAMS)))
@_explained
def build(*, names: tuple[str, ...]) -> None:
    """Build programs now, without starting them: for images and caches.

    PROGRAM is control-plane, which is meant when none is named, helm, which the tests of the chart use, promtool,
    which those of the alerts use, promql, which draws the dashboard, or actionlint, which checks the workflows.
    """
    for program in [PROGRAMS[name] for name in names] or [CONTROL_PLANE]:
        if program is CONTROL_PLANE:
            found = build_programs(progress=_say)
            _say(f"the control plane's programs are {', '.join(sorted({command[0] for command in found.commands}))}")
        else:
            _say(f"{program.name} {program.version} is {binary(program, progress=_say)}")


@sandbox.command()
@click.option("--keep", is_flag=True, help="Leave everything running at the end, and say how to use and end it.")
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Write pictures of what was shown to this folder, as SVG: demo, plan, status, why.",
)
@click.option("--companion", is_flag=True, help="Beside KubeVirt: a NIC without nicplug, then with it.")
@_explained
def demo(*, keep: bool, pictures: Path | None, companion: bool) -> None:
    """Watch a running virtual machine get a network interface, and give it back."""
    from nicplug_sandbox import companion_demo
    from nicplug_sandbox import demo as demonstration
    from nicplug_sandbox.screen import screen

    # `kill` shall clean up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shown = screen(records=pictures is not None)
    try:
        (companion_demo if companion else demonstration).run(screen=shown, keep=keep)
    except KeyboardInterrupt:
        _say("interrupted; everything that was started has been ended")
        sys.exit(130)
    if pictures is not None:
        for path in shown.save_pictures(pictures):
            _say(f"wrote {path}")


def _print(found: SandboxStatus) -> None:
    console = Console()
    if not found.running:
        console.print(f"No sandbox runs in {found.directory}. Start one with `nicplug sandbox up`.", soft_wrap=True)
        return
    kind = "existing cluster" if found.external else "own control plane"
    age = _age(time.time() - found.started_at) if found.started_at else "-"
    state = "ready" if found.ready else "not ready"
    for name, value in (
        ("server", f"{found.server} ({kind}, {state}, up {age})"),
        ("kubeconfig", str(found.kubeconfig)),
        ("directory", str(found.directory)),
        ("nodes", f"{found.nodes} simulated"),
    ):
        console.print(f"{name:<11}{value}", soft_wrap=True, highlight=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("PROCESS", "PID", "STATE", "MEMORY", "METRICS", "LOG"):
        table.add_column(heading, justify="right" if heading in ("PID", "MEMORY", "METRICS") else "left")
    for process in found.processes:
        running = "[green]running[/]" if process.alive else "[red]dead[/]"
        log = process.log.relative_to(found.directory) if process.log.is_relative_to(found.directory) else process.log
        memory = f"{process.rss_bytes / 2**20:.0f} MiB" if process.alive else "-"
        port = str(process.metrics_port or "-")
        table.add_row(process.name, str(process.pid), running, memory, port, str(log))
    console.print()
    console.print(table)
    if hint := _hint(found):
        console.print(f"\n{hint}", markup=False, highlight=False, soft_wrap=True)


def _hint(found: SandboxStatus) -> str:
    """What starts what does not run; "" when all of it runs."""
    where = f" --directory {found.directory}" if found.directory != default_sandbox_directory().resolve() else ""
    is_kubevirts = any(process.name in PARTS for process in found.processes)
    start = f"nicplug sandbox up --operator{where}"
    if dead := [process.name for process in found.processes if not process.alive]:
        return f"Dead: {', '.join(dead)}. To start again what has died: {start}"
    if not any(process.name == OPERATOR for process in found.processes):
        who = "The stand-in of KubeVirt runs the VMs here; no companion" if is_kubevirts else "No operator"
        return f"{who} was started. To start one: {start}"
    return ""


def _print_others(others: list[Whereabouts]) -> None:
    if not others:
        return
    console = Console(soft_wrap=True, highlight=False)
    console.print("\nOther sandboxes of yours; end one with `nicplug sandbox down --directory DIRECTORY`:")
    for item in others:
        age = f", up {_age(time.time() - item.started_at)}" if item.started_at else ""
        dead = f", dead: {', '.join(item.dead)} (`up --directory` starts them again)" if item.dead else ""
        lost = "" if item.is_recorded else ", its state is gone"
        console.print(f"{item.directory}  {item.running} programs run{age}{dead}{lost}", markup=False)


def _age(seconds: float) -> str:
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if seconds < 120:
        return f"{seconds:.0f}s"
    return f"{minutes}m" if minutes < 120 else f"{hours}h"
