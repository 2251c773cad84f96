"""Completion of names from the cluster, and the completion scripts of the shells."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ShellComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from nicplug.cli.connection import Session, cluster_of, cluster_options, open_session

if TYPE_CHECKING:
    from nicplug.kube.api import Json, Resource

SHELLS = ("bash", "zsh", "fish")
# A shell that hangs is worse than one that completes nothing. Counted from the first request: importing the client and
# logging in with a plugin, which take long on a busy machine, have a bound of their own.
SECONDS, SECONDS_TO_CONNECT = 3.0, 10.0


@add_completion_class
class WholeWordsBashComplete(BashComplete):
    """Treats `blue=lan` as one word, as other shells do: bash splits it in three, as `=` is in its COMP_WORDBREAKS."""

    _is_split = False

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the cursor, and the word at the cursor."""
        words, at = split_arg_string(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"])
        whole: list[str] = []
        before = ""
        for word in words[: at + 1]:
            self._is_split = bool(whole) and (word == "=" or (before == "=" and not word.startswith("-")))
            if self._is_split:
                whole[-1] += word
            else:
                whole.append(word)
            before = word
        if at >= len(words):  # a new word begins
            self._is_split = False
            return whole[1:], ""
        return whole[1:-1], whole[-1]

    def format_completion(self, item: CompletionItem) -> str:
        """Format an item without what precedes the last `=`, as bash replaces only what follows it."""
        if self._is_split:
            item = CompletionItem(item.value.rpartition("=")[2], type=item.type)
        return super().format_completion(item)


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.option("--program", default="nicplug", show_default=True, help="Name of the command, for example kubectl-nic.")
def completion(shell: str, program: str) -> None:
    """Print the completion script for SHELL: bash, zsh or fish.

    \b
    bash:  source <(nicplug completion bash)
    zsh:   source <(nicplug completion zsh)
    fish:  nicplug completion fish | source

    `kubectl nic` needs no script of its own: kubectl completes it by the executable kubectl_complete-nic, which is
    installed beside nicplug and has to be on the PATH.
    """
    from nicplug.cli.main import main

    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(main, {}, program, variable).source())


def kubectl_complete() -> None:
    """Entry point of `kubectl_complete-nic`, which kubectl runs to complete `kubectl nic`.

    Source: https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/
    """
    from nicplug.cli.main import main

    *given, incomplete = sys.argv[1:] or [""]
    shell = ShellComplete(main, {}, "nicplug", "_NICPLUG_COMPLETE")
    for item in shell.get_completions(given, incomplete):
        click.echo(item.value)
    click.echo(":4")  # no file names


def complete_machine(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of VMs and VMIs."""
    from nicplug.kube.resources import VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINES

    async def names(session: Session) -> list[str]:
        found = [await _names(session, item) for item in (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES)]
        return sorted({*found[0], *found[1]})

    return _complete(context, incomplete, names)


def complete_network(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of network attachment definitions."""
    from nicplug.kube.resources import NETWORK_ATTACHMENT_DEFINITIONS

    return _complete(context, incomplete, lambda session: _names(session, NETWORK_ATTACHMENT_DEFINITIONS))


def complete_addition(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete `[NIC=]NAD`: names of network attachment definitions, after the name of the NIC if there is one."""
    nic, equals, network = incomplete.rpartition("=")
    found = complete_network(context, parameter, network)
    return [CompletionItem(f"{nic}{equals}{item.value}") for item in found]


def complete_namespace(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of namespaces; none if the user cannot list them."""
    from nicplug.kube.resources import NAMESPACES

    return _complete(context, incomplete, lambda session: _names(session, NAMESPACES))


def complete_context(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of contexts from the kubeconfig, without a request to a cluster."""
    from nicplug.kube.kubeconfig import ConfigError, context_names, kubeconfig_paths

    try:
        found = context_names(kubeconfig_paths(cluster_of(cluster_options(context)).kubeconfig))
    except ConfigError:
        return []
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def complete_nic(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of the NICs of the VM that precedes them on the command line."""
    from nicplug.cli.machines import find_machine, now

    async def names(session: Session) -> list[str]:
        machine = await find_machine(session, str(context.params.get("vm")), with_migrations=False)
        return [nic.name for nic in machine.describe(now=now()).nics]

    return _complete(context, incomplete, names)


def _complete(
    context: click.Context, incomplete: str, names: Callable[[Session], Awaitable[list[str]]]
) -> list[CompletionItem]:
    """Complete from the cluster; any error completes nothing, as a shell cannot show it."""

    async def ask() -> list[str]:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(SECONDS_TO_CONNECT):
                session = await stack.enter_async_context(open_session(cluster_of(cluster_options(context))))
            async with asyncio.timeout(SECONDS):
                return await names(session)

    found: list[str] = []
    with contextlib.suppress(Exception):
        found = asyncio.run(ask())
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


async def _names(session: Session, resource: "Resource") -> list[str]:
    page: Json = await session.api.list(resource, namespace=session.namespace, metadata_only=True)
    return [item["metadata"]["name"] for item in page.get("items") or ()]
