"""`python -m tests.chaos`: hot-plugs while one thing after the other goes wrong. What `make chaos` runs.

Exit code 0: everything holds. 1: a NIC is lost or doubled, or something else does not hold, and the output says what.
2: a drill itself has failed.
"""

import json
import secrets
import signal
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from tests.chaos import report
from tests.chaos.drills import DRILLS, DrillFailed
from tests.chaos.run import chaos
from tests.chaos.shape import FULL, QUICK

from nicplug_sandbox.errors import SandboxError

PICTURE = Path("build") / "chaos.svg"


def _say(message: str) -> None:
    click.echo(f"chaos: {message}", err=True)


def _chosen(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    if value is None:
        return tuple(DRILLS)
    names = tuple(filter(None, (name.strip() for name in value.split(","))))
    if unknown := [name for name in names if name not in DRILLS]:
        raise click.BadParameter(f"no drill is called {', '.join(unknown)}. There are: {', '.join(DRILLS)}.")
    if not names:
        raise click.BadParameter(f"name at least one of: {', '.join(DRILLS)}.")
    return tuple(name for name in DRILLS if name in names)


@click.command()
@click.option("--drills", callback=_chosen, metavar="NAME,...", help=f"Only these, of {', '.join(DRILLS)}.")
@click.option("--quick", is_flag=True, help=f"{QUICK.vms} VMs, {QUICK.hotplugs} NICs, a third of the time.")
@click.option("--seed", type=int, help="Ask for the NICs of another run.  [default: a new one]")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Leave logs and audit log there.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def main(*, drills: tuple[str, ...], quick: bool, seed: int | None, keep: Path | None, output: str) -> None:
    """Hot-plug NICs on both paths through each failure, and count those that are lost or doubled."""
    seed = secrets.randbelow(10**6) if seed is None else seed
    _say(f"seed {seed}; repeat it with --seed {seed}")
    with tempfile.TemporaryDirectory(prefix="nicplug-chaos-") as temporary:
        try:
            outcome = chaos(
                directory=keep or Path(temporary), shape=QUICK if quick else FULL, drills=drills, seed=seed, say=_say
            )
        except (DrillFailed, SandboxError, TimeoutError) as error:
            click.echo(f"chaos: failed: {error or type(error).__name__}", err=True)
            sys.exit(2)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(report.picture(outcome))
    _say(f"the picture is {PICTURE}")
    if output == "json":
        click.echo(json.dumps(report.to_json(outcome), indent=1))
    else:
        report.show(outcome, console=Console(width=None if sys.stdout.isatty() else 120))
    sys.exit(0 if outcome.holds else 1)


if __name__ == "__main__":
    # As the soak: drills that are stopped leave no control plane running.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
