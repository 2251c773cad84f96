"""Completion of names from the cluster, and the scripts that shells load."""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from nicplug.cli.connection import Session, cluster_of, cluster_options, open_session

if TYPE_CHECKING:
    from nicplug.kube.api import Json, Resource

SHELLS = ("bash", "zsh", "fish")
# A shell that waits is worse than one that completes nothing.
SECONDS = 2.0


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.option("--program", default="nicplug", show_default=True, help="Name of the command, for example kubectl-nic.")
def completion(shell: str, program: str) -> None:
    """Print the completion script for SHELL: bash, zsh or fish.

    \b
    bash:  source <(nicplug completion bash)
    zsh:   source <(nicplug completion zsh)
    fish:  nicplug completion fish | source
    """
    from nicplug.cli.main import main

    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(main, {}, program, variable).source())


def kubectl_complete() -> None:
    """`kubectl_complete-nic`: by which kubectl completes `kubectl nic`.

    Source: https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/
    """
    from nicplug.cli.main import main

    *given, incomplete = sys.argv[1:] or [""]
    shell = ShellComplete(main, {}, "nicplug", "_NICPLUG_COMPLETE")
    for item in shell.get_completions(given, incomplete):
        click.echo(item.value)
    click.echo(":4")  # no file names


def complete_machine(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of VMs and VMIs."""
    from nicplug.kube.resources import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES

    async def names(session: Session) -> list[str]:
        found = [await _names(session, item) for item in (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES)]
        return sorted({*found[0], *found[1]})

    return _complete(context, incomplete, names)


def complete_network(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of network attachment definitions."""
    from nicplug.kube.resources import NETWORK_ATTACHMENT_DEFINITIONS

    return _complete(context, incomplete, lambda session: _names(session, NETWORK_ATTACHMENT_DEFINITIONS))


def complete_nic(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the NICs of the VM that stands before."""
    from nicplug.cli.machines import find_machine, now

    async def names(session: Session) -> list[str]:
        machine = await find_machine(session, str(context.params.get("vm")), with_migrations=False)
        return [nic.name for nic in machine.describe(now=now()).nics]

    return _complete(context, incomplete, names)


def _complete(
    context: click.Context, incomplete: str, names: Callable[[Session], Awaitable[list[str]]]
) -> list[CompletionItem]:
    """Never an error: a shell has nowhere to show one."""

    async def ask() -> list[str]:
        async with asyncio.timeout(SECONDS), open_session(cluster_of(cluster_options(context))) as session:
            return await names(session)

    found: list[str] = []
    with contextlib.suppress(Exception):
        found = asyncio.run(ask())
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


async def _names(session: Session, resource: "Resource") -> list[str]:
    page: Json = await session.api.list(resource, namespace=session.namespace, metadata_only=True)
    return [item["metadata"]["name"] for item in page.get("items") or ()]
