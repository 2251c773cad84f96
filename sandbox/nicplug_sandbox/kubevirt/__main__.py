"""`python -m nicplug_sandbox.kubevirt controller|api`: run a part of the stand-in in the foreground."""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from nicplug_sandbox.kubevirt.serve import VERSION, run_api, run_controller
from nicplug_sandbox.node.api import ConfigurationError

_kubeconfig = click.option("--kubeconfig", type=click.Path(path_type=Path), required=True, help="Of a cluster admin.")


def _until_stopped(run: Callable[..., Awaitable[None]], kubeconfig: Path) -> None:
    async def serve() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await run(kubeconfig, stop=stop)

    try:
        asyncio.run(serve())
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from error


@click.group()
def main(**_: Any) -> None:
    """A stand-in of KubeVirt's control plane. Each part prints one JSON line when it serves, and ends on SIGTERM."""
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=form)


@main.command()
@_kubeconfig
def controller(*, kubeconfig: Path) -> None:
    """Play virt-controller: VMs, VMIs, migrations, evacuation, and the workload updater."""
    _until_stopped(run_controller, kubeconfig)


@main.command()
@_kubeconfig
@click.option("--version", default=VERSION, show_default=True, help="Which KubeVirt to be; the controller follows it.")
def api(*, kubeconfig: Path, version: str) -> None:
    """Play the webhooks of virt-api; the API server must run on this host."""
    _until_stopped(partial(run_api, version=version), kubeconfig)


if __name__ == "__main__":
    main()
