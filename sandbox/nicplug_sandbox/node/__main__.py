"""`python -m nicplug_sandbox.node`: run the node simulator in the foreground."""

import asyncio
import gc
import logging
import signal
import sys
from pathlib import Path

import click

from nicplug_sandbox.node.api import ConfigurationError
from nicplug_sandbox.node.settings import Settings
from nicplug_sandbox.node.simulator import StartError, print_ready, run


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run(settings, stop=stop, ready=print_ready)


@click.command()
@click.option("--kubeconfig", type=click.Path(path_type=Path), required=True, help="The cluster to play nodes for.")
@click.option("--nodes", type=click.IntRange(1, 500), default=3, show_default=True, help="How many nodes.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
@click.option(
    "--dynamic-controller-nodes",
    default="all",
    show_default=True,
    help="Where the dynamic networks controller runs: all, none, not-deployed, or node names with commas.",
)
@click.option(
    "--start-seconds", type=click.FloatRange(0), default=0.0, show_default=True, help="From binding a pod to Running."
)
@click.option(
    "--termination-seconds",
    type=click.FloatRange(0),
    default=0.05,
    show_default=True,
    help="How long containers take to end; never above the pod's grace period.",
)
@click.option(
    "--plug-seconds",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="How long a guest takes to accept or release a NIC.",
)
@click.option(
    "--prepare-seconds",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="How long the target pod of a live migration is prepared.",
)
@click.option(
    "--copy-seconds",
    type=click.FloatRange(0),
    default=0.3,
    show_default=True,
    help="How long a live migration copies a guest.",
)
@click.option(
    "--cut-over-seconds",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="How long a guest stands still between the copy and its target.",
)
@click.option(
    "--guests-socket",
    type=click.Path(path_type=Path),
    help="A Unix socket that answers with what each guest has, as JSON.",
)
@click.option(
    "--vmi-status-subresource/--no-vmi-status-subresource",
    default=True,
    show_default=True,
    help="Whether VMIs have a status subresource; KubeVirt's own have none.",
)
@click.option("--deregister", is_flag=True, help="Delete the nodes and DaemonSets at the end.")
@click.option("--verbose", is_flag=True, help="Log every repetition.")
def main(*, verbose: bool, **options: object) -> None:
    """Play kubelet, Multus, dynamic networks controller and virt-handler for simulated nodes.

    Prints one JSON line on stdout when it serves, logs to stderr, ends on SIGTERM.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("asyncio").setLevel(logging.INFO)
    settings = Settings(**options)  # type: ignore[arg-type]
    unknown = _unknown_nodes(settings)
    if unknown:
        raise click.BadParameter(
            f"no such node: {', '.join(unknown)}; with --nodes {settings.nodes} there are "
            f"{', '.join(settings.node_names)}",
            param_hint="--dynamic-controller-nodes",
        )
    # Thousands of cached objects make Python's default collections a visible pause.
    gc.set_threshold(50_000, 20, 100)
    try:
        asyncio.run(_serve(settings))
    except (ConfigurationError, StartError) as error:
        raise click.ClickException(str(error)) from error


def _unknown_nodes(settings: Settings) -> list[str]:
    if settings.dynamic_controller_nodes in ("all", "none", "not-deployed"):
        return []
    wanted = [name.strip() for name in settings.dynamic_controller_nodes.split(",")]
    return [name for name in wanted if name not in settings.node_names]


if __name__ == "__main__":
    main()
