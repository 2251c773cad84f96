"""`python -m tests.soak`: many operations on many VMs while everything else goes wrong. What `make soak` runs.

Exit code 0: everything holds. 1: something does not, and the output says what. 2: the soak itself has failed.
"""

import json
import secrets
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from tests.soak import report
from tests.soak.run import soak
from tests.soak.shape import SHAPES, Scenario

from nicplug_sandbox.errors import SandboxError


def _say(message: str) -> None:
    click.echo(f"soak: {message}", err=True)


@click.command()
@click.option(
    "--scenario",
    # By values: click would take an enum by the names of its members.
    type=click.Choice([str(scenario) for scenario in Scenario]),
    default=str(Scenario.LIFE),
    show_default=True,
    help="The whole life of VMs; NICs in place and by migration while dynamic networks controllers break; or the same "
    "beside KubeVirt, with the stand-in of virt-controller killed too.",
)
@click.option("--operations", type=click.IntRange(1, 100_000), help="Of users and admins.  [default: 300; else 150]")
@click.option("--vms", type=click.IntRange(1, 1000), help="[default: 50; else 20]")
@click.option(
    "--kills",
    type=click.IntRange(0, 1000),
    help="SIGKILLs of an operator replica.  [default: 20; companion: 12, and as many of virt-controller]",
)
@click.option("--restarts", type=click.IntRange(0, 100), help="Of kube-apiserver.  [default: 2; else 0]")
@click.option(
    "--cuts",
    type=click.IntRange(0, 1000),
    help="Of all connections.  [default: 20; paths: 0; companion: 10]",
)
@click.option(
    "--controllers",
    type=click.IntRange(0, 1000),
    help="How often a controller of half of the nodes breaks or is mended.  [default: 0; paths: 30; companion: 20]",
)
@click.option("--pause-seconds", type=click.FloatRange(0), help="Mean pause between operations.  [default: 0.8]")
@click.option("--rest-seconds", type=click.FloatRange(0), help="Of silence at the end.  [default: 60]")
@click.option("--seed", type=int, help="Repeat the operations and faults of another soak.  [default: a new one]")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Leave logs and audit log there.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def main(*, scenario: str, seed: int | None, keep: Path | None, output: str, **chosen: Any) -> None:
    """Let two replicas of nicplug suffer, then check every NIC, pod, migration and VM."""
    shape = replace(SHAPES[Scenario(scenario)], **{name: value for name, value in chosen.items() if value is not None})
    seed = secrets.randbelow(10**6) if seed is None else seed
    _say(f"seed {seed}; repeat it with --scenario {scenario} --seed {seed} and the same numbers")
    with tempfile.TemporaryDirectory(prefix="nicplug-soak-") as temporary:
        directory = keep or Path(temporary)
        try:
            outcome = soak(directory=directory, shape=shape, seed=seed, say=_say)
        except (SandboxError, TimeoutError) as error:
            click.echo(f"soak: failed: {error or type(error).__name__}", err=True)
            sys.exit(2)
    if output == "json":
        click.echo(json.dumps(report.as_json(outcome), indent=1))
    else:
        report.show(outcome, console=Console(width=None if sys.stdout.isatty() else 110))
    sys.exit(1 if outcome.violations else 0)


if __name__ == "__main__":
    # As the bench: a soak that is stopped leaves no control plane running.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
